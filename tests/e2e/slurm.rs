//! Attempts as jobs of a real Slurm. RUNNER_SLURM names the folder of a cluster for tests, which holds `etc/slurm.conf` and
//! `ctl`, which makes it fail. Without it these tests are skipped, but not in CI. What is decided without a cluster is
//! tested in `exec/batch`; what the settings say without one is tested here, always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::process::Signal;

use crate::common::live::{Live, until};
use crate::common::{Done, Lab, finish};

/// The folder of the cluster; nothing where there is none.
fn cluster() -> Option<PathBuf> {
    let folder = std::env::var_os("RUNNER_SLURM").map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("CI_RUN").is_none(), "RUNNER_SLURM is not set");
        eprintln!("skipped: RUNNER_SLURM is not set");
    }
    folder
}

/// This program where the nodes see it: copied once for all tests.
fn program(cluster: &Path) -> PathBuf {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    let copy = COPY.get_or_init(|| {
        let copy = cluster.join(format!("work/runner.{}", std::process::id()));
        fs::copy(env!("CARGO_BIN_EXE_runner"), &copy).unwrap();
        copy
    });
    copy.clone()
}

pub struct Cluster {
    pub lab: Lab,
    pub folder: PathBuf,
    /// Of the names of its jobs; no other test has it.
    prefix: String,
    _turn: Turn,
}

/// Tests share the cluster, but for those that make it fail.
static TURNS: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "held, and never read")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    fn shared() -> Self {
        Self::Shared(TURNS.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn alone() -> Self {
        Self::Alone(TURNS.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cluster {
    /// A lab whose executor `cl` looks often, with these further settings.
    pub fn new(settings: &str) -> Option<Self> {
        Self::of_kind("slurm", settings, Turn::shared)
    }

    /// The same while no other test uses the cluster.
    pub fn alone(settings: &str) -> Option<Self> {
        Self::of_kind("slurm", settings, Turn::alone)
    }

    /// The same whose commands the settings spell.
    fn spelled() -> Option<Self> {
        Self::of_kind(
            "command",
            r#"
submit = ["sbatch", "--parsable", "--no-requeue", "-J", "{name}", "-o", "{log}", "-n1", "{options}", "{script}"]
submit_options = { cpus = ["-c", "{cpus}"], memory = ["--mem={memory_mb}M"], time = ["--time={time_hms}"] }
status = ["squeue", "--noheader", "--user={user}", "--states=all", "--format=%i %j %T %N"]
status_line = '^(?P<id>\S+) (?P<name>\S+) (?P<state>\S+) ?(?P<host>\S*)'
cancel = ["scancel", "{ids}"]
[executors.cl.states]
PENDING = "pending"
CONFIGURING = "pending"
RUNNING = "running"
COMPLETING = "running"
COMPLETED = "ended"
FAILED = "ended"
CANCELLED = "cancelled"
NODE_FAIL = "lost""#,
            Turn::shared,
        )
    }

    fn of_kind(kind: &str, settings: &str, turn: fn() -> Turn) -> Option<Self> {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let folder = cluster()?;
        let turn = turn();
        let prefix = format!("t{}-", NUMBERS.fetch_add(1, Ordering::Relaxed));
        let lab = Lab::new();
        let program = program(&folder).display().to_string();
        lab.write(
            "runner.toml",
            &format!(
                "[executors.cl]\nkind = \"{kind}\"\nwork_dir = \"@DIR@/work\"\nrunner_path = \"{program}\"\n\
                 poll_interval = \"1s\"\nrecord_interval = \"100ms\"\nlost_after = \"5s\"\n\
                 record_wait = \"5s\"\njob_prefix = \"{prefix}\"\n{settings}\n"
            ),
        );
        Some(Self { lab, folder, prefix, _turn: turn })
    }

    pub fn conf(&self) -> PathBuf {
        self.folder.join("etc/slurm.conf")
    }

    /// The jobs of a run that are in the queue, a line each.
    pub fn queue(&self, run: &str) -> String {
        let mut command = Command::new("squeue");
        let output = command.args(["--noheader", "--format=%j %T"]).env("SLURM_CONF", self.conf()).output();
        let all = String::from_utf8(output.unwrap().stdout).unwrap();
        all.lines().filter(|line| line.contains(run)).map(|line| format!("{line}\n")).collect()
    }

    /// Whether no job of this test is in the queue.
    pub fn is_idle(&self) -> bool {
        !self.queue(&self.prefix).lines().any(|line| line.starts_with(&self.prefix))
    }

    /// Nothing of any job is left in the folder that is shared.
    #[track_caller]
    pub fn expect_clean(&self) {
        let entries = fs::read_dir(self.lab.path("work/jobs"));
        let left: Vec<_> = entries.map(|entries| entries.flatten().collect()).unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
    }
}

const WORKFLOW: &str = r#"
[workflow]
name = "w"
[defaults]
executor = "cl"
cache = true
[tasks.make]
inputs = { file = "file" }
outputs = { text = "string", copy = "file", folder = "dir", line = "string" }
run = '''
echo make >> @COUNT@
echo "to the log"
tr a-z A-Z < "$file" > "$OUT/text"
cp "$file" "$OUT/copy"
mkdir "$OUT/folder"
echo "$RUNNER_NODE" > "$OUT/folder/name"
echo "$SLURM_CPUS_PER_TASK $SLURM_JOB_NUM_NODES" > "$OUT/line"
'''
resources = { cpus = 2, memory = "100MiB" }
[tasks.use]
inputs = { copy = "file", folder = "dir" }
outputs = { text = { type = "string", from = "stdout" } }
run = 'echo use >> @COUNT@; cat "$copy" "$folder/name"'
[nodes.make]
inputs = { file = "in.txt" }
[nodes.use]
inputs = { copy = "{{ make.copy }}", folder = "{{ make.folder }}" }
[outputs]
text = "{{ use.text }}"
line = "{{ make.line }}"
"#;

#[test]
fn a_workflow_runs_on_the_cluster_and_its_results_are_hits_everywhere() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WORKFLOW);
    lab.write("in.txt", "hello\n");
    let done = lab.ok("w.toml", &[]);
    let outputs = done.outputs();
    assert_eq!((outputs["text"].as_str(), outputs["line"].as_str()), (Some("hello\nmake"), Some("2 1")));
    let (submitted, started) = (done.events("node_submitted"), done.events("node_started"));
    assert_eq!((submitted.len(), started.len()), (2, 2), "{done:?}");
    assert_eq!(submitted[0]["executor"], "cl");
    assert_eq!(submitted[0]["job"], started[0]["job"]);
    assert!(started[0]["host"].as_str().unwrap().starts_with('n'), "{started:?}");
    let log = done.node("make")["log"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(log).unwrap(), "to the log\n");
    cluster.expect_clean();
    let again = lab.ok("w.toml", &["--executor", "local"]);
    assert_eq!((again.cache("make"), lab.ran()), ("hit".into(), 2));
    fs::remove_dir_all(lab.path("work")).unwrap();
    let hit = lab.ok("w.toml", &["-j", "1"]);
    assert_eq!((hit.cache("use"), lab.ran()), ("hit".into(), 2));
    assert!(!lab.path("work").exists(), "a hit needs no cluster");
}

#[test]
fn slurm_spelled_as_commands_runs_the_same() {
    let Some(cluster) = Cluster::spelled() else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WORKFLOW);
    lab.write("in.txt", "hello\n");
    let mut command = lab.command(&["exec", "w.toml", "--json"]);
    let done = finish(command.env("USER", "root")).expect_code(0);
    let outputs = done.outputs();
    assert_eq!((outputs["text"].as_str(), outputs["line"].as_str()), (Some("hello\nmake"), Some("2 1")));
    assert_eq!(done.warnings(), "");
    cluster.expect_clean();
}

#[test]
fn detached_jobs_go_on_and_are_attached_to() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "first", &["--detach"]);
    until("all are submitted", || live.said().events("node_submitted").len() == 14);
    until("some have begun", || lab.ran() >= 1);
    let run = live.run();
    live.signal(Signal::INT);
    assert_eq!(live.end().expect_code(130).finished()["status"], "detached");
    assert!(!lab.path("told").exists() && cluster.queue(&run).lines().count() >= 1);
    let live = Live::verb(lab, "second", &["attach", &run, "--json"]);
    until("all are taken over", || live.said().warnings().matches("is taken over").count() == 14);
    lab.write("go", "");
    let done = live.end().expect_code(0);
    assert_eq!((done.events("run_started")[0]["run"].as_str(), lab.ran()), (Some(&*run), 14));
    assert!(done.events("node_submitted").is_empty(), "{done:?}");
    cluster.expect_clean();
    until("the queue is empty", || cluster.queue(&run).is_empty());
}

#[test]
fn the_jobs_of_an_abandoned_run_are_cancelled() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "first", &[]);
    until("all are submitted", || live.said().events("node_submitted").len() == 14);
    until("some have begun", || lab.ran() >= 1);
    let run = live.run();
    live.signal(Signal::KILL);
    live.end();
    let done = lab.run(&["cancel", &run]).expect_code(0);
    assert_eq!(done.err, format!("run {run} is cancelled: 14 jobs ended\n"));
    until("the queue is empty", || cluster.queue(&run).is_empty());
    until("no process is left", || lab.alive().is_empty());
    cluster.expect_clean();
}

#[test]
fn a_failure_is_the_tasks_own_and_is_tried_again() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'cl'\nretries = 1\nretry_delay = '10ms'\n\
         run = '''\necho t >> @COUNT@\necho broken >&2\nsh -c 'exit 3'\n'''\n\
         [tasks.silent]\nexecutor = 'cl'\nrun = '''\ntrue\nsh -c 'exit 4'\n'''\n[tasks.slow]\nexecutor = 'cl'\n\
         timeout = '1s'\ngrace = '100ms'\nrun = 'sleep 600'\n[nodes.t]\n[nodes.silent]\n[nodes.slow]\n",
    );
    let done = lab.exec("w.toml", &["-k"]).expect_code(1);
    let node = done.node("t");
    assert_eq!((node["attempts"].as_u64(), lab.ran()), (Some(2), 2));
    let error = &node["error"];
    assert_eq!((error["exit_code"].as_i64(), &error["tail"][0]), (Some(3), &"broken".into()));
    // One that printed nothing is known by its line.
    let silent = done.node("silent")["error"]["message"].as_str().unwrap().to_owned();
    assert!(silent.contains("line 2"), "{silent}");
    assert_eq!(done.node("slow")["error"]["kind"], "timeout");
    cluster.expect_clean();
}

#[test]
fn a_secret_reaches_the_task_and_nothing_else() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'cl'\nsecrets = ['TOKEN']\nrun = '''\n\
         [ \"$TOKEN\" = \"$(printf hunter; printf 22-22)\" ] && echo \"it is $TOKEN\"\n\
         grep -rl \"$TOKEN\" @DIR@/work > @DIR@/found || true\n\
         env | grep -c MARK_OF_THE_SHELL > @DIR@/marks || true\n'''\n[nodes.t]\n",
    );
    let mut command = lab.command(&["exec", "w.toml", "--json"]);
    let done = finish(command.env("TOKEN", "hunter22-22").env("MARK_OF_THE_SHELL", "1")).expect_code(0);
    assert_eq!((lab.read("found").as_str(), lab.read("marks").as_str()), ("", "0\n"));
    let log = done.node("t")["log"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(log).unwrap(), "it is ***\n");
}

/// Elements that wait for a file, and count their beginnings and ends.
pub const WAITING: &str = r#"
[workflow]
name = "w"
[tasks.t]
executor = "cl"
cache = true
grace = "20s"
inputs = { n = "int" }
outputs = { n = "int" }
run = '''
echo "begin$n" >> @COUNT@
trap 'echo told >> @DIR@/told; exit 1' TERM
while [ ! -e @DIR@/go ]; do sleep 0.05; done
echo "$n" > "$OUT/n"
'''
[nodes.t]
foreach = ["n"]
inputs = { n = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14] }
[outputs]
n = "{{ t.n }}"
"#;

#[test]
fn jobs_of_a_killed_runner_are_taken_over_and_no_command_begins_twice() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "first", &[]);
    until("all are submitted", || live.said().events("node_submitted").len() == 14);
    until("some have begun", || lab.ran() >= 1);
    let run = live.run();
    live.signal(Signal::KILL);
    live.end();
    assert!(!cluster.queue(&run).is_empty(), "the jobs outlive the runner");
    let live = Live::start(lab, "second", &[]);
    until("all are taken over", || live.said().warnings().matches("is taken over").count() == 14);
    lab.write("go", "");
    let done = live.end().expect_code(0);
    assert_eq!(done.outputs()["n"].as_array().unwrap().len(), 14);
    let begun = lab.read("count");
    let mut words: Vec<_> = begun.split_whitespace().collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!((words.len(), lab.ran()), (14, 14), "{begun}");
    let again =
        done.events("node_submitted").iter().any(|event| !event["name"].as_str().unwrap().contains(&run));
    assert!(!again, "nothing is submitted a second time");
    cluster.expect_clean();
    until("the queue is empty", || cluster.queue(&run).is_empty());
}

#[test]
fn ctrl_c_empties_the_queue_and_gives_what_runs_its_grace() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", WAITING);
    let live = Live::start(lab, "run", &[]);
    until("all are submitted", || live.said().events("node_submitted").len() == 14);
    until("some have begun", || lab.ran() >= 1);
    let run = live.run();
    live.signal(Signal::INT);
    let done = live.end().expect_code(130);
    assert_eq!(done.finished()["status"], "cancelled");
    // Who had begun was told.
    assert!(lab.read("told").lines().count() >= 1, "{done:?}");
    until("the queue is empty", || cluster.queue(&run).is_empty());
    until("no process is left", || lab.alive().is_empty());
    cluster.expect_clean();
}

#[test]
fn a_job_that_somebody_else_cancels_has_failed() {
    let Some(cluster) = Cluster::new("") else { return };
    let lab = &cluster.lab;
    let one = WAITING.replace("foreach = [\"n\"]", "");
    lab.write("w.toml", &one.replace("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]", "1"));
    let live = Live::start(lab, "run", &[]);
    let job = live.until("node_started", "t")["job"].as_str().unwrap().to_owned();
    until("it has begun", || lab.ran() == 1);
    assert!(Command::new("scancel").arg(&job).env("SLURM_CONF", cluster.conf()).status().unwrap().success());
    let done = live.end().expect_code(1);
    let error = &done.node("t")["error"];
    assert_eq!(error["kind"], "cancelled", "{error}");
    assert_eq!(error["message"], format!("job {job} was cancelled from outside"));
    assert_eq!((done.node("t")["status"].as_str(), lab.ran()), (Some("failed"), 1));
}

#[test]
fn what_slurm_refuses_is_said_in_its_words() {
    let Some(cluster) = Cluster::new("partition = \"nosuch\"") else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'cl'\nrun = 'true'\n[nodes.t]\n");
    let done = lab.exec("w.toml", &[]).expect_code(1);
    let error = &done.node("t")["error"];
    assert_eq!(error["kind"], "spawn");
    assert!(error["message"].as_str().unwrap().contains("invalid partition"), "{error}");
    cluster.expect_clean();
}

/// Two nodes of a task that names no executor.
const PLAIN: &str = "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'echo t >> @COUNT@'\n\
                     [nodes.one]\ntask = 't'\n[nodes.two]\ntask = 't'\n";

fn refused(lab: &Lab, args: &[&str]) -> Done {
    let done = lab.exec("w.toml", args).expect_code(2);
    assert_eq!(lab.ran(), 0, "nothing runs");
    done
}

#[test]
fn an_executor_that_is_not_there_is_an_error_before_anything_runs() {
    let lab = Lab::new();
    lab.write("w.toml", PLAIN);
    let done = refused(&lab, &["--executor", "lokal"]);
    assert!(done.err.contains("no executor `lokal`; did you mean `local`?"), "{}", done.err);
    lab.write("runner.toml", "[executors.sge]\nkind = \"command\"\n");
    let done = refused(&lab, &["--executor", "one=sge"]);
    assert!(done.err.contains("`executors.sge.submit`: it is required"), "{}", done.err);
    let done = refused(&lab, &["--executor", "on=local"]);
    assert!(done.err.contains("--executor on"), "{}", done.err);
    lab.write("runner.toml", "executor = \"sge\"\n[executors.sge]\nkind = \"command\"\n");
    refused(&lab, &[]);
    let with_variable = |args: &[&str]| finish(lab.command(args).env("RUNNER_EXECUTOR", "local"));
    with_variable(&["exec", "w.toml", "--executor", "two=sge"]).expect_code(2);
    with_variable(&["exec", "w.toml"]).expect_code(0);
    assert_eq!(lab.ran(), 2, "the variable wins over the settings");
    lab.write("w.toml", &PLAIN.replace("run =", "executor = 'nowhere'\nrun ="));
    let done = lab.run(&["check", "w.toml"]).expect_code(0);
    assert!((done.out + &done.err).contains("no executor `nowhere`"));
}

#[test]
fn the_executor_is_in_no_key() {
    let lab = Lab::new();
    lab.write("runner.toml", "[executors.near]\nkind = \"local\"\n");
    let cached = PLAIN.replace("run =", "cache = true\nrun =");
    lab.write("w.toml", &cached);
    let first = lab.ok("w.toml", &[]);
    lab.write(
        "w.toml",
        &cached.replace("run =", "executor = 'near'\nexecutor_args = ['--exclusive']\nrun ="),
    );
    let second = lab.ok("w.toml", &[]);
    assert_eq!((first.key("one"), second.cache("one")), (second.key("one"), "hit".into()));
}

#[test]
fn a_job_without_a_folder_begins_nothing() {
    let lab = Lab::new();
    let done = lab.run(&["job", lab.path("gone").to_str().unwrap()]).expect_code(1);
    assert!(done.err.contains("nobody waits for this job"), "{}", done.err);
}
