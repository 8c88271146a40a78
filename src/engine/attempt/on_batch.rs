//! One attempt of a node as a job of a batch system: made ready in a folder that the nodes see, or taken over from a run that
//! is gone; submitted again when it is lost; its outputs taken in from there.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::clock::millis;
use crate::core::event::{ExecutorCalls, TaskError, TaskErrorKind};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::engine::attempt::apart::apart;
use crate::engine::attempt::error::AttemptError;
use crate::engine::attempt::failing_line::set_trap;
use crate::engine::attempt::ledger::TakenOver;
use crate::engine::attempt::perform::{
    AttemptEnded, AttemptFuture, AttemptJob, AttemptRunner, AttemptShared, Finishing, Success, TAIL, Trace,
    append_stdout, log_path, perform,
};
use crate::engine::attempt::placement::{AttemptNews, BLOBS, BatchPlace, PlacedNews, Placement};
use crate::engine::attempt::prepare::{AttemptContext, LargeInputs, PreparedAttempt, prepare};
use crate::engine::attempt::scratch::Folder;
use crate::exec::batch::{
    Chunking, JobAttempt, JobFault, JobFaultKind, JobFolder, JobNeeds, JobOutcome, JobSpec, JobWish, Seat,
    SeatWish,
};
use crate::exec::{End, Executor, tail};
use crate::workflow::Capture;

/// An attempt that is ready in its place, or was in a job of another run.
struct ReadyJob {
    seat: Seat,
    scratch: Folder,
    prepared: PreparedAttempt,
    path: String,
    submitted: Option<EarlierJob>,
}

/// A job that a run submitted which is gone.
struct EarlierJob {
    /// The batch system's id, if that is known.
    id: Option<String>,
    /// How many attempts it has.
    size: usize,
    run: RunId,
}

/// How often an attempt was done again, and what follows for the next time.
#[derive(Default)]
struct Again {
    lost: u32,
    exclude: Vec<String>,
    alone: bool,
}

/// How an attempt ended that has no result.
enum Ending {
    /// It never began, and never will.
    GivenBack,
    /// It goes on without this run.
    Left(String),
    Failed(AttemptError),
}

impl From<AttemptError> for Ending {
    fn from(error: AttemptError) -> Self {
        Self::Failed(error)
    }
}

impl<E: Executor + Send + Sync + 'static> AttemptRunner for AttemptShared<E> {
    fn run(self: Arc<Self>, mut job: AttemptJob) -> AttemptFuture {
        match job.placement.take() {
            None => Box::pin(perform(self, job)),
            Some(placement) => Box::pin(perform_on_batch(self, job, placement)),
        }
    }

    fn give_back(&self) {
        self.batch.values().for_each(|place| place.batch.give_back());
    }

    fn calls(&self) -> Option<ExecutorCalls> {
        let calls = self.batch.values().map(|place| place.batch.calls());
        calls.reduce(|mut all, calls| {
            all += calls;
            all
        })
    }

    fn resume(&self) {
        self.batch.values().for_each(|place| place.batch.resume());
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
    let mut trace = Trace::default();
    let result = match shared.batch.get(&placement.executor).cloned() {
        Some(place) => run_placed(&shared, &place, Arc::new(job), &placement, &log, &mut trace).await,
        None => Err(AttemptError::spawn(format!("there is no executor `{}`", placement.executor)).into()),
    };
    let given_back = matches!(result, Err(Ending::GivenBack));
    let left = matches!(result, Err(Ending::Left(_)));
    let is_final = matches!(&result, Err(Ending::Failed(error)) if error.is_final);
    let result = result.map_err(|ending| {
        let AttemptError { kind, message, .. } = match ending {
            Ending::Failed(error) => error,
            Ending::Left(message) => AttemptError::new(TaskErrorKind::Cancelled, message),
            Ending::GivenBack => AttemptError::new(TaskErrorKind::Cancelled, "the run stopped first"),
        };
        TaskError {
            kind,
            message: shared.masker.mask(&message),
            exit_code: trace.exit_code.filter(|_| kind == TaskErrorKind::Exit),
            log: Some(log.display().to_string()),
            tail: if trace.tail.is_empty() { tail(&log, TAIL) } else { trace.tail },
        }
    });
    AttemptEnded {
        unit,
        attempt,
        duration: trace.duration,
        usage: trace.usage,
        result,
        left,
        given_back,
        is_final,
    }
}

async fn run_placed<E: Send + Sync + 'static>(
    shared: &Arc<AttemptShared<E>>,
    place: &Arc<BatchPlace>,
    job: Arc<AttemptJob>,
    placement: &Placement,
    log: &Path,
    trace: &mut Trace,
) -> Result<Success, Ending> {
    let mut again = Again::default();
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    made.map_err(|error| AttemptError::spawn(format!("{} cannot be written: {error}", log.display())))?;
    let tell = {
        let (news, executor) = (placement.news.clone(), placement.executor.clone());
        let (unit, attempt) = (job.unit, job.subject.attempt);
        move |what| drop(news.send(AttemptNews { unit, attempt, executor: executor.clone(), what }))
    };
    loop {
        let wish = wish(place, &job, placement, &again);
        let ready = make_ready(shared, place, &job, placement, wish.clone()).await?;
        let ReadyJob { seat, scratch, prepared, path, submitted } = ready;
        if let Some(EarlierJob { run, .. }) = &submitted {
            if again.lost == 0 {
                // What the job has printed so far is copied once more, from its beginning.
                let _ = OpenOptions::new().write(true).truncate(true).open(log);
            }
            tell(PlacedNews::Adopted { name: seat.name.clone(), run: *run });
        }
        let submitted = submitted.map(|EarlierJob { id, size, .. }| (id, size));
        let news = {
            let tell = tell.clone();
            Box::new(move |news| tell(PlacedNews::Job(news)))
        };
        let attempt = JobAttempt { seat: &seat, submitted, wish, log: log.to_owned(), news };
        let JobOutcome { outcome, host } = place.batch.run(attempt, &shared.cancel, &shared.let_go).await;
        (trace.duration, trace.usage) = (outcome.duration, outcome.usage);
        if let End::Job(JobFault { kind, message }) = &outcome.end {
            let (job, reason) = (seat.name.clone(), message.clone());
            match kind {
                JobFaultKind::Left => {
                    seat.keep();
                    return Err(Ending::Left(reason));
                }
                JobFaultKind::GivenBack => return Err(Ending::GivenBack),
                JobFaultKind::NotBegun => continue,
                JobFaultKind::Crowded => {
                    tell(PlacedNews::Lost { job, host, reason, again: true });
                    again.alone = true;
                    continue;
                }
                JobFaultKind::Lost => {
                    let more = again.lost < place.lost_retries;
                    tell(PlacedNews::Lost { job, host: host.clone(), reason, again: more });
                    if more {
                        again.lost += 1;
                        again.exclude.extend(host);
                        continue;
                    }
                }
                _ => {}
            }
        }
        if let End::Exited(code) = outcome.end {
            trace.exit_code = Some(code);
        }
        let finishing = {
            let (shared, job, log) = (Arc::clone(shared), Arc::clone(&job), log.to_owned());
            move || {
                let tail = tail(&log, TAIL);
                if captures(&job) {
                    append_stdout(&log, &scratch.stdout(), &shared.masker);
                }
                let finishing =
                    Finishing { shared, job, folder: scratch, prepared, path, tail: tail.clone() };
                (finishing.finish(&outcome), tail)
            }
        };
        let _hand = place.hands.acquire().await;
        let (success, tail) = apart(finishing).await;
        trace.tail = tail;
        return Ok(Success { hold: Some(Box::new(seat)), ..success? });
    }
}

fn captures(job: &AttemptJob) -> bool {
    job.subject.task.outputs.iter().any(|output| output.capture == Capture::Stdout)
}

/// A place in a job of a run that is gone, or in a new one.
async fn make_ready<E: Send + Sync + 'static>(
    shared: &Arc<AttemptShared<E>>,
    place: &Arc<BatchPlace>,
    job: &Arc<AttemptJob>,
    placement: &Placement,
    wish: JobWish,
) -> Result<ReadyJob, Ending> {
    let work = placement.work.hex();
    let taken = |problem| AttemptError::spawn(format!("the jobs of earlier runs cannot be read: {problem}"));
    while let Some(TakenOver { job, attempt }) = place.ledger.take_over(&work).map_err(taken)? {
        let folder = JobFolder::new(job.folder.clone().into());
        let seat = place.batch.seat_of(job.name.clone(), folder, attempt).map_err(AttemptError::spawn)?;
        let scratch = Folder::at(seat.folder.scratch(attempt));
        // One that is gone was settled; only its row was left.
        if scratch.path().is_dir() {
            let prepared = PreparedAttempt::elsewhere(scratch.work());
            let path = std::env::var("PATH").unwrap_or_default();
            let submitted = Some(EarlierJob { id: job.id.clone(), size: job.works.len(), run: job.run });
            return Ok(ReadyJob { seat, scratch, prepared, path, submitted });
        }
    }
    let label = job.subject.path().to_string();
    let parallel = wish.chunk.parallel;
    let order = u64::from(job.unit);
    let wanted = SeatWish { wish, order, work, label, expected: placement.expected };
    let seat = match place.batch.seat(wanted, &shared.cancel).await {
        Ok(seat) => seat,
        Err(End::Job(JobFault { kind: JobFaultKind::GivenBack, .. })) => return Err(Ending::GivenBack),
        Err(End::Cancelled) => {
            return Err(AttemptError::new(TaskErrorKind::Cancelled, "the run was cancelled").into());
        }
        Err(End::NotStarted(problem)) => return Err(AttemptError::spawn(problem).into()),
        Err(other) => return Err(AttemptError::spawn(format!("there is no job for it: {other:?}")).into()),
    };
    let _hand = place.hands.acquire().await;
    let (shared, place, job) = (Arc::clone(shared), Arc::clone(place), Arc::clone(job));
    Ok(apart(move || make_new(&shared, &place, &job, seat, parallel)).await?)
}

fn make_new<E>(
    shared: &AttemptShared<E>,
    place: &Arc<BatchPlace>,
    job: &AttemptJob,
    seat: Seat,
    parallel: usize,
) -> Result<ReadyJob, AttemptError> {
    let fail = |what: &'static str| {
        let shown = place.work_dir.display().to_string();
        move |error: io::Error| AttemptError::spawn(format!("{what} in {shown}: {error}"))
    };
    let scratch = Folder::at(seat.folder.scratch(seat.attempt));
    scratch.make().map_err(fail("the scratch folder cannot be made"))?;
    let AttemptShared { store, run, scope, scheduled_at, caller, .. } = shared;
    // A link to the home would lead nowhere on a node.
    let (shared, large) = (place.work_dir.join(BLOBS), LargeInputs::Copy);
    let shared = Some(&*shared);
    let around = AttemptContext {
        store,
        run: *run,
        scope,
        scheduled_at: *scheduled_at,
        caller,
        staging: None,
        large,
        shared,
    };
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
        parallel,
    };
    seat.folder.write_spec(seat.attempt, &spec).map_err(fail("the job cannot be written"))?;
    Ok(ReadyJob { seat, scratch, prepared, path: path.unwrap_or_default(), submitted: None })
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
    named.chain(task.dynamic.then(|| scratch.made())).chain([scratch.out()]).collect()
}

/// What the attempt asks of its job.
fn wish(place: &BatchPlace, job: &AttemptJob, placement: &Placement, again: &Again) -> JobWish {
    let amount = |name: &str| placement.resources.get(name).copied();
    let chunk = Chunking {
        size: placement.chunk.unwrap_or(place.chunking.size),
        parallel: placement.parallel.map_or(place.chunking.parallel, |parallel| parallel as usize),
        ..place.chunking.clone()
    };
    JobWish {
        kind: job.subject.task.name.to_string(),
        needs: JobNeeds {
            cpus: amount("cpus").unwrap_or(1),
            memory: amount("memory"),
            gpus: amount("gpus"),
            limit: job.timeout.map(|timeout| timeout + job.grace).or(place.time),
            args: placement.args.clone(),
            exclude: again.exclude.clone(),
        },
        chunk: if placement.alone || again.alone { chunk.alone() } else { chunk },
    }
}
