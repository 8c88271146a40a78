//! The list of what no database knows: blobs and runs that were there when the database was lost.
//!
//! A collection removes nothing that is on the list. What a row of a later database names leaves the list; for the rest a
//! person decides, by removing the file. Knows nothing of what is worth keeping otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::core::digest::Digest;
use crate::core::run_id::RunId;
use crate::storage::own_file::{self, Access};
use crate::storage::store::sync_folder;

/// The file's name inside the home folder.
pub const FILE: &str = "runner.db.unclaimed";
/// Maximum size of the list: some millions of blobs.
const MAX_LIST_BYTES: u64 = 1 << 30;

/// Blobs and runs that no collection may remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unclaimed {
    pub blobs: BTreeSet<Digest>,
    pub runs: BTreeSet<RunId>,
}

/// The path of the list.
pub fn path(home: &Path) -> PathBuf {
    home.join(FILE)
}

impl Unclaimed {
    /// The list of a home; empty where there is none.
    ///
    /// # Errors
    /// The list is there and cannot be read: nothing may be removed then.
    pub fn read(home: &Path) -> io::Result<Self> {
        let bytes = match own_file::read(&path(home), MAX_LIST_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        let mut list = Self::default();
        for line in String::from_utf8_lossy(&bytes).lines() {
            match line.split_once(' ') {
                Some(("blob", hex)) => list.blobs.extend(hex.parse::<Digest>()),
                Some(("run", id)) => list.runs.extend(RunId::parse(id)),
                _ => {}
            }
        }
        Ok(list)
    }

    /// Everything that a home holds now, beside its database.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn survey(home: &Path) -> io::Result<Self> {
        let names = |folder: &str| -> io::Result<Vec<String>> {
            let entries = match fs::read_dir(home.join(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
            names.collect()
        };
        let blobs = names("store/blobs")?.into_iter().filter_map(|name| name.parse().ok()).collect();
        let runs = names("logs")?.into_iter().chain(names("outputs")?);
        Ok(Self { blobs, runs: runs.filter_map(|name| RunId::parse(&name).ok()).collect() })
    }

    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.runs.is_empty()
    }

    /// Adds what another list names.
    pub fn merge(&mut self, other: Self) {
        self.blobs.extend(other.blobs);
        self.runs.extend(other.runs);
    }

    /// Writes the list in one step, so that it is on the disk; an empty one is removed.
    ///
    /// # Errors
    /// It cannot be written or removed.
    pub fn write(&self, home: &Path) -> io::Result<()> {
        let path = path(home);
        if self.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let mut text = String::from(
            "# Files and runs from before the database was lost. No collection removes them while this file names\n\
             # them. Remove this file, and the next collection removes what no result and no run needs.\n",
        );
        self.blobs.iter().for_each(|digest| text.push_str(&format!("blob {}\n", digest.hex())));
        self.runs.iter().for_each(|run| text.push_str(&format!("run {run}\n")));
        let new = home.join(format!("{FILE}.new"));
        let mut file = own_file::open(&new, Access::Replace)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_folder(home).map_err(io::Error::other)
    }
}

/// Puts everything that a home holds now on its list: its database is lost. Whether there is anything.
///
/// # Errors
/// The list cannot be read or written.
pub fn protect_everything(home: &Path) -> io::Result<bool> {
    let mut list = Unclaimed::survey(home)?;
    if list.is_empty() {
        return Ok(false);
    }
    list.merge(Unclaimed::read(home)?);
    list.write(home)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads_back_grows_and_goes_when_it_is_empty() {
        let home = tempfile::tempdir().unwrap();
        assert!(!protect_everything(home.path()).unwrap());
        assert!(!path(home.path()).exists());
        let digest = Digest::of("a");
        fs::create_dir_all(home.path().join("store/blobs")).unwrap();
        fs::create_dir_all(home.path().join("logs/abcdefgh")).unwrap();
        fs::create_dir_all(home.path().join("outputs/notes")).unwrap();
        fs::write(home.path().join("store/blobs").join(digest.hex()), "a").unwrap();
        assert!(protect_everything(home.path()).unwrap());
        let list = Unclaimed::read(home.path()).unwrap();
        assert_eq!(list, Unclaimed { blobs: [digest].into(), runs: ["abcdefgh".into()].into() });
        fs::remove_dir(home.path().join("logs/abcdefgh")).unwrap();
        assert!(protect_everything(home.path()).unwrap());
        assert_eq!(Unclaimed::read(home.path()).unwrap(), list, "what was on the list stays");
        Unclaimed::default().write(home.path()).unwrap();
        assert!(!path(home.path()).exists());
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(path(home.path())).unwrap();
        assert!(Unclaimed::read(home.path()).is_err());
    }
}
