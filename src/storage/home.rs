//! The home folder: where everything is kept, who may enter, and what a killed runner left behind.
//!
//! | path | holds |
//! |---|---|
//! | `runner.db` | memo, history, stat cache |
//! | `store/` | blobs |
//! | `work.lock`, `work.holders/` | locks of identical work, and who holds them |
//! | `logs/<run>/` | what tasks printed, and the run's events |
//! | `outputs/<run>/` | output files of workflows |
//! | `scratch/<run>/` | attempts under way; its `lock` is held while the run lives and tells a copy of the home, `processes` names what it started, `cancel` asks for its end |
//! | `reserve` | space that a collection gives up first, so that it can run on a full disk |
//! | `serve/` | locks of daemons and of others that claim instants, and the file that wakes daemons |
//! | `python/` | descriptions of Python functions, and the program that calls them |
//! | `kept/<id>/` | scratch folders that a user wants to keep |

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::core::run_id::RunId;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// The file of reserved space, inside the home folder.
const RESERVE: &str = "reserve";
/// Size of the reserved space: enough for the database to remove rows, in bytes.
const RESERVE_BYTES: u64 = 1 << 20;

/// The record of a run's processes, inside its scratch folder.
const PROCESSES: &str = "processes";
/// The requests to end a run, one byte each, inside its scratch folder.
const CANCEL: &str = "cancel";

/// The folder under which everything is kept.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// A live run's hold on its scratch folder; released by the system when the process ends in any way.
pub struct RunLock {
    /// The scratch folder.
    pub scratch: PathBuf,
    /// Whether the home was copied after the run began: the run and its processes are those of the original.
    pub is_copy: bool,
    _lock: File,
}

/// Why a home folder cannot be used.
#[derive(Debug)]
pub enum HomeError {
    /// Neither a flag nor the environment names one.
    Unnamed,
    /// It belongs to another user.
    Foreign {
        path: PathBuf,
        owner: u32,
    },
    Unusable {
        path: PathBuf,
        error: io::Error,
    },
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str(
                "neither --home, $RUNNER_HOME, $XDG_DATA_HOME nor $HOME says where to keep results",
            ),
            Self::Foreign { path, owner } => write!(
                f,
                "the home folder {} belongs to another user (id {owner}): choose another with --home",
                path.display()
            ),
            Self::Unusable { path, error } if is_full(error) => f.write_str(&no_space(path)),
            Self::Unusable { path, error } => {
                write!(f, "cannot use the home folder {}{}: {error}", path.display(), named_by(path))
            }
        }
    }
}

/// Says so where the environment named the folder.
fn named_by(path: &Path) -> &'static str {
    let named = std::env::var_os("RUNNER_HOME").filter(|named| !named.is_empty());
    match named.and_then(|named| std::path::absolute(named).ok()) {
        Some(named) if named == path => " (named by RUNNER_HOME)",
        _ => "",
    }
}

impl std::error::Error for HomeError {}

/// For callers that only show the message.
impl From<HomeError> for String {
    fn from(error: HomeError) -> Self {
        error.to_string()
    }
}

impl Home {
    /// The folder that the flag, `$RUNNER_HOME` or the XDG rules name; nothing is created.
    ///
    /// # Errors
    /// Nothing names a folder, or a relative path has no current folder to start from.
    pub fn locate(flag: Option<&Path>) -> Result<Self, HomeError> {
        if let Some(path) = flag {
            return Self::absolute(path);
        }
        match std::env::var_os("RUNNER_HOME") {
            Some(path) if !path.is_empty() => return Self::absolute(Path::new(&path)),
            _ => {}
        }
        use etcetera::BaseStrategy;
        let strategy = etcetera::base_strategy::Xdg::new().map_err(|_| HomeError::Unnamed)?;
        Self::absolute(&strategy.data_dir().join("runner"))
    }

    fn absolute(path: &Path) -> Result<Self, HomeError> {
        std::path::absolute(path)
            .map(Self)
            .map_err(|error| HomeError::Unusable { path: path.to_owned(), error })
    }

    /// The home at an absolute path; nothing is created.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether what is there can be looked at; a home that is not there yet can.
    ///
    /// # Errors
    /// Something else than a folder is in its place, or it may not be entered; or a folder in it is a link, or not one of
    /// this user alone.
    pub fn check(&self) -> Result<(), HomeError> {
        match fs::read_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(HomeError::Unusable { path: self.0.clone(), error })
            }
            _ => own_folder::check_all(&self.0)
                .map_err(|error| HomeError::Unusable { path: self.0.clone(), error }),
        }
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// It cannot be made or entered, or belongs to another user.
    pub fn create(&self) -> Result<(), HomeError> {
        self.check()?;
        let failed = |error: io::Error| HomeError::Unusable { path: self.0.clone(), error };
        make_private(&self.0).map_err(failed)?;
        let metadata = fs::metadata(&self.0).map_err(failed)?;
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            return Err(HomeError::Foreign { path: self.0.clone(), owner: metadata.uid() });
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            // Others may have put something there until now.
            self.check()?;
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn scratch(&self, run: RunId) -> PathBuf {
        self.0.join("scratch").join(run.as_str())
    }

    pub fn logs(&self, run: RunId) -> PathBuf {
        self.0.join("logs").join(run.as_str())
    }

    /// The file of a run's events.
    pub fn events(&self, run: RunId) -> PathBuf {
        self.logs(run).join("events.jsonl")
    }

    /// The files of events from before a run was taken up again, the oldest first.
    pub fn earlier_events(&self, run: RunId) -> Vec<PathBuf> {
        let path = |number: u32| self.logs(run).join(format!("events.{number}.jsonl"));
        (1..).map(path).take_while(|path| fs::symlink_metadata(path).is_ok()).collect()
    }

    /// Puts the events of a run aside that is taken up again.
    ///
    /// # Errors
    /// What the system says.
    pub fn put_events_aside(&self, run: RunId) -> io::Result<()> {
        let number = self.earlier_events(run).len() + 1;
        match fs::rename(self.events(run), self.logs(run).join(format!("events.{number}.jsonl"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    /// The process that a run goes on in, where the system says so.
    pub fn process_of(&self, run: RunId) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        let inode = fs::metadata(self.scratch(run).join("lock")).ok()?.ino().to_string();
        let locks = fs::read_to_string("/proc/locks").ok()?;
        // `1: FLOCK  ADVISORY  WRITE 4711 08:01:123 0 EOF`
        locks.lines().find_map(|line| {
            let mut parts = line.split_whitespace().skip(4);
            let (process, file) = (parts.next()?, parts.next()?);
            (file.rsplit(':').next()? == inode).then(|| process.parse().ok())?
        })
    }

    /// The file with what a run was asked for: a copy of its record in the database.
    pub fn request(&self, run: RunId) -> PathBuf {
        self.logs(run).join("request.json")
    }

    /// Makes the file of a new run's events.
    ///
    /// # Errors
    /// The file exists already or cannot be created.
    pub fn create_events(&self, run: RunId) -> io::Result<File> {
        own_file::open(&self.events(run), Access::New)
    }

    /// Makes the record of the processes of a new run.
    ///
    /// # Errors
    /// What the system says.
    pub fn create_processes(&self, run: RunId) -> io::Result<File> {
        own_file::open(&self.scratch(run).join(PROCESSES), Access::New)
    }

    /// The record of the processes of a run that was killed.
    ///
    /// # Errors
    /// It has none, or the system refuses it.
    pub fn processes(&self, run: RunId) -> io::Result<File> {
        own_file::open(&self.scratch(run).join(PROCESSES), Access::Read)
    }

    pub fn outputs(&self, run: RunId) -> PathBuf {
        self.0.join("outputs").join(run.as_str())
    }

    /// Where a scratch folder is put that is to be kept.
    pub fn kept(&self, id: RunId) -> PathBuf {
        self.0.join("kept").join(id.as_str())
    }

    /// Makes the folders of a new run and takes hold of it.
    ///
    /// # Errors
    /// A folder or its lock cannot be created.
    pub fn begin_run(&self, run: RunId) -> io::Result<RunLock> {
        // The lock comes first: a collection takes folders of runs that are not alive for garbage.
        let lock = self.hold(run)?;
        own_folder::make(&self.logs(run))?;
        self.keep_reserve();
        Ok(lock)
    }

    /// Sets space aside for a collection on a full disk. A disk without room for it is full already.
    pub fn keep_reserve(&self) {
        let path = self.0.join(RESERVE);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() >= RESERVE_BYTES) {
            return;
        }
        let write = || {
            let mut file = own_file::open(&path, Access::Replace)?;
            let zeros = [0; 64 << 10];
            (0..RESERVE_BYTES / zeros.len() as u64).try_for_each(|_| file.write_all(&zeros))
        };
        if write().is_err() {
            self.give_up_reserve();
        }
    }

    /// Gives the space back that was set aside: for a collection, before it opens the database.
    pub fn give_up_reserve(&self) {
        let _ = fs::remove_file(self.0.join(RESERVE));
    }

    /// Makes a scratch folder and takes hold of it: it is swept up when its process is gone.
    ///
    /// # Errors
    /// The folder or its lock cannot be created.
    pub fn hold(&self, id: RunId) -> io::Result<RunLock> {
        let scratch = self.scratch(id);
        let path = scratch.join("lock");
        loop {
            // Until the folder is locked, no process takes it for a dead run's.
            let no_sweep = own_folder::make(&self.0.join("scratch"))?;
            own_folder::share(&no_sweep);
            match own_folder::make(&scratch) {
                // Another process takes it for a dead run's just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                made => drop(made?),
            }
            // Until the lock is held, another runner may take the folder for a dead run's and sweep it.
            let lock = match own_file::open(&path, Access::Keep) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock?,
            };
            lock.lock()?;
            if fs::metadata(&path)
                .is_ok_and(|found| found.ino() == lock.metadata().map_or(0, |own| own.ino()))
            {
                note_identity(&lock);
                return Ok(RunLock { scratch, is_copy: false, _lock: lock });
            }
        }
    }

    /// Runs that have a scratch folder and no process, whether or not the history knows of them.
    pub fn dead_scratch(&self) -> Vec<RunId> {
        self.scratch_folders().filter(|run| !self.is_alive(*run)).collect()
    }

    /// Runs whose processes live, whether or not the history knows of them.
    pub fn live_runs(&self) -> Vec<RunId> {
        self.scratch_folders().filter(|run| self.is_alive(*run)).collect()
    }

    fn scratch_folders(&self) -> impl Iterator<Item = RunId> {
        let entries = fs::read_dir(self.0.join("scratch")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// Whether a run is under way, in this process or another.
    pub fn is_alive(&self, run: RunId) -> bool {
        match own_file::open(&self.scratch(run).join("lock"), Access::Read) {
            // Shared: two that ask at once do not take each other for the run.
            Ok(file) => !matches!(file.try_lock_shared(), Ok(())),
            // What cannot be asked may live: only a lock that is not there has no holder.
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Asks a live run, of whichever process, to end.
    ///
    /// # Errors
    /// The run has ended (not found), or the system refuses the file.
    pub fn ask_to_end(&self, run: RunId) -> io::Result<()> {
        let folder = own_folder::open(&self.scratch(run))?;
        own_file::open_at(&folder, Path::new(CANCEL), Access::Append)?.write_all(b".")
    }

    /// How many times a run was asked to end.
    pub fn requests_to_end(&self, run: RunId) -> u64 {
        let found = fs::symlink_metadata(self.scratch(run).join(CANCEL));
        found.map_or(0, |found| if found.is_file() { found.len() } else { 0 })
    }

    /// Removes a run's scratch folder; for the run itself.
    pub fn sweep_scratch(&self, run: RunId) {
        // Whatever resists is garbage that costs space and nothing else.
        let _ = own_folder::remove(&self.scratch(run));
    }

    /// Removes all folders of a run that is as if it had never begun.
    pub fn sweep_run(&self, run: RunId) {
        for folder in [self.scratch(run), self.logs(run), self.outputs(run)] {
            let _ = own_folder::remove(&folder);
        }
    }

    /// Removes a kept folder that is of no use.
    pub fn sweep_kept(&self, id: RunId) {
        let _ = own_folder::remove(&self.kept(id));
    }

    /// Takes over what a dead run left; `None` if the run lives, begins right now, or left nothing. Until the result is
    /// dropped no run can begin in that folder: whatever is swept meanwhile is the dead run's.
    pub fn claim_dead(&self, run: RunId) -> Option<RunLock> {
        let scratch = self.scratch(run);
        match own_folder::open(&scratch) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            // No run has a link or a file there. It goes, never what it leads to.
            Err(_) => {
                if fs::symlink_metadata(&scratch).is_ok_and(|found| !found.is_dir()) {
                    let _ = own_folder::remove(&scratch);
                }
                return None;
            }
        }
        // Another process begins a run just now.
        let folder = own_folder::open(&self.0.join("scratch")).ok()?;
        if !own_folder::exclude(&folder) {
            return None;
        }
        let lock = own_file::open(&scratch.join("lock"), Access::Keep).ok()?;
        lock.try_lock().ok()?;
        let mut written = String::new();
        // A run that was killed before it wrote its identity had started nothing.
        (&lock).take(MAX_IDENTITY_BYTES).read_to_string(&mut written).ok()?;
        let is_copy = !written.is_empty() && identity(&lock).ok()? != written;
        Some(RunLock { scratch, is_copy, _lock: lock })
    }
}

/// Maximum length of the identity in a lock.
const MAX_IDENTITY_BYTES: u64 = 100;

/// Writes the identity into a lock that is held. Without it, as on a full disk, a copy of the home is not told apart.
fn note_identity(mut lock: &File) {
    let written = lock
        .set_len(0)
        .and_then(|()| identity(lock))
        .and_then(|identity| lock.write_all(identity.as_bytes()));
    if written.is_err() {
        let _ = lock.set_len(0);
    }
}

/// What a copy of a lock does not have: its device and inode.
fn identity(lock: &File) -> io::Result<String> {
    let found = lock.metadata()?;
    Ok(format!("{} {}\n", found.dev(), found.ino()))
}

/// Whether an error means that the disk is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The message for a full disk.
#[must_use]
pub fn no_space(folder: &Path) -> String {
    format!("no space left on {}", folder.display())
}

/// Makes a folder and those above it; the folder itself, if new, for its owner alone.
///
/// # Errors
/// The folder cannot be created.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
