//! Ends a run that goes on in any process, as Ctrl-C does there.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Error;
use super::home::HomeReader;
use crate::core::run_id::RunId;
use crate::storage::history::{RUNNING, Run};

/// The time between two looks at a run that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Asks the run that a person means by `name` to end. A second request kills what it runs.
///
/// # Errors
/// The run is not known, has ended (kind: conflict), or cannot be asked.
pub fn cancel(home: Option<&Path>, name: &str) -> Result<RunId, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    if run.status != RUNNING {
        return Err(ended(&run));
    }
    match view.home.ask_to_end(run.id) {
        Ok(()) => Ok(run.id),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::conflict(format!("run {} has just ended", run.id)))
        }
        Err(error) => Err(Error::store(format!("run {} cannot be asked to end: {error}", run.id))),
    }
}

/// Expects that no end of a run is on record. One that is not known, as it waits for a place, has none.
///
/// # Errors
/// It has ended (kind: conflict).
pub fn expect_no_end(home: Option<&Path>, name: &str) -> Result<(), Error> {
    match HomeReader::open(home).and_then(|view| view.find(name)) {
        Ok(run) if run.status != RUNNING => Err(ended(&run)),
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
