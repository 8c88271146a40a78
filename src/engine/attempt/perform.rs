//! One attempt of a node: made ready in a fresh scratch folder, the command run, the outputs taken in.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::core::event::{ExecutorCalls, TaskError, TaskErrorKind};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::value::Value;
use crate::engine::attempt::apart::apart;
use crate::engine::attempt::collect::{self, MAX_LIGHT_BYTES, OutputPlaces};
use crate::engine::attempt::environment::HostEnv;
use crate::engine::attempt::error::{AttemptError, kind_of};
use crate::engine::attempt::failing_line::{failing_line, set_trap};
use crate::engine::attempt::function::{FunctionResult, call_of};
use crate::engine::attempt::hints::{EndedCommand, MAYBE_OUT_OF_MEMORY, OUT_OF_MEMORY};
use crate::engine::attempt::large::{LargeInputState, settle_links};
use crate::engine::attempt::made::{self, MadeBlobs, MadePlaces, undeclared};
use crate::engine::attempt::placement::{BatchPlace, Placement};
use crate::engine::attempt::prepare::{AttemptContext, PreparedAttempt, TaskInstance, prepare};
use crate::engine::attempt::scratch::{Folder, Scratch};
use crate::engine::schedule::UnitId;
use crate::exec::{
    Attempt, Cancel, End, Executor, Masker, OutOfMemoryKills, Outcome, ProcessUsage, signal_name, tail,
};
use crate::storage::memo::Scope;
use crate::storage::store::{PendingBlob, Snapshot, Store};
use crate::workflow::Capture;
use crate::workflow::made::MadeWorkflow;

/// How many of a log's last lines are shown with a failure.
pub(super) const TAIL: usize = 10;

/// What all attempts of a run share.
pub struct AttemptShared<E> {
    pub executor: E,
    pub store: Arc<Store>,
    pub run: RunId,
    pub scope: Scope,
    /// The instant of its schedule that the run is for.
    pub scheduled_at: Option<Timestamp>,
    /// The environment that tasks are given their part of.
    pub caller: HostEnv,
    pub scratch: Scratch,
    /// The run's folder of logs.
    pub logs: PathBuf,
    pub cancel: Cancel,
    /// Leaves jobs to themselves.
    pub let_go: Cancel,
    /// Masks the secrets of all tasks of the run: what one of them writes to a file another may print.
    pub masker: Masker,
    pub large: LargeInputState,
    /// Executors whose attempts are jobs of a batch system, by name.
    pub batch: HashMap<Arc<str>, Arc<BatchPlace>>,
    pub out_of_memory: OutOfMemoryKills,
    /// The environment of all Python functions, from the command line.
    pub python_env: Option<String>,
}

/// Runs attempts: the seam below the loop. What implements it for a home is [`AttemptShared`].
pub trait AttemptRunner: Send + Sync {
    /// Runs one attempt to its end.
    fn run(self: Arc<Self>, job: AttemptJob) -> AttemptFuture;

    /// How often batch systems were called; none where no attempt is made there.
    fn calls(&self) -> Option<ExecutorCalls> {
        None
    }

    /// The run begins nothing more: attempts that have not begun elsewhere never will.
    fn give_back(&self) {}

    /// It begins more after all.
    fn resume(&self) {}
}

/// An attempt that goes on.
pub type AttemptFuture = Pin<Box<dyn Future<Output = AttemptEnded> + Send>>;

/// What is to be done.
pub struct AttemptJob {
    pub unit: UnitId,
    pub subject: TaskInstance,
    pub timeout: Option<Duration>,
    pub grace: Duration,
    /// How the user's files among the inputs looked when they were digested.
    pub snapshots: Vec<Arc<Snapshot>>,
    /// Where it is made, if not on this machine.
    pub placement: Option<Placement>,
}

/// What came of it.
pub struct AttemptEnded {
    pub unit: UnitId,
    pub attempt: u32,
    pub duration: Duration,
    /// `None` if nothing ran.
    pub usage: Option<ProcessUsage>,
    pub result: Result<Success, TaskError>,
    /// Whether it goes on without this run.
    pub left: bool,
    /// Whether it never began, because the run stopped.
    pub given_back: bool,
    /// Whether another attempt would be in vain.
    pub is_final: bool,
}

pub struct Success {
    /// In the order of the task's outputs.
    pub outputs: Box<[Value]>,
    /// What must be committed before a row may name the outputs.
    pub blobs: Vec<PendingBlob>,
    /// A declared input or source that changed while the task ran.
    pub changed: Option<PathBuf>,
    /// A file of code that was loaded and is not in the automatic version.
    pub unseen: Option<PathBuf>,
    /// The workflow that was returned in place of the outputs.
    pub made: Option<Box<MadeWorkflow>>,
    /// Why the result cannot be stored, in a sentence.
    pub unstorable: Option<String>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What must stay until the result is stored.
    pub hold: Option<Box<dyn Send>>,
}

/// The file that receives what an attempt prints.
pub fn log_path(logs: &Path, node: &str, index: Option<u64>, attempt: u32) -> PathBuf {
    logs.join(format!("{}.{attempt}.log", NodeRef::new(node, index).file_name()))
}

/// Runs one attempt to its end.
pub async fn perform<E>(shared: Arc<AttemptShared<E>>, job: AttemptJob) -> AttemptEnded
where
    E: Executor + Send + Sync + 'static,
{
    let job = Arc::new(job);
    let TaskInstance { name, index, attempt, .. } = &job.subject;
    let attempt = *attempt;
    let log = log_path(&shared.logs, name, *index, attempt);
    let label = NodeRef::new(name, *index).file_name();
    let mut trace = Trace::default();
    let result = loop {
        let folder = match shared.scratch.take(&format!("{label}.{attempt}")) {
            Ok(folder) => folder,
            Err(error) => {
                break Err(AttemptError::spawn(format!("the scratch folder cannot be made: {error}")));
            }
        };
        let tried = try_in(&shared, &job, &folder, &label, &log, &mut trace).await;
        shared.scratch.give_back(folder, matches!(tried, Ok(Ok(_)))).await;
        if let Ok(result) = tried {
            break result;
        }
    };
    let is_final = result.as_ref().is_err_and(|error| error.is_final);
    let result = result.map_err(|AttemptError { kind, message, .. }| TaskError {
        kind,
        message: shared.masker.mask(&message),
        exit_code: trace.exit_code.filter(|_| kind == TaskErrorKind::Exit),
        log: Some(log.display().to_string()),
        tail: if trace.tail.is_empty() { tail(&log, TAIL) } else { trace.tail },
    });
    AttemptEnded {
        unit: job.unit,
        attempt,
        duration: trace.duration,
        usage: trace.usage,
        result,
        is_final,
        left: false,
        given_back: false,
    }
}

/// What is known of a command that ran, however it ended.
#[derive(Default)]
pub(super) struct Trace {
    pub duration: Duration,
    pub usage: Option<ProcessUsage>,
    pub exit_code: Option<i32>,
    /// The last lines that it printed on standard error.
    pub tail: Vec<String>,
}

/// Nothing ran: this system shows no views, as the run knows from now on.
struct NoViews;

/// Runs the command in an empty scratch folder.
async fn try_in<E: Executor + Send + Sync + 'static>(
    shared: &Arc<AttemptShared<E>>,
    job: &Arc<AttemptJob>,
    folder: &Folder,
    label: &str,
    log: &Path,
    trace: &mut Trace,
) -> Result<Result<Success, AttemptError>, NoViews> {
    let prepared = apart_if(is_heavy(&job.subject), {
        let (shared, job, folder) = (Arc::clone(shared), Arc::clone(job), folder.clone());
        move || {
            let AttemptShared { store, run, scope, scheduled_at, caller, large, .. } = &*shared;
            let large = large.placement();
            let (run, scheduled_at) = (*run, *scheduled_at);
            let around = AttemptContext {
                store,
                run,
                scope,
                scheduled_at,
                caller,
                staging: None,
                large,
                shared: None,
            };
            prepare(&around, &job.subject, &folder)
        }
    })
    .await;
    let mut prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Err(error)),
    };
    if let Err(error) = set_trap(&job.subject.task, folder, &mut prepared) {
        let message = format!("the scratch folder cannot be written to: {error}");
        return Ok(Err(AttemptError::spawn(message)));
    }
    let captures = job.subject.task.outputs.iter().any(|output| output.capture == Capture::Stdout);
    let path = prepared.env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
    let attempt = Attempt {
        label: label.to_owned(),
        program: std::mem::take(&mut prepared.program),
        dir: prepared.dir.clone(),
        env: std::mem::take(&mut prepared.env).into_iter().collect(),
        log: log.to_owned(),
        stdout: captures.then(|| folder.stdout()),
        timeout: job.timeout,
        grace: job.grace,
        masker: shared.masker.clone(),
        // A file is an output like any other where the task knows no secret itself.
        masks_stdout: !prepared.secrets.is_empty(),
        out: folder.out(),
        views: prepared.views(folder),
        fork: prepared.fork.take(),
    };
    let outcome = shared.executor.run(attempt, shared.cancel.clone()).await;
    if let End::NoViews(reason) = outcome.end {
        shared.large.refuse(reason);
        return Err(NoViews);
    }
    (trace.duration, trace.usage) = (outcome.duration, outcome.usage);
    if let End::Exited(code) = outcome.end {
        trace.exit_code = Some(code);
    }
    // Of a command that went well nobody reads it, unless its outputs turn out to be wrong.
    if captures || outcome.end != End::Exited(0) {
        trace.tail = tail(log, TAIL);
    }
    if captures {
        append_stdout(log, &folder.stdout(), &shared.masker);
    }
    let heavy = is_heavy(&job.subject)
        || made::is_there(&job.subject, folder)
        || collect::is_heavy(&job.subject.task, &folder.out());
    let finishing = Finishing {
        shared: Arc::clone(shared),
        job: Arc::clone(job),
        folder: folder.clone(),
        prepared,
        path: path.unwrap_or_default(),
        tail: trace.tail.clone(),
    };
    Ok(apart_if(heavy, move || finishing.finish(&outcome)).await)
}

/// Maximum bytes of a captured standard output that a log holds.
const MAX_LOGGED_STDOUT: u64 = 64 << 10;

/// Adds the end of a standard output that is an output of the task to the log, which has standard error only. A log
/// that cannot be written is no reason to fail.
pub(super) fn append_stdout(log: &Path, stdout: &Path, masker: &Masker) {
    let append = || -> io::Result<()> {
        let mut file = File::open(stdout)?;
        let size = file.metadata()?.len();
        if size == 0 {
            return Ok(());
        }
        let left_out = size.saturating_sub(MAX_LOGGED_STDOUT);
        file.seek(SeekFrom::Start(left_out))?;
        let mut end = Vec::new();
        file.take(MAX_LOGGED_STDOUT).read_to_end(&mut end)?;
        let mut text = String::from("── standard output ──\n");
        if left_out > 0 {
            text.push_str(&format!("... {left_out} bytes before\n"));
        }
        text.push_str(&masker.mask(&String::from_utf8_lossy(&end)));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        OpenOptions::new().append(true).open(log)?.write_all(text.as_bytes())
    };
    let _ = append();
}

/// Does heavy work on a thread of its own: it would keep the attempts that share this one. A thread costs more than light
/// work does.
async fn apart_if<T: Send + 'static>(heavy: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if heavy { apart(work).await } else { work() }
}

/// Whether there is much to stage, or to look at again afterwards.
fn is_heavy(subject: &TaskInstance) -> bool {
    /// Maximum number of files of which each takes next to no time.
    const MAX_LIGHT_FILES: usize = 16;
    let (mut size, mut files) = (0, 0);
    let mut add = |bytes: u64| (size, files) = (size + bytes, files + 1);
    for value in &subject.inputs {
        value.for_each_artifact(&mut |artifact, is_dir| {
            add(if is_dir { MAX_LIGHT_BYTES } else { artifact.size });
        });
    }
    subject.sources.iter().for_each(|source| add(source.artifact.size));
    size >= MAX_LIGHT_BYTES || files > MAX_LIGHT_FILES
}

/// An attempt whose command has ended.
pub(super) struct Finishing<E> {
    pub shared: Arc<AttemptShared<E>>,
    pub job: Arc<AttemptJob>,
    pub folder: Folder,
    pub prepared: PreparedAttempt,
    /// The `PATH` that the command had.
    pub path: String,
    /// The last lines that it printed on standard error.
    pub tail: Vec<String>,
}

impl<E> Finishing<E> {
    pub fn finish(&self, outcome: &Outcome) -> Result<Success, AttemptError> {
        let Self { shared, job, folder, prepared, .. } = self;
        let PreparedAttempt { guards, views, .. } = prepared;
        let spoiled: Vec<&str> = guards
            .iter()
            .filter(|guarded| !shared.store.check(&guarded.guards).is_empty())
            .map(|guarded| guarded.name.as_str())
            .collect();
        self.ended(&outcome.end)?;
        if !spoiled.is_empty() {
            let message = format!(
                "the task changed its own {}, which is a link to the original: let it work on a copy, or set stage = \"copy\"",
                spoiled.join(", ")
            );
            return Err(AttemptError::input(message));
        }
        let mut notes = Vec::new();
        notes.extend(shared.large.note(guards, job.subject.task.staging));
        if outcome.leftovers > 0 {
            let n = outcome.leftovers;
            let processes = if n == 1 { "process" } else { "processes" };
            let were = if n == 1 { "it was" } else { "they were" };
            notes.push(format!("the command left {n} {processes} running; {were} terminated"));
        }
        folder.expect_own().map_err(AttemptError::output)?;
        let subject = &job.subject;
        let places = places(subject, folder);
        if !views.is_empty() {
            settle_links(&shared.store, views, &[folder.out(), folder.work()])?;
        }
        let made_places = MadePlaces {
            store: &shared.store,
            folder,
            logs: &shared.logs,
            masker: &shared.masker,
            python_env: shared.python_env.as_deref(),
        };
        let (mut blobs, values, made) = match made::collect(&made_places, subject, &mut notes)? {
            Some(MadeBlobs { made, blobs }) => (blobs, Box::default(), Some(made)),
            None => {
                let outputs = &subject.task.outputs;
                let collected =
                    collect::outputs(&shared.store, outputs, &places, &shared.masker, &mut notes)?;
                (collected.blobs, collected.values, None)
            }
        };
        let unstorable = made.as_ref().and_then(|made| undeclared(subject, made));
        if subject.task.cache.enabled {
            blobs.extend(keep_small_files(&shared.store, subject));
        }
        let sources = subject.sources.iter().map(|source| &source.snapshot);
        let call = call_of(&subject.task).filter(|_| subject.task.cache.enabled);
        let code = call.and_then(|call| call.changed()).map(Path::to_owned);
        let result = call.and_then(|_| FunctionResult::read(&folder.returned()).ok());
        let unseen = result.and_then(|result| result.unseen.into_iter().next());
        let changed =
            job.snapshots.iter().chain(sources).find_map(|snapshot| snapshot.changed(&shared.store));
        let changed = changed.or(code);
        let notes = notes.iter().map(|note| shared.masker.mask(note)).collect();
        Ok(Success { outputs: values, blobs, changed, unseen, made, unstorable, notes, hold: None })
    }

    fn exit_message(&self, code: i32) -> String {
        let TaskInstance { task, workflow_dir, .. } = &self.job.subject;
        let work = self.folder.work();
        let in_workflow_dir = task.in_workflow_dir;
        let mut written = vec![self.folder.path().to_owned(), std::env::temp_dir()];
        written.extend(in_workflow_dir.then(|| workflow_dir.clone()));
        let ended = EndedCommand {
            code,
            path: &self.path,
            tail: &self.tail,
            has_views: !self.prepared.views.is_empty(),
            line: failing_line(task, &self.folder, code),
            work: (!in_workflow_dir).then_some(&*work),
            task_dir: &task.dir,
            written: &written,
            killed: self.kill_hint(),
        };
        ended.message()
    }

    /// Why a Python function failed, if it could say so.
    fn said(&self) -> Option<AttemptError> {
        call_of(&self.job.subject.task)?;
        FunctionResult::read(&self.folder.returned()).ok()?.error()
    }

    /// Why a process was ended by SIGKILL that no user sent.
    fn kill_hint(&self) -> &'static str {
        if self.shared.out_of_memory.any_new() { OUT_OF_MEMORY } else { MAYBE_OUT_OF_MEMORY }
    }

    /// The error for a command that did not end well.
    fn ended(&self, end: &End) -> Result<(), AttemptError> {
        match end {
            End::Exited(0) => Ok(()),
            End::Exited(code) => Err(self
                .said()
                .unwrap_or_else(|| AttemptError::new(TaskErrorKind::Exit, self.exit_message(*code)))),
            End::Signalled(signal) => {
                let is_kill = *signal == SIGKILL;
                let hint = if is_kill { format!("; {}", self.kill_hint()) } else { String::new() };
                Err(AttemptError::new(
                    TaskErrorKind::Signal,
                    format!("ended by {}{hint}", signal_name(*signal)),
                ))
            }
            End::TimedOut => {
                let limit = self.job.timeout.unwrap_or_default();
                let limit =
                    jiff::SignedDuration::try_from(limit).map(|d| format!("{d:#}")).unwrap_or_default();
                Err(AttemptError::new(
                    TaskErrorKind::Timeout,
                    format!("took longer than its timeout of {limit}"),
                ))
            }
            End::Cancelled => Err(AttemptError::new(TaskErrorKind::Cancelled, "the run was cancelled")),
            End::NotStarted(message) | End::NoViews(message) => Err(AttemptError::spawn(message.as_str())),
            End::Unsound(message) => Err(AttemptError::output(message.as_str())),
            End::Job(fault) => Err(AttemptError::new(kind_of(fault.kind), fault.message.as_str())),
        }
    }
}

/// The user's own small files as the attempt read them: a later run can show the difference to its own.
fn keep_small_files(store: &Store, subject: &TaskInstance) -> Vec<PendingBlob> {
    let mut blobs: Vec<_> =
        subject.sources.iter().filter_map(|source| store.keep(&source.artifact)).collect();
    for value in &subject.inputs {
        value.for_each_artifact(&mut |artifact, is_dir| match is_dir {
            true => blobs.extend(store.keep_folder(artifact)),
            false => blobs.extend(store.keep(artifact)),
        });
    }
    blobs
}

/// Where an attempt in `folder` leaves its outputs.
pub fn places(subject: &TaskInstance, folder: &Folder) -> OutputPlaces {
    OutputPlaces {
        out: folder.out(),
        work: if subject.task.in_workflow_dir { subject.workflow_dir.clone() } else { folder.work() },
        stdout: folder.stdout(),
        returned: folder.returned(),
        root: folder.path().to_owned(),
    }
}

const SIGKILL: i32 = 9;
