//! A shared cache in a folder, which several machines may see. An object is written to a temporary and then gets its name. Where
//! there must be none, exactly one of several writers makes it: by a rename that replaces nothing, or by a link where the file
//! system has no such rename.
//!
//! Files have the mode 0644 less the umask, for others read them. They are not forced to the disk: what a power cut damages
//! is found by its digest or its signature, and is a miss.
//!
//! Nothing bounds the time of a request: the server of a mounted folder may be gone. So the progress of requests is noted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::backend::{
    Backend, Creation, ObjectContent, ObjectKind, ObjectLooks, ObjectName, ReadObject, RemoteFault,
};
use crate::core::digest::Digest;
use crate::core::lock::lock;

/// The folder of temporaries, beside the layout. Its files are those of writers that are at work, or were killed.
const TEMPORARIES: &str = "v1/check";
/// How old a temporary has to be before a listing removes it.
const STALE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How much is copied in one step, in bytes.
const COPIED_AT_ONCE: u64 = 8 << 20;

/// A shared cache in a folder.
pub struct FolderBackend {
    folder: PathBuf,
    /// What the names of temporaries are made of, which no other writer has, on whatever machine.
    writer: String,
    next: AtomicU64,
    activity: Arc<Activity>,
}

/// What goes on just now.
struct Activity(Mutex<(usize, Instant)>);

impl Activity {
    /// Notes that a step begins, which ends when the result is dropped.
    fn step(&self) -> Step<'_> {
        let mut activity = lock(&self.0);
        *activity = (activity.0 + 1, Instant::now());
        Step(self)
    }
}

/// A step that may never end.
struct Step<'a>(&'a Activity);

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let mut activity = lock(&self.0.0);
        *activity = (activity.0 - 1, Instant::now());
    }
}

/// A file that is being read.
struct WatchedFile {
    file: File,
    activity: Arc<Activity>,
}

impl Read for WatchedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _step = self.activity.step();
        self.file.read(buffer)
    }
}

impl FolderBackend {
    pub fn new(folder: PathBuf) -> Self {
        let now = Timestamp::now().as_nanosecond();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let writer = format!("{host}\0{}\0{now}", std::process::id());
        let activity = Arc::new(Activity(Mutex::new((0, Instant::now()))));
        Self { folder, writer, next: AtomicU64::new(0), activity }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// Writes a temporary and lets `name` give it its name; the folder of the name is made if it is missing.
    fn put(
        &self,
        object: &ObjectName,
        content: ObjectContent,
        name: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let target = self.path(object);
        let temporary = self.write_temporary(content)?;
        let named = match name(&temporary, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = target.parent().unwrap_or(&self.folder);
                fs::create_dir_all(folder).and_then(|()| name(&temporary, &target))
            }
            named => named,
        };
        if named.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        named
    }

    fn write_temporary(&self, content: ObjectContent) -> io::Result<PathBuf> {
        let folder = self.folder.join(TEMPORARIES);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644);
        loop {
            let path = folder.join(self.fresh_name());
            let mut file = match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&folder)?;
                    continue;
                }
                file => file?,
            };
            let written = match content {
                ObjectContent::Bytes(bytes) => file.write_all(bytes),
                ObjectContent::File { file: from, size, .. } => self.copy(from, size, &mut file),
            };
            return match written {
                Ok(()) => Ok(path),
                Err(error) => {
                    let _ = fs::remove_file(&path);
                    Err(error)
                }
            };
        }
    }

    /// Copies a file, a part in each step.
    fn copy(&self, mut from: &File, size: u64, to: &mut File) -> io::Result<()> {
        from.seek(SeekFrom::Start(0))?;
        let mut copied = 0;
        loop {
            let _step = self.activity.step();
            match io::copy(&mut from.take(COPIED_AT_ONCE), to)? {
                0 => break,
                n => copied += n,
            }
        }
        if copied == size { Ok(()) } else { Err(io::Error::other("the file changed while it was copied")) }
    }

    fn fresh_name(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("tmp-{}", Digest::of(format!("{}\0{number}", self.writer)).hex())
    }

    fn sweep_temporaries(&self) {
        let now = Timestamp::now();
        for entry in fs::read_dir(self.folder.join(TEMPORARIES)).into_iter().flatten().flatten() {
            let modified = entry.metadata().ok().and_then(|found| looks(&found).modified);
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with("tmp-"));
            if is_ours && modified.is_some_and(|modified| now.duration_since(modified) > STALE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Gives a temporary a name that nothing has yet.
fn name_new(temporary: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, target, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(temporary, target)?;
            // One that stays is removed by a later listing.
            let _ = fs::remove_file(temporary);
            Ok(())
        }
        renamed => Ok(renamed?),
    }
}

fn looks(found: &fs::Metadata) -> ObjectLooks {
    let modified = found.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    ObjectLooks { size: found.len(), modified }
}

/// Opens a regular file, whatever else stands there: others may write to the folder.
fn open_regular(path: &Path) -> io::Result<Option<(File, fs::Metadata)>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    Ok(Some((file, found)))
}

impl FolderBackend {
    fn fault(&self, name: &ObjectName, error: &io::Error) -> RemoteFault {
        RemoteFault::lasting(format!("{}: {error}", self.path(name).display()))
    }
}

impl Backend for FolderBackend {
    fn get(&self, name: &ObjectName) -> Result<Option<ReadObject>, RemoteFault> {
        let _step = self.activity.step();
        let opened = open_regular(&self.path(name)).map_err(|error| self.fault(name, &error))?;
        Ok(opened.map(|(file, found)| {
            let content = WatchedFile { file, activity: self.activity.clone() };
            ReadObject { looks: looks(&found), content: Box::new(content) }
        }))
    }

    fn look(&self, name: &ObjectName) -> Result<Option<ObjectLooks>, RemoteFault> {
        let _step = self.activity.step();
        match fs::metadata(self.path(name)) {
            Ok(found) => Ok(Some(looks(&found))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(self.fault(name, &error)),
        }
    }

    fn create(&self, name: &ObjectName, content: ObjectContent) -> Result<Creation, RemoteFault> {
        let _step = self.activity.step();
        if self.look(name)?.is_some() {
            return Ok(Creation::Exists);
        }
        match self.put(name, content, name_new) {
            Ok(()) => Ok(Creation::Made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Creation::Exists),
            Err(error) => Err(self.fault(name, &error)),
        }
    }

    fn replace(&self, name: &ObjectName, content: ObjectContent) -> Result<(), RemoteFault> {
        let _step = self.activity.step();
        self.put(name, content, |from, to| fs::rename(from, to)).map_err(|error| self.fault(name, &error))
    }

    fn remove(&self, name: &ObjectName) -> Result<(), RemoteFault> {
        let _step = self.activity.step();
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| self.fault(name, &error)),
        }
    }

    fn list(
        &self,
        kind: ObjectKind,
        visit: &mut dyn FnMut(ObjectName, ObjectLooks),
    ) -> Result<(), RemoteFault> {
        let _step = self.activity.step();
        self.sweep_temporaries();
        let top = self.folder.join(kind.folder());
        let fault =
            |path: &Path, error: &io::Error| RemoteFault::lasting(format!("{}: {error}", path.display()));
        let folders = match fs::read_dir(&top) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folders => folders.map_err(|error| fault(&top, &error))?,
        };
        for folder in folders {
            let folder = folder.map_err(|error| fault(&top, &error))?;
            let Some(first) = folder.file_name().to_str().map(str::to_owned) else { continue };
            let files = match fs::read_dir(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                files => files.map_err(|error| fault(&folder.path(), &error))?,
            };
            for file in files {
                let file = file.map_err(|error| fault(&folder.path(), &error))?;
                let name = file.file_name().to_str().and_then(|name| kind.parse(&format!("{first}/{name}")));
                // What is removed meanwhile is not there.
                if let (Some(name), Ok(found)) = (name, file.metadata()) {
                    visit(name, looks(&found));
                }
            }
        }
        Ok(())
    }

    fn last_progress(&self) -> Option<Instant> {
        let (under_way, last) = *lock(&self.activity.0);
        Some(if under_way > 0 { last } else { Instant::now() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(backend: &FolderBackend, name: &ObjectName) -> Option<String> {
        let mut text = String::new();
        backend.get(name).unwrap()?.content.read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn objects_are_made_once_replaced_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let backend = FolderBackend::new(dir.path().join("deep/er"));
        let name = ObjectName::Blob(Digest::of("x"));
        assert_eq!((backend.look(&name), read(&backend, &name)), (Ok(None), None));
        assert_eq!(backend.list(ObjectKind::Blobs, &mut |_, _| panic!("there is none")), Ok(()));
        assert_eq!(backend.create(&name, ObjectContent::Bytes(b"one")), Ok(Creation::Made));
        assert_eq!(backend.create(&name, ObjectContent::Bytes(b"two")), Ok(Creation::Exists));
        assert_eq!(read(&backend, &name).unwrap(), "one");
        backend.replace(&name, ObjectContent::Bytes(b"three")).unwrap();
        assert_eq!(read(&backend, &name).unwrap(), "three");
        assert_eq!(backend.look(&name).unwrap().unwrap().size, 5);
        fs::write(dir.path().join("deep/er/v1/blobs/stray"), "").unwrap();
        let mut listed = Vec::new();
        backend.list(ObjectKind::Blobs, &mut |name, looks| listed.push((name, looks.size))).unwrap();
        assert_eq!(listed, [(name.clone(), 5)]);
        assert_eq!(fs::read_dir(dir.path().join("deep/er").join(TEMPORARIES)).unwrap().count(), 0);
        let mode = fs::metadata(backend.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o133, 0, "{mode:o}");
        for _ in 0..2 {
            backend.remove(&name).unwrap();
        }
        assert_eq!(read(&backend, &name), None);
    }

    #[test]
    fn one_of_racing_writers_makes_an_object() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let name = ObjectName::Entry(Digest::of(round.to_string()));
            let made = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..8)
                    .map(|i| {
                        let (dir, name) = (dir.path(), &name);
                        scope.spawn(move || {
                            let text = i.to_string().repeat(100_000);
                            let backend = FolderBackend::new(dir.to_owned());
                            backend.create(name, ObjectContent::Bytes(text.as_bytes())).unwrap()
                        })
                    })
                    .collect();
                writers.into_iter().map(|w| w.join().unwrap()).filter(|c| *c == Creation::Made).count()
            });
            let text = read(&FolderBackend::new(dir.path().to_owned()), &name).unwrap();
            assert_eq!(made, 1);
            assert!(text.len() == 100_000 && text.bytes().all(|b| b == text.as_bytes()[0]), "torn");
        }
    }

    #[test]
    fn what_is_no_file_is_a_fault_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let backend = FolderBackend::new(dir.path().to_owned());
        let name = ObjectName::Entry(Digest::of("x"));
        let path = backend.path(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        rustix::fs::mkfifoat(CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert!(backend.get(&name).is_err());
    }
}
