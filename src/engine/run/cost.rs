//! What an attempt cost, as events report it.

use std::time::Duration;

use crate::core::clock::millis;
use crate::core::event::Usage;
use crate::exec;

/// What an attempt cost.
#[derive(Clone, Copy)]
pub(super) struct AttemptCost {
    pub duration_ms: u64,
    pub usage: Usage,
}

impl AttemptCost {
    pub fn new(duration: Duration, usage: Option<exec::ProcessUsage>) -> Self {
        // To the nearest: many short ones are summed up.
        let cpu_ms = |cpu: Duration| millis(cpu + Duration::from_micros(500));
        let usage = Usage {
            cpu_ms: usage.map(|usage| cpu_ms(usage.cpu)),
            peak_memory: usage.and_then(|usage| usage.peak_memory),
        };
        Self { duration_ms: millis(duration), usage }
    }
}
