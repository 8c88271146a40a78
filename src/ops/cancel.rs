//! Ends a run that goes on in any process, as Ctrl-C does there; of a run whose runner is gone the jobs that it left.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::Error;
use super::config::config_for;
use super::executors::batch_system;
use super::home::{HomeReader, HomeWriter};
use crate::core::event::Status;
use crate::core::run_id::RunId;
use crate::exec::Level;
use crate::exec::batch::{BatchSystem, JobFolder, LeftJob, end_left};
use crate::storage::history::{ABANDONED, DETACHED, INTERRUPTED, RUNNING, Run, record_run};
use crate::storage::jobs::{self, JobRow};
use crate::storage::store::remove_tree;

/// The time between two looks at a run that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long the jobs of a run without a runner are waited for that are in their grace.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a request to end a run.
pub enum CancelOutcome {
    /// Its runner was asked.
    Asked(RunId),
    /// It had no runner: so many of its jobs were ended, and so many are in their grace.
    Ended { run: RunId, jobs: usize, rest: usize },
}

impl CancelOutcome {
    pub fn run(&self) -> RunId {
        match self {
            Self::Asked(run) | Self::Ended { run, .. } => *run,
        }
    }
}

/// Asks the run that a person means by `name` to end. A second request kills what it runs.
///
/// # Errors
/// The run is not known, has ended (kind: conflict), or cannot be asked.
pub fn cancel(home: Option<&Path>, name: &str) -> Result<CancelOutcome, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    match &*run.status {
        RUNNING => {}
        DETACHED | ABANDONED => return cancel_left(home, run.id),
        _ if has_jobs(&view, run.id) => return cancel_left(home, run.id),
        _ => return Err(ended(&run)),
    }
    match view.home.ask_to_end(run.id) {
        Ok(()) => Ok(CancelOutcome::Asked(run.id)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::conflict(format!("run {} has just ended", run.id)))
        }
        Err(error) => Err(Error::store(format!("run {} cannot be asked to end: {error}", run.id))),
    }
}

fn has_jobs(view: &HomeReader, run: RunId) -> bool {
    view.db.as_ref().is_some_and(|db| jobs::has(db, run).unwrap_or(false))
}

/// Ends the jobs of a run that has no runner. Those that are in their grace are killed by a second request.
fn cancel_left(home: Option<&Path>, id: RunId) -> Result<CancelOutcome, Error> {
    let HomeWriter { home, db, .. } = HomeWriter::open(home)?;
    let failed = |error: io::Error| Error::store(format!("run {id} cannot be taken hold of: {error}"));
    // Nobody goes on with it meanwhile.
    let hold = home.hold(id).map_err(failed)?;
    let mut run = crate::storage::history::find(&db, id.as_str())?;
    let level = if run.status == Status::Cancelled.name() { Level::Kill } else { Level::Terminate };
    let (mut ended, mut rest) = (0, 0);
    for executor in jobs::executors(&db, id).map_err(Error::history)? {
        let rows = jobs::all(&db, &executor).map_err(Error::history)?;
        let rows: Vec<_> = rows.into_iter().filter(|row| row.run == id).collect();
        let config = config_for(Path::new(&run.path))?;
        let over =
            end_jobs(&*batch_system(&executor, &config, home.path())?, &rows, level).map_err(|problem| {
                Error::new(
                    super::ErrorKind::Failed,
                    format!("jobs of run {id} may still run, as {executor} does not answer: {problem}"),
                )
            })?;
        for row in &over {
            if remove_tree(Path::new(&row.folder)).is_ok() || !Path::new(&row.folder).exists() {
                jobs::remove(&db, &row.name).map_err(Error::history)?;
            }
        }
        (ended, rest) = (ended + over.len(), rest + rows.len() - over.len());
    }
    if [DETACHED, INTERRUPTED].contains(&&*run.status) {
        run.status = Status::Cancelled.name().into();
        run.finished = run.finished.or(Some(Timestamp::now()));
        record_run(&db, &run).map_err(Error::history)?;
    }
    home.sweep_scratch(id);
    drop(hold);
    Ok(CancelOutcome::Ended { run: id, jobs: ended, rest })
}

/// Ends jobs that no runner attends to; those that are over.
///
/// # Errors
/// The batch system gives no answer.
pub fn end_jobs(system: &dyn BatchSystem, rows: &[JobRow], level: Level) -> Result<Vec<JobRow>, String> {
    let left = |row: &JobRow| LeftJob {
        name: row.name.clone(),
        id: row.id.clone(),
        folder: JobFolder::new(row.folder.clone().into()),
    };
    let over = end_left(system, &rows.iter().map(left).collect::<Vec<_>>(), level, PATIENCE)?;
    Ok(rows.iter().filter(|row| over.contains(&row.name)).cloned().collect())
}

/// Expects that no end of a run is on record. One that is not known, as it waits for a place, has none.
///
/// # Errors
/// It has ended (kind: conflict).
pub fn expect_no_end(home: Option<&Path>, name: &str) -> Result<(), Error> {
    match HomeReader::open(home).and_then(|view| view.find(name)) {
        Ok(run) if ![RUNNING, DETACHED, ABANDONED].contains(&&*run.status) => Err(ended(&run)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn ended(run: &Run) -> Error {
    Error::conflict(format!("run {} has ended: {}", run.id, run.status))
}

/// Waits until a run has ended; its status.
///
/// # Errors
/// The history cannot be read.
pub fn wait(home: Option<&Path>, run: RunId) -> Result<String, Error> {
    let view = HomeReader::open(home)?;
    while view.home.is_alive(run) {
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(HomeReader::open(home)?.find(&run)?.status)
}
