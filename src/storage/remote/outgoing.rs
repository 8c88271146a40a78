//! From a stored result to the entry that others may have. What says something of this machine stays here: inputs, paths, logs.

use serde_json::{Map as JsonMap, Value as Json};

use super::entry::{EntrySource, RemoteEntry, files_of};
use crate::storage::memo::MemoEntry;

/// The entry of a result, but for its blobs, if its record is sound.
///
/// # Errors
/// Why others cannot have it: it is damaged, a file lies at a path of the user's, or its interface is not known.
pub fn outgoing(row: Option<&MemoEntry>) -> Result<RemoteEntry, String> {
    let row = row.ok_or("it is damaged here")?;
    let interface = row.interface.ok_or("it is older than the record of interfaces")?;
    let outputs: JsonMap<String, Json> =
        serde_json::from_str(&row.found.outputs).map_err(|error| error.to_string())?;
    if let Some(file) = files_of(&outputs).iter().find(|file| file.origin.is_some()) {
        return Err(format!("its output `{}` is a file outside of the store", file.name));
    }
    Ok(RemoteEntry {
        v: RemoteEntry::VERSION,
        key: row.key,
        project: row.project.clone(),
        domain: row.domain.clone(),
        task: row.task.clone(),
        interface,
        outputs,
        blobs: Vec::new(),
        duration_ms: row.found.duration_ms,
        created: row.found.created,
        source: EntrySource { run: row.found.run, node: row.found.node.clone() },
    })
}
