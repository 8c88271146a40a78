//! Numbers for those who watch over a machine: runs, nodes, schedules and messages, summed over the history that is kept.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use super::Error;
use super::home::HomeReader;
use super::stats::stats;
use crate::storage::history::{self, RUNNING};
use crate::storage::outbox;
use crate::storage::schedules::listing::{self, ScheduleTimes};

/// Upper bounds of the classes of durations, in seconds.
pub const DURATION_BOUNDS: [f64; 8] = [0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// All of them.
#[derive(Default)]
pub struct Metrics {
    /// Ended runs by workflow and status.
    pub runs: BTreeMap<(String, String), u64>,
    /// Their nodes and elements by workflow and what became of them: `hit`, `executed`, `failed`, `skipped`, `cancelled`.
    pub nodes: BTreeMap<(String, &'static str), u64>,
    pub durations: DurationHistogram,
    pub saved_ms: u64,
    pub running: u64,
    /// Instants by schedule and what they became.
    pub instants: Vec<(String, &'static str, u64)>,
    pub schedules: BTreeMap<String, ScheduleTimes>,
    /// Messages by rule and outcome: `pending`, `delivered`, `failed`.
    pub messages: Vec<(String, String, u64)>,
    pub store_bytes: u64,
}

/// How long ended runs took.
#[derive(Default)]
pub struct DurationHistogram {
    /// Runs that took at most as long as each bound says.
    pub at_most: [u64; DURATION_BOUNDS.len()],
    pub count: u64,
    pub sum_s: f64,
}

impl DurationHistogram {
    fn add(&mut self, began: Timestamp, ended: Timestamp) {
        let seconds = ended.duration_since(began).as_secs_f64().max(0.0);
        self.count += 1;
        self.sum_s += seconds;
        for (class, bound) in self.at_most.iter_mut().zip(DURATION_BOUNDS) {
            *class += u64::from(seconds <= bound);
        }
    }
}

/// Counts everything.
///
/// # Errors
/// The home cannot be read.
pub fn metrics(home: Option<&Path>) -> Result<Metrics, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else { return Ok(Metrics::default()) };
    let mut found = Metrics {
        instants: listing::counts(db)
            .map_err(Error::history)?
            .into_iter()
            .map(|((schedule, became), number)| (schedule, became.name(), number))
            .collect(),
        schedules: listing::times(db).map_err(Error::history)?,
        messages: outbox::tally(db).map_err(Error::history)?,
        store_bytes: stats(home)?.map_or(0, |stats| stats.total_bytes()),
        ..Metrics::default()
    };
    for run in history::latest(db, usize::MAX).map_err(Error::history)? {
        let status = view.status(&run);
        if status == RUNNING {
            found.running += 1;
            continue;
        }
        found.saved_ms += run.saved_ms;
        if let Some(ended) = run.finished {
            found.durations.add(run.started, ended);
        }
        for (became, number) in [
            ("hit", run.counts.cached),
            ("executed", run.counts.executed),
            ("failed", run.counts.failed),
            ("skipped", run.counts.skipped),
            ("cancelled", run.counts.cancelled),
        ] {
            *found.nodes.entry((run.workflow.clone(), became)).or_default() += number;
        }
        *found.runs.entry((run.workflow, status)).or_default() += 1;
    }
    Ok(found)
}
