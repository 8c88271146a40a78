//! Whether the database may have changed, without opening it. Knows nothing of what is in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::db::{FILE, log_path};

/// What changes whenever a process commits: size and time of the database and of its log. Two commits within a few
/// milliseconds may look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DbStamp([Option<(u64, i64, i64)>; 2]);

impl DbStamp {
    /// Of the database of a home, now.
    pub fn of(home: &Path) -> Self {
        let look = |path: PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some((found.len(), found.mtime(), found.mtime_nsec()))
        };
        Self([look(home.join(FILE)), look(log_path(home))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::db;

    #[test]
    fn a_commit_changes_the_stamp_and_a_look_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(DbStamp::of(dir.path()), DbStamp::of(dir.path()));
        let nothing = DbStamp::of(dir.path());
        let (database, _) = db::open(dir.path()).unwrap();
        let made = DbStamp::of(dir.path());
        assert_ne!(made, nothing);
        database.execute_batch("CREATE TABLE seen (x)").unwrap();
        let changed = DbStamp::of(dir.path());
        assert_ne!(changed, made);
        let reader = db::open_reader(dir.path()).unwrap();
        reader.query_row("SELECT count(*) FROM seen", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(DbStamp::of(dir.path()), changed);
    }
}
