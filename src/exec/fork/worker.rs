//! A forked process that makes one attempt after the other, as long as each ends well and leaves nothing behind.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::Pid;
use tokio::net::UnixStream;

use super::forked::ForkedProcess;
use super::wire::{read_usage, send};
use crate::core::lock::lock;
use crate::exec::ProcessUsage;
use crate::exec::reap::EndedProcess;

/// A worker and the socket over which it is asked.
pub struct Worker {
    process: ForkedProcess,
    stream: UnixStream,
    /// What it had used when it was asked last.
    before: ProcessUsage,
}

impl Worker {
    pub fn new(process: ForkedProcess, stream: UnixStream) -> Self {
        Self { process, stream, before: ProcessUsage::default() }
    }

    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Asks for the next attempt.
    ///
    /// # Errors
    /// The worker is gone.
    pub async fn ask(&self, fields: &[OsString], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(&self.stream, fields, files).await
    }
}

/// Workers that wait for the next attempt, by what they do.
#[derive(Default)]
pub struct IdleWorkers(Mutex<HashMap<String, Vec<Worker>>>);

impl IdleWorkers {
    /// One of this kind.
    pub fn take(&self, kind: &str) -> Option<Worker> {
        self.waiting().get_mut(kind)?.pop()
    }

    fn keep(&self, kind: String, worker: Worker) {
        self.waiting().entry(kind).or_default().push(worker);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Vec<Worker>>> {
        lock(&self.0)
    }
}

/// An attempt that a worker makes.
pub struct WorkerCall {
    worker: Worker,
    /// Where the worker waits for the next attempt of its kind.
    idle: Arc<IdleWorkers>,
    kind: String,
    said: Vec<u8>,
    /// Whether the worker said that this attempt has ended well.
    is_done: bool,
}

impl WorkerCall {
    pub fn new(worker: Worker, idle: Arc<IdleWorkers>, kind: String) -> Self {
        Self { worker, idle, kind, said: Vec::new(), is_done: false }
    }

    /// Whether the worker has made the attempt and goes on.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Lets the worker wait for the next attempt.
    pub fn keep(self) {
        self.idle.keep(self.kind, self.worker);
    }

    /// Waits for the end of the attempt; once that is known, for the end of the worker. May be dropped and called again.
    ///
    /// # Errors
    /// How it ended is not known.
    pub async fn wait(&mut self) -> io::Result<EndedProcess> {
        if !self.is_done {
            // A worker that fails ends: its server says how.
            if let Some(usage) = heard(&self.worker.stream, &mut self.said).await {
                self.is_done = true;
                let cpu = usage.cpu.saturating_sub(self.worker.before.cpu);
                self.worker.before = usage;
                let usage = ProcessUsage { cpu, ..usage };
                return Ok(EndedProcess { status: ExitStatus::from_raw(0), usage });
            }
        }
        self.worker.process.wait().await
    }
}

/// What the worker has used, once it says that it is done; `None` at its end.
async fn heard(stream: &UnixStream, said: &mut Vec<u8>) -> Option<ProcessUsage> {
    let mut buffer = [0; 256];
    loop {
        stream.readable().await.ok()?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(n) => said.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        }
        if let Some(line) = said.strip_suffix(b"\n") {
            return read_usage(std::str::from_utf8(line).ok()?);
        }
    }
}
