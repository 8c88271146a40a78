//! Attempts over a fake executor: what `perform` gives to a command and makes of its end. No process is started; scratch
//! folders and the store are real.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::environment::HostEnv;
use super::large::LargeInputState;
use super::perform::{AttemptEnded, AttemptJob, AttemptShared, perform};
use super::prepare::{LargeInputs, TaskInstance};
use super::scratch::Scratch;
use crate::core::event::TaskErrorKind;
use crate::core::value::Value;
use crate::exec::{Attempt, Cancel, End, Executor, Level, Masker, Outcome, ProcessUsage};
use crate::storage::memo::Scope;
use crate::storage::store::{StatCache, Store};
use crate::workflow::documents::{Document, Texts};
use crate::workflow::load::load_from;

/// Plays the command: writes what it would leave, and says how it ends.
type Play = Box<dyn Fn(&Attempt, usize) -> End + Send + Sync>;

/// Runs no process.
struct FakeExecutor {
    play: Play,
    /// The folder of outputs of each attempt that it was given.
    outs: Mutex<Vec<PathBuf>>,
}

impl Executor for FakeExecutor {
    async fn run(&self, attempt: Attempt, cancel: Cancel) -> Outcome {
        let number = {
            let mut outs = self.outs.lock().unwrap();
            outs.push(attempt.out.clone());
            outs.len()
        };
        let end = match cancel.level() {
            Level::None => (self.play)(&attempt, number),
            Level::Terminate | Level::Kill => End::Cancelled,
        };
        let usage = Some(ProcessUsage { cpu: Duration::from_millis(3), peak_memory: None });
        Outcome { end, duration: Duration::from_millis(7), leftovers: 0, usage }
    }
}

/// What is left of an attempt.
struct Performed {
    ended: AttemptEnded,
    shared: Arc<AttemptShared<FakeExecutor>>,
    scratch: PathBuf,
    _home: tempfile::TempDir,
}

impl Performed {
    fn error(&self) -> (TaskErrorKind, &str, Option<i32>) {
        let Err(error) = &self.ended.result else { panic!("it succeeded") };
        (error.kind, &error.message, error.exit_code)
    }

    fn outputs(&self) -> &[Value] {
        match &self.ended.result {
            Ok(success) => &success.outputs,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// How often the executor was asked.
    fn runs(&self) -> usize {
        self.shared.executor.outs.lock().unwrap().len()
    }
}

/// Performs the first attempt of the task `t` with these lines and inputs.
fn attempt(
    task: &str,
    inputs: Vec<Value>,
    cancel: Cancel,
    play: impl Fn(&Attempt, usize) -> End + Send + Sync + 'static,
) -> Performed {
    let text = format!("[workflow]\nname = 'w'\n[tasks.t]\n{task}\n");
    let file = Document { path: "/fake/w.toml".into(), asked: Vec::new(), text: text.into() };
    let loaded = load_from(Texts::recorded(vec![file]), Path::new("/fake/w.toml"), &[]);
    let task = loaded.workflow.expect("the workflow is right").tasks[0].clone();
    let home = tempfile::tempdir().unwrap();
    let [scratch, logs] = ["scratch", "logs"].map(|name| home.path().join(name));
    for folder in [&scratch, &logs] {
        fs::create_dir(folder).unwrap();
    }
    let shared = Arc::new(AttemptShared {
        python_env: None,
        executor: FakeExecutor { play: Box::new(play), outs: Mutex::default() },
        store: Arc::new(Store::open(home.path(), StatCache::new(Box::new(|_| None))).unwrap()),
        run: "fake".into(),
        scope: Scope { project: "default".into(), domain: "development".into() },
        scheduled_at: None,
        caller: HostEnv::nobody(),
        scratch: Scratch::new(scratch.clone()),
        logs,
        cancel,
        let_go: Cancel::default(),
        masker: Masker::new(["hunter22"]),
        large: LargeInputState::default(),
        batch: Default::default(),
        out_of_memory: Default::default(),
    });
    let job = AttemptJob {
        unit: 0,
        subject: TaskInstance {
            name: "n".into(),
            index: None,
            task,
            workflow_dir: "/fake".into(),
            inputs,
            sources: Arc::new([]),
            attempt: 1,
        },
        timeout: Some(Duration::from_secs(90)),
        grace: Duration::ZERO,
        snapshots: Vec::new(),
        placement: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let ended = runtime.block_on(perform(shared.clone(), job));
    Performed { ended, shared, scratch, _home: home }
}

fn variable(attempt: &Attempt, name: &str) -> Option<String> {
    let found = attempt.env.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.to_string_lossy().into_owned())
}

#[test]
fn what_a_command_leaves_in_out_becomes_its_outputs() {
    let task = "inputs = { x = 'int' }\noutputs = { made = 'file', count = 'int' }\nrun = 'make it'";
    let done = attempt(task, vec![Value::Int(41)], Cancel::default(), |attempt, _| {
        assert_eq!(attempt.program.last().unwrap(), "t");
        assert_eq!(variable(attempt, "x").as_deref(), Some("41"));
        assert_eq!(variable(attempt, "OUT").as_deref(), attempt.out.to_str());
        assert_eq!(attempt.timeout, Some(Duration::from_secs(90)));
        fs::write(attempt.out.join("made"), "content").unwrap();
        fs::write(attempt.out.join("count"), "42\n").unwrap();
        End::Exited(0)
    });
    let [Value::File(made), Value::Int(42)] = done.outputs() else { panic!("{:?}", done.outputs()) };
    assert_eq!((&*made.name, made.size), ("made", 7));
    assert_eq!((done.ended.attempt, done.ended.duration), (1, Duration::from_millis(7)));
    assert_eq!(done.ended.usage.unwrap().cpu, Duration::from_millis(3));
    let Ok(success) = &done.ended.result else { unreachable!() };
    done.shared.store.commit(&success.blobs).unwrap();
    assert_eq!(fs::read_to_string(done.shared.store.blob_path(&made.digest)).unwrap(), "content");
}

#[test]
fn an_exit_code_is_an_error_with_the_end_of_the_log_and_no_folder_is_left() {
    let done = attempt("run = 'fail'", Vec::new(), Cancel::default(), |attempt, _| {
        fs::write(&attempt.log, "first\nlast\n").unwrap();
        End::Exited(3)
    });
    let (kind, message, code) = done.error();
    assert_eq!((kind, code), (TaskErrorKind::Exit, Some(3)), "{message}");
    let Err(error) = &done.ended.result else { unreachable!() };
    assert_eq!(error.tail, ["first", "last"]);
    assert!(error.log.as_ref().unwrap().ends_with("n.1.log"), "{error:?}");
    assert_eq!(fs::read_dir(&done.scratch).unwrap().count(), 0);
}

#[test]
fn each_end_has_its_kind() {
    let ends = [
        (End::Signalled(11), TaskErrorKind::Signal, "ended by SIGSEGV"),
        (End::TimedOut, TaskErrorKind::Timeout, "took longer than its timeout of 1m 30s"),
        (End::NotStarted("no such program".into()), TaskErrorKind::Spawn, "no such program"),
        (End::Unsound("it knows hunter22".into()), TaskErrorKind::Output, "it knows ***"),
    ];
    for (end, kind, message) in ends {
        let done = attempt("run = 'x'", Vec::new(), Cancel::default(), move |_, _| end.clone());
        assert_eq!(done.error(), (kind, message, None));
    }
    let cancel = Cancel::default();
    cancel.raise(Level::Terminate);
    let done = attempt("run = 'x'", Vec::new(), cancel, |_, _| panic!("it was called off before"));
    assert_eq!(done.error(), (TaskErrorKind::Cancelled, "the run was cancelled", None));
}

#[test]
fn all_missing_outputs_are_named() {
    let task = "outputs = { a = 'file', b = 'int', c = 'string' }\nrun = 'x'";
    let done = attempt(task, Vec::new(), Cancel::default(), |attempt, _| {
        fs::write(attempt.out.join("b"), "many").unwrap();
        fs::write(attempt.out.join("c"), "text").unwrap();
        End::Exited(0)
    });
    let (kind, message, code) = done.error();
    assert_eq!((kind, code), (TaskErrorKind::Output, None));
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 2, "{message}");
    assert!(
        lines[0].starts_with("output `a`: missing: the command ended well, but left no \"$OUT/a\""),
        "{message}"
    );
    assert!(lines[1].starts_with("output `b`: expected int (64 bits), found \"many\""), "{message}");
}

#[test]
fn where_views_are_refused_the_attempt_is_made_again_without_them() {
    let task = "outputs = { done = 'bool' }\nrun = 'x'";
    let done = attempt(task, Vec::new(), Cancel::default(), |attempt, number| {
        // Nothing of the first one may be seen by the second.
        assert_eq!(fs::read_dir(&attempt.out).unwrap().count(), 0);
        fs::write(attempt.out.join("done"), "true").unwrap();
        if number == 1 { End::NoViews("no user namespaces".into()) } else { End::Exited(0) }
    });
    assert_eq!((done.outputs(), done.runs()), (&[Value::Bool(true)][..], 2));
    assert_eq!(done.ended.attempt, 1);
    // Later attempts of the run do not ask for views.
    assert_eq!(done.shared.large.placement(), LargeInputs::Link);
}
