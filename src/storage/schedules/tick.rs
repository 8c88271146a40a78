//! One transaction of decisions: the state of each schedule, then the claims and records that follow from it. Whoever cannot
//! claim an instant does nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::claimant::is_alive;
use super::{Became, EndedBy, instant, parse_trigger};
use crate::core::event::Status;
use crate::core::run_id::RunId;
use crate::core::schedule::Trigger;
use crate::storage::history::INTERRUPTED;
use crate::storage::home::Home;

/// Where a schedule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It was first seen, or its times were edited, at this instant: it has missed nothing before.
    pub since: Timestamp,
    /// Every instant up to this one is settled.
    pub accounted: Timestamp,
    /// Instants after that which are settled as well. Of those, none is a missed one.
    pub settled: BTreeSet<Timestamp>,
    /// Stretches of time in which it was paused; the last one may have no end.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
    /// Its runs that go on, on all daemons: fired, caught up and triggered ones.
    pub live: Vec<LiveRun>,
}

/// A run of a schedule that goes on, or is about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRun {
    pub run: RunId,
    /// The process that runs it.
    pub claimant: RunId,
    pub at: Timestamp,
    pub trigger: Trigger,
    pub claimed: Timestamp,
    /// Why it is being ended.
    pub ended_by: Option<EndedBy>,
}

/// A run that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub schedule: &'a str,
    pub at: Timestamp,
    /// The instant with its jitter.
    pub fires: Timestamp,
    /// [`Became::Fired`] or [`Became::CaughtUp`].
    pub became: Became,
    pub trigger: Trigger,
    pub run: RunId,
    pub claimant: RunId,
    pub now: Timestamp,
}

/// An instant of which no run comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub schedule: &'a str,
    pub at: Timestamp,
    pub fires: Timestamp,
    pub became: Became,
    pub reason: Option<&'a str>,
    pub claimant: RunId,
    pub now: Timestamp,
}

/// A claim whose process died, as [`Tick::free_dead`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died {
    pub schedule: String,
    pub at: Timestamp,
    pub run: RunId,
    pub trigger: Trigger,
    /// Its run had begun, and is interrupted; else the instant is free again.
    pub begun: bool,
}

/// A transaction that excludes all others. Dropped without [`Tick::commit`] it changes nothing.
pub struct Tick<'c> {
    pub(super) transaction: Transaction<'c>,
    pub(super) home: &'c Home,
}

impl<'c> Tick<'c> {
    /// Begins.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn begin(db: &'c mut Connection, home: &'c Home) -> rusqlite::Result<Self> {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self { transaction, home })
    }

    /// Ends claims whose process is gone, and returns them: for a daemon, which tells of them. A run that began is
    /// interrupted; an instant whose run did not begin is as if nobody had claimed it.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn free_dead(&self) -> rusqlite::Result<Vec<Died>> {
        let mut live = self.transaction.prepare_cached(
            "SELECT id, schedule, at_ms, run, claimant, begun, trigger FROM instant INDEXED BY instant_live \
             WHERE run IS NOT NULL AND outcome IS NULL",
        )?;
        let rows = live.query_map([], |row| {
            let died = Died {
                schedule: row.get(1)?,
                at: instant(row.get(2)?),
                run: row.get(3)?,
                trigger: parse_trigger(&row.get::<_, String>(6)?),
                begun: row.get(5)?,
            };
            Ok((row.get::<_, i64>(0)?, row.get::<_, RunId>(4)?, died))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(live);
        let mut found = Vec::new();
        for (id, claimant, mut died) in rows {
            if lives(self.home, died.run, died.begun, claimant) {
                continue;
            }
            // The run may have ended between the first look and this one, but not within this transaction: its row would
            // have changed. One killed before its first row has left its events.
            died.begun |= self.home.events(died.run).exists();
            match died.begun || !is_of_instant(died.trigger) {
                true => self
                    .transaction
                    .execute(
                        "UPDATE instant SET outcome = ?2, untold = 1, \
                         counts = coalesce((SELECT counts FROM run WHERE run.run = instant.run), counts), \
                         finished_ms = (SELECT finished_ms FROM run WHERE run.run = instant.run) WHERE id = ?1",
                        params![id, INTERRUPTED],
                    )?,
                false => self.free(id, &died)?,
            };
            found.push(died);
        }
        Ok(found)
    }

    /// Frees an instant whose run did not begin. If the times were edited since, it is none of theirs, and missed.
    fn free(&self, id: i64, died: &Died) -> rusqlite::Result<usize> {
        let at = died.at.as_millisecond();
        let lowered = self.transaction.execute(
            "UPDATE schedule SET accounted_ms = min(accounted_ms, ?2 - 1) WHERE name = ?1 AND since_ms < ?2",
            params![died.schedule, at],
        )?;
        match lowered {
            0 => self.transaction.execute(
                "UPDATE instant SET became = 'missed', run = NULL, trigger = 'schedule', \
                 reason = 'its daemon ended before the run began' WHERE id = ?1",
                [id],
            ),
            _ => self.transaction.execute("DELETE FROM instant WHERE id = ?1", [id]),
        }
    }

    /// Where a schedule stands; `None` if no daemon ever served it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn standing(&self, schedule: &str) -> rusqlite::Result<Option<Standing>> {
        let db = &self.transaction;
        let known: Option<(i64, i64)> = db
            .prepare_cached("SELECT since_ms, accounted_ms FROM schedule WHERE name = ?1")?
            .query_row([schedule], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((since, accounted)) = known else { return Ok(None) };
        let settled = db
            .prepare_cached(
                "SELECT at_ms FROM instant WHERE schedule = ?1 AND at_ms > ?2 \
                 AND trigger IN ('schedule', 'catch_up') AND became <> 'missed'",
            )?
            .query_map(params![schedule, accounted], |row| Ok(instant(row.get(0)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let pauses = db
            .prepare_cached(
                "SELECT since_ms, until_ms FROM schedule_pause WHERE schedule = ?1 \
                 AND (until_ms IS NULL OR until_ms > ?2) ORDER BY since_ms",
            )?
            .query_map(params![schedule, accounted], |row| {
                Ok((instant(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(instant)))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let live = self.live(schedule)?;
        Ok(Some(Standing { since: instant(since), accounted: instant(accounted), settled, pauses, live }))
    }

    /// The runs of a schedule that go on: fired, caught up and triggered ones, in the order of their claims.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn live(&self, schedule: &str) -> rusqlite::Result<Vec<LiveRun>> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT run, claimant, at_ms, trigger, claimed_ms, ended_by, begun FROM instant INDEXED BY instant_live \
             WHERE schedule = ?1 AND run IS NOT NULL AND outcome IS NULL AND trigger <> 'backfill' ORDER BY id",
        )?;
        let rows = statement.query_map([schedule], |row| {
            let run = LiveRun {
                run: row.get(0)?,
                claimant: row.get(1)?,
                at: instant(row.get(2)?),
                trigger: parse_trigger(&row.get::<_, String>(3)?),
                claimed: instant(row.get(4)?),
                ended_by: row.get::<_, Option<String>>(5)?.and_then(|name| EndedBy::parse(&name)),
            };
            Ok((run, row.get(6)?))
        })?;
        let rows: Vec<(LiveRun, bool)> = rows.collect::<rusqlite::Result<_>>()?;
        let live = rows.into_iter().filter(|(live, begun)| lives(self.home, live.run, *begun, live.claimant));
        Ok(live.map(|(live, _)| live).collect())
    }

    /// Claims an instant for a run; false if it is settled.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn claim(&self, claim: &Claim) -> rusqlite::Result<bool> {
        let Claim { schedule, at, fires, became, trigger, run, claimant, now } = claim;
        self.insert(params![
            schedule,
            at.as_millisecond(),
            fires.as_millisecond(),
            became.name(),
            trigger.name(),
            None::<&str>,
            Some(run),
            claimant,
            now.as_millisecond(),
        ])
    }

    /// Records an instant of which no run comes; false if it is settled.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn record(&self, record: &Record) -> rusqlite::Result<bool> {
        let Record { schedule, at, fires, became, reason, claimant, now } = record;
        self.insert(params![
            schedule,
            at.as_millisecond(),
            fires.as_millisecond(),
            became.name(),
            Trigger::Schedule.name(),
            reason,
            None::<RunId>,
            claimant,
            now.as_millisecond(),
        ])
    }

    /// A new row. One of a missed instant gives way: a clock that was set back may bring it again. What becomes of it is
    /// to be told if a daemon writes it.
    fn insert(&self, values: impl rusqlite::Params) -> rusqlite::Result<bool> {
        let changed = self
            .transaction
            .prepare_cached(
                "INSERT INTO instant \
                 (schedule, at_ms, fires_ms, became, trigger, reason, run, claimant, claimed_ms, untold) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, (?7 IS NOT NULL OR ?4 = 'missed') \
                 AND EXISTS (SELECT 1 FROM claimant WHERE claimant = ?8)) \
                 ON CONFLICT (schedule, at_ms) WHERE trigger IN ('schedule', 'catch_up') \
                 DO UPDATE SET fires_ms = ?3, became = ?4, trigger = ?5, reason = ?6, run = ?7, claimant = ?8, \
                 claimed_ms = ?9, untold = excluded.untold WHERE became = 'missed'",
            )?
            .execute(values)?;
        Ok(changed > 0)
    }

    /// Every instant of a schedule up to `up_to` is settled from now on. An earlier instant than before is what a clock needs
    /// that was set back.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn account(&self, schedule: &str, up_to: Timestamp) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE schedule SET accounted_ms = ?2, since_ms = min(since_ms, ?2) \
                 WHERE name = ?1 AND accounted_ms <> ?2",
            )?
            .execute(params![schedule, up_to.as_millisecond()])?;
        Ok(())
    }

    /// As [`note_end`].
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn ends(&self, run: RunId, by: EndedBy) -> rusqlite::Result<()> {
        note_end(&self.transaction, run, by)
    }

    /// Makes all of it so.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn commit(self) -> rusqlite::Result<()> {
        self.transaction.commit()
    }
}

/// Notes why a run is being ended, before it is.
///
/// # Errors
/// The database cannot be written.
pub fn note_end(db: &Connection, run: RunId, by: EndedBy) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE instant SET ended_by = ?2 WHERE run = ?1 AND outcome IS NULL")?
        .execute(params![run, by.name()])?;
    Ok(())
}

/// Notes that a claimed run did not begin, with the status that it has because of that: `failed` counts as a failure.
///
/// # Errors
/// The database cannot be written.
pub fn note_not_begun(db: &Connection, run: RunId, status: Status, reason: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE instant SET outcome = ?2, reason = ?3 WHERE run = ?1 AND outcome IS NULL AND begun = 0",
    )?
    .execute(params![run, status.name(), reason])?;
    Ok(())
}

/// Notes that a fault of this program ended a run, or the claim of one that had not begun.
///
/// # Errors
/// The database cannot be written.
pub fn note_panicked(db: &Connection, run: RunId, reason: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE instant SET outcome = iif(begun, ?2, 'failed'), reason = ?3 WHERE run = ?1 AND outcome IS NULL",
    )?
    .execute(params![run, INTERRUPTED, reason])?;
    Ok(())
}

/// Whether a claimed run still goes on, or its process is about to begin it.
pub(super) fn lives(home: &Home, run: RunId, begun: bool, claimant: RunId) -> bool {
    home.is_alive(run) || (!begun && is_alive(home, claimant))
}

/// Whether a run of this trigger is the one of its instant.
fn is_of_instant(trigger: Trigger) -> bool {
    matches!(trigger, Trigger::Schedule | Trigger::CatchUp)
}
