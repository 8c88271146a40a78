//! Files that a user names. Writing: through links, into devices and FIFOs, and in place of a regular file only as a whole.
//! Reading: through links, regular files only, without waiting.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How many links the way to one file may take, as in the kernel.
const MAX_HOPS: usize = 40;

/// Opens a regular file for reading; a link is followed, and a FIFO is not waited for.
///
/// # Errors
/// What the system says, or that no regular file is there.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(format!("{} is no regular file", path.display()))),
    }
}

/// Writes the file at `path`, where `write` gives the content. A regular file, or a new one, has all of the content or is
/// left as it was; links are followed, and anything else that is there (a device, a FIFO) is written to.
///
/// # Errors
/// Whatever the system or `write` says.
pub fn write_user_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if is_stream(path) {
        // A folder is refused by the system. What another program writes to as well is added to.
        let mut file = OpenOptions::new().append(true).open(path)?;
        write(&mut file)?;
        return file.flush();
    }
    let target = behind_links(path)?;
    let old = match fs::metadata(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        old => Some(old?),
    };
    let folder = target.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mode = old.as_ref().map_or(0o666, |old| old.permissions().mode() & 0o777);
    let made = tempfile::Builder::new()
        .prefix(".runner-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder);
    let mut file = match made {
        Ok(file) => file,
        // A file may be writable in a folder that is not.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && old.is_some() => {
            let mut file = File::options().write(true).truncate(true).open(&target)?;
            return write(&mut file);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::new(error.kind(), format!("there is no folder {}", folder.display())));
        }
        // Without the name of the temporary file.
        Err(error) => return Err(error.kind().into()),
    };
    write(&mut file)?;
    if old.is_some() {
        // Not what the mask for new files makes of it.
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// Whether something else than a regular file is at `path`, or a stream that a process has open: `/dev/stdout`.
pub fn is_stream(path: &Path) -> bool {
    let is_open = || behind_links(path).is_ok_and(|target| is_in_proc(&target));
    fs::metadata(path).is_ok_and(|there| !there.is_file() || is_open())
}

/// Where the links at `path` lead, also to nothing. What is behind a link of `/proc` has no path.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_HOPS {
        if is_in_proc(&target) {
            return Ok(target);
        }
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error()))
}

fn is_in_proc(path: &Path) -> bool {
    path.parent()
        .and_then(|folder| fs::canonicalize(folder).ok())
        .is_some_and(|folder| folder.starts_with("/proc"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    fn put(path: &Path, text: &str) -> io::Result<()> {
        write_user_file(path, |file| file.write_all(text.as_bytes()))
    }

    #[test]
    fn regular_files_change_as_a_whole_and_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        put(&path("new"), "1").unwrap();
        fs::set_permissions(path("new"), Permissions::from_mode(0o640)).unwrap();
        fs::create_dir(path("sub")).unwrap();
        symlink("../new", path("sub/link")).unwrap();
        put(&path("sub/link"), "2").unwrap();
        assert_eq!(fs::read_to_string(path("new")).unwrap(), "2");
        assert_eq!(fs::metadata(path("new")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(path("sub/link")).unwrap().is_symlink());
        let failed = write_user_file(&path("new"), |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(failed.is_err() && fs::read_to_string(path("new")).unwrap() == "2");
        symlink("later", path("dangling")).unwrap();
        put(&path("dangling"), "3").unwrap();
        assert_eq!(fs::read_to_string(path("later")).unwrap(), "3");
        symlink("loop", path("loop")).unwrap();
        assert!(put(&path("loop"), "4").is_err());
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["dangling", "later", "loop", "new", "sub"]);
    }

    #[test]
    fn what_is_no_regular_file_is_written_to_or_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = {
            let fifo = fifo.clone();
            std::thread::spawn(move || fs::read_to_string(fifo).unwrap())
        };
        put(&fifo, "text").unwrap();
        assert_eq!(reader.join().unwrap(), "text");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
        put(Path::new("/dev/null"), "text").unwrap();
        // An open stream has no path: a pipe, and a file that is written to further on.
        let (mut reader, pipe) = io::pipe().unwrap();
        put(Path::new(&format!("/proc/self/fd/{}", pipe.as_raw_fd())), "text").unwrap();
        drop(pipe);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "text");
        let mut file = File::create(dir.path().join("open")).unwrap();
        file.write_all(b"more ").unwrap();
        put(Path::new(&format!("/dev/fd/{}", file.as_raw_fd())), "text").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("open")).unwrap(), "more text");
        let message = put(&dir.path().join("no/such"), "text").unwrap_err().to_string();
        assert!(message.starts_with("there is no folder ") && !message.contains(".runner-"), "{message}");
        assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
        assert!(put(dir.path(), "text").is_err());
        for odd in [&fifo, dir.path(), Path::new("/dev/null")] {
            assert!(open(odd).unwrap_err().to_string().contains("no regular file"), "{}", odd.display());
        }
        let full = Path::new("/dev/full");
        if full.exists() {
            assert_eq!(put(full, "text").unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
    }
}
