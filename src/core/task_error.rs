//! Why an attempt failed, as events and the history carry it.
//!
//! Knows neither the attempt nor how an error is shown.

use serde::{Deserialize, Serialize};

use crate::core::inert::inert;

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    pub kind: TaskErrorKind,
    /// One or more sentences for a person.
    pub message: String,
    pub exit_code: Option<i32>,
    /// The path of the attempt's log.
    pub log: Option<String>,
    /// The last lines of the log.
    pub tail: Vec<String>,
}

impl TaskError {
    /// An error that has no process behind it.
    pub fn new(kind: TaskErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), exit_code: None, log: None, tail: Vec::new() }
    }

    /// The error in one line: `exit 3`, else the first line of its message. Without characters that a terminal acts upon.
    pub fn gist(&self) -> String {
        match (self.kind, self.exit_code) {
            (TaskErrorKind::Exit, Some(code)) => format!("exit {code}"),
            (kind, _) => match self.message.lines().find(|line| !line.trim().is_empty()) {
                Some(line) => inert(line.trim_end()).into_owned(),
                None => kind.to_string(),
            },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskErrorKind {
    /// A non-zero exit code.
    Exit,
    /// Ended by a signal.
    Signal,
    Timeout,
    /// An output is missing, of the wrong kind, or does not parse.
    Output,
    /// An input could not be brought to the task, or the task changed it.
    Input,
    /// The command could not be started.
    Spawn,
    Cancelled,
    /// A batch system lost the job, each time that it was done again.
    Lost,
}
