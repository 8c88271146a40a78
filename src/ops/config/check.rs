//! Whether what settings name can be used: each executor and the shared cache, tried once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::storage::home::Home;
use crate::workflow::config::Config;

/// The executor of this machine, which needs no settings.
const LOCAL: &str = "local";
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
pub(super) fn try_all(home: Option<&Path>, config: &Config) -> Result<Vec<SettingTrial>, Error> {
    let home = Home::locate(home).map_err(Error::store)?;
    let named = config.values().filter_map(|(name, _)| name.strip_prefix("executors.")?.split('.').next());
    let executors: BTreeSet<&str> = named.chain([LOCAL]).collect();
    let trial = |name: &&str| {
        let kind = config.text(&format!("executors.{name}.kind")).unwrap_or(LOCAL);
        let fault = match kind {
            LOCAL => try_local(&home).err(),
            kind => Some(format!("this version runs tasks on this machine only, not by {kind}")),
        };
        SettingTrial { name: format!("executor {name}"), fault }
    };
    let mut trials: Vec<_> = executors.iter().map(trial).collect();
    if config.text("cache.remote").is_some() {
        let fault = Some("this version keeps results on this machine only".to_owned());
        trials.push(SettingTrial { name: "remote cache".into(), fault });
    }
    Ok(trials)
}

/// Writes and reads where attempts work.
fn try_local(home: &Home) -> Result<(), String> {
    home.create().map_err(|error| error.to_string())?;
    let path = home.scratch(RunId::make());
    let folder = path.parent().unwrap_or(home.path());
    let fault = |error: std::io::Error| format!("{} cannot be used: {error}", folder.display());
    fs::create_dir_all(folder).and_then(|()| fs::write(&path, TRIAL)).map_err(fault)?;
    let read = fs::read(&path);
    fs::remove_file(&path).map_err(fault)?;
    match read.map_err(fault)? == TRIAL {
        true => Ok(()),
        false => Err(format!("{} does not give back what was written", folder.display())),
    }
}
