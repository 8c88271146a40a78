//! Notifications: which rules apply, what messages they make, and the delivery of these.
//!
//! [`run_ended`], [`missed`] and [`broken`] only write messages to the outbox; a [`Deliverer`] sends them, independently of runs.
//!
//! | file | owns |
//! |---|---|
//! | `decide.rs` | whether a rule sends a message about a run: pure |
//! | `series.rs` | the runs that a run is compared with |
//! | `refused.rs` | runs that were asked for and could not begin |
//! | `document.rs` | the content of messages |
//! | `deliver.rs` | tries, their times, and the thread that makes them |
//! | `channels/` | webhook, command, mail |

mod channels;
mod decide;
mod deliver;
mod document;
mod refused;
mod series;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Transaction, TransactionBehavior};

use self::document::{finished, of_broken, of_missed, of_run};
use self::series::Series;
use super::Error;
use super::home::HomeReader;
use super::prepare::PreparedRun;
use crate::core::clock::millis;
use crate::core::notify::{NotifyDocument, NotifyEvent, NotifyRule};
use crate::core::run_id::RunId;
use crate::storage::db;
use crate::storage::outbox::{self, NewMessage};
use crate::storage::schedules::untold::{self, UntoldEvent};
use crate::workflow::Workflow;
use crate::workflow::config::Config;
use crate::workflow::config::notify::{PlacedNotify, rules_in_force};

pub use self::deliver::{Delivered, Deliverer, DeliveryFault, DeliveryPace, deliver_run};
pub use self::refused::refused;
pub use crate::storage::outbox::MessageRow;

/// The rules that hold for a workflow: those of its file and of the settings files.
#[derive(Clone, Debug, Default)]
pub struct NotifyRules {
    /// The workflow file, absolute.
    workflow: PathBuf,
    rules: Vec<NotifyRule>,
}

/// Instants of a schedule that passed without a run.
#[derive(Clone, Debug)]
pub struct MissedInstants {
    /// The whole name.
    pub schedule: String,
    pub workflow: String,
    pub project: String,
    pub domain: String,
    pub instants: Vec<Timestamp>,
}

/// A workflow file that stopped loading, or loads again.
#[derive(Clone, Debug)]
pub struct BrokenNotifyFile {
    pub path: PathBuf,
    /// The workflow's name, where it is known.
    pub workflow: Option<String>,
    /// What is wrong with it; empty if it loads again.
    pub errors: Vec<String>,
}

impl NotifyRules {
    /// The rules for the runs of a workflow.
    pub fn of(workflow: &Workflow, config: &Config) -> Self {
        let entries = workflow.notify.iter().chain(&config.notify);
        Self { workflow: workflow.path.clone(), rules: rules_of(entries) }
    }

    /// The rules for a request that is about to run.
    pub fn of_prepared(prepared: &PreparedRun) -> Self {
        Self::of(&prepared.opened.workflow, &prepared.config)
    }

    /// The rules of the settings files alone, for a workflow file that does not load.
    pub fn of_settings(workflow: &Path, config: &Config) -> Self {
        Self { workflow: workflow.to_owned(), rules: rules_of(config.notify.iter()) }
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Those that tell of an event of this schedule.
    fn telling(&self, event: NotifyEvent, schedule: Option<&str>) -> impl Iterator<Item = &NotifyRule> {
        self.rules.iter().filter(move |rule| rule.on.contains(&event) && rule.covers(schedule))
    }

    fn message(
        &self,
        rule: &NotifyRule,
        series: String,
        run: Option<RunId>,
        document: NotifyDocument,
    ) -> Result<NewMessage, Error> {
        let encode =
            |error: serde_json::Error| Error::failed(format!("a message cannot be written: {error}"));
        Ok(NewMessage {
            message: document.id.clone(),
            rule: rule.key(),
            series,
            schedule: document.schedule.clone(),
            event: document.event.name().to_owned(),
            run: run.map(|run| run.to_string()),
            workflow: self.workflow.display().to_string(),
            target: serde_json::to_string(rule).map_err(encode)?,
            document: serde_json::to_string(&document).map_err(encode)?,
            timeout_ms: millis(rule.timeout),
        })
    }
}

fn rules_of<'a>(entries: impl Iterator<Item = &'a PlacedNotify>) -> Vec<NotifyRule> {
    rules_in_force(entries).into_iter().filter_map(|(_, entry)| entry.rule.clone()).collect()
}

/// Writes down what is to be told of a run that has ended, and says how many messages that makes. `base_url` is where the
/// pages of this home are.
///
/// # Errors
/// The run is not known, or the home cannot be read or written.
pub fn run_ended(
    home: Option<&Path>,
    rules: &NotifyRules,
    run: RunId,
    base_url: Option<&str>,
) -> Result<usize, Error> {
    if rules.is_empty() {
        return Ok(0);
    }
    let view = HomeReader::open(home)?;
    let Some(series) = Series::of(&view, run)? else { return Ok(0) };
    let now = Timestamp::now();
    let messages = messages_of(home, &view, rules, &series, base_url, now)?;
    let name = series.schedule().map(str::to_owned).unwrap_or_default();
    let ended = UntoldEvent::Ended { schedule: name, run };
    post(&view, &messages, now, |change| untold::settle(change, &ended))
}

/// The messages about the newest run of a series that were not written down yet.
fn messages_of(
    home: Option<&Path>,
    view: &HomeReader,
    rules: &NotifyRules,
    series: &Series,
    base_url: Option<&str>,
    now: Timestamp,
) -> Result<Vec<NewMessage>, Error> {
    let Some(db) = &view.db else { return Ok(Vec::new()) };
    let run = series.newest.id();
    let (mut messages, mut known) = (Vec::new(), None);
    for rule in rules.rules.iter().filter(|rule| rule.covers(series.schedule())) {
        let told = series.told(db, &rule.key())?;
        for event in decide::decide(rule, &series.runs, &told, series.is_same, now) {
            if told.iter().any(|told| told.run == run && told.event == event) {
                continue;
            }
            // What all messages of a run say is looked up once, and only if there is one.
            let document = known.get_or_insert_with(|| of_run(home, view, series, now, base_url));
            let document = finished(document.clone(), event);
            messages.push(rules.message(rule, series.name.clone(), Some(run), document)?);
        }
    }
    Ok(messages)
}

/// Writes down that instants of a schedule were missed; once an outage, with all its instants.
///
/// # Errors
/// The home cannot be read or written.
pub fn missed(home: Option<&Path>, rules: &NotifyRules, missed: &MissedInstants) -> Result<usize, Error> {
    let schedule = Some(missed.schedule.as_str());
    let document = of_missed(missed, Timestamp::now());
    let telling = rules.telling(NotifyEvent::Missed, schedule);
    let MissedInstants { schedule, instants, .. } = missed;
    let passed = UntoldEvent::Missed { schedule: schedule.clone(), instants: instants.clone() };
    let settle = |change: &Transaction| untold::settle(change, &passed);
    post_all(home, rules, telling, schedule, &document, settle)
}

/// Writes down that a file stopped loading, or loads again.
///
/// # Errors
/// The home cannot be read or written.
pub fn broken(home: Option<&Path>, rules: &NotifyRules, file: &BrokenNotifyFile) -> Result<usize, Error> {
    // Schedules of a file that does not load are not known: every rule counts.
    let telling = rules.rules.iter().filter(|rule| rule.on.contains(&NotifyEvent::Broken));
    let document = of_broken(file, Timestamp::now());
    post_all(home, rules, telling, &file.path.display().to_string(), &document, |_| Ok(()))
}

/// The latest messages, newest first: of one schedule, by its whole name, or of all.
///
/// # Errors
/// The home cannot be read.
pub fn deliveries(
    home: Option<&Path>,
    schedule: Option<&str>,
    limit: usize,
) -> Result<Vec<MessageRow>, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else { return Ok(Vec::new()) };
    outbox::latest(db, schedule, limit).map_err(Error::history)
}

/// How many messages there are of each rule and outcome (`pending`, `delivered`, `failed`).
///
/// # Errors
/// The home cannot be read.
pub fn delivery_counts(home: Option<&Path>) -> Result<Vec<(String, String, u64)>, Error> {
    let view = HomeReader::open(home)?;
    let Some(db) = &view.db else { return Ok(Vec::new()) };
    outbox::tally(db).map_err(Error::history)
}

fn post_all<'r>(
    home: Option<&Path>,
    rules: &NotifyRules,
    telling: impl Iterator<Item = &'r NotifyRule>,
    series: &str,
    document: &NotifyDocument,
    also: impl FnOnce(&Transaction) -> rusqlite::Result<()>,
) -> Result<usize, Error> {
    let messages: Vec<NewMessage> = telling
        .map(|rule| rules.message(rule, series.to_owned(), None, finished(document.clone(), document.event)))
        .collect::<Result<_, _>>()?;
    if messages.is_empty() {
        return Ok(0);
    }
    post(&HomeReader::open(home)?, &messages, Timestamp::now(), also)
}

/// Writes messages down, and in the same transaction what `also` does; nothing if there are none.
fn post(
    view: &HomeReader,
    messages: &[NewMessage],
    now: Timestamp,
    also: impl FnOnce(&Transaction) -> rusqlite::Result<()>,
) -> Result<usize, Error> {
    if messages.is_empty() {
        return Ok(0);
    }
    write(view, |change| {
        outbox::post(change, messages, now)?;
        also(change)
    })?;
    Ok(messages.len())
}

fn write(view: &HomeReader, work: impl FnOnce(&Transaction) -> rusqlite::Result<()>) -> Result<(), Error> {
    let mut db = db::open_writer(view.home.path()).map_err(|error| Error::store(error.to_string()))?;
    let written = db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|change| {
        work(&change)?;
        change.commit()
    });
    written.map_err(|error| Error::store(format!("messages cannot be written down: {error}")))
}
