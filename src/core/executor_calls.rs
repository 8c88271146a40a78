//! How often a run called its batch systems, as its last event says.

use serde::{Deserialize, Serialize};

/// Calls of batch systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutorCalls {
    pub submit: u64,
    pub status: u64,
    pub cancel: u64,
}

impl std::ops::AddAssign for ExecutorCalls {
    fn add_assign(&mut self, other: Self) {
        self.submit += other.submit;
        self.status += other.status;
        self.cancel += other.cancel;
    }
}
