//! Pausing and resuming schedules. Instants of a pause are never caught up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;

use super::lookup::{Named, known, named};
use super::overview;
use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::storage::db;
use crate::storage::home::Home;
use crate::storage::schedules::claimant::wake;
use crate::storage::schedules::known as table;
use crate::view::model::schedule_row::{PauseView, ScheduleRow};

/// PauseTarget schedules are meant.
pub enum PauseTarget<'a> {
    One(&'a str),
    /// Those of the current folder, and all that the home knows.
    All,
}

/// What became of one schedule.
pub struct Paused {
    pub schedule: String,
    /// Whether it was not so before.
    pub is_new: bool,
    /// Since when it is, or was, paused.
    pub since: Option<Timestamp>,
}

/// Pauses schedules, in the name of `by`. One that is paused already stays as it is.
///
/// # Errors
/// No or several schedules have that name; the home cannot be used.
pub fn pause(
    home: Option<&Path>,
    which: &PauseTarget,
    by: &str,
    reason: Option<&str>,
) -> Result<Vec<Paused>, Error> {
    let all = meant(home, which)?;
    let now = Timestamp::now();
    change(home, all, |db, (name, path, since)| {
        let is_new = table::pause(db, &name, &path, now, by, reason)?;
        Ok(Paused { schedule: name, is_new, since: if is_new { Some(now) } else { since } })
    })
}

/// The schedules that are paused, by whole name.
///
/// # Errors
/// The home cannot be read.
pub fn pauses(home: Option<&Path>) -> Result<BTreeMap<String, PauseView>, Error> {
    let all = known(&HomeReader::open(home)?)?.into_iter();
    Ok(all.filter_map(|known| Some((known.name, PauseView::from(known.paused?)))).collect())
}

/// Ends pauses.
///
/// # Errors
/// As of [`pause`].
pub fn resume(home: Option<&Path>, which: &PauseTarget) -> Result<Vec<Paused>, Error> {
    let all = meant(home, which)?;
    let now = Timestamp::now();
    change(home, all, |db, (name, _, since)| {
        let is_new = table::resume(db, &name, now)?;
        Ok(Paused { schedule: name, is_new, since })
    })
}

/// Name, file, and since when it is paused.
type Meant = (String, PathBuf, Option<Timestamp>);

fn meant(flag: Option<&Path>, which: &PauseTarget) -> Result<Vec<Meant>, Error> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match which {
        PauseTarget::One(name) => {
            let Named { name, path, known, .. } = named(&HomeReader::open(flag)?, name, &[])?;
            let since = known.and_then(|known| known.paused).map(|pause| pause.since);
            Ok(vec![(name, absolute(&path), since)])
        }
        PauseTarget::All => {
            let rows = overview::list(flag, &[])?.rows;
            let meant =
                |row: ScheduleRow| (row.schedule, row.path.into(), row.paused.map(|pause| pause.since));
            Ok(rows.into_iter().map(meant).collect())
        }
    }
}

fn change(
    flag: Option<&Path>,
    all: Vec<Meant>,
    mut change: impl FnMut(&mut Connection, Meant) -> rusqlite::Result<Paused>,
) -> Result<Vec<Paused>, Error> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let home = Home::locate(flag).map_err(Error::store)?;
    home.create().map_err(Error::store)?;
    let (mut db, _) = db::open(home.path()).map_err(|error| Error::store(error.to_string()))?;
    let changed = all.into_iter().map(|meant| change(&mut db, meant)).collect::<rusqlite::Result<_>>();
    wake(&home);
    changed.map_err(|error| Error::store(format!("the schedules cannot be written: {error}")))
}
