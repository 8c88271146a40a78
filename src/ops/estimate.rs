//! How long a run would take, by the times of earlier ones.

use std::collections::HashMap;

use crate::engine::plan::planned::Planned;
use crate::storage::history::times::NodeTime;
use crate::workflow::graph::outline::Outline;
use crate::workflow::graph::remaining::critical_path;

/// An estimate for what a plan says would run.
pub struct Estimate {
    /// By number in the outline: how long a node that would run takes, in milliseconds, where that is known.
    pub wall_of: HashMap<usize, u64>,
    /// From start to end, in milliseconds; `None` if no time is known of anything that would run.
    pub wall_ms: Option<u64>,
    /// The nodes that the run can be no shorter than, in order, and how long they take together in milliseconds.
    pub critical_path: (u64, Vec<usize>),
    /// What the cache saves, in milliseconds of work.
    pub saved_ms: u64,
    /// How many nodes would run of which no time is known.
    pub unknown: usize,
}

impl Estimate {
    pub fn of(
        outline: &Outline,
        planned: &[Planned],
        times: &HashMap<String, NodeTime>,
        jobs: usize,
    ) -> Self {
        let jobs = jobs.max(1) as u64;
        let mut work_ms = 0u64;
        let mut wall_of = HashMap::new();
        let (mut known, mut unknown) = (0, 0);
        for node in planned.iter().filter(|node| node.runs) {
            let Some(time) = times.get(&outline.name(node.number)) else {
                unknown += 1;
                continue;
            };
            known += 1;
            // Where elements are not known yet, as many as there were is the best guess.
            let (wall, work) = match node.elements.map(|elements| elements.runs as u64) {
                Some(runs) => (time.mean.saturating_mul(runs.div_ceil(jobs)), time.mean.saturating_mul(runs)),
                None => (time.wall, time.wall),
            };
            work_ms = work_ms.saturating_add(work);
            wall_of.insert(node.number, wall);
        }
        let critical_path = critical_path(outline, &|number| wall_of.get(&number).copied().unwrap_or(0));
        Self {
            wall_of,
            wall_ms: (known > 0).then(|| critical_path.0.max(work_ms.div_ceil(jobs))),
            critical_path,
            saved_ms: planned.iter().map(|node| node.saved_ms).sum(),
            unknown,
        }
    }
}
