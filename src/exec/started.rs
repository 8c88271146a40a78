//! A command that was started, of this program's own or forked by a server.

use std::io;

use super::fork::ForkedCommand;
use super::pump::Pump;
use super::reap::{CommandProcess, EndedProcess};
use super::tree::Tree;

pub struct Started {
    pub command: Running,
    pub tree: Tree,
    /// Where there are secrets.
    pub pumps: Vec<Pump>,
}

/// The process of a command.
pub enum Running {
    Own(CommandProcess),
    Forked(ForkedCommand),
}

impl Running {
    /// Waits for its end. May be dropped and called again until it has said how it ended.
    ///
    /// # Errors
    /// How it ended is not known.
    pub async fn wait(&mut self) -> io::Result<EndedProcess> {
        match self {
            Self::Own(command) => command.wait().await,
            Self::Forked(forked) => forked.wait().await,
        }
    }

    /// Whether the process goes on although its attempt has ended well.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Forked(forked) if forked.goes_on())
    }

    /// Lets a process that goes on wait for the next attempt.
    pub fn keep(self) {
        if let Self::Forked(forked) = self {
            forked.keep();
        }
    }
}
