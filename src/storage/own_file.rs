//! Opening files of the home: never through a link, never waiting for a FIFO or a device, only regular files of this user.
//!
//! Every file below the home is opened here, so that anything planted in its place is refused by name. Knows nothing
//! of what the files mean.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Flags of every opening: no link, no waiting, not inherited by tasks.
const ALWAYS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// What an opening is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// For writing in place; the file must exist.
    Write,
    /// For reading and writing; made if it does not exist, and left as it is if it does.
    Keep,
    /// For appending; made if it does not exist.
    Append,
    /// For appending; must not exist.
    New,
    /// For writing from the beginning; made if it does not exist, emptied if it does.
    Replace,
}

impl Access {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::WRONLY,
            Self::Keep => OFlags::RDWR | OFlags::CREATE,
            Self::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
            Self::New => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL,
            // Emptied only when it is known to be a regular file of ours.
            Self::Replace => OFlags::WRONLY | OFlags::CREATE,
        }
    }
}

/// Opens a file of the home. A new one has mode 0600.
///
/// # Errors
/// What the system says, or that something else than a regular file of this user is there.
pub fn open(path: &Path, access: Access) -> io::Result<File> {
    open_at(&CWD, path, access)
}

/// The same below an open folder.
///
/// # Errors
/// As [`open`].
pub fn open_at(folder: &impl std::os::fd::AsFd, path: &Path, access: Access) -> io::Result<File> {
    let descriptor: OwnedFd = loop {
        match openat(folder, path, access.flags() | ALWAYS, Mode::RUSR | Mode::WUSR) {
            Err(Errno::INTR) => {}
            Err(Errno::LOOP) => return Err(refused(path, "a symbolic link")),
            // A FIFO without a reader, or a socket.
            Err(Errno::NXIO) => return Err(refused(path, "no regular file")),
            opened => break opened?,
        }
    };
    let file = File::from(descriptor);
    let metadata = file.metadata()?;
    expect_regular(path, &metadata)?;
    if access == Access::Replace && metadata.len() > 0 {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Refuses whatever is no regular file of this user.
///
/// # Errors
/// A sentence that names the path and what is there.
pub fn expect_regular(path: &Path, found: &Metadata) -> io::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if found.is_symlink() {
        return Err(refused(path, "a symbolic link"));
    }
    if !found.is_file() {
        return Err(refused(path, "no regular file"));
    }
    if found.uid() != me {
        return Err(refused(path, &format!("a file of another user (id {})", found.uid())));
    }
    Ok(())
}

/// Reads a file of the home as a whole, if it has at most `max_bytes`.
///
/// # Errors
/// As [`open`], or it is too large.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path, Access::Read)?;
    let length = file.metadata()?.len();
    let too_large = || io::Error::other(format!("{} has more than {max_bytes} bytes", path.display()));
    if length > max_bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The error for something that does not belong into the home.
pub fn refused(path: &Path, found: &str) -> io::Error {
    io::Error::other(format!("{} is {found}: the home holds none; remove it to go on", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("victim"), "kept").unwrap();
        symlink("victim", path("link")).unwrap();
        rustix::fs::mknodat(CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        fs::create_dir(path("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["link", "fifo", "folder", "socket"] {
            for access in [Access::Read, Access::Write, Access::Keep, Access::Append, Access::Replace] {
                let error = open(&path(name), access).unwrap_err();
                let named = error.to_string().contains(name) || name == "folder";
                assert!(named, "{name} {access:?}: {error}");
            }
            assert!(open(&path(name), Access::New).is_err());
        }
        assert_eq!(fs::read_to_string(path("victim")).unwrap(), "kept");
    }

    #[test]
    fn each_access_does_what_it_says() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(open(&path, Access::Read).is_err() && open(&path, Access::Write).is_err());
        open(&path, Access::New).unwrap().write_all(b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(open(&path, Access::New).is_err());
        open(&path, Access::Append).unwrap().write_all(b"two").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"onetwo");
        assert!(read(&path, 5).is_err());
        open(&path, Access::Keep).unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"onetwo");
        open(&path, Access::Replace).unwrap().write_all(b"x").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"x");
    }
}
