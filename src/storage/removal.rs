//! Removing trees below an open folder: a link is removed and never followed, also where another process puts one in the place of
//! a folder meanwhile.
//!
//! Knows nothing of what the trees are.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmodat, fchmod, openat, unlinkat};
use rustix::io::Errno;

/// Removes what has this name in an open folder, and everything below it, folders that forbid it as well. It is no error
/// if nothing is there.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_below(folder: &File, name: &OsStr) -> io::Result<()> {
    let refused = match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // It is a folder, as some systems say it.
        Err(error @ (Errno::ISDIR | Errno::PERM)) => error,
        Err(error) => return Err(error.into()),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut opened = openat(folder, name, flags, Mode::empty());
    if matches!(opened, Err(Errno::ACCESS)) {
        chmodat(folder, name, Mode::RWXU, AtFlags::empty())?;
        opened = openat(folder, name, flags, Mode::empty());
    }
    let inside = match opened {
        Ok(inside) => File::from(inside),
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(refused.into()),
        Err(error) => return Err(error.into()),
    };
    // Of another user's folder it cannot be changed, and then removing says what is wrong.
    let _ = fchmod(&inside, Mode::RWXU);
    for entry in Dir::read_from(&inside)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            remove_below(&inside, OsStr::from_bytes(name))?;
        }
    }
    match unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes whatever is at `path` of a user, folders that forbid it as well; links are removed, never followed.
/// It is no error if nothing is there.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(()),
        folder => remove_below(&File::from(folder?), name),
    }
}
