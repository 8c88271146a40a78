//! The outbox of messages: each has a row before it is sent, and the row says afterwards how that ended.
//!
//! A row is one message of one rule. Senders lease rows, so that of several processes one sends; a lease that runs out is
//! free again, so a receiver may see a message twice, under the same id. Knows neither the content of messages nor their channels.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

/// Creates the table; part of the database's schema, see `db.rs`. Times are in milliseconds; `target` and `document` are JSON.
pub const SCHEMA: &str = "
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        message TEXT NOT NULL UNIQUE,
        rule TEXT NOT NULL,
        series TEXT NOT NULL,
        schedule TEXT,
        event TEXT NOT NULL,
        run TEXT,
        workflow TEXT NOT NULL,
        target TEXT NOT NULL,
        document TEXT NOT NULL,
        timeout_ms INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending',
        tries INTEGER NOT NULL DEFAULT 0,
        due_ms INTEGER NOT NULL,
        error TEXT,
        ended_ms INTEGER
    );
    CREATE INDEX outbox_due ON outbox (due_ms) WHERE state = 'pending';
    CREATE INDEX outbox_series ON outbox (series, rule, id);
";

/// Maximum messages that are kept; older ones go.
const MAX_KEPT: i64 = 10_000;

/// Maximum time of one try, in milliseconds.
const MAX_TIMEOUT_MS: i64 = 24 * 3600 * 1000;
/// How long a lease outlasts the time of the try, in milliseconds.
pub const MARGIN_MS: i64 = 5_000;

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Unique.
    pub message: String,
    /// The key of the rule that it is for.
    pub rule: String,
    /// What it belongs to: runs of one schedule, or of one workflow without a schedule.
    pub series: String,
    pub schedule: Option<String>,
    pub event: String,
    pub run: Option<String>,
    /// The workflow file whose settings count.
    pub workflow: String,
    /// The rule, as JSON.
    pub target: String,
    pub document: String,
    /// How long one try may take.
    pub timeout_ms: u64,
}

/// A message that a process has leased.
#[derive(Clone, Debug, PartialEq)]
pub struct LeasedMessage {
    pub id: i64,
    pub message: String,
    pub event: String,
    pub workflow: String,
    pub target: String,
    pub document: String,
    /// Tries before this one.
    pub tries: u32,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    pub message: String,
    pub rule: String,
    pub schedule: Option<String>,
    pub event: String,
    pub run: Option<String>,
    pub created: Timestamp,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    pub tries: u32,
    /// The fault of the last try.
    pub error: Option<String>,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryResult {
    Delivered,
    /// It failed and is due again then; `None` if it is given up.
    Failed {
        error: String,
        again: Option<Timestamp>,
    },
}

/// Writes messages down, within a transaction of all that belongs to them.
///
/// # Errors
/// The database cannot be written.
pub fn post(change: &Transaction, messages: &[NewMessage], now: Timestamp) -> rusqlite::Result<()> {
    for message in messages {
        change
            .prepare_cached(
                "INSERT INTO outbox (message, rule, series, schedule, event, run, workflow, target, document, timeout_ms, \
                 created_ms, due_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?11, ?10, ?10)",
            )?
            .execute(params![
                message.message,
                message.rule,
                message.series,
                message.schedule,
                message.event,
                message.run,
                message.workflow,
                message.target,
                message.document,
                now.as_millisecond(),
                i64::try_from(message.timeout_ms).unwrap_or(MAX_TIMEOUT_MS).min(MAX_TIMEOUT_MS),
            ])?;
    }
    change.execute("DELETE FROM outbox WHERE id <= (SELECT max(id) FROM outbox) - ?1", [MAX_KEPT])?;
    Ok(())
}

/// Leases at most `limit` messages that are due; each is due again when its timeout and [`MARGIN_MS`] have passed, unless
/// [`record_try`] says otherwise.
///
/// # Errors
/// The database cannot be written.
pub fn lease(db: &mut Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<LeasedMessage>> {
    // Nothing is written where nothing is due.
    if next_due(db)?.is_none_or(|due| due > now) {
        return Ok(Vec::new());
    }
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let leased = change
        .prepare_cached(
            "SELECT id, message, event, workflow, target, document, tries FROM outbox WHERE state = 'pending' AND due_ms <= ?1 \
             ORDER BY id LIMIT ?2",
        )?
        .query_map(params![now.as_millisecond(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(LeasedMessage {
                id: row.get(0)?,
                message: row.get(1)?,
                event: row.get(2)?,
                workflow: row.get(3)?,
                target: row.get(4)?,
                document: row.get(5)?,
                tries: row.get(6)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for message in &leased {
        change
            .prepare_cached("UPDATE outbox SET due_ms = ?2 + timeout_ms + ?3 WHERE id = ?1")?
            .execute(params![message.id, now.as_millisecond(), MARGIN_MS])?;
    }
    change.commit()?;
    Ok(leased)
}

/// Notes how a try ended.
///
/// # Errors
/// The database cannot be written.
pub fn record_try(db: &Connection, id: i64, result: &TryResult, now: Timestamp) -> rusqlite::Result<()> {
    let (state, error, due) = match result {
        TryResult::Delivered => ("delivered", None, None),
        TryResult::Failed { error, again: Some(again) } => ("pending", Some(error), Some(*again)),
        TryResult::Failed { error, again: None } => ("failed", Some(error), None),
    };
    let ended = due.is_none().then(|| now.as_millisecond());
    db.prepare_cached(
        "UPDATE outbox SET state = ?2, error = ?3, due_ms = coalesce(?4, due_ms), tries = tries + 1, ended_ms = ?5 \
         WHERE id = ?1",
    )?
    .execute(params![id, state, error, due.map(Timestamp::as_millisecond), ended])?;
    Ok(())
}

/// When the next message is due; `None` where nothing is left to be sent.
///
/// # Errors
/// The database cannot be read.
pub fn next_due(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let due: Option<i64> = db
        .prepare_cached("SELECT min(due_ms) FROM outbox WHERE state = 'pending'")?
        .query_row([], |row| row.get(0))?;
    Ok(due.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
}

/// How many messages of a run are left to be sent.
///
/// # Errors
/// The database cannot be read.
pub fn left_of_run(db: &Connection, run: &str) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM outbox WHERE run = ?1 AND state = 'pending'")?
        .query_row([run], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// The runs of a series that a rule told of, with the event and the time; the newest first, at most `limit`.
///
/// # Errors
/// The database cannot be read.
pub fn told(
    db: &Connection,
    series: &str,
    rule: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(String, String, Timestamp)>> {
    db.prepare_cached(
        "SELECT run, event, created_ms FROM outbox WHERE series = ?1 AND rule = ?2 AND run IS NOT NULL ORDER BY id DESC \
         LIMIT ?3",
    )?
    .query_map(params![series, rule, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok((row.get(0)?, row.get(1)?, timestamp(row.get(2)?)))
    })?
    .collect()
}

/// The latest messages, the newest first: of one schedule, by its whole name, or of all.
///
/// # Errors
/// The database cannot be read.
pub fn latest(db: &Connection, schedule: Option<&str>, limit: usize) -> rusqlite::Result<Vec<MessageRow>> {
    db.prepare_cached(
        "SELECT message, rule, schedule, event, run, created_ms, state, tries, error FROM outbox \
         WHERE ?1 IS NULL OR schedule = ?1 ORDER BY id DESC LIMIT ?2",
    )?
    .query_map(params![schedule, i64::try_from(limit).unwrap_or(i64::MAX)], read_row)?
    .collect()
}

/// How many messages there are of each rule and state.
///
/// # Errors
/// The database cannot be read.
pub fn tally(db: &Connection) -> rusqlite::Result<Vec<(String, String, u64)>> {
    db.prepare_cached("SELECT rule, state, count(*) FROM outbox GROUP BY rule, state ORDER BY rule, state")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs())))?
        .collect()
}

fn read_row(row: &Row) -> rusqlite::Result<MessageRow> {
    Ok(MessageRow {
        message: row.get(0)?,
        rule: row.get(1)?,
        schedule: row.get(2)?,
        event: row.get(3)?,
        run: row.get(4)?,
        created: timestamp(row.get(5)?),
        state: row.get(6)?,
        tries: row.get(7)?,
        error: row.get(8)?,
    })
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn message(name: &str) -> NewMessage {
        NewMessage {
            message: name.into(),
            rule: "ops".into(),
            series: "w/s".into(),
            schedule: Some("w/s".into()),
            event: "failure".into(),
            run: Some(format!("run-{name}")),
            workflow: "/w.toml".into(),
            target: "{}".into(),
            document: "{}".into(),
            timeout_ms: 25_000,
        }
    }

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db
    }

    fn post(db: &mut Connection, messages: &[NewMessage], now: Timestamp) -> rusqlite::Result<()> {
        let change = db.transaction()?;
        super::post(&change, messages, now)?;
        change.commit()
    }

    #[test]
    fn a_message_is_sent_by_one_and_again_when_a_lease_runs_out() {
        let mut db = database();
        assert_eq!(next_due(&db).unwrap(), None);
        post(&mut db, &[message("a"), message("b")], at(100)).unwrap();
        assert!(lease(&mut db, at(99), 9).unwrap().is_empty());
        let leased = lease(&mut db, at(100), 9).unwrap();
        assert_eq!(leased.iter().map(|m| m.message.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(lease(&mut db, at(129), 9).unwrap().is_empty());
        record_try(&db, leased[0].id, &TryResult::Delivered, at(101)).unwrap();
        // Its sender died.
        let again = lease(&mut db, at(130), 9).unwrap();
        assert_eq!((again.len(), again[0].message.as_str(), again[0].tries), (1, "b", 0));
        let failed = |again| TryResult::Failed { error: "no".into(), again };
        record_try(&db, again[0].id, &failed(Some(at(135))), at(131)).unwrap();
        assert_eq!(next_due(&db).unwrap(), Some(at(135)));
        let again = lease(&mut db, at(135), 9).unwrap();
        assert_eq!((again[0].tries, left_of_run(&db, "run-b").unwrap()), (1, 1));
        record_try(&db, again[0].id, &failed(None), at(136)).unwrap();
        assert_eq!((next_due(&db).unwrap(), left_of_run(&db, "run-b").unwrap()), (None, 0));
        let rows = latest(&db, Some("w/s"), 9).unwrap();
        assert_eq!(
            (rows[0].state.as_str(), rows[0].tries, rows[0].error.as_deref()),
            ("failed", 2, Some("no"))
        );
        assert_eq!((rows[1].state.as_str(), latest(&db, Some("x"), 9).unwrap().len()), ("delivered", 0));
        assert_eq!(tally(&db).unwrap().len(), 2);
    }

    #[test]
    fn what_was_told_is_known_by_series_and_rule() {
        let mut db = database();
        post(&mut db, &[message("a"), message("b")], at(5)).unwrap();
        let runs: Vec<_> = told(&db, "w/s", "ops", 9).unwrap().into_iter().map(|(run, ..)| run).collect();
        assert_eq!(runs, ["run-b", "run-a"]);
        assert!(told(&db, "w/s", "other", 9).unwrap().is_empty());
        let is_told = |db: &Connection, run: &str, event: &str| {
            told(db, "w/s", "ops", 9).unwrap().iter().any(|told| (&*told.0, &*told.1) == (run, event))
        };
        assert!(is_told(&db, "run-a", "failure"));
        assert!(!is_told(&db, "run-a", "recovery"));
        // One id is one message.
        assert!(post(&mut db, &[message("c"), message("a")], at(6)).is_err());
        assert!(!is_told(&db, "run-c", "failure"));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut db = database();
        post(&mut db, &[message("a")], at(5)).unwrap();
        db.execute("UPDATE outbox SET id = 1", []).unwrap();
        post(&mut db, &[message("b")], at(5)).unwrap();
        db.execute("UPDATE outbox SET id = ?1 WHERE message = 'b'", [MAX_KEPT + 5]).unwrap();
        post(&mut db, &[message("c")], at(5)).unwrap();
        assert_eq!(latest(&db, None, 9).unwrap().len(), 2);
    }
}
