//! Attempts that are made elsewhere: what they are given, and what is heard of them before they have ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, InFlight};
use crate::core::clock::millis;
use crate::core::digest::Digest;
use crate::core::event::{AttemptLost, Event, NodeFinished, NodeStarted, NodeSubmitted};
use crate::core::run_id::RunId;
use crate::engine::attempt::perform::log_path;
use crate::engine::attempt::placement::{AttemptNews, PlacedNews, Placement};
use crate::exec::batch::JobNews;
use crate::workflow::graph::select::Role;
use crate::workflow::policy::AttemptPolicy;

/// Where an attempt is that is made elsewhere, as far as was heard.
pub(super) struct AttemptPlace {
    executor: Arc<str>,
    job: Option<String>,
    host: Option<String>,
    /// The run that had submitted the job, if another one had.
    adopted: Option<RunId>,
}

impl InFlight {
    /// The end of a unit, with the place of its last attempt.
    pub(super) fn placed(&self, event: NodeFinished) -> NodeFinished {
        let Some(place) = &self.place else { return event };
        let AttemptPlace { executor, job, host, adopted } = &**place;
        NodeFinished {
            executor: Some(executor.to_string()),
            job: job.clone(),
            host: host.clone(),
            adopted: *adopted,
            ..event
        }
    }

    fn place(&mut self, executor: &Arc<str>) -> &mut AttemptPlace {
        self.place.get_or_insert_with(|| {
            Box::new(AttemptPlace { executor: executor.clone(), job: None, host: None, adopted: None })
        })
    }
}

impl Engine {
    /// Where the tasks of the run are made, if not all of them on this machine.
    pub(super) fn executors_used(&self) -> Option<String> {
        if self.options.executors.is_empty() {
            return None;
        }
        let places = self.outline.places().enumerate();
        let tasks = places.filter(|(number, place)| {
            self.options.roles[*number] == Role::Run && place.node().task().is_some()
        });
        let names: BTreeSet<&str> =
            tasks.map(|(number, _)| self.options.executor(number).map_or("local", |name| name)).collect();
        Some(names.into_iter().collect::<Vec<_>>().join(","))
    }

    pub(super) fn placement(
        &self,
        executor: Arc<str>,
        work: Digest,
        policy: &AttemptPolicy,
        number: usize,
    ) -> Placement {
        Placement {
            executor,
            work,
            resources: policy.resources.clone(),
            args: policy.executor_args.clone(),
            chunk: policy.chunk,
            parallel: policy.chunk_parallel,
            alone: false,
            expected: self.options.mean_ms.get(number).copied().flatten().map(Duration::from_millis),
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
                if let Some(flight) = self.in_flight.get_mut(&unit) {
                    flight.place(&executor).job = Some(job.clone());
                }
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
                let (mut waited, mut adopted) = (None, None);
                if let Some(flight) = self.in_flight.get_mut(&unit) {
                    waited = Some(millis(flight.ready.elapsed()));
                    let place = flight.place(&executor);
                    (place.job, place.host, adopted) = (Some(job.clone()), host.clone(), place.adopted);
                }
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
                    adopted,
                }));
            }
            PlacedNews::Job(JobNews::Warning(message)) => self.bus.warn(Some(spot.label()), message),
            PlacedNews::Adopted { name, run } => {
                if let Some(flight) = self.in_flight.get_mut(&unit) {
                    flight.place(&executor).adopted = Some(run);
                }
                self.bus.warn(Some(spot.label()), format!("job {name} of an earlier run is taken over"));
            }
            PlacedNews::Lost { job, host, reason, again } => {
                if let Some(flight) = self.in_flight.get_mut(&unit).filter(|_| again) {
                    flight.place = None;
                }
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
