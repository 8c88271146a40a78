//! Settings files: `runner.toml` of a project and the user's `config.toml`, read, checked and merged.
//!
//! Same syntax and same error messages as workflow files. Knows neither flags nor what settings are used for.
//!
//! | file | owns |
//! |---|---|
//! | `locate.rs` | which files count |
//! | `keys.rs` | every key there is |
//! | `read.rs` | one file |
//! | `notify.rs` | `[[notify]]`, of workflow files as well |
//! | `variables.rs` | `~/`, `$NAME` and `${file:PATH}` inside texts |

pub mod keys;
mod locate;
pub mod notify;
mod read;
pub mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

pub use self::locate::user_file;
use self::notify::{PlacedNotify, read_notify};
pub use self::read::MAX_JOBS;
use self::variables::Environment;
use super::diagnostic::{Diagnostic, SourceSpan, Sources};
use super::reader::Reader;
use super::source::read_text;
use super::syntax;

/// The section whose texts are filled in when they are needed: a secret that is missing is a fault of one message only.
const LATER: &str = "smtp.";

/// A value of a settings file, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigValue {
    pub value: Json,
    pub place: SourceSpan,
}

/// The settings that files give, nearer files first.
#[derive(Default)]
pub struct Config {
    /// By dotted name, as `executors.cluster.kind`.
    values: BTreeMap<String, ConfigValue>,
    /// Entries of `[[notify]]`, nearest first.
    pub notify: Vec<PlacedNotify>,
    /// The files that were read, nearest first.
    pub files: Vec<PathBuf>,
    /// Their texts, in the same order.
    pub sources: Sources,
    /// Files that were skipped.
    pub warnings: Vec<String>,
}

/// What is wrong with settings files; at least one diagnostic.
pub struct ConfigErrors {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Reads the settings for a workflow file, which is an absolute path without links.
///
/// # Errors
/// Everything that is wrong in a file that counts.
pub fn load_for(workflow: &Path, environment: Environment) -> Result<Config, ConfigErrors> {
    load(workflow.parent().unwrap_or(Path::new("/")), Some(workflow), environment)
}

/// The files that [`load_for`] reads, and the one beside the workflow, which may come into being.
pub fn locate_for(workflow: &Path, environment: Environment) -> Vec<PathBuf> {
    let folder = workflow.parent().unwrap_or(Path::new("/"));
    let mut paths = locate::locate(folder, Some(workflow), environment).paths;
    paths.push(folder.join(locate::NAME));
    paths.extend(user_file(environment));
    paths
}

/// Reads the settings from `folder` upward, and the user's.
///
/// # Errors
/// As [`load_for`].
pub fn load(
    folder: &Path,
    workflow: Option<&Path>,
    environment: Environment,
) -> Result<Config, ConfigErrors> {
    let found = locate::locate(folder, workflow, environment);
    let mut config = Config { warnings: found.warnings, ..Config::default() };
    let mut diagnostics = Vec::new();
    for path in found.paths {
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(problem) => {
                diagnostics.push(Diagnostic::new(problem));
                continue;
            }
        };
        let file = config.sources.add(&path, text.clone());
        config.files.push(path);
        let (tree, errors) = syntax::parse(&text, file);
        if !errors.is_empty() {
            diagnostics.extend(errors);
            continue;
        }
        let mut reader = Reader::new(file);
        let values = read::read_values(&mut reader, &tree, environment);
        config.notify.extend(read_notify(&mut reader, &tree, true));
        diagnostics.extend(reader.into_diagnostics());
        config.merge(values, &mut diagnostics);
    }
    diagnostics.extend(config.open_mail());
    if !diagnostics.is_empty() {
        return Err(ConfigErrors { diagnostics, sources: config.sources });
    }
    Ok(config)
}

impl Config {
    /// The value of a setting by its dotted name.
    pub fn get(&self, name: &str) -> Option<&ConfigValue> {
        self.values.get(name)
    }

    /// A setting that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.value.as_str()
    }

    /// The maximum number of nodes that run at once.
    pub fn jobs(&self) -> Option<u32> {
        self.get("jobs")?.value.as_u64().and_then(|jobs| u32::try_from(jobs).ok())
    }

    /// Every setting by its dotted name.
    pub fn values(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The path and the line of a place.
    pub fn line_of(&self, place: SourceSpan) -> (&Path, usize) {
        (self.sources.path(place.file), self.sources.line_column(place).0)
    }

    /// Adds the values of a file that is farther away.
    fn merge(&mut self, values: BTreeMap<String, ConfigValue>, diagnostics: &mut Vec<Diagnostic>) {
        for (name, value) in values {
            let Some(nearer) = self.values.get(&name) else {
                self.values.insert(name, value);
                continue;
            };
            let is_kind = name.starts_with("executors.") && name.ends_with(".kind");
            if is_kind && nearer.value != value.value {
                let message = format!("`{name}` is {} here and {} elsewhere", nearer.value, value.value);
                let diagnostic = Diagnostic::at(nearer.place, message, "one kind")
                    .also(value.place, "another kind")
                    .help("tables of one name are merged key by key: give one of them another name");
                diagnostics.push(diagnostic);
            }
        }
    }

    /// The error of mail that would go over a network in clear.
    fn open_mail(&self) -> Option<Diagnostic> {
        let tls = self.get("smtp.tls").filter(|tls| tls.value == "none")?;
        let host = self.text("smtp.host")?;
        if is_loopback(host) {
            return None;
        }
        let message = "`tls = \"none\"` is for a server on this machine only";
        Some(
            Diagnostic::at(tls.place, message, "would send the password and the mail in clear")
                .help("use \"starttls\" or \"tls\", or the host \"localhost\""),
        )
    }
}

/// Whether a host is this machine, by its name alone.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
