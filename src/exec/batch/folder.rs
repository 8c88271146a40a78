//! The folder of one job: the one place where the runner and the job meet. Both see it at the same path, maybe by NFS.
//! The attempts of a job are numbered from 1.
//!
//! | name | written by | holds |
//! |---|---|---|
//! | `N.spec` | runner | what attempt N runs, with its environment; 0600, removed by the job when it begins |
//! | `script` | runner | what the batch system starts |
//! | `claim` | the one that takes it | who runs the attempts: the job, or the runner so that no job does |
//! | `alive` | job | nothing: its time changes while the job goes on |
//! | `journal` | job | the records: how the attempts ended |
//! | `refused` | job | a job that came late and ran nothing |
//! | `revoked` | runner | nothing: the job has lost its attempts, and ends |
//! | `stop` | runner | nothing: the job is to begin no more attempts |
//! | `cancel` | runner | how urgently the job is to end |
//! | `N.log` | job | what the command of attempt N prints |
//! | `system.log` | batch system | what it says itself |
//! | `N/` | both | the scratch folder of attempt N |
//!
//! Nothing is locked, and what must have one winner is made by a link, which NFS does once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::Level;
use super::record::{Journal, JournalLine, checked, read_checked, read_journal};

/// What an attempt runs.
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
    /// How many attempts of its job run at once.
    pub parallel: usize,
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

    /// Where the scratch folder of an attempt is.
    pub fn scratch(&self, attempt: usize) -> PathBuf {
        self.0.join(attempt.to_string())
    }

    pub fn script(&self) -> PathBuf {
        self.0.join("script")
    }

    /// What the command of an attempt prints.
    pub fn log(&self, attempt: usize) -> PathBuf {
        self.0.join(format!("{attempt}.log"))
    }

    /// What an attempt runs.
    pub fn spec(&self, attempt: usize) -> PathBuf {
        self.0.join(format!("{attempt}.spec"))
    }

    pub fn system_log(&self) -> PathBuf {
        self.0.join("system.log")
    }

    /// Writes what the batch system starts.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_script(&self, script: &str) -> io::Result<()> {
        self.put("script", script.as_bytes(), 0o700)
    }

    /// Writes what an attempt runs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_spec(&self, attempt: usize, spec: &JobSpec) -> io::Result<()> {
        self.put(&format!("{attempt}.spec"), &serde_json::to_vec(spec)?, 0o600)
    }

    /// Takes what to run, by the attempts' numbers; it is gone then.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn take_specs(&self) -> io::Result<BTreeMap<usize, io::Result<JobSpec>>> {
        let take = |path: &Path| -> io::Result<JobSpec> {
            let bytes = fs::read(path)?;
            fs::remove_file(path)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        let mut specs = BTreeMap::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(attempt) = name.strip_suffix(".spec").and_then(|number| number.parse().ok()) {
                specs.insert(attempt, take(&path));
            }
        }
        Ok(specs)
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

    /// The journal, to be written.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open_journal(&self) -> io::Result<Journal> {
        let path = self.0.join("journal");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Journal::new(file, self.0.clone()))
    }

    /// What stands in the journal from an offset on, and where the next line begins.
    pub fn journal(&self, from: u64) -> (Vec<JournalLine>, u64) {
        read_journal(&self.0.join("journal"), from).unwrap_or((Vec::new(), from))
    }

    /// Whether all attempts have records of which anything is left here.
    pub fn has_ended(&self) -> bool {
        let ended = self.journal(0).0.into_iter().filter(|line| line.record.is_some());
        let ended: BTreeSet<usize> = ended.map(|line| line.attempt).collect();
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut left = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<usize>().ok());
        left.all(|attempt| ended.contains(&attempt))
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

    /// Takes the attempts away from the job that has them.
    pub fn revoke(&self) {
        let _ = self.put("revoked", b"", 0o600);
    }

    /// Lets the job begin no more attempts.
    pub fn stop(&self) {
        let _ = self.put("stop", b"", 0o600);
    }

    /// Whether the job is to begin no more attempts.
    pub fn is_stopped(&self) -> bool {
        self.0.join("stop").exists()
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

#[cfg(test)]
mod tests {
    use super::super::super::{End, Outcome};
    use super::super::record::JobRecord;
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
        let mut journal = folder.open_journal().unwrap();
        journal.begins(1).unwrap();
        let begun = folder.journal(0).1;
        journal.ended(1, JobRecord::of(outcome.clone(), "n1".into(), Vec::new())).unwrap();
        let (lines, end) = folder.journal(begun);
        let line = &lines[0];
        assert_eq!((lines.len(), line.attempt, line.record.as_ref().unwrap().outcome()), (1, 1, outcome));
        let path = folder.path().join("journal");
        let whole = fs::read(&path).unwrap();
        assert_eq!(end, whole.len() as u64);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(folder.journal(begun), (Vec::new(), begun), "its last byte is missing");
        let mut changed = whole;
        changed[begun as usize + 20] ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(folder.journal(begun), (Vec::new(), end), "its sum is wrong");
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
            parallel: 1,
        };
        folder.write_spec(2, &spec).unwrap();
        let mode = fs::metadata(folder.spec(2)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let specs = folder.take_specs().unwrap();
        assert_eq!(specs[&2].as_ref().unwrap().env, spec.env);
        assert!(folder.take_specs().unwrap().is_empty());
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
