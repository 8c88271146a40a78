//! Whether what settings name can be used: each executor and the shared cache, tried once.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::core::background::begin_or_do;
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::ops::executors::{LOCAL, defined, try_batch};
use crate::ops::remote::{self, RemoteCache, RemoteChoice};
use crate::storage::home::Home;
use crate::storage::own_file::{self, Access};
use crate::storage::remote::backend::RemoteFault;
use crate::workflow::config::Config;

/// How often it is asked whether a trial of the shared cache makes progress.
const TRIAL_POLL: Duration = Duration::from_millis(20);
/// What a trial writes and reads.
const TRIAL: &[u8] = b"runner config --check";

/// Something that settings name, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingTrial {
    /// `executor cluster`, `remote cache`.
    pub name: String,
    pub fault: Option<String>,
}

/// Tries each executor, and the shared cache if one is named.
///
/// # Errors
/// There is no home folder.
pub(super) fn try_all(
    home: Option<&Path>,
    config: &Config,
    choice: &RemoteChoice,
) -> Result<Vec<SettingTrial>, Error> {
    let home = Home::locate(home).map_err(Error::store)?;
    let executors: BTreeSet<&str> = defined(config).chain([LOCAL]).collect();
    let trial = |name: &&str| {
        let kind = config.text(&format!("executors.{name}.kind")).unwrap_or(LOCAL);
        let fault = match kind {
            LOCAL => try_local(&home).err(),
            _ => try_batch(name, config, home.path()).err(),
        };
        SettingTrial { name: format!("executor {name}"), fault }
    };
    let mut trials: Vec<_> = executors.iter().map(trial).collect();
    let tried = match remote::open(config, choice) {
        Ok(None) => None,
        Ok(Some(cache)) => Some(try_remote(cache).map_err(|fault| fault.message)),
        Err(error) => Some(Err(error.to_string())),
    };
    if let Some(tried) = tried {
        trials.push(SettingTrial { name: "remote cache".into(), fault: tried.err() });
    }
    Ok(trials)
}

/// Writes, reads and removes an object. A folder whose server is gone never answers: it is not waited for longer than a request
/// may take.
fn try_remote(cache: RemoteCache) -> Result<(), RemoteFault> {
    let cache = Arc::new(cache);
    let (done, tried) = channel();
    let tries = cache.clone();
    drop(begin_or_do("remote", move || done.send(tries.trial())));
    loop {
        match tried.recv_timeout(TRIAL_POLL) {
            Ok(ended) => return ended,
            Err(RecvTimeoutError::Disconnected) => return Err(RemoteFault::lasting("the trial panicked")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cache.backend.last_progress().is_some_and(|last| last.elapsed() > cache.timeout) {
            return Err(RemoteFault::timeout());
        }
    }
}

/// Writes and reads where attempts work.
fn try_local(home: &Home) -> Result<(), String> {
    home.create().map_err(|error| error.to_string())?;
    let id = RunId::make();
    let trial = || -> io::Result<bool> {
        let held = home.hold(id)?;
        let path = held.scratch.join("trial");
        own_file::open(&path, Access::New)?.write_all(TRIAL)?;
        Ok(own_file::read(&path, TRIAL.len() as u64)? == TRIAL)
    };
    let tried = trial();
    home.sweep_scratch(id);
    let folder = home.path().join("scratch");
    match tried {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{} does not return what was written", folder.display())),
        Err(error) => Err(format!("{} cannot be used: {error}", folder.display())),
    }
}
