//! Jobs that nobody attends to, at the end of a run: those of its own from before it was taken up again are ended, others are
//! mentioned.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::cancel::end_jobs;
use crate::core::background::begin_or_do;
use crate::core::run_id::RunId;
use crate::engine::attempt::placement::BatchPlace;
use crate::exec::Level;
use crate::storage::jobs::JobRow;
use crate::workflow::config::Config;

/// Removes what is not needed any more, and ends jobs of this run that none of its nodes wants now; the jobs of other runs
/// that nobody attends to.
pub async fn settle(
    place: Arc<BatchPlace>,
    run: RunId,
    is_begun: bool,
    config: &Config,
    home: &Path,
) -> Vec<JobRow> {
    let left = place.ledger.left_over(is_begun);
    let (own, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|row| row.run == run);
    if !own.is_empty()
        && let Ok(system) = super::super::executors::batch_system(&place.name, config, home)
    {
        let ledger = Arc::clone(&place.ledger);
        // Jobs that outlive this are in the queue of nobody's interest: they find their folder gone, or end by themselves.
        let ended = begin_or_do("jobs", move || end_jobs(&*system, &own, Level::Terminate));
        if let Ok(Ok(over)) = ended.await {
            ledger.settle_all(&over);
        }
    }
    place.ledger.sweep(&place.work_dir.join("jobs"), &place.prefix);
    others
}

/// Of each run how many.
pub fn summed(rows: Vec<JobRow>) -> Vec<(RunId, usize)> {
    let mut of_runs = BTreeMap::new();
    for row in rows {
        *of_runs.entry(row.run).or_default() += 1;
    }
    of_runs.into_iter().collect()
}
