//! Ends of runs and missed instants of which no message has been written down yet. A daemon that dies between an end and its
//! message leaves them to the next one that serves the schedule.
//!
//! A row is marked when a daemon writes it, in the transaction of its claim. The mark goes in the transaction that writes the
//! messages down; where there is nothing to tell, with the next transaction that comes by. So it is a hint to look, no more:
//! whoever looks finds out what was told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::claimant::is_alive;
use super::instant;
use super::tick::Tick;
use crate::core::run_id::RunId;

/// A later step of the database's schema, see `db.rs`.
pub const SCHEMA: &str = "
    ALTER TABLE instant ADD COLUMN untold INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX instant_untold ON instant (id) WHERE untold = 1;
";

/// Something of which a daemon tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UntoldEvent {
    /// A run of this schedule ended.
    Ended { schedule: String, run: RunId },
    /// Instants of this schedule passed without a run.
    Missed { schedule: String, instants: Vec<Timestamp> },
}

impl Tick<'_> {
    /// What dead daemons have not told of the schedules that `serves` names, in order. From now on it is the business of `teller`.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn take_untold(
        &self,
        teller: RunId,
        serves: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<Vec<UntoldEvent>> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, schedule, at_ms, run, claimant FROM instant INDEXED BY instant_untold \
             WHERE untold = 1 AND claimant <> ?1 AND (run IS NULL OR outcome IS NOT NULL) ORDER BY id",
        )?;
        let rows = statement.query_map([teller], |row| {
            let of: (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((of, row.get::<_, Option<RunId>>(3)?, row.get::<_, RunId>(4)?))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        let mut alive: BTreeMap<RunId, bool> = BTreeMap::new();
        let (mut ended, mut missed) = (Vec::new(), BTreeMap::<String, Vec<Timestamp>>::new());
        for ((id, schedule, at), run, claimant) in rows {
            if !serves(&schedule) || *alive.entry(claimant).or_insert_with(|| is_alive(self.home, claimant)) {
                continue;
            }
            self.transaction
                .prepare_cached("UPDATE instant SET claimant = ?2 WHERE id = ?1")?
                .execute(params![id, teller])?;
            match run {
                Some(run) => ended.push(UntoldEvent::Ended { schedule, run }),
                None => missed.entry(schedule).or_default().push(instant(at)),
            }
        }
        let missed =
            missed.into_iter().map(|(schedule, instants)| UntoldEvent::Missed { schedule, instants });
        Ok(ended.into_iter().chain(missed).collect())
    }
}

impl Tick<'_> {
    /// As [`settle`].
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn settle(&self, event: &UntoldEvent) -> rusqlite::Result<()> {
        settle(&self.transaction, event)
    }
}

/// Notes that nobody has to be told of this any more.
///
/// # Errors
/// The database cannot be written.
pub fn settle(db: &Connection, event: &UntoldEvent) -> rusqlite::Result<()> {
    match event {
        UntoldEvent::Ended { run, .. } => {
            db.prepare_cached("UPDATE instant SET untold = 0 WHERE run = ?1")?.execute([run])?;
        }
        UntoldEvent::Missed { schedule, instants } => {
            let mut statement = db.prepare_cached(
                "UPDATE instant SET untold = 0 WHERE schedule = ?1 AND at_ms = ?2 AND run IS NULL",
            )?;
            for at in instants {
                statement.execute(params![schedule, at.as_millisecond()])?;
            }
        }
    }
    Ok(())
}
