//! Whether the file system of the home has locks, asked before anything depends on it.
//!
//! Some network file systems refuse them. SQLite takes that for a lock that others hold and waits for a minute, so it is
//! asked here first. Knows nothing of what the locks are for.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};

use super::own_file::{self, Access};

/// Maximum time that a refusal is retried: a lock server that starts up refuses for a moment.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(5);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens a lock file of the home and takes its lock alone, until the file is closed; waits for who has it.
///
/// # Errors
/// The file cannot be opened, or its file system refuses locks; then the message says which.
pub fn lock_alone(path: &Path) -> io::Result<File> {
    let file = own_file::open(path, Access::Append)?;
    patiently(|| file.lock()).map_err(|error| explain(path, error))?;
    // Locks of ranges, which the database takes. None is held on this file, so that none can be lost.
    patiently(|| Ok(range(&file, F_WRLCK as i16).and_then(|()| range(&file, F_UNLCK as i16))?))
        .map_err(|error| explain(path, error))?;
    Ok(file)
}

/// Tries again while the file system has no locks.
fn patiently(mut take: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        match take() {
            Err(error) if is_refused(&error) && begin.elapsed() < MAX_LOCK_WAIT => std::thread::sleep(PAUSE),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            taken => return taken,
        }
    }
}

fn range(file: &File, kind: i16) -> Result<(), Errno> {
    let lock = flock { l_type: kind, l_whence: SEEK_SET as i16, l_start: 0, l_len: 1, l_pid: 0 };
    match fcntl(file, FcntlArg::F_SETLK(&lock)) {
        // Another program has it: so there are locks.
        Ok(_) | Err(Errno::EAGAIN | Errno::EACCES) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOLCK as i32)
}

fn explain(path: &Path, error: io::Error) -> io::Error {
    if !is_refused(&error) {
        return error;
    }
    let system = match file_system(path) {
        Some((kind, at)) => format!("its file system ({kind}, mounted at {})", at.display()),
        None => "its file system".to_owned(),
    };
    io::Error::other(format!("{system} refuses locks ({error}): choose a local one with --home"))
}

/// The kind of the file system that holds `path`, and where it is mounted.
fn file_system(path: &Path) -> Option<(String, PathBuf)> {
    let real = fs::canonicalize(path).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let parsed = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        // Spaces and line breaks are written as octal numbers; a mount point with them is not found.
        let at = PathBuf::from(place.split(' ').nth(4)?);
        real.starts_with(&at).then(|| (kind.split(' ').next().unwrap_or_default().to_owned(), at))
    });
    // Of several at one place the last lies on top.
    parsed.max_by_key(|(_, at)| at.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_named_where_it_refuses_locks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock_alone(&path).unwrap();
        assert!(File::open(&path).unwrap().try_lock().is_err());
        drop(held);
        lock_alone(&path).unwrap();
        let refused = explain(&path, Errno::ENOLCK.into()).to_string();
        assert!(refused.contains("refuses locks") && refused.contains("mounted at /"), "{refused}");
        assert!(!explain(&path, Errno::EIO.into()).to_string().contains("refuses"));
        assert_eq!(file_system(Path::new("/proc/self/status")).unwrap().0, "proc");
    }

    #[test]
    fn a_refusal_that_passes_is_waited_for() {
        let mut left = 3;
        patiently(|| {
            left -= 1;
            if left > 0 { Err(Errno::ENOLCK.into()) } else { Ok(()) }
        })
        .unwrap();
        assert_eq!(left, 0);
    }
}
