//! Delivery of messages: tries, the time between them, and the thread that makes them.
//!
//! A message that is not delivered yet outlives the process: the next process that delivers goes on with it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::channels::{Outgoing, send};
use crate::core::notify::NotifyRule;
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::storage::db;
use crate::storage::home::Home;
use crate::storage::outbox::{self, LeasedMessage, TryResult};

/// Maximum messages that are sent at the same time.
const MAX_AT_ONCE: usize = 16;
/// Maximum time that a delivery thread sleeps: another process may have written a message down.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// The waits between tries; there is one try more than waits.
#[derive(Clone, Debug)]
pub struct DeliveryPace {
    pub waits: Vec<Duration>,
}

impl Default for DeliveryPace {
    fn default() -> Self {
        Self { waits: vec![Duration::from_secs(5), Duration::from_secs(30)] }
    }
}

/// A message that did not reach its receiver this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFault {
    /// The key of the rule.
    pub rule: String,
    pub fault: String,
    /// Whether it is tried again.
    pub goes_on: bool,
}

/// What is left of the messages of a run.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Messages that whoever delivers next goes on with.
    pub left: u64,
    /// Messages that were given up, and those that are left.
    pub faults: Vec<DeliveryFault>,
}

/// Sends the messages of a run, with what is due besides, until none of them is left or `at_most` has passed.
///
/// # Errors
/// The home cannot be read or written.
pub fn deliver_run(
    home: Option<&Path>,
    run: RunId,
    pace: &DeliveryPace,
    at_most: Duration,
) -> Result<Delivered, Error> {
    let home = Home::locate(home).map_err(Error::store)?;
    let mut db = open(home.path())?;
    let begun = Instant::now();
    let mut delivered = Delivered::default();
    loop {
        for (rule, result) in deliver_due(&mut db, pace).map_err(Error::history)? {
            delivered.faults.retain(|fault| fault.rule != rule);
            if let TryResult::Failed { error, again } = result {
                delivered.faults.push(DeliveryFault { rule, fault: error, goes_on: again.is_some() });
            }
        }
        delivered.left = outbox::left_of_run(&db, run.as_str()).map_err(Error::history)?;
        let remaining = at_most.saturating_sub(begun.elapsed());
        let next = outbox::next_due(&db).map_err(Error::history)?;
        let (1.., Some(next)) = (delivered.left, next) else { return Ok(delivered) };
        let wait = until(next);
        if wait >= remaining {
            return Ok(delivered);
        }
        thread::sleep(wait);
    }
}

/// A thread that delivers messages whenever there are some.
pub struct Deliverer {
    wake: Sender<()>,
    thread: JoinHandle<()>,
}

impl Deliverer {
    /// Starts the thread, which begins with what an earlier process left. The database of `home` exists.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(home: &Path, pace: DeliveryPace) -> std::io::Result<Self> {
        let (wake, woken) = channel();
        let home = home.to_owned();
        let thread = thread::Builder::new()
            .name("deliveries".into())
            .spawn(move || deliver_always(&home, &pace, &woken))?;
        Ok(Self { wake, thread })
    }

    /// Says that messages were written down.
    pub fn wake(&self) {
        // A thread that has ended delivers nothing, and the messages stay.
        let _ = self.wake.send(());
    }

    /// Ends the thread after what it is sending now, and waits for that at most for `at_most`. What is left is for the next
    /// process.
    pub fn stop(self, at_most: Duration) {
        drop(self.wake);
        let begun = Instant::now();
        while !self.thread.is_finished() && begun.elapsed() < at_most {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn deliver_always(home: &Path, pace: &DeliveryPace, woken: &Receiver<()>) {
    loop {
        // The database is open only while messages are sent. What cannot be read is tried again later.
        let next = open(home).ok().and_then(|mut db| {
            deliver_due(&mut db, pace).ok()?;
            outbox::next_due(&db).ok()?
        });
        let sleep = next.map_or(MAX_SLEEP, |next| until(next).min(MAX_SLEEP));
        match woken.recv_timeout(sleep.max(Duration::from_millis(1))) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn open(home: &Path) -> Result<Connection, Error> {
    db::open_writer(home).map_err(|error| Error::store(error.to_string()))
}

/// How long it is until then.
fn until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
}

/// Tries every message that is due once, side by side. The result of each, with the key of its rule.
fn deliver_due(db: &mut Connection, pace: &DeliveryPace) -> rusqlite::Result<Vec<(String, TryResult)>> {
    let mut results = Vec::new();
    loop {
        let leased = outbox::lease(db, Timestamp::now(), MAX_AT_ONCE)?;
        if leased.is_empty() {
            return Ok(results);
        }
        let tried: Vec<_> = thread::scope(|scope| {
            let tries: Vec<_> = leased
                .into_iter()
                .map(|message| {
                    let sent = thread::Builder::new().spawn_scoped(scope, {
                        let message = message.clone();
                        move || try_once(&message)
                    });
                    (message, sent)
                })
                .collect();
            tries
                .into_iter()
                .map(|(message, sent)| {
                    let sent = match sent.map(thread::ScopedJoinHandle::join) {
                        Ok(Ok(sent)) => sent,
                        Ok(Err(_)) => {
                            (String::new(), Err("sending it failed inside this program".to_owned()))
                        }
                        Err(error) => (String::new(), Err(format!("the system has no thread left: {error}"))),
                    };
                    (message, sent)
                })
                .collect()
        });
        for (message, (rule, sent)) in tried {
            let now = Timestamp::now();
            let result = match sent {
                Ok(()) => TryResult::Delivered,
                Err(error) => {
                    let wait = pace.waits.get(message.tries as usize);
                    let wait = wait.and_then(|wait| SignedDuration::try_from(*wait).ok());
                    TryResult::Failed { error, again: wait.map(|wait| now + wait) }
                }
            };
            outbox::record_try(db, message.id, &result, now)?;
            results.push((rule, result));
        }
    }
}

/// Sends a message once; the key of its rule, and how it went.
fn try_once(message: &LeasedMessage) -> (String, Result<(), String>) {
    let rule: NotifyRule = match serde_json::from_str(&message.target) {
        Ok(rule) => rule,
        Err(error) => return (String::new(), Err(format!("its rule cannot be read: {error}"))),
    };
    let workflow = PathBuf::from(&message.workflow);
    let outgoing = Outgoing {
        rule: &rule,
        document: &message.document,
        workflow: &workflow,
        environment: &|name| std::env::var_os(name),
    };
    (rule.key(), send(&outgoing))
}

#[cfg(test)]
mod tests;
