//! The outcomes of instants: newest first, the last one, failures in a row.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Became, EndedBy, claimant, instant, parse_trigger};
use crate::core::event::Counts;
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::storage::history::{INTERRUPTED, RUNNING};
use crate::storage::home::Home;

/// An instant that passed, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastInstant {
    /// Grows with each one; where a list goes on.
    pub id: i64,
    pub schedule: String,
    pub at: Timestamp,
    /// With its jitter.
    pub fires: Timestamp,
    pub became: Became,
    pub trigger: Trigger,
    /// When that was written.
    pub claimed: Timestamp,
    /// Why nothing ran, or why the run could not begin.
    pub reason: Option<String>,
    pub ended_by: Option<EndedBy>,
    /// Its run, which may be no longer in the history.
    pub run: Option<PastRun>,
}

/// The run of an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRun {
    pub run: RunId,
    /// A status of the history: `running`, `succeeded`, `failed`, `cancelled` or `interrupted`.
    pub status: String,
    pub counts: Counts,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
}

impl PastInstant {
    /// Whether its run could not begin, which is a failure.
    pub fn has_not_begun(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.started.is_none() && run.status == "failed")
    }
}

impl PastRun {
    /// Whether nothing was executed and nothing failed.
    pub fn is_no_op(&self) -> bool {
        self.counts.is_no_op(&self.status)
    }

    /// Whether it counts as a failure.
    pub fn has_failed(&self) -> bool {
        self.status == "failed" || self.status == INTERRUPTED
    }

    pub fn duration_ms(&self) -> Option<u64> {
        let taken = self.finished?.duration_since(self.started?);
        u64::try_from(taken.as_millis()).ok()
    }
}

/// Failures of a schedule with no success between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u64,
    /// The instant of the first of them.
    pub since: Option<Timestamp>,
    /// The run of the last success before.
    pub last_success: Option<RunId>,
}

const COLUMNS: &str = "id, schedule, at_ms, fires_ms, became, trigger, reason, ended_by, run, outcome, counts, \
                       started_ms, finished_ms, claimant, begun, claimed_ms";

fn read(row: &Row, home: &Home) -> rusqlite::Result<PastInstant> {
    let run: Option<RunId> = row.get(8)?;
    let status = |run: RunId| -> rusqlite::Result<String> {
        Ok(match row.get::<_, Option<String>>(9)? {
            Some(outcome) => outcome,
            // Its process may be gone, and no daemon has noticed yet.
            None if home.is_alive(run) => RUNNING.into(),
            None if !row.get::<_, bool>(14)? && claimant::is_alive(home, row.get(13)?) => RUNNING.into(),
            None => INTERRUPTED.into(),
        })
    };
    let counts: Option<String> = row.get(10)?;
    let run = match run {
        None => None,
        Some(run) => Some(PastRun {
            run,
            status: status(run)?,
            counts: counts.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            started: row.get::<_, Option<i64>>(11)?.map(instant),
            finished: row.get::<_, Option<i64>>(12)?.map(instant),
        }),
    };
    Ok(PastInstant {
        id: row.get(0)?,
        schedule: row.get(1)?,
        at: instant(row.get(2)?),
        fires: instant(row.get(3)?),
        became: Became::parse(&row.get::<_, String>(4)?),
        trigger: parse_trigger(&row.get::<_, String>(5)?),
        claimed: instant(row.get(15)?),
        reason: row.get(6)?,
        ended_by: row.get::<_, Option<String>>(7)?.and_then(|name| EndedBy::parse(&name)),
        run,
    })
}

/// The instants of a schedule, newest first; those behind `before`, which is one of them, if it is given.
///
/// # Errors
/// The database cannot be read.
pub fn instants(
    db: &Connection,
    home: &Home,
    schedule: &str,
    before: Option<&PastInstant>,
    limit: usize,
) -> rusqlite::Result<Vec<PastInstant>> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM instant WHERE schedule = ?1 AND (at_ms, id) < (?2, ?3) \
         ORDER BY at_ms DESC, id DESC LIMIT ?4"
    ))?;
    let (at, id) = before.map_or((i64::MAX, i64::MAX), |past| (past.at.as_millisecond(), past.id));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map(params![schedule, at, id, limit], |row| read(row, home))?.collect()
}

/// The newest instant of a schedule.
///
/// # Errors
/// The database cannot be read.
pub fn last(db: &Connection, home: &Home, schedule: &str) -> rusqlite::Result<Option<PastInstant>> {
    Ok(instants(db, home, schedule, None, 1)?.pop())
}

/// The instant that a run is of.
///
/// # Errors
/// The database cannot be read.
pub fn of_run(db: &Connection, home: &Home, run: RunId) -> rusqlite::Result<Option<PastInstant>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM instant WHERE run = ?1"))?
        .query_row([run], |row| read(row, home))
        .optional()
}

/// The instants of a schedule whose runs could not begin, the newest first, at most `limit`: those that were claimed before
/// `before`, and by none of these triggers.
///
/// # Errors
/// The database cannot be read.
pub fn not_begun(
    db: &Connection,
    home: &Home,
    schedule: &str,
    before: Timestamp,
    not_by: &[Trigger],
    limit: usize,
) -> rusqlite::Result<Vec<PastInstant>> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM instant WHERE schedule = ?1 AND outcome = 'failed' AND begun = 0 AND claimed_ms < ?2 \
         ORDER BY id DESC LIMIT ?3"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        statement.query_map(params![schedule, before.as_millisecond(), limit], |row| read(row, home))?;
    let wanted = |past: &rusqlite::Result<PastInstant>| {
        past.as_ref().map_or(true, |past| !not_by.contains(&past.trigger))
    };
    rows.filter(wanted).collect()
}

/// The failures of a schedule since its last success, up to now: those of runs that it began itself or that were triggered.
/// What was cancelled or replaced is neither.
///
/// # Errors
/// The database cannot be read.
pub fn failures_in_a_row(db: &Connection, home: &Home, schedule: &str) -> rusqlite::Result<Failures> {
    let mut failures = Failures::default();
    for past in ended_runs(db, home, schedule)? {
        match past.run {
            Some(run) if run.has_failed() => {
                failures.count += 1;
                failures.since = Some(past.at);
            }
            Some(run) if run.status == "succeeded" => {
                failures.last_success = Some(run.run);
                break;
            }
            _ => {}
        }
    }
    Ok(failures)
}

/// The runs of a schedule in the order in which they were begun, the newest first, up to the last success.
fn ended_runs(db: &Connection, home: &Home, schedule: &str) -> rusqlite::Result<Vec<PastInstant>> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM instant WHERE schedule = ?1 AND run IS NOT NULL AND trigger <> 'backfill' \
         ORDER BY id DESC"
    ))?;
    let mut found = Vec::new();
    for past in statement.query_map([schedule], |row| read(row, home))? {
        let past = past?;
        let is_success = past.run.as_ref().is_some_and(|run| run.status == "succeeded");
        found.push(past);
        if is_success {
            break;
        }
    }
    Ok(found)
}

/// When a schedule last did well, and how punctual it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleTimes {
    /// The end of the last run that succeeded.
    pub last_success: Option<Timestamp>,
    /// How late the last run began that began by itself.
    pub lag_ms: Option<i64>,
}

/// Those times of all schedules.
///
/// # Errors
/// The database cannot be read.
pub fn times(db: &Connection) -> rusqlite::Result<BTreeMap<String, ScheduleTimes>> {
    let mut all: BTreeMap<String, ScheduleTimes> = BTreeMap::new();
    let mut statement = db.prepare_cached(
        "SELECT schedule, max(finished_ms) FROM instant WHERE outcome = 'succeeded' GROUP BY schedule",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        all.entry(row.get(0)?).or_default().last_success = row.get::<_, Option<i64>>(1)?.map(instant);
    }
    // Beside `max`, the other columns are those of the row that has it.
    let mut statement = db.prepare_cached(
        "SELECT schedule, started_ms - fires_ms, max(id) FROM instant \
         WHERE trigger = 'schedule' AND started_ms IS NOT NULL GROUP BY schedule",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        all.entry(row.get(0)?).or_default().lag_ms = row.get(1)?;
    }
    Ok(all)
}

/// How many instants became what, by schedule.
///
/// # Errors
/// The database cannot be read.
pub fn counts(db: &Connection) -> rusqlite::Result<BTreeMap<(String, Became), u64>> {
    let mut statement =
        db.prepare_cached("SELECT schedule, became, count(*) FROM instant GROUP BY schedule, became")?;
    let rows = statement.query_map([], |row| {
        let became = Became::parse(&row.get::<_, String>(1)?);
        Ok(((row.get(0)?, became), row.get::<_, i64>(2)?.unsigned_abs()))
    })?;
    rows.collect()
}
