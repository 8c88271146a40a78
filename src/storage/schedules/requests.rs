//! Requests of other processes to a daemon, and its answers. The asker writes a row and wakes the daemon; the daemon answers in the
//! transaction in which it acts.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::claimant::{is_alive, wake};
use super::known::server_of;
use super::tick::Tick;
use crate::core::run_id::RunId;
use crate::core::run_request::GivenInputs;
use crate::core::schedule::Trigger;
use crate::storage::home::Home;

/// Something that a daemon is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// A run of the schedule, as at an instant, under this id.
    Trigger {
        run: RunId,
        at: Timestamp,
        /// On top of the schedule's own.
        #[serde(default)]
        given: Vec<GivenInputs>,
        trigger: Trigger,
    },
    /// To end a run of its own.
    Cancel { run: RunId },
}

/// A request that is not answered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub id: i64,
    pub schedule: String,
    pub request: Request,
}

/// What a daemon says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The run begins, now or when it is its turn.
    Accepted,
    /// The schedule skips what overlaps, and this run is still going.
    Overlap { run: RunId },
    /// A sentence that says why not.
    Refused { reason: String },
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Waiting,
    Answered(Answer),
    /// The daemon ended before it answered.
    Lost,
}

/// Asks the daemon that serves a schedule, and wakes it; `None` if there is none.
///
/// # Errors
/// The database cannot be written.
pub fn ask(
    db: &mut Connection,
    home: &Home,
    schedule: &str,
    request: &Request,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(claimant) = server_of(&transaction, home, schedule)? else { return Ok(None) };
    let id = insert(&transaction, claimant, schedule, request, now)?;
    transaction.commit()?;
    wake(home);
    Ok(Some(id))
}

/// Asks one daemon, within a transaction; it is to be woken when that is committed.
///
/// # Errors
/// The database cannot be written.
pub fn ask_within(
    tick: &Tick,
    claimant: RunId,
    schedule: &str,
    request: &Request,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    insert(&tick.transaction, claimant, schedule, request, now)
}

fn insert(
    db: &Connection,
    claimant: RunId,
    schedule: &str,
    request: &Request,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    let text = serde_json::to_string(request).unwrap_or_default();
    db.prepare_cached(
        "INSERT INTO schedule_request (claimant, schedule, request, asked_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .insert(params![claimant, schedule, text, now.as_millisecond()])
}

/// How far a request has come.
///
/// # Errors
/// The database cannot be read.
pub fn state(db: &Connection, home: &Home, id: i64) -> rusqlite::Result<State> {
    let row: Option<(RunId, Option<String>)> = db
        .prepare_cached("SELECT claimant, answer FROM schedule_request WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match row {
        Some((_, Some(answer))) => match serde_json::from_str(&answer) {
            Ok(answer) => State::Answered(answer),
            Err(_) => State::Lost,
        },
        Some((claimant, None)) if is_alive(home, claimant) => State::Waiting,
        _ => State::Lost,
    })
}

/// Whether the daemon lives that a request was for: what it accepted may still wait for its turn.
///
/// # Errors
/// The database cannot be read.
pub fn is_held(db: &Connection, home: &Home, id: i64) -> rusqlite::Result<bool> {
    let claimant: Option<RunId> = db
        .prepare_cached("SELECT claimant FROM schedule_request WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(claimant.is_some_and(|claimant| is_alive(home, claimant)))
}

impl Tick<'_> {
    /// What is asked of a daemon, in order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn asked(&self, claimant: RunId) -> rusqlite::Result<Vec<Asked>> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, schedule, request FROM schedule_request WHERE claimant = ?1 AND answer IS NULL ORDER BY id",
        )?;
        let rows = statement
            .query_map([claimant], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))?;
        let rows: Vec<(i64, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
        // One of a newer program stays unanswered, until its asker sees that the daemon has ended.
        let read = |(id, schedule, text): (i64, String, String)| {
            serde_json::from_str(&text).ok().map(|request| Asked { id, schedule, request })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn answer(&self, id: i64, answer: &Answer) -> rusqlite::Result<()> {
        let text = serde_json::to_string(answer).unwrap_or_default();
        self.transaction
            .prepare_cached("UPDATE schedule_request SET answer = ?2 WHERE id = ?1")?
            .execute(params![id, text])?;
        Ok(())
    }
}
