//! A job on its node: it takes the claim of its folder, runs its attempts as processes of the node, and leaves their
//! records. It needs neither a network nor a database.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::JobFaultKind;
use super::ends::{fault, outcome};
use super::folder::{ClaimHolder, JobFolder, JobSpec};
use super::record::{JobRecord, RecordedFile};
use crate::core::digest::Digest;
use crate::exec::{Attempt, Cancel, End, Executor, Level, Local, Masker, Outcome};

/// Time between two looks at what the runner asks for.
const LOOK: Duration = Duration::from_millis(500);
/// How long after a command a signal may come that was sent to both.
const TOGETHER: Duration = Duration::from_millis(100);
/// How many looks there are between two signs of life.
const LOOKS_PER_SIGN: u32 = 10;
/// Variables of a job's own environment that its task sees.
const OF_THE_NODE: [&str; 3] = ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TMPDIR"];

/// Runs the job of a folder: its attempts, one after the other or several at once. One that failed is no error: its record
/// says so.
///
/// # Errors
/// The job was refused or its folder cannot be used, and nothing of its commands ran; or a record cannot be written.
pub async fn run_job(path: &Path, cancel: Cancel) -> Result<(), String> {
    let folder = JobFolder::new(path.to_owned());
    let fail = |error: io::Error| format!("{} cannot be used: {error}", path.display());
    if !folder.exists() {
        return Err(format!("{} is gone: nobody waits for this job any more", path.display()));
    }
    let (host, job) = (host(), std::env::var("SLURM_JOB_ID").ok());
    if !folder.claim(&ClaimHolder { host: Some(host.clone()), job: job.clone() }).map_err(fail)? {
        let why = format!("job {} on {host} came late: its attempts were taken", job.unwrap_or_default());
        folder.refuse(&why);
        return Err(why);
    }
    let alive = folder.begin_life().map_err(fail)?;
    let mut journal = folder.open_journal().map_err(fail)?;
    let mut specs = folder.take_specs().map_err(fail)?;
    let parallel = specs.values().flatten().map(|spec| spec.parallel).max().unwrap_or(1).max(1);
    let watch = tokio::spawn(watch(folder.clone(), alive, cancel.clone()));
    let mut running = JoinSet::new();
    loop {
        while running.len() < parallel
            && cancel.level() == Level::None
            && !folder.is_stopped()
            && let Some((attempt, spec)) = specs.pop_first()
        {
            journal.begins(attempt).map_err(fail)?;
            running.spawn(run_one(folder.clone(), attempt, spec, host.clone(), cancel.clone()));
        }
        match running.join_next().await {
            Some(Ok((attempt, record))) => journal.ended(attempt, record).map_err(fail)?,
            Some(Err(problem)) => return Err(format!("an attempt ended early: {problem}")),
            None => break,
        }
    }
    watch.abort();
    // What a batch system ended is not ours to explain.
    if folder.is_stopped() || folder.asked_to_end() > Level::None {
        for attempt in specs.into_keys() {
            let end = fault(JobFaultKind::NotBegun, "");
            journal.ended(attempt, JobRecord::of(outcome(end), host.clone(), Vec::new())).map_err(fail)?;
        }
    }
    Ok(())
}

/// Runs one attempt to its record.
async fn run_one(
    folder: JobFolder,
    attempt: usize,
    spec: io::Result<JobSpec>,
    host: String,
    cancel: Cancel,
) -> (usize, JobRecord) {
    let (outcome, results) = match spec {
        Ok(spec) => run(&folder, attempt, spec, cancel).await,
        Err(error) => (outcome(End::NotStarted(format!("what to run cannot be read: {error}"))), Vec::new()),
    };
    let (outcome, results) = match results.into_iter().collect::<Result<Vec<_>, String>>() {
        Ok(results) => (outcome, results),
        Err(problem) => (Outcome { end: End::Unsound(problem), ..outcome }, Vec::new()),
    };
    (attempt, JobRecord::of(outcome, host, results))
}

async fn run(
    folder: &JobFolder,
    attempt: usize,
    spec: JobSpec,
    cancel: Cancel,
) -> (Outcome, Vec<Result<RecordedFile, String>>) {
    let mut env = spec.env;
    env.extend(std::env::vars_os().filter(|(name, _)| is_of_the_node(name)));
    let attempt = Attempt {
        label: spec.label,
        program: spec.program,
        dir: spec.dir,
        env,
        log: folder.log(attempt),
        stdout: spec.stdout,
        timeout: spec.timeout_ms.map(Duration::from_millis),
        grace: Duration::from_millis(spec.grace_ms),
        masker: Masker::new(spec.secrets.iter().map(|secret| secret.as_bytes())),
        masks_stdout: spec.masks_stdout,
        out: spec.out,
        views: None,
        fork: None,
    };
    let mut outcome = Local::new().run(attempt, cancel.clone()).await;
    if !matches!(outcome.end, End::Exited(0) | End::TimedOut) {
        // A batch system sends its signal to command and job alike: the command may end first.
        tokio::time::sleep(TOGETHER).await;
        if cancel.level() > Level::None {
            outcome.end = End::Cancelled;
        }
    }
    let results = match outcome.end {
        End::Exited(0) => {
            spec.results.iter().flat_map(|path| files(path)).map(|path| recorded(&path)).collect()
        }
        _ => Vec::new(),
    };
    (outcome, results)
}

/// Gives signs of life, and hears what the runner asks for.
async fn watch(folder: JobFolder, alive: File, cancel: Cancel) {
    for look in 0_u32.. {
        if look.is_multiple_of(LOOKS_PER_SIGN) {
            let _ = alive.set_modified(SystemTime::now());
        }
        let level = folder.asked_to_end();
        if level > Level::None {
            cancel.raise(level);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_of_the_node(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"SLURM_") || OF_THE_NODE.iter().any(|known| name == *known)
}

/// The name of this node.
fn host() -> String {
    std::env::var_os("SLURMD_NODENAME")
        .unwrap_or_else(|| OsString::from(rustix::system::uname().nodename().to_string_lossy().into_owned()))
        .to_string_lossy()
        .into_owned()
}

/// The regular files at or below a path.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(path).into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn recorded(path: &Path) -> Result<RecordedFile, String> {
    let read = || -> io::Result<RecordedFile> {
        // Written through to the file system before the record says that it is there.
        File::open(path)?.sync_all()?;
        let (size, digest) = digest_of(path)?;
        Ok(RecordedFile { path: path.to_owned(), size, digest })
    };
    read().map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The size and the digest of a file.
fn digest_of(path: &Path) -> io::Result<(u64, String)> {
    let (digest, size) = Digest::of_reader(File::open(path)?)?;
    Ok((size, digest.hex()))
}

/// Whether the files of a record are here as the node left them.
///
/// # Errors
/// A sentence about the first that is not.
pub fn check(results: &[RecordedFile]) -> Result<(), String> {
    for file in results {
        let shown = file.path.display();
        match fs::metadata(&file.path) {
            Err(error) => return Err(format!("{shown}, which the job recorded, is not there: {error}")),
            Ok(found) if found.len() != file.size => {
                return Err(format!("{shown} has {} bytes, and the job recorded {}", found.len(), file.size));
            }
            Ok(_) => {}
        }
        match digest_of(&file.path) {
            Ok((_, digest)) if digest == file.digest => {}
            Ok(_) => return Err(format!("{shown} has another content than the job recorded")),
            Err(error) => return Err(format!("{shown} cannot be read: {error}")),
        }
    }
    Ok(())
}
