//! `[serve]` of the settings files: what flags of `runner serve` say, where they say nothing.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::WorkflowErrors;
use crate::ops::Error;
use crate::workflow::config::{Config, load};
use crate::workflow::program_ref::ProgramRef;

/// The section; a setting is named like its flag.
const SECTION: &str = "serve";

/// What the settings files of the first path say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeSettings {
    pub listen: Option<String>,
    pub token_file: Option<PathBuf>,
    pub base_path: Option<String>,
    pub public_url: Option<String>,
    pub allow_host: Vec<String>,
    pub read_only: bool,
    /// `finish` or `cancel`.
    pub on_exit: Option<String>,
    pub max_runs: Option<u64>,
    /// Files that were skipped, and settings without effect.
    pub warnings: Vec<String>,
}

/// The settings that count for a daemon: those of the first of its paths, else of the current folder, and the user's.
///
/// # Errors
/// Everything that is wrong in them; a path that cannot be read.
pub fn serve_settings(paths: &[PathBuf]) -> Result<ServeSettings, Error> {
    let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
    let unreadable = |error| Error::invalid(format!("{} cannot be read: {error}", first.display()));
    // What a program written with flytekit is asked for stands behind its name.
    let file = ProgramRef::file_of(first);
    let whole = file.canonicalize().map_err(unreadable)?;
    let folder = if whole.is_dir() { Some(&*whole) } else { whole.parent() };
    let folder = folder.unwrap_or(Path::new("/"));
    let config = load(folder, None, &|name| std::env::var_os(name)).map_err(WorkflowErrors::from)?;
    Ok(settings(&config))
}

fn settings(config: &Config) -> ServeSettings {
    let value = |name: &str| config.get(&format!("{SECTION}.{name}")).map(|setting| &setting.value);
    let text = |name: &str| value(name).and_then(Json::as_str).map(str::to_owned);
    // A path leads from the file that holds it.
    let token_file = config.get("serve.token_file").and_then(|setting| {
        let file = config.line_of(setting.place).0;
        Some(file.parent().unwrap_or(Path::new("/")).join(setting.value.as_str()?))
    });
    let hosts = value("allow_host").and_then(Json::as_array).into_iter().flatten();
    ServeSettings {
        listen: text("listen"),
        token_file,
        base_path: text("base_path"),
        public_url: text("public_url"),
        allow_host: hosts.filter_map(Json::as_str).map(str::to_owned).collect(),
        read_only: value("read_only").and_then(Json::as_bool).unwrap_or(false),
        on_exit: text("on_exit"),
        max_runs: value("max_runs").and_then(Json::as_u64),
        warnings: config.warnings.clone(),
    }
}
