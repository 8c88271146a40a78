//! Attempts that are made elsewhere: what they are given, and what is heard of them before they have ended.

use std::sync::Arc;

use super::Engine;
use crate::core::digest::Digest;
use crate::core::event::{AttemptLost, Event, NodeStarted, NodeSubmitted};
use crate::engine::attempt::perform::log_path;
use crate::engine::attempt::placement::{AttemptNews, PlacedNews, Placement};
use crate::exec::batch::JobNews;
use crate::workflow::policy::AttemptPolicy;

impl Engine {
    pub(super) fn placement(&self, executor: Arc<str>, work: Digest, policy: &AttemptPolicy) -> Placement {
        Placement {
            executor,
            work,
            resources: policy.resources.clone(),
            args: policy.executor_args.clone(),
            news: self.news.0.clone(),
        }
    }

    /// Reports what was heard before the end of an attempt is.
    pub(super) fn drain_news(&mut self) {
        while !self.options.executors.is_empty()
            && let Ok(news) = self.news.1.try_recv()
        {
            self.news(news);
        }
    }

    pub(super) fn news(&mut self, news: AttemptNews) {
        let AttemptNews { unit, attempt, executor, what } = news;
        let Some(spot) = self.spot(unit) else { return };
        let (time, node, index) = (self.clock.now(), spot.name.clone(), spot.event_index());
        match what {
            PlacedNews::Job(JobNews::Submitted { job, name }) => {
                let executor = executor.to_string();
                self.bus.emit(Event::NodeSubmitted(NodeSubmitted {
                    time,
                    node,
                    index,
                    attempt,
                    executor,
                    job,
                    name,
                }));
            }
            PlacedNews::Job(JobNews::Started { job, host }) => {
                let log = log_path(&self.context.logs, &spot.name, index, attempt).display().to_string();
                let remaining_ms =
                    self.outlook.started(spot.number, self.options.alone_ms[spot.number], time);
                let waited = self.in_flight.get(&unit).map(|flight| super::millis(flight.ready.elapsed()));
                self.bus.emit(Event::NodeStarted(NodeStarted {
                    time,
                    node,
                    index,
                    attempt,
                    log: Some(log),
                    queued: self.scheduler.queued() as u64,
                    waited_ms: waited.unwrap_or(0),
                    remaining_ms,
                    executor: Some(executor.to_string()),
                    job: Some(job),
                    host,
                }));
            }
            PlacedNews::Job(JobNews::Warning(message)) => self.bus.warn(Some(spot.label()), message),
            PlacedNews::Adopted { name } => {
                self.bus.warn(Some(spot.label()), format!("job {name} of an earlier run is taken over"));
            }
            PlacedNews::Lost { job, host, reason, again } => {
                self.bus.emit(Event::AttemptLost(AttemptLost {
                    time,
                    node,
                    index,
                    attempt,
                    job,
                    host,
                    reason,
                    again,
                }));
            }
        }
    }
}
