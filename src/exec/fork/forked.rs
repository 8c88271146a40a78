//! A process that a server forked, until its end.

use std::io;

use rustix::process::Pid;
use tokio::sync::oneshot;

use crate::exec::reap::{CommandProcess, EndedProcess};

/// A process that a server forked.
pub struct ForkedProcess {
    pub pid: Pid,
    ended: oneshot::Receiver<EndedProcess>,
    /// Once its server is gone: it was handed to this process then.
    own: Option<CommandProcess>,
}

impl ForkedProcess {
    /// `ended` says how it ended, unless its server ends before.
    pub fn new(pid: Pid, ended: oneshot::Receiver<EndedProcess>) -> Self {
        Self { pid, ended, own: None }
    }

    /// Waits for its end. May be dropped and called again until it has said how it ended.
    ///
    /// # Errors
    /// Its end is not known: its server ended after it, and did not say.
    pub async fn wait(&mut self) -> io::Result<EndedProcess> {
        if self.own.is_none()
            && let Ok(ended) = (&mut self.ended).await
        {
            return Ok(ended);
        }
        self.own.get_or_insert_with(|| CommandProcess::new(self.pid)).wait().await
    }
}
