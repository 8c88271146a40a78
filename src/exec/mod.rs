//! Running one attempt of a task: what an executor is given, what it returns, and how it is cancelled.
//!
//! An executor gets plain data. It knows nothing of workflows, the cache or the screen, and it reports to its
//! caller only, never to the user.

pub mod batch;
mod call;
mod children;
pub mod command;
pub mod command_template;
mod descendants;
mod ending;
#[cfg(target_os = "linux")]
mod enter;
mod fork;
mod local;
mod out_of_memory;
mod process;
mod pump;
mod reap;
mod secrets;
pub mod slurm;
mod spawn;
mod started;
mod sweep;
mod tail;
mod tree;
mod views;
mod wiring;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;

pub use descendants::{ProcessRecord, ProcessRecorder, record};
pub use fork::{Fork, ForkServers};
pub use local::Local;
pub use out_of_memory::OutOfMemoryKills;
pub use secrets::{MIN_SECRET_CHARS, Masker, is_maskable};
pub use sweep::{end_marked, sweep_strays};
pub use tail::tail;
pub use views::{NotEntered, Original, SUPPORTED as VIEWS_SUPPORTED, View, Views};

/// Becomes the command of an attempt with views, if this process was started for that: to be called before anything else,
/// while there is one thread. Returns only if it was not, or if it failed, with what is still to be said of that.
#[cfg(target_os = "linux")]
pub use enter::enter_views;

/// There are no views on this system.
#[cfg(not(target_os = "linux"))]
pub fn enter_views() -> Option<String> {
    None
}

/// Runs attempts. One that runs them on this machine is [`Local`].
pub trait Executor {
    /// Runs `attempt` to its end, or until `cancel` calls it off. When the outcome is given, no process of the
    /// attempt is left.
    fn run(&self, attempt: Attempt, cancel: Cancel) -> impl Future<Output = Outcome> + Send;
}

/// One attempt of a task.
pub struct Attempt {
    /// The node's name, for messages.
    pub label: String,
    /// The program, a name to be found in the attempt's own `PATH` or a path, and its arguments.
    pub program: Vec<String>,
    /// The working directory, which exists. A relative program path starts here.
    pub dir: PathBuf,
    /// The complete environment: nothing else is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// The file that receives what the command prints; appended to.
    pub log: PathBuf,
    /// When set, the file that receives standard output instead; made anew.
    pub stdout: Option<PathBuf>,
    /// How long the command may take.
    pub timeout: Option<Duration>,
    /// How long after TERM before KILL.
    pub grace: Duration,
    /// Masks the log.
    pub masker: Masker,
    /// Whether `stdout` is masked as well.
    pub masks_stdout: bool,
    /// The value of the variable `OUT` in `env`; unique to the attempt, so that its processes are known by it.
    pub out: PathBuf,
    /// What the command sees in a mount namespace of its own.
    pub views: Option<Views>,
    /// How it can be forked from a warm process in place of starting `program`.
    pub fork: Option<Fork>,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub end: End,
    /// From the start until no process was left.
    pub duration: Duration,
    /// How many processes still ran after the command had ended by itself, and were terminated.
    pub leftovers: usize,
    /// What it used; `None` where there was no process to be waited for.
    pub usage: Option<ProcessUsage>,
}

/// What the processes of an attempt used: its command, those that were waited for by it or by one of them, and
/// those of its group that outlived their parents. What leaves the group and its parent is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Processor time of all of them together, their own and the system's for them.
    pub cpu: Duration,
    /// The resident memory, in bytes, of the largest one at its peak, not the sum over several at once. `None` where
    /// it was so little that the system does not distinguish it from this program's own.
    pub peak_memory: Option<u64>,
}

impl std::ops::AddAssign for ProcessUsage {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.peak_memory = self.peak_memory.max(other.peak_memory);
    }
}

/// How the command of an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Exited(i32),
    /// By a signal that came from elsewhere; [`signal_name`] names it.
    Signalled(i32),
    TimedOut,
    Cancelled,
    /// What was tried, why it failed and how to mend it.
    NotStarted(String),
    /// The attempt's views cannot be shown on this system, and why. Nothing of the command ran.
    NoViews(String),
    /// The command ended, but its result cannot be trusted, and why: what it printed could not be written, or
    /// a process that it left behind could not be ended.
    Unsound(String),
    /// A job of a batch system that left no record of a good end.
    Job(batch::JobFault),
}

/// How urgently attempts are called off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    #[default]
    None,
    /// TERM, then KILL after the attempt's grace.
    Terminate,
    /// KILL at once.
    Kill,
}

/// Calls attempts off. All clones are one handle.
#[derive(Clone, Default)]
pub struct Cancel(Arc<watch::Sender<Level>>);

impl Cancel {
    /// Raises the level to `level`; it never sinks.
    pub fn raise(&self, level: Level) {
        self.0.send_if_modified(|current| {
            let higher = level > *current;
            *current = level.max(*current);
            higher
        });
    }

    /// The level now.
    pub fn level(&self) -> Level {
        *self.0.borrow()
    }

    /// Waits until the level is `level` or higher.
    pub async fn reached(&self, level: Level) {
        // This handle holds a sender itself, so the channel cannot close while it waits.
        let _ = self.0.subscribe().wait_for(|current| *current >= level).await;
    }
}

/// The name of a signal, as in `SIGKILL`; `signal 40` for one without a name.
pub fn signal_name(signal: i32) -> String {
    const NAMES: [(Signal, &str); 20] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::VTALARM, "SIGVTALRM"),
        (Signal::PROF, "SIGPROF"),
        (Signal::SYS, "SIGSYS"),
    ];
    match NAMES.iter().find(|(known, _)| known.as_raw() == signal) {
        Some((_, name)) => (*name).into(),
        None => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_rises_only_and_wakes_all_clones() {
        let cancel = Cancel::default();
        let clone = cancel.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let waiter = tokio::spawn(async move { clone.reached(Level::Terminate).await });
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished());
            cancel.raise(Level::Kill);
            waiter.await.unwrap();
            cancel.raise(Level::Terminate);
            assert_eq!(cancel.level(), Level::Kill);
        });
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(15), "SIGTERM");
        assert_eq!(signal_name(40), "signal 40");
    }
}
