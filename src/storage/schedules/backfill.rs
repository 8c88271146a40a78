//! Claims of past instants on request. Several backfills share the work: what one has claimed another leaves out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::instant;
use super::tick::{Claim, Tick, lives};
use crate::core::run_id::RunId;
use crate::storage::home::Home;

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackfillAnswer {
    Claimed,
    /// A run of this instant goes on.
    Busy(RunId),
    /// Another one has run it since the backfill began, or it has a successful run that suffices.
    Done,
}

/// The instants of a stretch, both ends included, that have a successful run, whatever began it.
///
/// # Errors
/// The database cannot be read.
pub fn succeeded(
    db: &Connection,
    schedule: &str,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<BTreeSet<Timestamp>> {
    let mut statement = db.prepare_cached(
        "SELECT at_ms FROM instant WHERE schedule = ?1 AND at_ms BETWEEN ?2 AND ?3 AND outcome = 'succeeded'",
    )?;
    let mut found: BTreeSet<Timestamp> = statement
        .query_map(params![schedule, from.as_millisecond(), to.as_millisecond()], |row| {
            Ok(instant(row.get(0)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    // A retry, or `exec --scheduled-at`, has no claim.
    let mut others = db.prepare_cached(
        "SELECT invocation ->> '$.scheduled.scheduled_at' FROM run WHERE status = 'succeeded' \
         AND json_valid(invocation) AND invocation ->> '$.scheduled.schedule' = ?1",
    )?;
    for at in others.query_map([schedule], |row| row.get::<_, Option<String>>(0))? {
        let at = at?.and_then(|text| text.parse::<Timestamp>().ok());
        found.extend(at.filter(|at| (from..=to).contains(at)));
    }
    Ok(found)
}

/// Claims an instant for a backfill that began at `began`; `all` also those that had a successful run before.
///
/// # Errors
/// The database cannot be written.
pub fn claim(
    db: &mut Connection,
    home: &Home,
    claim: &Claim,
    began: Timestamp,
    all: bool,
) -> rusqlite::Result<BackfillAnswer> {
    let tick = Tick::begin(db, home)?;
    let (schedule, at) = (claim.schedule, claim.at);
    let claimed: Vec<(RunId, bool, RunId)> = tick
        .transaction
        .prepare_cached(
            "SELECT run, begun, claimant FROM instant WHERE schedule = ?1 AND at_ms = ?2 AND run IS NOT NULL \
             AND outcome IS NULL",
        )?
        .query_map(params![schedule, at.as_millisecond()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if let Some((run, ..)) =
        claimed.into_iter().find(|(run, begun, claimant)| lives(home, *run, *begun, *claimant))
    {
        return Ok(BackfillAnswer::Busy(run));
    }
    let is_shared = tick
        .transaction
        .prepare_cached(
            "SELECT 1 FROM instant WHERE schedule = ?1 AND at_ms = ?2 AND trigger = 'backfill' AND claimed_ms >= ?3 \
             AND outcome IS NOT NULL AND outcome <> 'interrupted'",
        )?
        .exists(params![schedule, at.as_millisecond(), began.as_millisecond()])?;
    if is_shared || (!all && succeeded(&tick.transaction, schedule, at, at)?.contains(&at)) {
        return Ok(BackfillAnswer::Done);
    }
    tick.claim(claim)?;
    tick.commit()?;
    Ok(BackfillAnswer::Claimed)
}
