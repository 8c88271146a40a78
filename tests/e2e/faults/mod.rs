//! The fault suite: one file for each kind of fault, the same oracle after each.
//!
//! The oracle is [`Trial::settles`]: a plain run succeeds with the outputs of an undisturbed one, a second one finds
//! everything in the cache, the database passes its integrity check, and no process, lock or temporary is left. No
//! disturbed run panics, and none takes longer than half a minute.
//!
//! Counts are small by default. `RUNNER_FAULTS=full cargo test --release --test e2e -- faults:: bombs::` takes the full ones, for an
//! hour or two; `docs/promises.md` lists what each row holds the program to. A row that needs a tool or a right that is not
//! there says SKIPPED and why.

mod blob_damaged;
mod database_damaged;
mod disk_full;
mod edited;
mod fuzz;
mod homes;
mod inherited;
mod injection;
mod lock_holder;
mod log_flood;
mod many_runners;
mod orphans;
mod pipe;
mod planted;
mod power_cut;
mod runner_killed;
mod scarce;
mod schema;
mod stopped;
mod system_calls;
mod task_killed;
mod terminal;
mod zoo;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::Done;
use crate::common::trial::Trial;

/// Nothing that is disturbed may take longer.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// How often a row injects its fault: `few`, or `many` where the full counts are asked for.
pub fn count(few: usize, many: usize) -> usize {
    match std::env::var("RUNNER_FAULTS") {
        Ok(asked) if asked == "full" => many,
        _ => few,
    }
}

/// `count` numbers from 1 to `most`, spread over all of it.
fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = count.min(most);
    (0..count).map(move |i| 1 + (2 * i + 1) * most / (2 * count))
}

/// Runs to the end, which comes in time and without a panic.
#[track_caller]
fn ends(command: &mut Command) -> Done {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    ends_by_itself(child.unwrap(), &format!("{command:?}"))
}

/// The same, for one that was started already with pipes at its outputs.
#[track_caller]
fn ends_by_itself(mut child: Child, what: &str) -> Done {
    fn collect(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        })
    }
    let (out, err) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > MAX_DURATION {
            let _ = child.kill();
            let status = child.wait().unwrap();
            panic!("hangs: {what}: {status}, {}", String::from_utf8_lossy(&err.join().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = (out.join().unwrap(), err.join().unwrap());
    let done = Done::new(std::process::Output { status, stdout, stderr });
    assert!(!done.err.contains("panicked at"), "{what}: {}", done.err);
    done
}

/// A run whose system calls are disturbed, as strace's `inject` says; `None` where strace is missing or may not trace.
#[track_caller]
fn injected(trial: &Trial, inject: &str) -> Option<Done> {
    injected_in(trial, "w.toml", inject)
}

/// The same, for a run of another workflow than the trial's.
#[track_caller]
fn injected_in(trial: &Trial, workflow: &str, inject: &str) -> Option<Done> {
    let probe = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: strace is not installed or may not trace here ({inject})");
        return None;
    }
    let calls = inject.split(':').next().unwrap();
    let mut command = Command::new("strace");
    // Tasks are left alone: their programs may say of a fault what they like.
    command.args(["-f", "-qq", "-b", "execve", "-o", "/dev/null"]);
    command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
    command.args([env!("CARGO_BIN_EXE_runner"), "exec", workflow, "--json"]);
    Some(ends(command.current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home())))
}

/// Waits for a file that a task writes.
#[track_caller]
fn appears(trial: &Trial, name: &str) {
    let begin = Instant::now();
    while std::fs::metadata(trial.lab.path(name)).is_err() {
        assert!(begin.elapsed() < MAX_DURATION, "{name} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The program in a shell that first runs `setup`, such as a `ulimit`.
fn after(trial: &Trial, setup: &str, args: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{setup}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_runner")]).args(args);
    command.current_dir(trial.lab.dir()).env("RUNNER_HOME", trial.lab.home());
    command
}
