//! What happens in the home, for those who listen: runs that begin and end, in this process and in others, pauses, and what the
//! daemon says. Knows nothing of HTTP.
//!
//! The history is looked at while somebody listens, once for all who do, and read only when its files have changed. What happened
//! meanwhile is found at the next look.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::core::event::VERSION;
use crate::core::lock::lock;
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::ops::inspect::{ListedRun, RUNNING, RunFilter, listed};
use crate::ops::schedules::pausing::pauses;
use crate::server::events::ServerEvent;
use crate::storage::db_stamp::DbStamp;
use crate::view::model::schedule_row::PauseView;

/// How often is looked for what is new.
pub const PAUSE: Duration = Duration::from_millis(150);
/// How long the history is not read while its files look the same: runs whose processes were killed change nothing in it.
const MAX_UNREAD: Duration = Duration::from_secs(1);
/// How many events a listener that comes back may have missed.
const MAX_KEPT: usize = 1000;
/// How many of the newest runs are looked at.
const MAX_RUNS: usize = 200;

/// What happened lately.
pub struct HomeFeed(Mutex<Feed>);

struct Feed {
    /// The number of the next event: it grows over restarts, since it begins with the time.
    next: u64,
    kept: VecDeque<(u64, String)>,
    /// The status of each run when it was last looked at; `None` before the first look.
    known: Option<HashMap<RunId, String>>,
    /// The schedules that were paused then.
    paused: BTreeMap<String, PauseView>,
    looked: Option<Instant>,
    /// When the history was last read, and what its files looked like.
    read: Option<(Instant, DbStamp)>,
}

impl HomeFeed {
    /// An empty one; `start` is the time in milliseconds.
    pub fn new(start: u64) -> Self {
        Self(Mutex::new(Feed {
            next: start,
            kept: VecDeque::new(),
            known: None,
            paused: BTreeMap::new(),
            looked: None,
            read: None,
        }))
    }

    /// Looks at the history, unless somebody just did; the number of the next event.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn look(&self, home: &Path) -> Result<u64, Error> {
        let mut feed = lock(&self.0);
        if feed.looked.is_none_or(|looked| looked.elapsed() >= PAUSE / 2) {
            feed.looked = Some(Instant::now());
            let stamp = DbStamp::of(home);
            let is_read = |(at, then): (Instant, DbStamp)| then == stamp && at.elapsed() < MAX_UNREAD;
            if !feed.read.is_some_and(is_read) {
                let runs = listed(Some(home), &RunFilter::default(), MAX_RUNS)?.rows;
                let paused = pauses(Some(home))?;
                feed.read = Some((Instant::now(), stamp));
                feed.take_in(runs, paused);
            }
        }
        Ok(feed.next)
    }

    /// Takes in what the daemon says, but for the ends of runs, which the history tells of all processes.
    pub fn note(&self, event: &ServerEvent) {
        use ServerEvent::{Broken, Ended, Gone, Instant, Loaded, Serving, Stopping, Warning};
        match event {
            Instant { .. } | Loaded { .. } | Broken { .. } | Gone { .. } => {
                let data = event.to_json();
                let name = data["event"].as_str().unwrap_or_default().to_owned();
                lock(&self.0).add(&name, data);
            }
            Serving { .. } | Ended(_) | Warning { .. } | Stopping { .. } => {}
        }
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        lock(&self.0).next
    }

    /// The events from a number on; `None` if some of them are not kept any more.
    pub fn since(&self, from: u64) -> Option<(String, u64)> {
        let feed = lock(&self.0);
        let first = feed.kept.front().map_or(feed.next, |(number, _)| *number);
        if from < first || from > feed.next {
            return None;
        }
        let text = feed.kept.iter().filter(|(number, _)| *number >= from).map(|(_, text)| &**text).collect();
        Some((text, feed.next))
    }
}

impl Feed {
    /// Takes in the newest runs, the newest first.
    fn take_in(&mut self, runs: Vec<ListedRun>, paused: BTreeMap<String, PauseView>) {
        let now: HashMap<RunId, String> =
            runs.iter().map(|run| (run.row.id, run.row.status.clone())).collect();
        let paused_before = std::mem::replace(&mut self.paused, paused.clone());
        let Some(before) = self.known.replace(now) else { return };
        for (schedule, pause) in &paused {
            if paused_before.get(schedule).is_none_or(|before| before.since != pause.since) {
                let PauseView { since, by, reason } = pause;
                self.add("paused", json!({"schedule": schedule, "since": since, "by": by, "reason": reason}));
            }
        }
        for schedule in paused_before.keys().filter(|schedule| !paused.contains_key(*schedule)) {
            self.add("resumed", json!({"schedule": schedule}));
        }
        for run in runs.iter().rev() {
            let status = &run.row.status;
            let was = before.get(&run.row.id);
            if was.is_none() {
                self.add("run_started", json!(run));
            }
            if status != RUNNING && was.is_none_or(|was| was != status) {
                self.add("run_finished", json!(run));
            }
        }
    }

    fn add(&mut self, name: &str, mut data: Json) {
        data["v"] = json!(VERSION);
        data["event"] = json!(name);
        let number = self.next;
        self.next += 1;
        self.kept.push_back((number, format!("id: {number}\nevent: {name}\ndata: {data}\n\n")));
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Counts;
    use crate::core::schedule::Trigger;
    use crate::view::model::run_row::RunRow;

    fn run(name: &str, status: &str) -> ListedRun {
        let row = RunRow {
            id: name.into(),
            workflow: "w".into(),
            project: "p".into(),
            domain: "d".into(),
            status: status.into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            duration_ms: None,
            counts: Counts::default(),
            saved_ms: 0,
        };
        ListedRun { row, trigger: Trigger::Manual, schedule: None, scheduled_at: None }
    }

    fn names(text: &str) -> Vec<String> {
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let data = data.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        data.map(|event| format!("{} {}", event["event"].as_str().unwrap(), event["run"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn pauses_and_what_the_daemon_says_come_as_well() {
        let feed = HomeFeed::new(1);
        let look = |names: &[&str]| {
            let pause = PauseView { since: jiff::Timestamp::UNIX_EPOCH, by: "ada".into(), reason: None };
            let paused = names.iter().map(|name| ((*name).to_owned(), pause.clone())).collect();
            feed.0.lock().unwrap().take_in(Vec::new(), paused);
        };
        look(&["etl/old"]);
        look(&["etl/old", "etl/nightly"]);
        look(&["etl/nightly"]);
        feed.note(&ServerEvent::Broken { path: "/w.toml".into(), mistakes: vec!["no".into()] });
        feed.note(&ServerEvent::Stopping { runs: 0 });
        let (text, next) = feed.since(1).unwrap();
        let events: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!((&events[..], next), (&["paused", "resumed", "broken"][..], 4), "{text}");
        assert!(
            text.contains(r#""schedule":"etl/nightly""#) && text.contains(r#""mistakes":["no"]"#),
            "{text}"
        );
    }

    #[test]
    fn runs_that_begin_and_end_are_told_once_and_in_order() {
        let feed = HomeFeed::new(100);
        let look = |runs: Vec<ListedRun>| feed.0.lock().unwrap().take_in(runs, BTreeMap::new());
        look(vec![run("old", "failed"), run("live", RUNNING)]);
        assert_eq!(feed.since(100), Some((String::new(), 100)), "what was there is no news");
        look(vec![run("new", RUNNING), run("old", "failed"), run("live", "succeeded")]);
        look(vec![run("quick", "succeeded"), run("new", RUNNING), run("live", "succeeded")]);
        let (text, next) = feed.since(100).unwrap();
        assert_eq!(
            names(&text),
            [
                "run_finished livexxxx",
                "run_started newxxxxx",
                "run_started quickxxx",
                "run_finished quickxxx"
            ]
        );
        assert_eq!(next, 104);
        assert_eq!(names(&feed.since(103).unwrap().0), ["run_finished quickxxx"]);
        assert_eq!((feed.since(99), feed.since(105)), (None, None), "not kept, not there yet");
    }
}
