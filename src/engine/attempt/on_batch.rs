//! One attempt of a node as a job of a batch system: made ready in a folder that the nodes see, or taken over from a run that
//! is gone; submitted again when it is lost; its outputs taken in from there.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::event::{ExecutorCalls, TaskError, TaskErrorKind};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::staging::Staging;
use crate::engine::attempt::apart::apart;
use crate::engine::attempt::error::AttemptError;
use crate::engine::attempt::failing_line::set_trap;
use crate::engine::attempt::perform::{
    AttemptEnded, AttemptFuture, AttemptJob, AttemptRunner, AttemptShared, Finishing, Success, TAIL, Trace,
    append_stdout, log_path, perform,
};
use crate::engine::attempt::placement::{AttemptNews, BatchPlace, JobHold, PlacedNews, Placement};
use crate::engine::attempt::prepare::{AttemptContext, LargeInputs, PreparedAttempt, prepare};
use crate::engine::attempt::scratch::Folder;
use crate::exec::batch::{
    JobAttempt, JobFault, JobFaultKind, JobFolder, JobIntent, JobOutcome, JobRequest, JobSpec,
};
use crate::exec::{End, Executor, tail};
use crate::storage::jobs::JobRow;
use crate::workflow::Capture;

/// A job that is ready to be submitted, or was.
struct ReadyJob {
    hold: JobHold,
    folder: JobFolder,
    scratch: Folder,
    prepared: PreparedAttempt,
    path: String,
    submitted: Option<AdoptedJob>,
}

/// A job that a run submitted which is gone.
struct AdoptedJob {
    /// The batch system's id, if that is known.
    id: Option<String>,
    run: RunId,
}

impl<E: Executor + Send + Sync + 'static> AttemptRunner for AttemptShared<E> {
    fn run(self: Arc<Self>, mut job: AttemptJob) -> AttemptFuture {
        match job.placement.take() {
            None => Box::pin(perform(self, job)),
            Some(placement) => Box::pin(perform_on_batch(self, job, placement)),
        }
    }

    fn calls(&self) -> Option<ExecutorCalls> {
        let calls = self.batch.values().map(|place| place.batch.calls());
        calls.reduce(|mut all, calls| {
            all += calls;
            all
        })
    }
}

/// Runs one attempt as a job to its end.
async fn perform_on_batch<E: Send + Sync + 'static>(
    shared: Arc<AttemptShared<E>>,
    job: AttemptJob,
    placement: Placement,
) -> AttemptEnded {
    let (unit, attempt) = (job.unit, job.subject.attempt);
    let log = log_path(&shared.logs, &job.subject.name, job.subject.index, attempt);
    let (mut trace, mut left) = (Trace::default(), false);
    let result = match shared.batch.get(&placement.executor).cloned() {
        Some(place) => {
            run_placed(&shared, &place, Arc::new(job), &placement, &log, &mut trace, &mut left).await
        }
        None => Err(AttemptError::spawn(format!("there is no executor `{}`", placement.executor))),
    };
    let result = result.map_err(|AttemptError { kind, message }| TaskError {
        kind,
        message: shared.masker.mask(&message),
        exit_code: trace.exit_code.filter(|_| kind == TaskErrorKind::Exit),
        log: Some(log.display().to_string()),
        tail: if trace.tail.is_empty() { tail(&log, TAIL) } else { trace.tail },
    });
    AttemptEnded { unit, attempt, duration: trace.duration, usage: trace.usage, result, left }
}

async fn run_placed<E: Send + Sync + 'static>(
    shared: &Arc<AttemptShared<E>>,
    place: &Arc<BatchPlace>,
    job: Arc<AttemptJob>,
    placement: &Placement,
    log: &Path,
    trace: &mut Trace,
    left: &mut bool,
) -> Result<Success, AttemptError> {
    let (mut lost, mut exclude) = (0, Vec::new());
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    made.map_err(|error| AttemptError::spawn(format!("{} cannot be written: {error}", log.display())))?;
    loop {
        let ready = make_ready(shared, place, &job, placement).await?;
        let ReadyJob { hold, folder, scratch, prepared, path, submitted } = ready;
        let (submitted, adopted) = submitted.map(|AdoptedJob { id, run }| (id, run)).unzip();
        let tell = {
            let (news, executor) = (placement.news.clone(), placement.executor.clone());
            let (unit, attempt) = (job.unit, job.subject.attempt);
            move |what| drop(news.send(AttemptNews { unit, attempt, executor: executor.clone(), what }))
        };
        if let Some(run) = adopted {
            if lost == 0 {
                // What the job has printed so far is copied once more, from its beginning.
                let _ = OpenOptions::new().write(true).truncate(true).open(log);
            }
            tell(PlacedNews::Adopted { name: hold.name.clone(), run });
        }
        let news = {
            let tell = tell.clone();
            Box::new(move |news| tell(PlacedNews::Job(news)))
        };
        let attempt = JobAttempt {
            request: request(place, &job, placement, &hold.name, &folder, &exclude),
            intent: JobIntent {
                name: hold.name.clone(),
                work: placement.work.hex(),
                label: job.subject.path().to_string(),
                folder: folder.path().to_owned(),
            },
            folder,
            log: log.to_owned(),
            submitted,
            news,
        };
        let JobOutcome { outcome, host } =
            place.batch.run(attempt, shared.cancel.clone(), shared.let_go.clone()).await;
        (trace.duration, trace.usage) = (outcome.duration, outcome.usage);
        if let End::Job(JobFault { kind: JobFaultKind::Left, message }) = outcome.end {
            *left = true;
            hold.keep();
            return Err(AttemptError { kind: TaskErrorKind::Cancelled, message });
        }
        if let End::Job(JobFault { kind: JobFaultKind::Lost, message }) = &outcome.end {
            let again = lost < place.lost_retries;
            let (job, reason) = (hold.name.clone(), message.clone());
            tell(PlacedNews::Lost { job, host: host.clone(), reason, again });
            if again {
                lost += 1;
                exclude.extend(host);
                continue;
            }
        }
        if let End::Exited(code) = outcome.end {
            trace.exit_code = Some(code);
        }
        trace.tail = tail(log, TAIL);
        if captures(&job) {
            append_stdout(log, &scratch.stdout(), &shared.masker);
        }
        let finishing = Finishing {
            shared: Arc::clone(shared),
            job: Arc::clone(&job),
            folder: scratch,
            prepared,
            path,
            tail: trace.tail.clone(),
        };
        let success = apart(move || finishing.finish(&outcome)).await?;
        return Ok(Success { hold: Some(Box::new(hold)), ..success });
    }
}

fn captures(job: &AttemptJob) -> bool {
    job.subject.task.outputs.iter().any(|output| output.capture == Capture::Stdout)
}

/// A job of a run that is gone, or a new one.
async fn make_ready<E: Send + Sync + 'static>(
    shared: &Arc<AttemptShared<E>>,
    place: &Arc<BatchPlace>,
    job: &Arc<AttemptJob>,
    placement: &Placement,
) -> Result<ReadyJob, AttemptError> {
    let work = placement.work.hex();
    let taken = |problem| AttemptError::spawn(format!("the jobs of earlier runs cannot be read: {problem}"));
    while let Some(JobRow { name, folder, id, run, .. }) = place.ledger.take_over(&work).map_err(taken)? {
        let folder = JobFolder::new(folder.into());
        let hold = JobHold { place: Arc::clone(place), name, folder: folder.path().to_owned() };
        // A folder that is gone was settled; only its row was left.
        if folder.exists() {
            let scratch = Folder::at(folder.attempt());
            let prepared = PreparedAttempt::elsewhere(scratch.work());
            let path = std::env::var("PATH").unwrap_or_default();
            return Ok(ReadyJob {
                hold,
                folder,
                scratch,
                prepared,
                path,
                submitted: Some(AdoptedJob { id, run }),
            });
        }
    }
    let (shared, place, job) = (Arc::clone(shared), Arc::clone(place), Arc::clone(job));
    apart(move || make_new(&shared, &place, &job)).await
}

fn make_new<E>(
    shared: &AttemptShared<E>,
    place: &Arc<BatchPlace>,
    job: &AttemptJob,
) -> Result<ReadyJob, AttemptError> {
    let fail = |what: &'static str| {
        let shown = place.work_dir.display().to_string();
        move |error: io::Error| AttemptError::spawn(format!("{what} in {shown}: {error}"))
    };
    let number = place.numbers.fetch_add(1, Ordering::Relaxed) + 1;
    let name = format!("{}{}-{}{number}", place.prefix, shared.run, place.round);
    let folder = JobFolder::create(place.work_dir.join("jobs").join(&name))
        .map_err(fail("the folder of the job cannot be made"))?;
    let hold = JobHold { place: Arc::clone(place), name, folder: folder.path().to_owned() };
    let scratch = Folder::at(folder.attempt());
    scratch.make().map_err(fail("the scratch folder cannot be made"))?;
    let AttemptShared { store, run, scope, scheduled_at, caller, .. } = shared;
    // A link to the home would lead nowhere on a node.
    let (staging, large) = (Some(Staging::Copy), LargeInputs::Copy);
    let around =
        AttemptContext { store, run: *run, scope, scheduled_at: *scheduled_at, caller, staging, large };
    let mut prepared = prepare(&around, &job.subject, &scratch)?;
    set_trap(&job.subject.task, &scratch, &mut prepared)
        .map_err(fail("the scratch folder cannot be written to"))?;
    let path = prepared.env.get(std::ffi::OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
    let spec = JobSpec {
        label: NodeRef::new(&job.subject.name, job.subject.index).file_name(),
        program: std::mem::take(&mut prepared.program),
        dir: prepared.dir.clone(),
        env: std::mem::take(&mut prepared.env).into_iter().collect(),
        stdout: captures(job).then(|| scratch.stdout()),
        timeout_ms: job.timeout.map(millis),
        grace_ms: millis(job.grace),
        secrets: place.secrets.clone(),
        masks_stdout: !prepared.secrets.is_empty(),
        out: scratch.out(),
        results: results(job, &scratch),
    };
    let script = script(place, &folder).map_err(AttemptError::spawn)?;
    folder.write(&spec, &script).map_err(fail("the job cannot be written"))?;
    Ok(ReadyJob { hold, folder, scratch, prepared, path: path.unwrap_or_default(), submitted: None })
}

/// What may become an output.
fn results(job: &AttemptJob, scratch: &Folder) -> Vec<PathBuf> {
    let task = &job.subject.task;
    let work = if task.in_workflow_dir { job.subject.workflow_dir.clone() } else { scratch.work() };
    let named = task.outputs.iter().filter_map(|output| match &output.capture {
        Capture::Path(path) => Some(work.join(path)),
        Capture::Stdout => Some(scratch.stdout()),
        Capture::Returned => Some(scratch.returned()),
        Capture::Out => None,
    });
    named.chain([scratch.out()]).collect()
}

fn request(
    place: &BatchPlace,
    job: &AttemptJob,
    placement: &Placement,
    name: &str,
    folder: &JobFolder,
    exclude: &[String],
) -> JobRequest {
    /// What a job needs beside its task.
    const MORE: Duration = Duration::from_secs(60);
    let amount = |name: &str| placement.resources.get(name).copied();
    JobRequest {
        name: name.to_owned(),
        script: folder.script(),
        log: folder.system_log(),
        cpus: amount("cpus").unwrap_or(1),
        memory: amount("memory"),
        gpus: amount("gpus"),
        limit: job.timeout.map(|timeout| timeout + job.grace + MORE).or(place.time),
        args: placement.args.clone(),
        exclude: exclude.to_vec(),
    }
}

/// What the batch system starts.
fn script(place: &BatchPlace, folder: &JobFolder) -> Result<String, String> {
    let runner = match &place.runner {
        Some(path) => path.clone(),
        None => place.copied.get_or_init(|| copy_of_self(&place.work_dir)).clone()?,
    };
    let word = |path: &Path| crate::core::shell_word::shell_word(&path.display().to_string()).into_owned();
    let (runner, folder) = (word(&runner), word(folder.path()));
    Ok(format!("#!/bin/bash\n{}\nexec {runner} job {folder}\n", place.prelude))
}

/// A copy of this program that the nodes see, made once a version.
fn copy_of_self(work_dir: &Path) -> Result<PathBuf, String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let copy = || -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        let found = fs::metadata(&own)?;
        let mark = format!("{:x}{:x}{:x}", found.size(), found.mtime(), found.mtime_nsec());
        let folder = work_dir.join("bin");
        let path = folder.join(format!("runner-{}-{mark}", env!("CARGO_PKG_VERSION")));
        if fs::metadata(&path).is_ok_and(|copy| copy.size() == found.size()) {
            return Ok(path);
        }
        fs::create_dir_all(&folder)?;
        let new = folder.join(format!("new.{}", std::process::id()));
        fs::copy(&own, &new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
        fs::rename(&new, &path)?;
        Ok(path)
    };
    copy().map_err(|error| format!("this program cannot be copied to {}: {error}", work_dir.display()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
