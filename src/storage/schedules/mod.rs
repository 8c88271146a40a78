//! Schedules: what a home knows of them, the outcomes of their instants, and the claim that keeps an instant from running
//! twice.
//!
//! | file | owns | for |
//! |---|---|---|
//! | `claimant.rs` | a process that may claim: its lock dies with it; the file that wakes daemons | whoever claims |
//! | `known.rs` | schedules by whole name, who serves them, pauses | daemon, verbs, pages |
//! | `tick.rs` | one transaction of decisions: the state of a schedule, claims, records | daemon, trigger |
//! | `backfill.rs` | claims of past instants on request, shared by several processes | backfill |
//! | `requests.rs` | requests of other processes to a daemon, and its answers | trigger, pages, daemon |
//! | `listing.rs` | the outcomes of instants, newest first; failures in a row | verbs, pages, notifications |
//! | `untold.rs` | ends of runs and missed instants of which no message is written down yet | daemon, notifications |
//! | `retention.rs` | what is too old to be kept | daemon |
//!
//! How each caller uses it:
//! - `schedule list` and `show`: [`known::all`] or [`known::find`], [`listing::instants`], [`listing::last`],
//!   [`listing::failures_in_a_row`] on a connection for reading.
//! - `pause` and `resume`: [`known::pause`], [`known::resume`] on a connection for writing; then [`claimant::wake`].
//! - `trigger`: [`requests::ask`] if [`known::Known::served`], then [`requests::state`] until it is answered; else, in this
//!   process, a [`claimant::Claimant`] and a [`tick::Tick`]: [`tick::Tick::standing`] says what goes on, [`tick::Tick::claim`]
//!   takes the run with the trigger `manual`.
//! - `backfill`: [`backfill::succeeded`] says what is there, [`backfill::claim`] takes one instant before its run begins.
//!
//! An instant's row is written when it is claimed, and never again by who claimed it: what becomes of its run is copied from
//! the run's row by triggers of the database, in the transactions that the run writes anyway. So it outlives the run's row.
//!
//! Knows nothing of clocks and rules: the caller says when it is, and decides.

pub mod backfill;
pub mod claimant;
pub mod known;
pub mod listing;
pub mod requests;
pub mod retention;
pub mod tick;
pub mod untold;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::schedule::Trigger;

/// Creates the tables; part of the database's schema, see `db.rs`. Times are in milliseconds.
///
/// `schedule.times` is the text of its rhythm: when it changes, `since_ms` and `accounted_ms` begin anew. `instant.run` is null
/// where none began; `outcome` is null while one goes on, then the run's status; `ended_by` says why it was ended.
pub const SCHEMA: &str = "
    CREATE TABLE schedule (
        name TEXT PRIMARY KEY,
        path TEXT NOT NULL,
        times TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        accounted_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE schedule_pause (
        id INTEGER PRIMARY KEY,
        schedule TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER,
        by TEXT NOT NULL,
        reason TEXT
    );
    CREATE INDEX schedule_pause_of ON schedule_pause (schedule, since_ms);
    CREATE TABLE claimant (
        claimant TEXT PRIMARY KEY,
        pid INTEGER NOT NULL,
        started_ms INTEGER NOT NULL,
        url TEXT
    ) WITHOUT ROWID;
    CREATE TABLE schedule_served (
        schedule TEXT NOT NULL,
        claimant TEXT NOT NULL,
        PRIMARY KEY (schedule, claimant)
    ) WITHOUT ROWID;
    CREATE TABLE instant (
        id INTEGER PRIMARY KEY,
        schedule TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        fires_ms INTEGER NOT NULL,
        became TEXT NOT NULL,
        trigger TEXT NOT NULL,
        reason TEXT,
        run TEXT,
        claimant TEXT NOT NULL,
        claimed_ms INTEGER NOT NULL,
        begun INTEGER NOT NULL DEFAULT 0,
        ended_by TEXT,
        outcome TEXT,
        counts TEXT,
        started_ms INTEGER,
        finished_ms INTEGER
    );
    CREATE UNIQUE INDEX instant_once ON instant (schedule, at_ms) WHERE trigger IN ('schedule', 'catch_up');
    CREATE INDEX instant_newest ON instant (schedule, at_ms, id);
    CREATE INDEX instant_of_run ON instant (run) WHERE run IS NOT NULL;
    CREATE INDEX instant_live ON instant (schedule) WHERE run IS NOT NULL AND outcome IS NULL;
    CREATE TABLE schedule_request (
        id INTEGER PRIMARY KEY,
        claimant TEXT NOT NULL,
        schedule TEXT NOT NULL,
        request TEXT NOT NULL,
        asked_ms INTEGER NOT NULL,
        answer TEXT
    );
    CREATE TRIGGER instant_begins AFTER INSERT ON run BEGIN
        UPDATE instant SET begun = 1, started_ms = NEW.started_ms, counts = NEW.counts, finished_ms = NEW.finished_ms,
            outcome = CASE
                WHEN NEW.status = 'running' THEN NULL
                WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed'
                ELSE NEW.status END
        WHERE run = NEW.run;
    END;
    CREATE TRIGGER instant_ends AFTER UPDATE OF status ON run WHEN NEW.status <> 'running' BEGIN
        UPDATE instant SET counts = NEW.counts, finished_ms = NEW.finished_ms,
            outcome = CASE WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed' ELSE NEW.status END
        WHERE run = NEW.run;
    END;
";

/// A later step: what a daemon loaded last of a schedule, as JSON; and an end of a run by which nobody told of it, as whoever
/// comes by marks a run whose process is gone, leaves its instant to the daemon that does.
pub const DAEMON_TELLS: &str = "
    ALTER TABLE schedule ADD COLUMN settings TEXT;
    DROP TRIGGER instant_begins;
    CREATE TRIGGER instant_begins AFTER INSERT ON run BEGIN
        UPDATE instant SET begun = 1, started_ms = NEW.started_ms, counts = NEW.counts, finished_ms = NEW.finished_ms,
            outcome = CASE
                WHEN NEW.status IN ('running', 'interrupted') THEN NULL
                WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed'
                ELSE NEW.status END
        WHERE run = NEW.run;
    END;
    DROP TRIGGER instant_ends;
    CREATE TRIGGER instant_ends AFTER UPDATE OF status ON run WHEN NEW.status NOT IN ('running', 'interrupted') BEGIN
        UPDATE instant SET counts = NEW.counts, finished_ms = NEW.finished_ms,
            outcome = CASE WHEN NEW.status = 'cancelled' AND ended_by = 'timeout' THEN 'failed' ELSE NEW.status END
        WHERE run = NEW.run;
    END;
";

/// What an instant became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// A run began in time, or later in the queue.
    Fired,
    /// A run began after the instant had been missed.
    CaughtUp,
    /// Nothing ran: no daemon was there, and it was not caught up.
    Missed,
    /// Nothing ran: the run before was still going.
    Overlapped,
    /// Nothing ran: the schedule was paused.
    Paused,
}

/// Why a run was ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The next instant took its place.
    Replaced,
    /// It took longer than its schedule allows, which is a failure.
    Timeout,
}

impl Became {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::CaughtUp => "caught_up",
            Self::Missed => "missed",
            Self::Overlapped => "overlapped",
            Self::Paused => "paused",
        }
    }

    fn parse(text: &str) -> Self {
        let all = [Self::Fired, Self::CaughtUp, Self::Overlapped, Self::Paused];
        all.into_iter().find(|became| became.name() == text).unwrap_or(Self::Missed)
    }
}

impl EndedBy {
    fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Timeout => "timeout",
        }
    }

    /// Why, for people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Replaced => "replaced by a later run",
            Self::Timeout => "it took longer than max_runtime",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Replaced, Self::Timeout].into_iter().find(|ended| ended.name() == text)
    }
}

fn parse_trigger(text: &str) -> Trigger {
    let all = [Trigger::Schedule, Trigger::CatchUp, Trigger::Backfill, Trigger::Retry, Trigger::Api];
    all.into_iter().find(|trigger| trigger.name() == text).unwrap_or_default()
}

/// A column of milliseconds as an instant.
fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
