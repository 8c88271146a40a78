//! Locks of identical work: the holder of a key's lock does the work; everyone else waits, then gets a cache hit.
//!
//! One file of the home holds all locks; the lock of a key is one byte of it, at an offset taken from the key's digest.
//! Two keys with the same offset wait for each other, which costs time and nothing else.
//!
//! Two layers keep work apart:
//! - between processes, a record lock (`fcntl`) of the system, which ends with its process however that dies;
//! - between the runs and threads of this process, which the system does not tell apart, a map of held offsets.
//!
//! Closing any descriptor of the file would release all record locks of the process. So `OPEN` keeps one descriptor of
//! each file (by device and inode) for the process, every [`Locks`] of the same home shares it together with its map,
//! and nothing else may open the file. A descriptor is closed only by the registry, under its mutex, when no `Locks` and
//! no [`HeldLock`] uses it any more.
//!
//! Knows nothing of what the work is.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};

use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::core::run_id::RunId;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// The file of the locks, inside the home folder.
const FILE: &str = "work.lock";
/// The folder of the holders' notes, inside the home folder.
const NOTES: &str = "work.holders";
/// Maximum length of each name in a note, in bytes; a longer one is not shown.
const MAX_NAME_BYTES: usize = 1000;

/// Who does some work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub run: RunId,
    /// A node, or an element as in `train[3]`.
    pub node: String,
}

/// The locks of one home. All values of one home in this process share one descriptor.
pub struct Locks(Arc<Shared>);

/// Why the locks of a home cannot be used.
#[derive(Debug)]
pub struct LockError {
    pub path: PathBuf,
    pub error: io::Error,
}

/// A file of locks, by device and inode.
type FileId = (u64, u64);

/// The descriptors of this process, one for each file.
static OPEN: Mutex<Vec<(FileId, Arc<Shared>)>> = Mutex::new(Vec::new());

struct Shared {
    /// The only descriptor of the file in this process; see [`OPEN`].
    file: File,
    /// Notes that name the holders, for other processes to show. The lock decides, never the note.
    notes: PathBuf,
    /// The offsets that this process holds.
    held: Mutex<HashMap<i64, Holder>>,
}

/// The result of an attempt to take a lock.
pub enum LockTry {
    Taken(HeldLock),
    /// Another run has the lock; its name, where a note gives it.
    Busy(Option<Holder>),
}

/// A lock, until it is dropped.
pub struct HeldLock {
    shared: Arc<Shared>,
    offset: i64,
}

impl Locks {
    /// The locks of a home. Any number may be open in a process.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or the folder of notes cannot be made.
    pub fn open(home: &Path) -> Result<Self, LockError> {
        let (path, notes) = (home.join(FILE), home.join(NOTES));
        let failed = |path: &Path, error| LockError { path: path.to_owned(), error };
        own_folder::make(&notes).map_err(|error| failed(&notes, error))?;
        let mut open = lock(&OPEN);
        // Held until the end: no other thread opens or closes the same file meanwhile.
        let known = fs::symlink_metadata(&path).ok().map(|found| (found.dev(), found.ino()));
        let found = open.iter().find(|(id, _)| Some(*id) == known).map(|(_, shared)| shared.clone());
        let shared = match found {
            Some(shared) => shared,
            None => {
                let file = own_file::open(&path, Access::Keep).map_err(|error| failed(&path, error))?;
                let id = file.metadata().map(|found| (found.dev(), found.ino()));
                let shared = Arc::new(Shared { file, notes, held: Mutex::default() });
                open.push((id.map_err(|error| failed(&path, error))?, shared.clone()));
                shared
            }
        };
        open.retain(|(_, shared)| Arc::strong_count(shared) > 1);
        drop(open);
        shared.sweep();
        Ok(Self(shared))
    }

    /// Takes the lock of `key` for `holder`, or names the current holder. Never waits.
    ///
    /// # Errors
    /// The file system has no locks.
    pub fn try_take(&self, key: &Digest, holder: &Holder) -> io::Result<LockTry> {
        let shared = &self.0;
        let offset = offset(key);
        let mut held = lock(&shared.held);
        if let Some(other) = held.get(&offset) {
            return Ok(LockTry::Busy(Some(other.clone())));
        }
        match shared.set(offset, F_WRLCK as i16) {
            Ok(()) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(LockTry::Busy(shared.read_note(offset))),
            Err(error) => return Err(error.into()),
        }
        held.insert(offset, holder.clone());
        shared.write_note(offset, holder);
        Ok(LockTry::Taken(HeldLock { shared: shared.clone(), offset }))
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut held = lock(&self.shared.held);
        // The note goes before the lock: the next holder writes its own.
        let _ = fs::remove_file(self.shared.note(self.offset));
        held.remove(&self.offset);
        // Releasing can only fail where taking would have.
        let _ = self.shared.set(self.offset, F_UNLCK as i16);
    }
}

impl Shared {
    fn set(&self, offset: i64, kind: i16) -> Result<(), Errno> {
        let lock = flock { l_type: kind, l_whence: SEEK_SET as i16, l_start: offset, l_len: 1, l_pid: 0 };
        fcntl(&self.file, FcntlArg::F_SETLK(&lock)).map(|_| ())
    }

    /// Removes the notes of killed processes: notes whose locks are free.
    fn sweep(&self) {
        let held = lock(&self.held);
        let Ok(folder) = own_folder::open(&self.notes) else { return };
        for entry in fs::read_dir(&self.notes).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let offset = name.to_str().and_then(|name| i64::from_str_radix(name, 16).ok());
            // For a lock of this process the system would answer "free", and releasing it would be real.
            if let Some(offset) = offset.filter(|offset| !held.contains_key(offset))
                && self.set(offset, F_WRLCK as i16).is_ok()
            {
                // A note that cannot be removed does no harm.
                let _ = name.to_str().map(|name| own_folder::remove_file(&folder, name));
                let _ = self.set(offset, F_UNLCK as i16);
            }
        }
    }

    fn note(&self, offset: i64) -> PathBuf {
        self.notes.join(format!("{offset:016x}"))
    }

    fn write_note(&self, offset: i64, holder: &Holder) {
        // Without a note others still wait; they cannot say for whom.
        let _ = own_file::open(&self.note(offset), Access::Replace)
            .and_then(|mut note| write!(note, "{} {}", holder.run, holder.node));
    }

    fn read_note(&self, offset: i64) -> Option<Holder> {
        let bytes = own_file::read(&self.note(offset), 2 * MAX_NAME_BYTES as u64 + 1).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (run, node) = text.split_once(' ')?;
        let plain =
            |text: &str| !text.is_empty() && text.len() < MAX_NAME_BYTES && !text.contains(char::is_control);
        plain(node).then_some(())?;
        Some(Holder { run: run.parse().ok()?, node: node.into() })
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for LockError {}

/// The offset of a key's lock in the file.
fn offset(key: &Digest) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&key.0[..8]);
    i64::from_le_bytes(first) & (i64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(node: &str) -> Holder {
        Holder { run: "r".into(), node: node.into() }
    }

    fn taken(attempt: io::Result<LockTry>) -> HeldLock {
        match attempt.unwrap() {
            LockTry::Taken(held) => held,
            LockTry::Busy(other) => panic!("busy: {other:?}"),
        }
    }

    #[test]
    fn a_lock_is_held_once_and_handed_on() {
        let home = tempfile::tempdir().unwrap();
        let locks = Locks::open(home.path()).unwrap();
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let held = taken(locks.try_take(&a, &holder("first")));
        match locks.try_take(&a, &holder("second")).unwrap() {
            LockTry::Busy(Some(other)) => assert_eq!(other, holder("first")),
            _ => panic!("taken twice"),
        }
        let other = taken(locks.try_take(&b, &holder("second")));
        drop(held);
        drop(taken(locks.try_take(&a, &holder("second"))));
        drop(other);
        assert_eq!(fs::read_dir(home.path().join("work.holders")).unwrap().count(), 0);
    }

    #[test]
    fn other_processes_are_kept_out_until_they_end() {
        let home = tempfile::tempdir().unwrap();
        let locks = Locks::open(home.path()).unwrap();
        let key = Digest::of("a");
        let script = "import fcntl, sys, time\n\
            f = open(sys.argv[1], 'r+')\n\
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(sys.argv[2]))\n\
            print('held', flush=True)\n\
            time.sleep(1000)\n";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(home.path().join("work.lock"))
            .arg(offset(&key).to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        assert!(matches!(locks.try_take(&key, &holder("x")).unwrap(), LockTry::Busy(None)));
        fs::write(locks.0.note(offset(&key)), "k3v9x2qm train[3]").unwrap();
        match locks.try_take(&key, &holder("x")).unwrap() {
            LockTry::Busy(other) => {
                assert_eq!(other, Some(Holder { run: "k3v9x2qm".into(), node: "train[3]".into() }));
            }
            LockTry::Taken(_) => panic!("taken twice"),
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(taken(locks.try_take(&key, &holder("x"))));
    }

    #[test]
    fn many_locks_at_once() {
        let home = tempfile::tempdir().unwrap();
        let locks = Locks::open(home.path()).unwrap();
        let held: Vec<_> =
            (0..2000).map(|i| taken(locks.try_take(&Digest::of(format!("{i}")), &holder("x")))).collect();
        drop(held);
        drop(taken(locks.try_take(&Digest::of("7"), &holder("y"))));
    }

    /// Whether another process finds the byte of a key locked.
    fn is_locked_for_others(home: &Path, key: &Digest) -> bool {
        let script = "import fcntl, sys\n\
            f = open(sys.argv[1], 'r+')\n\
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(sys.argv[2]))\n";
        let status = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(home.join(FILE))
            .arg(offset(key).to_string())
            .stderr(std::process::Stdio::null())
            .status();
        !status.unwrap().success()
    }

    #[test]
    fn opening_and_closing_the_locks_again_releases_nothing() {
        let home = tempfile::tempdir().unwrap();
        let key = Digest::of("a");
        let first = Locks::open(home.path()).unwrap();
        let held = taken(first.try_take(&key, &holder("first")));
        let link = home.path().join("link");
        std::os::unix::fs::symlink(home.path(), &link).unwrap();
        for path in [home.path(), &link] {
            let again = Locks::open(path).unwrap();
            assert!(Arc::ptr_eq(&again.0, &first.0));
            match again.try_take(&key, &holder("second")).unwrap() {
                LockTry::Busy(Some(other)) => assert_eq!(other, holder("first")),
                _ => panic!("taken twice"),
            }
        }
        // Another home comes and goes.
        let elsewhere = tempfile::tempdir().unwrap();
        drop(Locks::open(elsewhere.path()).unwrap());
        drop(Locks::open(home.path()).unwrap());
        drop(first);
        assert!(is_locked_for_others(home.path(), &key));
        drop(held);
        assert!(!is_locked_for_others(home.path(), &key));
    }

    #[test]
    fn runs_of_one_process_exclude_each_other() {
        let home = tempfile::tempdir().unwrap();
        let (inside, done) = (std::sync::atomic::AtomicBool::new(false), Mutex::new(0));
        std::thread::scope(|scope| {
            for run in 0..12 {
                let (inside, done, home) = (&inside, &done, home.path());
                scope.spawn(move || {
                    for turn in 0..20 {
                        // Each turn as a run of its own.
                        let locks = Locks::open(home).unwrap();
                        let held = loop {
                            match locks.try_take(&Digest::of("a"), &holder(&format!("{run}"))).unwrap() {
                                LockTry::Taken(held) => break held,
                                LockTry::Busy(_) => std::thread::yield_now(),
                            }
                        };
                        assert!(!inside.swap(true, std::sync::atomic::Ordering::SeqCst));
                        if (run, turn) == (0, 0) {
                            assert!(is_locked_for_others(home, &Digest::of("a")));
                        }
                        inside.store(false, std::sync::atomic::Ordering::SeqCst);
                        drop(held);
                        *done.lock().unwrap() += 1;
                    }
                });
            }
        });
        assert_eq!(*done.lock().unwrap(), 240);
    }
}
