//! What attempts used.

/// What attempts used, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ms: Option<u64>,
    pub peak_memory: Option<u64>,
}

impl std::ops::AddAssign for Usage {
    /// Processor time adds up; of two peaks the higher one stays.
    fn add_assign(&mut self, other: Self) {
        self.cpu_ms = match (self.cpu_ms, other.cpu_ms) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.peak_memory = self.peak_memory.max(other.peak_memory);
    }
}
