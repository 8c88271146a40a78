//! Locks of whole runs: of `--lock NAME` and of `exclusive` in a workflow file at most one run at a time goes on.
//!
//! A lock is one of the home's (`storage::locks`), so it ends with its holder however that dies, and keeps runs of one
//! process apart as well. It is taken before the home is opened for writing: a run that waits holds nothing that a
//! collection would have to spare, and once it begins it sweeps up what a killed holder left.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Error;
use super::prepare::PreparedRun;
use crate::core::digest::Digest;
use crate::core::event::{Event, LockBusy};
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::{LockMode, LockRequest};
use crate::engine::Interrupt;
use crate::storage::home::Home;
use crate::storage::locks::{HeldLock, Holder, LockTry, Locks};

/// The time between two attempts to take a lock that another run holds.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum attempts to learn who holds a lock: its holder may be about to write its name.
const MAX_NAME_LOOKS: u32 = 50;
/// What stands in the place of a node in the note of a run's lock.
const WHOLE_RUN: &str = "*";

/// A run's right to begin: its id, and the locks that it holds until its end.
pub struct RunTurn {
    pub run: RunId,
    pub locks: Vec<HeldLock>,
}

/// How taking the locks of a run ended.
pub enum Turn {
    Taken(RunTurn),
    /// Another run holds one, and this one does not want to wait.
    Skipped,
    Interrupted(Interrupt),
}

/// One lock of a run.
#[derive(Debug, PartialEq, Eq)]
struct RunLock {
    /// For people.
    shown: String,
    key: Digest,
    busy: LockMode,
}

/// Takes the locks of a prepared run that has this id. `listeners` hear for whom it waits, or because of whom it is skipped.
///
/// # Errors
/// The home or its locks cannot be used.
pub async fn take_turn(
    run: RunId,
    prepared: &PreparedRun,
    home: Option<&Path>,
    listeners: &mut [Box<dyn Reporter>],
    interrupts: &mut UnboundedReceiver<Interrupt>,
) -> Result<Turn, Error> {
    let wanted = locks_of(prepared);
    if wanted.is_empty() {
        return Ok(Turn::Taken(RunTurn { run, locks: Vec::new() }));
    }
    let home = Home::locate(home).map_err(Error::store)?;
    home.create().map_err(Error::store)?;
    let locks = Locks::open(home.path()).map_err(|error| Error::store(error.to_string()))?;
    let holder = Holder { run, node: WHOLE_RUN.into() };
    let mut held = Vec::new();
    // Always in the same order: first the workflow's own lock. No two runs wait for each other.
    for lock in wanted {
        let mut told = None;
        let mut nameless = 0;
        loop {
            let attempt = locks
                .try_take(&lock.key, &holder)
                .map_err(|error| Error::store(format!("the lock {} cannot be taken: {error}", lock.shown)))?;
            let other = match attempt {
                LockTry::Taken(taken) => {
                    held.push(taken);
                    break;
                }
                LockTry::Busy(other) => other.map(|other| other.run),
            };
            nameless += u32::from(other.is_none());
            let is_known = other.is_some() || nameless >= MAX_NAME_LOOKS;
            if is_known && told.as_ref() != Some(&other) {
                let busy = LockBusy { time: Timestamp::now(), lock: lock.shown.clone(), holder: other };
                let event = match lock.busy {
                    LockMode::Skip => Event::RunSkipped(busy),
                    LockMode::Wait => Event::RunWaiting(busy),
                };
                let line = event.to_line();
                listeners.iter_mut().for_each(|listener| listener.event(&event, &line));
                if lock.busy == LockMode::Skip {
                    return Ok(Turn::Skipped);
                }
                told = Some(other);
            }
            tokio::select! {
                Some(interrupt) = interrupts.recv() => return Ok(Turn::Interrupted(interrupt)),
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
    }
    Ok(Turn::Taken(RunTurn { run, locks: held }))
}

/// The locks of a run, in the order in which they are taken.
fn locks_of(prepared: &PreparedRun) -> Vec<RunLock> {
    let (scope, workflow) = (&prepared.scope, &prepared.opened.workflow);
    let own = workflow.exclusive.map(|busy| RunLock {
        shown: format!("of workflow {} in {}/{}", workflow.name, scope.project, scope.domain),
        key: key(&["workflow", &scope.project, &scope.domain, &workflow.name]),
        busy,
    });
    let named = prepared.request.lock.as_ref().map(|LockRequest { name, busy }| RunLock {
        shown: name.clone(),
        key: key(&["name", name]),
        busy: *busy,
    });
    own.into_iter().chain(named).collect()
}

/// The key of a lock, which no work and no other lock has.
fn key(parts: &[&str]) -> Digest {
    let framed: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    Digest::of(format!("runner run lock\n{framed}"))
}
