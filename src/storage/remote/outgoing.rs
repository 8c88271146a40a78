//! From a stored result to the entry that others may have. What says something of this machine stays here: inputs, paths, logs.

use std::fs;

use serde_json::{Map as JsonMap, Value as Json};

use super::entry::{EntrySource, RemoteBlob, RemoteEntry, distinct, files_of};
use crate::core::digest::Digest;
use crate::storage::memo::MemoEntry;
use crate::storage::store::Store;

/// The entry of a result, if its record is sound and its files are in the store.
///
/// # Errors
/// Why others cannot have it: it is damaged, a file is missing, lies at a path of the user's, or its interface is not known.
pub fn outgoing(row: Option<&MemoEntry>, store: &Store) -> Result<RemoteEntry, String> {
    let row = row.ok_or("it is damaged here")?;
    let interface = row.interface.ok_or("it is older than the record of interfaces")?;
    let outputs: JsonMap<String, Json> =
        serde_json::from_str(&row.found.outputs).map_err(|error| error.to_string())?;
    let mut blobs = Vec::new();
    for file in files_of(&outputs) {
        if file.origin.is_some() {
            return Err(format!("its output `{}` is a file outside of the store", file.name));
        }
        blobs.push(sized(store, file.digest)?);
        let parts = store.parts(&file.digest).map_err(|error| format!("a file cannot be read: {error}"))?;
        for part in parts {
            blobs.push(sized(store, part)?);
        }
    }
    Ok(RemoteEntry {
        v: RemoteEntry::VERSION,
        key: row.key,
        project: row.project.clone(),
        domain: row.domain.clone(),
        task: row.task.clone(),
        interface,
        outputs,
        blobs: distinct(blobs),
        duration_ms: row.found.duration_ms,
        created: row.found.created,
        source: EntrySource { run: row.found.run, node: row.found.node.clone() },
    })
}

/// The size of the files of outputs, in bytes, as they are recorded.
pub fn recorded_size(outputs: &str) -> u64 {
    let outputs: JsonMap<String, Json> = serde_json::from_str(outputs).unwrap_or_default();
    files_of(&outputs).iter().fold(0, |sum, file| sum.saturating_add(file.size))
}

fn sized(store: &Store, digest: Digest) -> Result<RemoteBlob, String> {
    let found = fs::symlink_metadata(store.blob_path(&digest))
        .map_err(|error| format!("its file {digest} cannot be read: {error}"))?;
    Ok(RemoteBlob { digest, size: found.len() })
}
