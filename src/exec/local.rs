//! The executor of this machine: one process tree for each attempt.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::children::adopt_orphans;
use super::ending::{end, expired, gone_within};
use super::fork::{ForkServers, ForkStarted};
use super::pump::finish;
use super::spawn::{explain_late, start};
use super::started::{Running, Started};
use super::views::NotEntered;
use super::{Attempt, Cancel, End, Executor, Level, Outcome, ProcessUsage, Views};

/// Time that processes have to end by themselves after the command: the `tee` of a shell's `>(tee file)`
/// still has a last line to write.
const SETTLE: Duration = Duration::from_millis(250);

/// Runs attempts as processes of this machine.
///
/// Its futures must be polled to their end; the process of one that is dropped is left to
/// [`super::sweep_strays`]. Starting a process blocks the thread that polls for about 0.1 ms, so each is best
/// polled by a task of its own on a runtime with several threads.
pub struct Local {
    servers: Option<Arc<ForkServers>>,
}

impl Local {
    /// From the first call on, orphaned descendants of this process are handed to it.
    pub fn new() -> Self {
        adopt_orphans();
        Self { servers: None }
    }

    /// One that forks attempts where they can be forked. Who calls this closes `servers` when the last attempt has ended.
    pub fn forking(servers: Arc<ForkServers>) -> Self {
        let mut local = Self::new();
        local.servers = Some(servers);
        local
    }

    async fn begin(
        &self,
        attempt: &Attempt,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Started, End> {
        // What a command sees of its own it is shown before its program begins.
        if let (Some(servers), Some(fork), None) = (&self.servers, &attempt.fork, &attempt.views)
            && let Some(ForkStarted { command, tree, pumps }) =
                servers.start(attempt, fork, deadline, cancel).await?
        {
            return Ok(Started { command: Running::Forked(command), tree, pumps });
        }
        start(attempt).await.map_err(End::NotStarted)
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor for Local {
    async fn run(&self, attempt: Attempt, cancel: Cancel) -> Outcome {
        let begin = Instant::now();
        // One that is too far away for the clock never comes.
        let deadline = attempt.timeout.and_then(|timeout| begin.checked_add(timeout));
        let never = |end| Followed { end, leftovers: 0, usage: None };
        let Followed { end, leftovers, usage } = if cancel.level() > Level::None {
            never(End::Cancelled)
        } else {
            match self.begin(&attempt, deadline, &cancel).await {
                Ok(started) => {
                    let followed = follow(started, &attempt, deadline, &cancel).await;
                    match followed.end {
                        End::Exited(_) => reached(followed, &attempt),
                        _ => followed,
                    }
                }
                Err(end) => never(end),
            }
        };
        Outcome { end, duration: begin.elapsed(), leftovers, usage }
    }
}

/// What became of a command that had to be reached through its views first.
fn reached(followed: Followed, attempt: &Attempt) -> Followed {
    let end = match attempt.views.as_ref().and_then(Views::failure) {
        None => return followed,
        Some(NotEntered::NoViews(problem)) => End::NoViews(problem),
        Some(NotEntered::NotStarted(errno)) => End::NotStarted(explain_late(attempt, errno)),
    };
    Followed { end, leftovers: 0, usage: None }
}

/// What became of a command: its [`Outcome`] but for the time.
struct Followed {
    end: End,
    leftovers: usize,
    usage: Option<ProcessUsage>,
}

/// Follows a command until no process of it is left.
async fn follow(started: Started, attempt: &Attempt, deadline: Option<Instant>, cancel: &Cancel) -> Followed {
    let Started { mut command, mut tree, pumps } = started;
    let called_off = tokio::select! {
        biased;
        ended = command.wait() => Err(ended),
        () = cancel.reached(Level::Terminate) => Ok(End::Cancelled),
        () = expired(deadline) => Ok(End::TimedOut),
    };
    let mut usage = None;
    let (verdict, leftovers, survivors) = match called_off {
        Err(Ok(ended)) if command.goes_on() => {
            usage = Some(ended.usage);
            let find = || tree.others();
            let (leftovers, survivors) = match find().is_empty() || settled(&find, cancel).await {
                true => {
                    command.keep();
                    (0, 0)
                }
                // A process that leaves something behind makes no other attempt.
                false => {
                    let leftovers = find().len();
                    let all = || tree.processes();
                    (leftovers, end(all, Some(tree.group), attempt.grace, cancel).await)
                }
            };
            (verdict(ended.status), leftovers, survivors)
        }
        Err(ended) => {
            tree.reaped();
            let find = || tree.processes();
            let (leftovers, survivors) = if tree.is_empty() || settled(&find, cancel).await {
                (0, 0)
            } else {
                (find().len(), end(find, Some(tree.group), attempt.grace, cancel).await)
            };
            let verdict = match ended {
                Ok(ended) => {
                    usage = Some(ended.usage);
                    verdict(ended.status)
                }
                Err(error) => End::Unsound(format!("the command's end was missed: {error}")),
            };
            (verdict, leftovers, survivors)
        }
        Ok(verdict) => {
            let survivors = end(|| tree.processes(), Some(tree.group), attempt.grace, cancel).await;
            if survivors == 0 {
                // It is dead, so this does not wait; how it died does not matter.
                usage = command.wait().await.ok().map(|ended| ended.usage);
                tree.reaped();
            }
            (verdict, 0, survivors)
        }
    };
    if let Some(usage) = &mut usage {
        *usage += tree.used_by_strays();
    }
    let printed = finish(pumps).await;
    let trouble = match (survivors, printed) {
        (0, Ok(())) => return Followed { end: verdict, leftovers, usage },
        (0, Err(error)) => format!("what the command printed could not be written: {error}"),
        (count, _) => format!(
            "{count} of the command's processes could not be ended: they are another user's, or stuck in the kernel"
        ),
    };
    let end = match verdict {
        // A command whose pipe is gone may end by SIGPIPE: that is not the cause.
        End::Exited(0) | End::Signalled(_) => End::Unsound(trouble),
        failed => failed,
    };
    Followed { end, leftovers, usage }
}

/// Whether what is left ends by itself within a moment.
async fn settled(find: &impl Fn() -> Vec<super::process::Process>, cancel: &Cancel) -> bool {
    tokio::select! {
        gone = gone_within(SETTLE, find) => gone,
        () = cancel.reached(Level::Terminate) => false,
    }
}

fn verdict(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Signalled(signal),
        (None, None) => End::Unsound(format!("the command ended in an unknown way: {status}")),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
