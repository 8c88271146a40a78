//! Policies: how a task is run (a node may override these) and how its results are cached.

use std::collections::BTreeMap;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::syntax::{Table, TomlKind};
use crate::core::chunk::ChunkSize;
use crate::core::time_text::parse_duration;

/// How attempts are made.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptPolicy {
    /// Attempts after the first.
    pub retries: u32,
    /// The wait before the second attempt.
    pub retry_delay: Duration,
    /// The factor by which each further wait grows.
    pub retry_backoff: f64,
    /// Per attempt.
    pub timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Reserved amounts: `memory` in bytes, others in units. Holds no zeros.
    pub resources: BTreeMap<String, u64>,
    /// Where attempts run, by the name in the settings.
    pub executor: Option<String>,
    /// More arguments of the command that submits a job.
    pub executor_args: Vec<String>,
    /// How many attempts share a job, if not as the executor says.
    pub chunk: Option<ChunkSize>,
    /// How many attempts of a job run at once, if not as the executor says.
    pub chunk_parallel: Option<u32>,
}

impl Default for AttemptPolicy {
    fn default() -> Self {
        Self {
            retries: 0,
            retry_delay: Duration::from_secs(1),
            retry_backoff: 2.0,
            timeout: None,
            grace: Duration::from_secs(10),
            resources: BTreeMap::from([("cpus".into(), 1)]),
            executor: None,
            executor_args: Vec::new(),
            chunk: None,
            chunk_parallel: None,
        }
    }
}

impl AttemptPolicy {
    /// The wait before the attempt that follows `attempt` (counted from 1); at most a day.
    pub fn wait_after(&self, attempt: u32) -> Duration {
        const MAX_WAIT_SECONDS: f64 = 86_400.0;
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.retry_delay.as_secs_f64() * self.retry_backoff.powi(exponent);
        Duration::from_secs_f64(seconds.clamp(0.0, MAX_WAIT_SECONDS))
    }

    /// `self`, with what `table` says instead.
    pub fn overridden(&self, reader: &mut Reader, table: &Table) -> Self {
        let mut policy = self.clone();
        if let Some(retries) = whole(reader, table, "retries", 1000) {
            policy.retries = retries as u32;
        }
        if let Some(delay) = duration(reader, table, "retry_delay", true) {
            policy.retry_delay = delay;
        }
        if let Some(factor) = number(reader, table, "retry_backoff") {
            policy.retry_backoff = factor;
        }
        if let Some(timeout) = duration(reader, table, "timeout", false) {
            policy.timeout = Some(timeout);
        }
        if let Some(grace) = duration(reader, table, "grace", true) {
            policy.grace = grace;
        }
        for (name, amount) in amounts(reader, table, "resources") {
            policy.resources.insert(name, amount);
        }
        policy.resources.retain(|_, amount| *amount > 0);
        if let Some(executor) = reader.text(table, "executor") {
            policy.executor = Some(executor.to_owned());
        }
        if table.get("executor_args").is_some() {
            policy.executor_args = reader.owned_texts(table, "executor_args");
        }
        if let Some(item) = table.get("chunk") {
            match ChunkSize::from_json(&item.kind.to_json()) {
                Ok(size) => policy.chunk = Some(size),
                Err(problem) => {
                    reader.error(item.span, format!("`chunk` {problem}"), "no size of a chunk");
                }
            }
        }
        if let Some(parallel) = whole(reader, table, "chunk_parallel", 1000) {
            policy.chunk_parallel = Some(parallel.max(1) as u32);
        }
        policy
    }
}

/// How results are memoised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePolicy {
    pub enabled: bool,
    /// Whether results never leave this machine.
    pub is_local: bool,
    /// Pinned; without one it is automatic.
    pub version: Option<String>,
    pub ignore_inputs: Vec<String>,
    /// Whether identical work that is started at the same time runs once.
    pub serialize: bool,
    /// An older result counts for nothing.
    pub max_age: Option<Duration>,
    /// Variables that are passed on and join the automatic version.
    pub env: Vec<String>,
    /// Qualified names that the task had before.
    pub aliases: Vec<String>,
}

impl CachePolicy {
    /// Whether the shared cache is asked for results.
    pub fn is_shared(&self) -> bool {
        self.enabled && !self.is_local
    }

    /// `self`, with what `table` says instead.
    pub fn overridden(&self, reader: &mut Reader, table: &Table) -> Self {
        let mut policy = self.clone();
        if let Some(enabled) = reader.bool(table, "cache") {
            policy.enabled = enabled;
        }
        if let Some(remote) = reader.bool(table, "cache_remote") {
            policy.is_local = !remote;
        }
        if let Some(version) = reader.text(table, "cache_version") {
            policy.version = Some(version.to_owned());
        }
        if let Some(serialize) = reader.bool(table, "cache_serialize") {
            policy.serialize = serialize;
        }
        if let Some(age) = duration(reader, table, "cache_max_age", false) {
            policy.max_age = Some(age);
        }
        if table.get("cache_ignore_inputs").is_some() {
            policy.ignore_inputs = reader.owned_texts(table, "cache_ignore_inputs");
        }
        if table.get("cache_aliases").is_some() {
            policy.aliases = reader.owned_texts(table, "cache_aliases");
        }
        if table.get("cache_env").is_some() {
            policy.env = reader.owned_texts(table, "cache_env");
        }
        policy
    }
}

/// Reads a table of amounts: whole numbers, `memory` as text with a unit.
pub fn amounts(reader: &mut Reader, table: &Table, name: &str) -> Vec<(String, u64)> {
    let Some(inner) = reader.table(table, name) else { return Vec::new() };
    let mut amounts = Vec::new();
    for (key, item) in inner.iter() {
        if !super::is_name(&key.name, true) {
            reader.check_name(key, "a resource", true);
        }
        let amount = match &item.kind {
            TomlKind::Integer(n @ 1..) if &*key.name == "memory" => Err(unitless(n.unsigned_abs())),
            TomlKind::Integer(n) => u64::try_from(*n).map_err(|_| "must not be negative".to_owned()),
            TomlKind::String(text) => parse_amount(&key.name, text),
            _ => Err(format!("must be a whole number, found {}", item.type_name())),
        };
        match amount {
            Ok(amount) => amounts.push((key.name.to_string(), amount)),
            Err(problem) => {
                reader.error(item.span, format!("resource `{}` {problem}", key.name), "not an amount");
            }
        }
    }
    amounts
}

/// Reads the amount of a resource as text: a whole number, for `memory` a size with a unit.
///
/// # Errors
/// A clause that says what was expected.
pub fn parse_amount(name: &str, text: &str) -> Result<u64, String> {
    if name != "memory" {
        return text.trim().parse().map_err(|_| format!("must be a whole number, found {text:?}"));
    }
    match text.trim().parse::<u64>() {
        Ok(0) => Ok(0),
        Ok(amount) => Err(unitless(amount)),
        Err(_) => {
            let size: Result<bytesize::ByteSize, _> = text.parse();
            size.map(|size| size.as_u64())
                .map_err(|_| format!("must be an amount such as \"4GiB\", found {text:?}"))
        }
    }
}

/// That a size has no unit, with the likely meaning: memory is seldom counted in single bytes.
fn unitless(amount: u64) -> String {
    let unit = if amount < 1024 { "GiB" } else { "MiB" };
    format!("needs a unit, found {amount}: did you mean \"{amount}{unit}\"?")
}

fn whole(reader: &mut Reader, table: &Table, name: &str, most: i64) -> Option<i64> {
    let item = table.get(name)?;
    match item.kind {
        TomlKind::Integer(value) if (0..=most).contains(&value) => Some(value),
        TomlKind::Integer(_) => {
            reader.error(item.span, format!("`{name}` must lie between 0 and {most}"), "out of range");
            None
        }
        _ => {
            reader.wrong_type(item, name, "a whole number");
            None
        }
    }
}

fn number(reader: &mut Reader, table: &Table, name: &str) -> Option<f64> {
    let item = table.get(name)?;
    let value = match item.kind {
        TomlKind::Integer(value) => value as f64,
        TomlKind::Float(value) => value,
        _ => {
            reader.wrong_type(item, name, "a number");
            return None;
        }
    };
    if !(value.is_finite() && value >= 1.0) {
        reader.error(item.span, format!("`{name}` must be 1 or more"), "out of range");
        return None;
    }
    Some(value)
}

pub fn duration(reader: &mut Reader, table: &Table, name: &str, zero: bool) -> Option<Duration> {
    let item = table.get(name)?;
    let problem = match &item.kind {
        TomlKind::String(text) => match parse_duration(text).map(Duration::try_from) {
            Ok(Ok(duration)) if zero || !duration.is_zero() => return Some(duration),
            Ok(Ok(_)) => format!("`{name}` must be greater than zero"),
            Ok(Err(_)) => format!("`{name}` must not be negative"),
            Err(problem) => format!("`{name}`: {problem}"),
        },
        TomlKind::Integer(n) => {
            let label = format!("did you mean \"{n}s\"?");
            reader.error(item.span, format!("`{name}` must be text with a unit"), label);
            return None;
        }
        _ => {
            reader.wrong_type(item, name, "a duration such as \"90s\"");
            return None;
        }
    };
    let diagnostic = Diagnostic::at(reader.place(item.span), problem, "not a usable duration")
        .help("durations are written as in \"90s\", \"1h30m\" or \"500ms\"");
    reader.report(diagnostic);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let policy = AttemptPolicy {
            retry_delay: Duration::from_secs(2),
            retry_backoff: 3.0,
            ..AttemptPolicy::default()
        };
        let seconds: Vec<_> = [1, 2, 3, 400].map(|attempt| policy.wait_after(attempt).as_secs()).into();
        assert_eq!(seconds, [2, 6, 18, 86_400]);
    }

    #[test]
    fn memory_has_units() {
        assert_eq!(parse_amount("memory", "4GiB"), Ok(4 << 30));
        assert_eq!(parse_amount("memory", "0"), Ok(0));
        assert!(parse_amount("memory", "1024").unwrap_err().contains("1024MiB"));
        assert!(parse_amount("memory", "4").unwrap_err().contains("4GiB"));
        assert!(parse_amount("gpu", "4GiB").is_err());
        assert!(parse_amount("memory", "lots").is_err());
    }
}
