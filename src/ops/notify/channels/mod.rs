//! The channels of messages: each tries once, within a time limit, and reports what went wrong.
//!
//! Secrets are filled in here and nowhere else, and are masked in errors. Knows no database and no repeated tries.

mod command;
mod mail;
mod webhook;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::core::inert::inert;
use crate::core::notify::{NotifyChannel, NotifyDocument, NotifyRule};
use crate::core::value::Value;
use crate::ops::config::MASK;
use crate::workflow::config::variables::{Dialect, Environment, fill};
use crate::workflow::template::{Lookup, Template};

/// Maximum size of a file that a reference names, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// Maximum characters of a fault.
const MAX_FAULT: usize = 500;

/// A message that is to be sent now.
pub struct Outgoing<'a> {
    pub rule: &'a NotifyRule,
    /// As it was written down.
    pub document: &'a str,
    /// The workflow file, whose settings count and from whose folder paths go.
    pub workflow: &'a Path,
    pub environment: Environment<'a>,
}

/// Sends a message once.
///
/// # Errors
/// What went wrong, in a sentence without secrets.
pub fn send(outgoing: &Outgoing) -> Result<(), String> {
    let mut filler = Filler { outgoing, secrets: Vec::new() };
    let sent = match &outgoing.rule.channel {
        NotifyChannel::Webhook { url, headers } => webhook::send(&mut filler, url, headers),
        NotifyChannel::Command(words) => command::send(&mut filler, words),
        NotifyChannel::Email(to) => mail::send(&mut filler, to),
    };
    sent.map_err(|fault| masked(&fault, &filler.secrets))
}

fn masked(fault: &str, secrets: &[String]) -> String {
    let mut fault = fault.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        fault = fault.replace(secret.as_str(), MASK);
    }
    inert(&fault).chars().take(MAX_FAULT).collect()
}

/// Puts in what references stand for, and remembers it.
pub struct Filler<'a> {
    pub outgoing: &'a Outgoing<'a>,
    pub secrets: Vec<String>,
}

impl Filler<'_> {
    /// A text of the rule.
    fn fill(&mut self, text: &str) -> Result<String, String> {
        let dialect = if self.outgoing.rule.in_settings { Dialect::SettingsLater } else { Dialect::Workflow };
        self.fill_as(text, dialect)
    }

    /// A word of a command: only a leading `~/` of a settings file is replaced, so that a shell sees its own `$NAME`.
    fn word(&self, text: &str) -> Result<String, String> {
        match text.strip_prefix("~/").filter(|_| self.outgoing.rule.in_settings) {
            Some(rest) => {
                let home = (self.outgoing.environment)("HOME").ok_or("the variable HOME is not set")?;
                Ok(format!("{}/{rest}", home.to_string_lossy()))
            }
            None => Ok(text.to_owned()),
        }
    }

    fn fill_as(&mut self, text: &str, dialect: Dialect) -> Result<String, String> {
        let read = |path: &str| self.read(path);
        let filled = fill(text, dialect, self.outgoing.environment, &read).map_err(|bad| bad.message)?;
        self.secrets.extend(filled.values);
        Ok(filled.text)
    }

    /// The text of a file without the newline at its end.
    fn read(&self, path: &str) -> Result<String, String> {
        let full = match path.strip_prefix("~/") {
            Some(rest) => {
                let home = (self.outgoing.environment)("HOME").ok_or("the variable HOME is not set")?;
                Path::new(&home).join(rest)
            }
            None => self.folder().join(path),
        };
        let fault = |error: std::io::Error| format!("{} cannot be read: {error}", full.display());
        // Looked at before it is opened: opening a FIFO would wait.
        if !fs::metadata(&full).map_err(fault)?.is_file() {
            return Err(format!("{} is no regular file", full.display()));
        }
        let mut text = String::new();
        let file = fs::File::open(&full).map_err(fault)?;
        file.take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(fault)?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The folder of the workflow file.
    fn folder(&self) -> &Path {
        self.outgoing.workflow.parent().unwrap_or(Path::new("/"))
    }

    fn document(&self) -> Result<NotifyDocument, String> {
        serde_json::from_str(self.outgoing.document)
            .map_err(|error| format!("the message is damaged: {error}"))
    }

    /// The body that the rule asks for; without a template `plain`.
    fn body(&self, plain: impl FnOnce() -> String) -> Result<String, String> {
        let Some(body) = &self.outgoing.rule.body else { return Ok(plain()) };
        let fields: JsonMap<String, Json> = serde_json::from_str(self.outgoing.document)
            .map_err(|error| format!("the message is damaged: {error}"))?;
        let template = Template::parse(body).map_err(|error| format!("`body`: {}", error.message))?;
        template.render(&Fields(fields)).map_err(|problem| format!("`body`: {problem}"))
    }
}

/// The fields of a document, for templates.
struct Fields(JsonMap<String, Json>);

impl Lookup for Fields {
    fn root<'p>(&self, path: &'p [String]) -> Result<(&'p [String], Value), String> {
        let value = self.0.get(&path[0]).ok_or_else(|| format!("the message has no field `{}`", path[0]))?;
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::String(text) => Value::String(text.as_str().into()),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Value::Int(whole),
                (None, Some(number)) => Value::Float(number),
                (None, None) => Value::Null,
            },
            nested => Value::Json(Arc::new(nested.clone())),
        };
        Ok((&path[..1], value))
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        Ok(value.to_task_text(&|artifact| artifact.name.to_string()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
