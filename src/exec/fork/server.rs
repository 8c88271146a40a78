//! One fork server: its process, the requests to it, and its answers.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::net::UnixStream;
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};

use super::forked::ForkedProcess;
use super::wire::{ServerAnswer, send};
use crate::core::lock::lock;
use crate::exec::children::{LiveEntry, enter, strays};
use crate::exec::ending::end;
use crate::exec::process::has_variable;
use crate::exec::reap::{CommandProcess, EndedProcess};
use crate::exec::{Cancel, Level};

/// How long a server has to end by itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// Room for the variable `OUT` of an attempt where the system shows that of the server.
const OUT_BYTES: usize = 1024;

/// A server that runs, or has run.
pub struct ForkServer {
    pid: Pid,
    /// The value of its own variable `OUT`.
    out: OsString,
    stream: Arc<UnixStream>,
    /// Held while a request is sent.
    turn: AsyncMutex<()>,
    requests: Arc<Mutex<Requests>>,
    /// Whether its process is gone.
    gone: watch::Receiver<bool>,
}

/// The requests that have not been answered to the end.
#[derive(Default)]
struct Requests {
    /// No answer comes any more.
    closed: bool,
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

struct Waiting {
    started: Option<oneshot::Sender<Option<Pid>>>,
    ended: oneshot::Sender<EndedProcess>,
}

impl ForkServer {
    /// Starts a server; whether it is of any use shows later. To be called on a runtime.
    ///
    /// # Errors
    /// There is no program, or the system has no processes or descriptors left.
    pub fn start(program: &[String], env: &[(OsString, OsString)]) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (name, args) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = Arc::new(UnixStream::from_std(ours)?);
        let own = format!("fork-server-{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let out = OsString::from(format!("{own:-<OUT_BYTES$}"));
        let spawn = || {
            let spawned = Command::new(name)
                .args(args)
                .env_clear()
                .envs(env.iter().map(|(name, value)| (name, value)))
                .env("OUT", &out)
                .current_dir("/")
                .process_group(0)
                .stdin(OwnedFd::from(theirs))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let pid = Pid::from_child(&spawned);
            Ok::<_, io::Error>((pid, CommandProcess::new(pid)))
        };
        let (entry, pid, process) = enter(&out, spawn)?;
        let requests = Arc::<Mutex<Requests>>::default();
        let (over, gone) = watch::channel(false);
        let (heard, asked) = (Arc::clone(&stream), Arc::clone(&requests));
        tokio::spawn(async move {
            listen(&heard, &asked).await;
            lock(&asked).closed = true;
            bury(pid, process, entry).await;
            // Who still waits learns it by the end of its channel.
            lock(&asked).waiting.clear();
            let _ = over.send(true);
        });
        Ok(Self { pid, out, stream, turn: AsyncMutex::default(), requests, gone })
    }

    /// Whether it takes no requests any more.
    pub fn is_gone(&self) -> bool {
        lock(&self.requests).closed
    }

    /// Asks for a process; `None` where there is none. `request` makes the message from the number of the request.
    pub async fn fork(
        &self,
        request: impl FnOnce(u64) -> Vec<OsString>,
        files: &[BorrowedFd<'_>],
    ) -> Option<ForkedProcess> {
        let ((started, start), (ended, end)) = (oneshot::channel(), oneshot::channel());
        let id = {
            let mut requests = lock(&self.requests);
            if requests.closed {
                return None;
            }
            requests.last += 1;
            let id = requests.last;
            requests.waiting.insert(id, Waiting { started: Some(started), ended });
            id
        };
        {
            let _turn = self.turn.lock().await;
            if send(&self.stream, &request(id), files).await.is_err() {
                lock(&self.requests).waiting.remove(&id);
                return None;
            }
        }
        let pid = start.await.ok().flatten()?;
        Some(ForkedProcess::new(pid, end))
    }

    /// Ends the server because the request for the attempt that is known by `out` must not be answered any more.
    pub async fn abandon(&self, out: &OsStr) {
        let _ = kill_process(self.pid, Signal::KILL);
        self.settle(out).await;
    }

    /// Once the server has ended: ends what it may have forked without a word for the attempt that is known by `out`.
    pub async fn settle(&self, out: &OsStr) {
        self.is_over().await;
        let find = || {
            let mut found = strays();
            found.retain(|stray| [out, &self.out].iter().any(|out| has_variable(stray.pid, "OUT", out)));
            found
        };
        let at_once = Cancel::default();
        at_once.raise(Level::Kill);
        end(find, None, Duration::ZERO, &at_once).await;
    }

    /// Ends it and every group that it made.
    pub async fn close(&self) {
        let _ = shutdown(&*self.stream, Shutdown::Write);
        if tokio::time::timeout(PATIENCE, self.is_over()).await.is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
            self.is_over().await;
        }
    }

    async fn is_over(&self) {
        // The sender says so before it goes.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }
}

/// Hears answers until there are no more.
async fn listen(stream: &UnixStream, requests: &Mutex<Requests>) {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => text.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { continue };
        let lines: Vec<u8> = text.drain(..=end).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            // It speaks another language: it is of no use.
            let Some(answer) = ServerAnswer::read(line) else { return };
            take(requests, answer);
        }
    }
}

fn take(requests: &Mutex<Requests>, answer: ServerAnswer) {
    let mut requests = lock(requests);
    match answer {
        ServerAnswer::Started(id, pid) => {
            let started = requests.waiting.get_mut(&id).and_then(|waiting| waiting.started.take());
            if started.is_none_or(|started| started.send(Some(pid)).is_err()) {
                // Nobody waits for it any more.
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        ServerAnswer::Failed(id) => {
            requests.waiting.remove(&id);
        }
        ServerAnswer::Ended(id, ended) => {
            if let Some(waiting) = requests.waiting.remove(&id) {
                let _ = waiting.ended.send(ended);
            }
        }
    }
}

/// Waits for the end of a server that says nothing any more. Its children are ours from then on.
async fn bury(pid: Pid, mut process: CommandProcess, entry: LiveEntry) {
    if tokio::time::timeout(PATIENCE, process.wait()).await.is_err() {
        let _ = kill_process(pid, Signal::KILL);
        let _ = process.wait().await;
    }
    entry.reaped();
}
