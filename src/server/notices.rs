//! Notifications of the daemon: ends of scheduled runs, missed instants, files that stop loading. Each message is
//! written to the outbox and sent by a thread of its own, so that it delays no run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::runs::News;
use crate::core::background::{Background, begin_or_do};
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::ops::notify::{
    BrokenNotifyFile, Deliverer, DeliveryPace, MissedInstants, NotifyRules, broken, deliver_run, missed,
    run_ended,
};

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
        Self { home, deliverer, once, news, work: Vec::new() }
    }

    /// A scheduled run has ended.
    pub fn run_ended(&mut self, rules: NotifyRules, run: RunId, url: Option<String>) {
        let (home, once) = (self.home.clone(), self.once);
        self.write_down(rules, move |rules| {
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
        self.write_down(rules, move |rules| missed(home.as_deref(), rules, &instants));
    }

    /// A file stopped loading, or loads again.
    pub fn broken(&mut self, rules: NotifyRules, file: BrokenNotifyFile) {
        let home = self.home.clone();
        self.write_down(rules, move |rules| broken(home.as_deref(), rules, &file));
    }

    fn write_down(
        &mut self,
        rules: NotifyRules,
        work: impl FnOnce(&NotifyRules) -> Result<usize, Error> + Send + 'static,
    ) {
        self.work.retain(|work| !work.is_finished());
        if rules.is_empty() {
            return;
        }
        let (deliverer, news) = (self.deliverer.clone(), self.news.clone());
        self.work.push(begin_or_do("notices", move || match work(&rules) {
            Ok(0) => {}
            Ok(_) => deliverer.iter().for_each(|deliverer| deliverer.wake()),
            Err(error) => {
                let message = format!("a notification cannot be written down: {error}");
                let _ = news.send(News::Warning(message));
            }
        }));
    }

    /// Waits until everything is written down and what is being sent has been sent, though not for long.
    pub async fn end(self) {
        for work in self.work {
            let _ = work.await;
        }
        if let Some(deliverer) = self.deliverer.and_then(Arc::into_inner) {
            let _ = begin_or_do("notices", move || deliverer.stop(END_TIME)).await;
        }
    }
}
