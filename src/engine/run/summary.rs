//! The end of a run: its last event, the times of its nodes, its summary.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Map as JsonMap;

use super::seams::RunVerdict;
use super::{Engine, Interrupt, Relied, Summary};
use crate::core::clock::millis;
use crate::core::event::{Event, RunFinished, Status};
use crate::storage::history::times::{NodeTime, Times};

impl Engine {
    pub(super) async fn conclude(mut self, started: Instant) -> Summary {
        let status = match (self.interrupt, &self.failure) {
            (Some(Interrupt::Overdue), _) => Status::Failed,
            (Some(_), _) if self.lets_go => Status::Detached,
            (Some(_), _) => Status::Cancelled,
            (None, Some(_)) => Status::Failed,
            (None, None) => Status::Succeeded,
        };
        let handed = std::mem::take(&mut self.handed);
        let outputs = if status == Status::Succeeded { handed } else { Vec::new() };
        let duration_ms = millis(started.elapsed());
        let remote = self.remote.take().map(|remote| remote.counts());
        self.recorder.stats(self.store.drain_stats());
        self.recorder.times(self.node_times());
        self.recorder.used(self.cache.take_used());
        let (counts, saved_ms) = (self.counts, self.saved_ms);
        // Who hears of the end finds it in the history.
        let _ = self.recorder.end(RunVerdict { status, duration_ms, counts, saved_ms }).await;
        self.bus.emit(Event::RunFinished(RunFinished {
            time: self.clock.now(),
            run: self.context.run,
            status,
            duration_ms,
            counts: self.counts,
            saved_ms: self.saved_ms,
            outputs: outputs
                .iter()
                .map(|(name, handed)| (name.clone(), handed.event.clone()))
                .collect::<JsonMap<_, _>>(),
            remote,
            executor_calls: self.attempts.calls(),
        }));
        let relied = self.counts.is_no_op(status.name()).then(|| Relied {
            files: self.files.all_snapshots(),
            listings: self.files.listings(),
            tasks: self.cache.tasks(),
            until: self.cache.hits_until(),
        });
        let history = self.bus.close();
        Summary {
            status,
            duration_ms,
            counts: self.counts,
            saved_ms: self.saved_ms,
            outputs,
            signal: self.interrupt.map(Interrupt::signal),
            history,
            remote,
            relied,
        }
    }

    /// How long each node would have taken in this run, had it been alone.
    fn node_times(&self) -> Times {
        let jobs = self.options.jobs.max(1) as u64;
        let time = |(number, (total, count)): (&usize, &(u64, u64))| {
            let time = NodeTime { wall: total / (*count).clamp(1, jobs), mean: total / (*count).max(1) };
            (self.outline.name(*number), time)
        };
        // Nodes of workflows that elements made have names in common: of these one counts.
        let by_name: BTreeMap<String, NodeTime> = self.times.iter().map(time).collect();
        Times { workflow: self.outline.workflow().name.clone(), nodes: by_name.into_iter().collect() }
    }
}
