//! Attempts that are forked from a warm process, where starting their program anew would take longer.
//!
//! A fork server is a program that has loaded what many attempts need. Each attempt is then a process of its own, which leads
//! a process group as any command does: timeouts, signals, what it leaves running and what it used are the same. There is one
//! server for each program and environment of a run. One that cannot be had, or that ends before it has forked, is no
//! failure: the attempt's own program is started instead.

mod forked;
mod server;
mod wire;
mod worker;

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::Pid;
use tokio::net::UnixStream;
use tokio::time::Instant;

use self::forked::ForkedProcess;
use self::server::ForkServer;
use self::worker::{IdleWorkers, Worker, WorkerCall};
use super::children::enter;
use super::ending::expired;
use super::pump::{Pump, finish};
use super::reap::EndedProcess;
use super::tree::Tree;
use super::wiring::{Wired, wire_files};
use super::{Attempt, Cancel, End, Level};
use crate::core::lock::lock;

/// How an attempt is forked.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The program of the server and its arguments.
    pub server: Vec<String>,
    /// What the server loads before it forks; it knows the names.
    pub preload: Vec<String>,
    /// The file that says what is to be called.
    pub call: PathBuf,
    /// Attempts of the same kind may be made by one process, one after the other.
    pub kind: Option<String>,
}

/// Variables that differ between the attempts of a run: a server is started without them.
const OF_AN_ATTEMPT: [&str; 7] = [
    "OUT",
    "RUNNER_INPUTS",
    "RUNNER_NODE",
    "RUNNER_INDEX",
    "RUNNER_ATTEMPT",
    "RUNNER_WORKFLOW_DIR",
    "RUNNER_WORKFLOW",
];
/// Maximum servers of a run: each holds the memory of what it has loaded.
const MAX_SERVERS: usize = 8;
/// Maximum starts of one server: one that ends again and again is of no use.
const MAX_STARTS: u32 = 3;

/// An attempt that was forked.
pub struct ForkStarted {
    pub command: ForkedCommand,
    pub tree: Tree,
    /// Where there are secrets.
    pub pumps: Vec<Pump>,
}

/// The process of an attempt that was forked.
pub enum ForkedCommand {
    /// It ends with the attempt.
    Once(ForkedProcess),
    Worker(Box<WorkerCall>),
}

impl ForkedCommand {
    /// Waits for its end. May be dropped and called again until it has said how it ended.
    ///
    /// # Errors
    /// How it ended is not known.
    pub async fn wait(&mut self) -> io::Result<EndedProcess> {
        match self {
            Self::Once(forked) => forked.wait().await,
            Self::Worker(call) => call.wait().await,
        }
    }

    /// Whether the process goes on although its attempt has ended well.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Worker(call) if call.is_done())
    }

    /// Lets a process that goes on wait for the next attempt.
    pub fn keep(self) {
        if let Self::Worker(call) = self {
            call.keep();
        }
    }
}

/// A program and its environment.
type Warm = (Vec<String>, Vec<(OsString, OsString)>);

/// The servers of a run.
#[derive(Default)]
pub struct ForkServers(Mutex<HashMap<Warm, KnownServer>>);

struct KnownServer {
    /// `None` where it could not be started.
    server: Option<Arc<ForkServer>>,
    /// Workers that it forked.
    idle: Arc<IdleWorkers>,
    starts: u32,
}

impl ForkServers {
    /// Forks `attempt`; `None` where it has to be started by its program.
    ///
    /// # Errors
    /// It was called off, or out of time at `deadline`, before there was a process of it.
    pub async fn start(
        &self,
        attempt: &Attempt,
        fork: &Fork,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Option<ForkStarted>, End> {
        let Some((server, idle)) = self.server(attempt, fork) else { return Ok(None) };
        // The start by the program says what is wrong.
        let Ok(Wired { stdout, stderr, pumps }) = wire_files(attempt) else { return Ok(None) };
        let files = [stdout.as_fd(), stderr.as_fd()];
        let command = tokio::select! {
            biased;
            command = begin(&server, &idle, attempt, fork, &files) => command,
            () = cancel.reached(Level::Terminate) => {
                server.abandon(attempt.out.as_os_str()).await;
                return Err(End::Cancelled);
            }
            () = expired(deadline) => {
                server.abandon(attempt.out.as_os_str()).await;
                return Err(End::TimedOut);
            }
        };
        drop((stdout, stderr));
        let Some((pid, command)) = command else {
            if server.is_gone() {
                server.settle(attempt.out.as_os_str()).await;
            }
            let _ = finish(pumps).await;
            return Ok(None);
        };
        let Ok((entry, ..)) = enter(attempt.out.as_os_str(), || Ok::<_, Infallible>((pid, ())));
        let tree = Tree::new(entry, pid, attempt.out.clone().into());
        Ok(Some(ForkStarted { command, tree, pumps }))
    }

    /// The server for an attempt, which is started if it does not run.
    fn server(&self, attempt: &Attempt, fork: &Fork) -> Option<(Arc<ForkServer>, Arc<IdleWorkers>)> {
        let is_own = |name: &OsString| OF_AN_ATTEMPT.iter().any(|own| *name == **own);
        let env: Vec<_> = attempt.env.iter().filter(|(name, _)| !is_own(name)).cloned().collect();
        let warm = (fork.server.clone(), env);
        let mut known = self.known();
        if known.len() >= MAX_SERVERS && !known.contains_key(&warm) {
            return None;
        }
        let start = |starts: u32| KnownServer {
            server: ForkServer::start(&warm.0, &warm.1).ok().map(Arc::new),
            idle: Arc::default(),
            starts,
        };
        let found = known.entry(warm.clone()).or_insert_with(|| start(1));
        if found.server.as_ref().is_some_and(|server| server.is_gone()) && found.starts < MAX_STARTS {
            *found = start(found.starts + 1);
        }
        let server = found.server.clone().filter(|server| !server.is_gone())?;
        Some((server, Arc::clone(&found.idle)))
    }

    /// Ends all servers, and whatever they forked that has not ended.
    pub async fn close(&self) {
        let known = std::mem::take(&mut *self.known());
        for server in known.into_values().filter_map(|known| known.server) {
            server.close().await;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Warm, KnownServer>> {
        lock(&self.0)
    }
}

/// Has a process begin with the attempt: one that waits for it, else a new one.
async fn begin(
    server: &ForkServer,
    idle: &Arc<IdleWorkers>,
    attempt: &Attempt,
    fork: &Fork,
    files: &[BorrowedFd<'_>; 2],
) -> Option<(Pid, ForkedCommand)> {
    let Some(kind) = &fork.kind else {
        let forked = server.fork(|id| request(id, attempt, fork), files).await?;
        return Some((forked.pid, ForkedCommand::Once(forked)));
    };
    let called = |worker: Worker| {
        let call = WorkerCall::new(worker, Arc::clone(idle), kind.clone());
        ForkedCommand::Worker(Box::new(call))
    };
    while let Some(worker) = idle.take(kind) {
        // One that has ended meanwhile is forgotten.
        if worker.ask(&request(0, attempt, fork), files).await.is_ok() {
            return Some((worker.pid(), called(worker)));
        }
    }
    let (ours, theirs) = pair().ok()?;
    let [stdout, stderr] = *files;
    let forked = server.fork(|id| request(id, attempt, fork), &[stdout, stderr, theirs.as_fd()]).await?;
    Some((forked.pid, called(Worker::new(forked, ours))))
}

/// A socket of ours, and one that the other side waits on.
fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// What a server is asked: number, folder, call, what to load, and the variables of the attempt alone.
fn request(id: u64, attempt: &Attempt, fork: &Fork) -> Vec<OsString> {
    let mut fields: Vec<OsString> = vec![id.to_string().into(), attempt.dir.clone().into()];
    fields.push(fork.call.clone().into());
    fields.push(fork.preload.join(",").into());
    for name in OF_AN_ATTEMPT {
        if let Some((name, value)) = attempt.env.iter().rev().find(|(known, _)| *known == *name) {
            let mut variable = name.clone();
            variable.push("=");
            variable.push(value);
            fields.push(variable);
        }
    }
    fields
}
