//! The results that users evicted, so that a recovery from events does not restore them.
//!
//! Written before the rows are removed. Knows nothing of why a result was evicted.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;

use crate::core::digest::Digest;
use crate::storage::memo::MemoEntry;
use crate::storage::own_file::{self, Access};

/// The file's name inside the home folder.
const FILE: &str = "evicted";
/// Maximum size of the file that is read, in bytes: some millions of results.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Results by key and time.
#[derive(Default)]
pub struct EvictedKeys(HashSet<(Digest, i64)>);

impl EvictedKeys {
    /// Whether the result under `key` that was made at `created` was evicted.
    pub fn contains(&self, key: &Digest, created: Timestamp) -> bool {
        self.0.contains(&(*key, created.as_millisecond()))
    }
}

/// Notes results that are about to be removed.
///
/// # Errors
/// The file cannot be written.
pub fn add(home: &Path, results: &[MemoEntry]) -> io::Result<()> {
    let line = |entry: &MemoEntry| format!("{} {}\n", entry.key.hex(), entry.found.created.as_millisecond());
    let text: String = results.iter().map(line).collect();
    let mut file = own_file::open(&home.join(FILE), Access::Append)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The results that were evicted; a line that does not read names none.
pub fn read(home: &Path) -> EvictedKeys {
    let bytes = own_file::read(&home.join(FILE), MAX_FILE_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = |line: &str| {
        let (key, created) = line.split_once(' ')?;
        Some((key.parse().ok()?, created.parse().ok()?))
    };
    EvictedKeys(text.lines().filter_map(line).collect())
}
