//! The folder of one job: the one place where the runner and the job meet. Both see it at the same path, maybe by NFS.
//!
//! | name | written by | holds |
//! |---|---|---|
//! | `spec` | runner | what to run, with its environment; 0600, removed by the job when it begins |
//! | `script` | runner | what the batch system starts |
//! | `claim` | the one that takes it | who runs the attempt: the job, or the runner so that no job does |
//! | `alive` | job | nothing: its time changes while the job goes on |
//! | `journal` | job | the record: how the attempt ended |
//! | `refused` | job | a job that came late and ran nothing |
//! | `revoked` | runner | nothing: the job has lost its attempt, and ends |
//! | `cancel` | runner | how urgently the job is to end |
//! | `log` | job | what the command prints |
//! | `system.log` | batch system | what it says itself |
//! | `attempt/` | both | the attempt's scratch folder |
//!
//! Nothing is locked, and what must have one winner is made by a link, which NFS does once.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{End, Level, Outcome, ProcessUsage};

/// What a job runs.
#[derive(Serialize, Deserialize)]
pub struct JobSpec {
    pub label: String,
    pub program: Vec<String>,
    pub dir: PathBuf,
    pub env: Vec<(OsString, OsString)>,
    pub stdout: Option<PathBuf>,
    pub timeout_ms: Option<u64>,
    pub grace_ms: u64,
    /// Values that are masked in what the command prints.
    pub secrets: Vec<OsString>,
    pub masks_stdout: bool,
    pub out: PathBuf,
    /// What may become an output: files and folders, which the record lists with their digests.
    pub results: Vec<PathBuf>,
}

/// Who took the claim of a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimHolder {
    /// The node of the job; none for the runner, which takes it so that no job does.
    pub host: Option<String>,
    /// The batch system's id of the job, where it says so.
    pub job: Option<String>,
}

impl ClaimHolder {
    /// The runner, which runs nothing.
    pub const RUNNER: Self = Self { host: None, job: None };
}

/// The record of an attempt that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub end: RecordedEnd,
    pub host: String,
    /// By the node's own clock, as all durations.
    pub duration_us: u64,
    pub leftovers: usize,
    pub cpu_us: Option<u64>,
    pub peak_memory: Option<u64>,
    /// The files among the results, of an attempt that ended well.
    pub results: Vec<RecordedFile>,
}

/// How a recorded attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedEnd {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    /// By a signal to the job, whoever sent it.
    Cancelled,
    NotStarted(String),
    Unsound(String),
}

/// A file that an attempt left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedFile {
    pub path: PathBuf,
    pub size: u64,
    pub digest: String,
}

impl JobRecord {
    pub fn of(outcome: Outcome, host: String, results: Vec<RecordedFile>) -> Self {
        let end = match outcome.end {
            End::Exited(code) => RecordedEnd::Exited(code),
            End::Signalled(signal) => RecordedEnd::Signalled(signal),
            End::TimedOut => RecordedEnd::TimedOut,
            End::Cancelled => RecordedEnd::Cancelled,
            End::NotStarted(why) | End::NoViews(why) => RecordedEnd::NotStarted(why),
            End::Unsound(why) => RecordedEnd::Unsound(why),
            End::Job(fault) => RecordedEnd::Unsound(fault.message),
        };
        let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            end,
            host,
            duration_us: micros(outcome.duration),
            leftovers: outcome.leftovers,
            cpu_us: outcome.usage.map(|usage| micros(usage.cpu)),
            peak_memory: outcome.usage.and_then(|usage| usage.peak_memory),
            results,
        }
    }

    pub fn outcome(&self) -> Outcome {
        let end = match &self.end {
            RecordedEnd::Exited(code) => End::Exited(*code),
            RecordedEnd::Signalled(signal) => End::Signalled(*signal),
            RecordedEnd::TimedOut => End::TimedOut,
            RecordedEnd::Cancelled => End::Cancelled,
            RecordedEnd::NotStarted(why) => End::NotStarted(why.clone()),
            RecordedEnd::Unsound(why) => End::Unsound(why.clone()),
        };
        let micros = std::time::Duration::from_micros;
        let usage = self.cpu_us.map(|cpu| ProcessUsage { cpu: micros(cpu), peak_memory: self.peak_memory });
        Outcome { end, duration: micros(self.duration_us), leftovers: self.leftovers, usage }
    }
}

/// The folder of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFolder(PathBuf);

impl JobFolder {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the folder, which no job had before, and those above it.
    ///
    /// # Errors
    /// It exists already, or cannot be made.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether a folder of outputs belongs to an attempt that a job has taken.
    pub fn has_out(out: &Path) -> bool {
        out.parent().and_then(Path::parent).is_some_and(|folder| folder.join("claim").is_file())
    }

    /// Where the attempt's scratch folder is.
    pub fn attempt(&self) -> PathBuf {
        self.0.join("attempt")
    }

    pub fn script(&self) -> PathBuf {
        self.0.join("script")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub fn system_log(&self) -> PathBuf {
        self.0.join("system.log")
    }

    /// # Errors
    /// The files cannot be written.
    pub fn write(&self, spec: &JobSpec, script: &str) -> io::Result<()> {
        self.put("script", script.as_bytes(), 0o700)?;
        self.put("spec", &serde_json::to_vec(spec)?, 0o600)
    }

    /// Takes what to run; it is gone then.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn take_spec(&self) -> io::Result<JobSpec> {
        let path = self.0.join("spec");
        let bytes = fs::read(&path)?;
        fs::remove_file(&path)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Takes the claim, unless somebody has it.
    ///
    /// # Errors
    /// The folder is gone or cannot be written to.
    pub fn claim(&self, by: &ClaimHolder) -> io::Result<bool> {
        let host = by.host.as_deref().unwrap_or("runner");
        let own = self.0.join(format!("claim.{host}.{}", std::process::id()));
        fs::write(&own, checked(by)?)?;
        File::open(&own)?.sync_all()?;
        let linked = fs::hard_link(&own, self.0.join("claim"));
        let _ = fs::remove_file(&own);
        match linked {
            Ok(()) => Ok(true),
            // An answer of NFS may be lost: what counts is what the file says.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(self.claimant().as_ref() == Some(by))
            }
            Err(error) => Err(error),
        }
    }

    /// Who has the claim.
    pub fn claimant(&self) -> Option<ClaimHolder> {
        read_checked(&fs::read(self.0.join("claim")).ok()?).pop()
    }

    /// # Errors
    /// The journal cannot be written.
    pub fn append(&self, record: &JobRecord) -> io::Result<()> {
        let path = self.0.join("journal");
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.write_all(&checked(record)?)?;
        file.sync_all()?;
        File::open(&self.0)?.sync_all()
    }

    pub fn record(&self) -> Option<JobRecord> {
        read_checked(&fs::read(self.0.join("journal")).ok()?).pop()
    }

    /// Opens the folder anew: what another machine wrote may be hidden by what this one remembers.
    pub fn refresh(&self) {
        let _ = fs::read_dir(&self.0).map(Iterator::count);
    }

    /// Whether there is a folder.
    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Notes that a job came late.
    pub fn refuse(&self, why: &str) {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.0.join("refused"));
        let _ = file.and_then(|mut file| writeln!(file, "{why}"));
    }

    /// Makes the sign of life.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn begin_life(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.0.join("alive"))
    }

    /// When the job gave its last sign of life, by a clock that is to be compared with nothing but itself.
    pub fn last_sign(&self) -> Option<SystemTime> {
        fs::metadata(self.0.join("alive")).and_then(|file| file.modified()).ok()
    }

    /// Takes the attempt away from the job that has it.
    pub fn revoke(&self) {
        let _ = self.put("revoked", b"", 0o600);
    }

    pub fn ask_to_end(&self, level: Level) {
        let word = if level == Level::Kill { "kill" } else { "terminate" };
        let _ = self.put("cancel", word.as_bytes(), 0o600);
    }

    /// How urgently the job is to end.
    pub fn asked_to_end(&self) -> Level {
        if self.0.join("revoked").exists() || !self.exists() {
            return Level::Kill;
        }
        match fs::read(self.0.join("cancel")) {
            Ok(word) if word == b"kill" => Level::Kill,
            Ok(_) => Level::Terminate,
            Err(_) => Level::None,
        }
    }

    /// Writes a file whole: nobody sees a part of it.
    fn put(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        fs::rename(&new, self.0.join(name))
    }
}

/// A line with a checksum before it.
fn checked(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(value)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// The lines that are whole.
fn read_checked<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once(' '));
    whole
        .filter(|(sum, json)| u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes())))
        .filter_map(|(_, json)| serde_json::from_str(json).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(dir: &tempfile::TempDir) -> JobFolder {
        JobFolder::create(dir.path().join("jobs/r-1")).unwrap()
    }

    #[test]
    fn one_claim_wins_and_a_second_folder_of_a_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let job = ClaimHolder { host: Some("n1".into()), job: Some("7".into()) };
        let runner = ClaimHolder { host: None, job: None };
        assert_eq!(folder.claimant(), None);
        assert!(folder.claim(&job).unwrap());
        assert!(!folder.claim(&runner).unwrap());
        assert_eq!(folder.claimant(), Some(job));
        assert!(JobFolder::create(folder.path().to_owned()).is_err());
    }

    #[test]
    fn a_record_counts_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let outcome = Outcome {
            end: End::Exited(0),
            duration: std::time::Duration::from_millis(5),
            leftovers: 0,
            usage: None,
        };
        let record = JobRecord::of(outcome.clone(), "n1".into(), Vec::new());
        folder.append(&record).unwrap();
        assert_eq!(folder.record().unwrap().outcome(), outcome);
        let path = folder.path().join("journal");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(folder.record(), None, "its last byte is missing");
        let mut changed = whole;
        changed[20] ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(folder.record(), None, "its sum is wrong");
    }

    #[test]
    fn what_is_to_run_can_be_taken_once_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let spec = JobSpec {
            label: "a".into(),
            program: vec!["true".into()],
            dir: "/".into(),
            env: vec![("TOKEN".into(), "hunter2".into())],
            stdout: None,
            timeout_ms: None,
            grace_ms: 1,
            secrets: Vec::new(),
            masks_stdout: false,
            out: "/out".into(),
            results: Vec::new(),
        };
        folder.write(&spec, "#!/bin/sh\n").unwrap();
        let mode = fs::metadata(folder.path().join("spec")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.take_spec().unwrap().env, spec.env);
        assert!(folder.take_spec().is_err());
    }

    #[test]
    fn a_job_ends_when_it_is_asked_to_or_its_folder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        assert_eq!(folder.asked_to_end(), Level::None);
        folder.ask_to_end(Level::Terminate);
        assert_eq!(folder.asked_to_end(), Level::Terminate);
        folder.revoke();
        assert_eq!(folder.asked_to_end(), Level::Kill);
        fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(folder.asked_to_end(), Level::Kill);
    }
}
