//! What is said of a command that failed: how it ended, and what mends it where the cause is plain.

use crate::exec::signal_name;

/// What is known of a command that ended with a code other than 0.
pub struct Ended<'a> {
    pub code: i32,
    /// The `PATH` that it had.
    pub path: &'a str,
    /// The last lines of its log.
    pub tail: &'a [String],
    /// Whether large inputs were shown to it in a view.
    pub has_views: bool,
}

/// What ends a command by SIGKILL when nobody else did.
pub const OUT_OF_MEMORY: &str = "where nobody sent it, the system was out of memory: `dmesg` says so, and \
    resources = { memory = \"...\" } keeps others from running beside the task";

impl Ended<'_> {
    pub fn message(&self) -> String {
        let mut message = self.code_message();
        if self.has_views && self.says("Device or resource busy") {
            message.push_str(
                "; a large input is mounted here and can be neither moved nor removed: copy it instead, or set \
                 stage = \"copy\"",
            );
        }
        message
    }

    fn says(&self, text: &str) -> bool {
        self.tail.iter().any(|line| line.contains(text))
    }

    fn code_message(&self) -> String {
        match self.code {
            126 => "exit code 126: a command was found but cannot be executed".into(),
            127 => format!("exit code 127: a command was not found; the task's PATH is {}", self.path),
            137 => format!("exit code 137: a command was ended by SIGKILL; {OUT_OF_MEMORY}"),
            code @ 128.. => {
                let signal = signal_name(code - 128);
                format!("exit code {code}: a command was ended by {signal}")
            }
            code => format!("exit code {code}"),
        }
    }
}
