//! The state of schedules: a list, and one schedule with the outcomes of its instants. Nothing is created or changed.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::BrokenFile;
use super::last_loaded::LastLoaded;
use super::lookup::{Named, in_files, is_same_file, known, named};
use crate::core::event::VERSION;
use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::ops::notify::{MessageRow, deliveries};
use crate::storage::schedules::known::{Known, Pause};
use crate::storage::schedules::listing::{self, Failures, PastInstant, PastRun};
use crate::view::model::schedule_row::{
    DeliveryView, InstantRow, PauseView, ScheduleRow, ScheduleView, ServerView,
};

/// How many of the latest messages of a schedule are shown.
const MAX_DELIVERIES: usize = 10;

/// Schedules by name, and the files that could not be read and of which the home knows no schedule.
pub struct ScheduleList {
    pub rows: Vec<ScheduleRow>,
    pub broken: Vec<BrokenFile>,
}

/// The schedules of `paths`. Without paths: those of the current folder, and all that the home knows.
///
/// # Errors
/// A path or the home cannot be read.
pub fn list(home: Option<&Path>, paths: &[PathBuf]) -> Result<ScheduleList, Error> {
    let home = &HomeReader::open(home)?;
    let known = known(home)?;
    let files = in_files(paths)?;
    let is_given = |known: &Known| {
        paths.is_empty() || files.broken.iter().any(|broken| is_same_file(&broken.path, &known.path))
    };
    let mut all: Vec<Named> = Vec::new();
    for found in &files.found {
        let mut named = Named::of_file(found, &known);
        if let Some(first) = all.iter().find(|other| other.name == named.name) {
            let message = format!("{} has a schedule of this name as well", first.path.display());
            named.found = Err(vec![message]);
        }
        all.push(named);
    }
    let others =
        known.iter().filter(|known| is_given(known) && all.iter().all(|named| named.name != known.name));
    let others: Vec<_> = others.map(Named::of_home).collect();
    // One that no file has any more is left out, unless it still has an effect.
    all.extend(others.into_iter().filter(|named| {
        let is_gone = !named.path.exists() || named.is_gone_from_its_file();
        let known = named.known.as_ref();
        !is_gone || known.is_some_and(|known| known.served.is_some() || known.paused.is_some())
    }));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let is_shown = |broken: &BrokenFile| all.iter().any(|named| is_same_file(&named.path, &broken.path));
    let broken = files.broken.into_iter().filter(|broken| !is_shown(broken)).collect();
    let now = Timestamp::now();
    let rows = all.iter().map(|named| row(home, named, now)).collect::<Result<_, _>>()?;
    Ok(ScheduleList { rows, broken })
}

/// One schedule, with at most `limit` of its past instants, newest first.
///
/// # Errors
/// No or several schedules have that name; the home cannot be read.
pub fn show(home: Option<&Path>, name: &str, limit: usize) -> Result<ScheduleView, Error> {
    let flag = home;
    let home = &HomeReader::open(flag)?;
    let named = named(home, name, &[])?;
    let deliveries = deliveries(flag, Some(&named.name), MAX_DELIVERIES)?;
    let row = row(home, &named, Timestamp::now())?;
    let (instants, failures) = match &home.db {
        Some(db) => {
            let instants =
                listing::instants(db, &home.home, &named.name, None, limit).map_err(Error::history)?;
            (instants, listing::failures_in_a_row(db, &home.home, &named.name).map_err(Error::history)?)
        }
        None => (Vec::new(), Failures::default()),
    };
    let server = named.known.as_ref().and_then(|known| known.served.as_ref());
    Ok(ScheduleView {
        row,
        instants: instants.into_iter().map(InstantRow::from).collect(),
        deliveries: deliveries.into_iter().map(DeliveryView::from).collect(),
        server: server.map(|server| ServerView { pid: server.pid, url: server.url.clone() }),
        failing_since: failures.since,
        last_success: failures.last_success,
    })
}

fn row(home: &HomeReader, named: &Named, now: Timestamp) -> Result<ScheduleRow, Error> {
    let (last, failures) = match &home.db {
        Some(db) => (
            listing::last(db, &home.home, &named.name).map_err(Error::history)?,
            listing::failures_in_a_row(db, &home.home, &named.name).map_err(Error::history)?,
        ),
        None => (None, Failures::default()),
    };
    let workflow = named.name.rsplit_once('/').map_or(&*named.name, |(workflow, _)| workflow);
    let path = std::path::absolute(&named.path).unwrap_or_else(|_| named.path.clone());
    let served = named.known.as_ref().is_some_and(|known| known.served.is_some());
    let loaded = match &named.found {
        Ok(found) => Some(LastLoaded::of(found.schedule())),
        // A daemon runs it as its file was.
        Err(_) if served => {
            named.known.as_ref().and_then(|known| LastLoaded::read(known.settings.as_deref()?))
        }
        Err(_) => None,
    };
    let pause = named.known.as_ref().and_then(|known| known.paused.clone());
    Ok(ScheduleRow {
        v: VERSION,
        schedule: named.name.clone(),
        workflow: workflow.to_owned(),
        path: path.display().to_string(),
        next: loaded.as_ref().and_then(|loaded| loaded.next(&named.name, now)),
        settings: loaded.map(|loaded| loaded.settings).unwrap_or_default(),
        paused: pause.map(PauseView::from),
        served,
        mistakes: named.found.as_ref().err().cloned().unwrap_or_default(),
        last: last.map(InstantRow::from),
        consecutive_failures: failures.count,
    })
}

impl Named {
    /// Whether its file can be read, and has no schedule of this name.
    fn is_gone_from_its_file(&self) -> bool {
        self.found.is_err() && super::read(&self.path).is_ok()
    }
}

impl From<Pause> for PauseView {
    fn from(Pause { since, by, reason }: Pause) -> Self {
        Self { since, by, reason }
    }
}

impl From<PastInstant> for InstantRow {
    fn from(past: PastInstant) -> Self {
        let ended = past.ended_by.map(|by| by.reason().to_owned());
        let run = past.run.as_ref();
        Self {
            at: past.at,
            fires: past.fires,
            became: past.became.name().to_owned(),
            trigger: past.trigger,
            run: run.map(|run| run.run),
            status: run.map(|run| run.status.clone()),
            no_op: run.is_some_and(PastRun::is_no_op),
            executed: run.map(|run| run.counts.executed),
            nodes: run.map(|run| run.counts.nodes),
            duration_ms: run.and_then(PastRun::duration_ms),
            counts: run.map(|run| run.counts).unwrap_or_default(),
            reason: past.reason.or(ended),
        }
    }
}

impl From<MessageRow> for DeliveryView {
    fn from(message: MessageRow) -> Self {
        let MessageRow { rule, event, run, created, state, tries, error, .. } = message;
        Self { time: created, event, notify: rule, run, state, tries, error }
    }
}
