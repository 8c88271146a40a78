//! Ending processes: TERM, some time, KILL, until there are none.

use std::future::pending;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::process::{Process, signal};
use super::{Cancel, Level};

/// A process that stands KILL this long cannot be ended by us: it is stuck in the kernel, or another user's.
const UNKILLABLE: Duration = Duration::from_secs(30);

/// Maximum pause between two looks at the remaining processes.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// Ends what `find` finds, and what that starts meanwhile: TERM once, to `group` as a whole, and KILL after
/// `grace` or as soon as `cancel` demands it. How many could not be ended.
pub async fn end(
    find: impl Fn() -> Vec<Process>,
    group: Option<Pid>,
    grace: Duration,
    cancel: &Cancel,
) -> usize {
    if cancel.level() < Level::Kill {
        let running = find();
        signal(&running, group, Signal::TERM);
        // A stopped process does not see its TERM before it continues.
        signal(&running, group, Signal::CONT);
        tokio::select! {
            gone = gone_within(grace, &find) => if gone { return 0 },
            () = cancel.reached(Level::Kill) => {}
        }
    }
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let running = find();
        if running.is_empty() || begin.elapsed() > UNKILLABLE {
            return running.len();
        }
        signal(&running, group, Signal::KILL);
        sleep(pause).await;
        pause = MAX_PAUSE.min(pause * 2);
    }
}

/// Waits until `find` finds nothing, at most for `limit`; whether it came to that.
pub async fn gone_within(limit: Duration, find: &impl Fn() -> Vec<Process>) -> bool {
    let gone = async {
        let mut pause = Duration::from_millis(1);
        while !find().is_empty() {
            sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    };
    timeout(limit, gone).await.is_ok()
}

/// Waits until `deadline`, if there is one.
pub async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
