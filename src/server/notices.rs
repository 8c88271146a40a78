//! Notifications of the daemon: ends of scheduled runs, missed instants, files that stop loading. Each message is
//! written to the outbox and sent by a thread of its own, so that it delays no run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::runs::News;
use crate::core::background::{Background, begin_or_do};
use crate::core::lock::lock;
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::ops::notify::{
    BrokenNotifyFile, Deliverer, DeliveryPace, MissedInstants, NotifyRules, broken, deliver_run, missed,
    run_ended,
};
use crate::storage::schedules::untold::UntoldEvent;

/// How long messages that are being sent may take when the daemon ends; what is left is for the next one.
const END_TIME: Duration = Duration::from_secs(10);
/// How long the messages of a run may take with `--once`, where nobody comes after.
const ONCE_TIME: Duration = Duration::from_secs(60);

/// Where messages are written down.
pub struct Notices {
    home: Option<PathBuf>,
    /// `None` if the system had no thread for it: then the next process sends what is written down.
    deliverer: Option<Arc<Deliverer>>,
    /// Whether messages of a run are sent before the daemon ends.
    once: bool,
    news: UnboundedSender<News>,
    work: Vec<Background<()>>,
    /// What needs no message, or has none: to be noted with the next transaction.
    settled: Arc<Mutex<Vec<UntoldEvent>>>,
}

impl Notices {
    /// Starts sending; what an earlier process left comes first. `database_of` is the folder of a home whose database exists.
    pub fn new(
        home: Option<PathBuf>,
        database_of: &std::path::Path,
        once: bool,
        news: UnboundedSender<News>,
    ) -> Self {
        let deliverer = match Deliverer::start(database_of, DeliveryPace::default()) {
            Ok(deliverer) => Some(Arc::new(deliverer)),
            Err(error) => {
                let _ = news.send(News::Warning(format!("notifications wait for the next process: {error}")));
                None
            }
        };
        Self { home, deliverer, once, news, work: Vec::new(), settled: Arc::default() }
    }

    /// A scheduled run has ended.
    pub fn run_ended(&mut self, rules: NotifyRules, schedule: &str, run: RunId, url: Option<String>) {
        let (home, once) = (self.home.clone(), self.once);
        let ended = UntoldEvent::Ended { schedule: schedule.to_owned(), run };
        self.write_down(rules, Some(ended), move |rules| {
            let count = run_ended(home.as_deref(), rules, run, url.as_deref())?;
            if once && count > 0 {
                deliver_run(home.as_deref(), run, &DeliveryPace::default(), ONCE_TIME)?;
            }
            Ok(count)
        });
    }

    /// Instants passed without a run.
    pub fn missed(&mut self, rules: NotifyRules, instants: MissedInstants) {
        let home = self.home.clone();
        let (schedule, passed) = (instants.schedule.clone(), instants.instants.clone());
        let passed = UntoldEvent::Missed { schedule, instants: passed };
        self.write_down(rules, Some(passed), move |rules| missed(home.as_deref(), rules, &instants));
    }

    /// A file stopped loading, or loads again.
    pub fn broken(&mut self, rules: NotifyRules, file: BrokenNotifyFile) {
        let home = self.home.clone();
        self.write_down(rules, None, move |rules| broken(home.as_deref(), rules, &file));
    }

    /// What was settled since the last call.
    pub fn take_settled(&self) -> Vec<UntoldEvent> {
        std::mem::take(&mut *lock(&self.settled))
    }

    /// Writes messages about an event down. Messages settle it in the transaction that writes them.
    fn write_down(
        &mut self,
        rules: NotifyRules,
        event: Option<UntoldEvent>,
        work: impl FnOnce(&NotifyRules) -> Result<usize, Error> + Send + 'static,
    ) {
        self.work.retain(|work| !work.is_finished());
        if rules.is_empty() {
            lock(&self.settled).extend(event);
            return;
        }
        let (deliverer, news, settled) = (self.deliverer.clone(), self.news.clone(), self.settled.clone());
        self.work.push(begin_or_do("notices", move || match work(&rules) {
            Ok(0) => lock(&settled).extend(event),
            Ok(_) => deliverer.iter().for_each(|deliverer| deliverer.wake()),
            Err(error) => {
                let message = format!("a notification cannot be written down: {error}");
                let _ = news.send(News::Warning(message));
            }
        }));
    }

    /// Waits until everything is written down and what is being sent has been sent, though not for long. What is settled and not
    /// noted yet.
    pub async fn end(self) -> Vec<UntoldEvent> {
        for work in self.work {
            let _ = work.await;
        }
        if let Some(deliverer) = self.deliverer.and_then(Arc::into_inner) {
            let _ = begin_or_do("notices", move || deliverer.stop(END_TIME)).await;
        }
        std::mem::take(&mut *lock(&self.settled))
    }
}
