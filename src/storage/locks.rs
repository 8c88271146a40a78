//! Locks of identical work: whoever holds the one of a key does the work, others wait and then find the result.
//!
//! One file holds all locks; that of a key is a byte of it, at an offset that the key's digest says. Two keys of one
//! offset merely wait for each other. The system gives a lock back when its process dies, however it dies. It does
//! not tell the threads and runs of one process apart, so that a map stands before it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};

use crate::core::digest::Digest;

/// Who does some work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub run: String,
    /// A node, or an element as in `train[3]`.
    pub node: String,
}

/// The locks of one home.
pub struct Locks(Arc<Shared>);

struct Shared {
    /// Opened once and kept: closing any handle of the file gives all locks of the process back.
    file: File,
    /// Notes of who holds what, for others to read. Only a courtesy: the lock is what counts.
    notes: PathBuf,
    held: Mutex<HashMap<i64, Holder>>,
}

/// What came of trying.
pub enum Attempt {
    Taken(Held),
    /// Somebody else has it; who, if that can be told.
    Busy(Option<Holder>),
}

/// A lock, until it is dropped.
pub struct Held {
    shared: Arc<Shared>,
    offset: i64,
}

impl Locks {
    /// Opens the locks of a home. Once a process: see [`Shared::file`].
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub fn open(home: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(home.join("work.lock"))?;
        let notes = home.join("work.holders");
        crate::storage::home::make_private(&notes)?;
        let shared = Shared { file, notes, held: Mutex::default() };
        shared.sweep();
        Ok(Self(Arc::new(shared)))
    }

    /// Takes the lock of `key` for `holder`, or says who has it. Never waits.
    ///
    /// # Errors
    /// The file system has no locks.
    pub fn try_take(&self, key: &Digest, holder: &Holder) -> io::Result<Attempt> {
        let shared = &self.0;
        let offset = offset(key);
        let mut held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = held.get(&offset) {
            return Ok(Attempt::Busy(Some(other.clone())));
        }
        match shared.set(offset, F_WRLCK as i16) {
            Ok(()) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(Attempt::Busy(shared.read_note(offset))),
            Err(error) => return Err(error.into()),
        }
        held.insert(offset, holder.clone());
        shared.write_note(offset, holder);
        Ok(Attempt::Taken(Held { shared: shared.clone(), offset }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the lock is given back: the next holder writes its own.
        let _ = fs::remove_file(self.shared.note(self.offset));
        let mut held = self.shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.offset);
        // It can only fail where taking it would have.
        let _ = self.shared.set(self.offset, F_UNLCK as i16);
    }
}

impl Shared {
    fn set(&self, offset: i64, kind: i16) -> Result<(), Errno> {
        let lock = flock { l_type: kind, l_whence: SEEK_SET as i16, l_start: offset, l_len: 1, l_pid: 0 };
        fcntl(&self.file, FcntlArg::F_SETLK(&lock)).map(|_| ())
    }

    /// Removes the notes of processes that were killed: those whose locks can be had.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.notes).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let offset = name.to_str().and_then(|name| i64::from_str_radix(name, 16).ok());
            if let Some(offset) = offset
                && self.set(offset, F_WRLCK as i16).is_ok()
            {
                // A note that resists misleads nobody: the lock is what counts.
                let _ = fs::remove_file(entry.path());
                let _ = self.set(offset, F_UNLCK as i16);
            }
        }
    }

    fn note(&self, offset: i64) -> PathBuf {
        self.notes.join(format!("{offset:016x}"))
    }

    fn write_note(&self, offset: i64, holder: &Holder) {
        // Without it others wait all the same, and cannot say for whom.
        let _ = fs::write(self.note(offset), format!("{} {}", holder.run, holder.node));
    }

    fn read_note(&self, offset: i64) -> Option<Holder> {
        let text = fs::read_to_string(self.note(offset)).ok()?;
        let (run, node) = text.split_once(' ')?;
        let plain = |text: &str| !text.is_empty() && text.len() < 1000 && !text.contains(char::is_control);
        (plain(run) && plain(node)).then(|| Holder { run: run.into(), node: node.into() })
    }
}

/// Where the lock of a key lies in the file.
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

    fn taken(attempt: io::Result<Attempt>) -> Held {
        match attempt.unwrap() {
            Attempt::Taken(held) => held,
            Attempt::Busy(other) => panic!("busy: {other:?}"),
        }
    }

    #[test]
    fn a_lock_is_held_once_and_handed_on() {
        let home = tempfile::tempdir().unwrap();
        let locks = Locks::open(home.path()).unwrap();
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let held = taken(locks.try_take(&a, &holder("first")));
        match locks.try_take(&a, &holder("second")).unwrap() {
            Attempt::Busy(Some(other)) => assert_eq!(other, holder("first")),
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
        assert!(matches!(locks.try_take(&key, &holder("x")).unwrap(), Attempt::Busy(None)));
        fs::write(locks.0.note(offset(&key)), "k3v9 train[3]").unwrap();
        match locks.try_take(&key, &holder("x")).unwrap() {
            Attempt::Busy(other) => {
                assert_eq!(other, Some(Holder { run: "k3v9".into(), node: "train[3]".into() }));
            }
            Attempt::Taken(_) => panic!("taken twice"),
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
}
