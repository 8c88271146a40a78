//! Notifications as data: a rule of `[[notify]]`, what it tells of, and the document that a receiver gets.
//!
//! Nothing here decides, renders or sends.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::event::Counts;
use super::run_id::RunId;

/// What a message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// A run failed or was interrupted, for the first time or in a new way.
    Failure,
    /// The first success after a failure that was told.
    Recovery,
    /// A success, no-ops as well.
    Success,
    /// Instants of a schedule passed without a run.
    Missed,
    /// A file stopped loading, or loads again.
    Broken,
}

impl NotifyEvent {
    /// As in `on = [...]`.
    pub const NAMES: [&str; 5] = ["failure", "recovery", "success", "missed", "broken"];

    /// The event of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Failure, Self::Recovery, Self::Success, Self::Missed, Self::Broken];
        all.into_iter().find(|event| event.name() == name)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl fmt::Display for NotifyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The way that messages of a rule take. References such as `${NAME}` stand in the texts as they were written: secrets are
/// put in when a message is sent, and are kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyChannel {
    /// A POST to this address.
    Webhook { url: String, headers: BTreeMap<String, String> },
    /// A program with its arguments; the message is its standard input.
    Command(Vec<String>),
    /// Mail to these addresses.
    Email(Vec<String>),
}

/// One entry of `[[notify]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyRule {
    pub name: Option<String>,
    pub on: Vec<NotifyEvent>,
    pub channel: NotifyChannel,
    /// A template over the document.
    pub body: Option<String>,
    /// Names of schedules, whole or behind `/`; `None` for all, and for runs without a schedule.
    pub schedules: Option<Vec<String>>,
    /// Consecutive failures before the first message.
    pub after: u32,
    /// How long a failure goes on before it is reported again.
    pub repeat: Option<Duration>,
    /// How long one try may take.
    pub timeout: Duration,
    /// Whether it stands in a settings file, whose texts may hold `$NAME` and `~/` as well.
    pub in_settings: bool,
}

impl NotifyRule {
    /// Tells a rule from the others over edits of its details: its name, else its way and a digest of where messages go,
    /// which may be a secret.
    pub fn key(&self) -> String {
        let (way, target) = match (&self.name, &self.channel) {
            (Some(name), _) => return name.clone(),
            (None, NotifyChannel::Webhook { url, .. }) => ("webhook", url.clone()),
            (None, NotifyChannel::Command(words)) => ("command", words.join("\0")),
            (None, NotifyChannel::Email(to)) => ("email", to.join("\0")),
        };
        format!("{way} {}", &Digest::of(target).hex()[..8])
    }

    /// Whether it is for runs of this schedule; `None` for runs without one.
    pub fn covers(&self, schedule: Option<&str>) -> bool {
        let Some(names) = &self.schedules else { return true };
        let Some(schedule) = schedule else { return false };
        let own = schedule.rsplit('/').next().unwrap_or(schedule);
        names.iter().any(|name| name == schedule || name == own)
    }
}

/// What a receiver gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotifyDocument {
    pub v: u32,
    /// The same whenever the message is sent again.
    pub id: String,
    pub event: NotifyEvent,
    pub time: Timestamp,
    pub title: String,
    pub text: String,
    /// The whole name of the schedule.
    pub schedule: Option<String>,
    pub workflow: Option<String>,
    pub project: Option<String>,
    pub domain: Option<String>,
    pub run: Option<RunId>,
    pub scheduled_at: Option<Timestamp>,
    pub status: Option<String>,
    pub duration_ms: Option<u64>,
    pub no_op: bool,
    /// Failures in a row, this one included; before a success those that it ends.
    pub consecutive: u64,
    /// When the first of them began.
    pub since: Option<Timestamp>,
    pub counts: Option<Counts>,
    /// Why it could not begin.
    #[serde(default)]
    pub reason: Option<String>,
    pub failures: Vec<NotifyFailure>,
    /// What came first of the differences from the last success.
    pub changed: Vec<String>,
    pub last_success: Option<RunId>,
    /// Instants that were missed.
    pub instants: Vec<Timestamp>,
    /// The run's page.
    pub url: Option<String>,
}

/// The names that a template over the document may use.
pub const DOCUMENT_FIELDS: [&str; 24] = [
    "v",
    "id",
    "event",
    "time",
    "title",
    "text",
    "schedule",
    "workflow",
    "project",
    "domain",
    "run",
    "scheduled_at",
    "status",
    "duration_ms",
    "no_op",
    "consecutive",
    "since",
    "counts",
    "reason",
    "failures",
    "changed",
    "last_success",
    "instants",
    "url",
];

/// A node or element that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotifyFailure {
    pub node: String,
    pub index: Option<u64>,
    pub kind: String,
    pub message: String,
    pub exit_code: Option<i32>,
    /// The end of its log.
    pub tail: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(schedules: Option<&[&str]>) -> NotifyRule {
        NotifyRule {
            name: None,
            on: vec![NotifyEvent::Failure],
            channel: NotifyChannel::Email(vec!["a@b.c".into()]),
            body: None,
            schedules: schedules.map(|names| names.iter().map(ToString::to_string).collect()),
            after: 1,
            repeat: None,
            timeout: Duration::from_secs(10),
            in_settings: false,
        }
    }

    #[test]
    fn rules_cover_schedules_by_either_name() {
        assert!(rule(None).covers(None) && rule(None).covers(Some("etl/nightly")));
        let one = rule(Some(&["nightly"]));
        assert!(one.covers(Some("etl/nightly")) && !one.covers(Some("etl/hourly")) && !one.covers(None));
        assert!(rule(Some(&["etl/nightly"])).covers(Some("etl/nightly")));
        assert!(!rule(Some(&["other/nightly"])).covers(Some("etl/nightly")));
    }

    #[test]
    fn a_rule_without_a_name_shows_no_address() {
        let key = rule(None).key();
        assert!(key.starts_with("email ") && !key.contains("a@b.c"), "{key}");
        assert_eq!(NotifyRule { name: Some("ops".into()), ..rule(None) }.key(), "ops");
    }

    #[test]
    fn events_have_the_names_of_the_file() {
        for name in NotifyEvent::NAMES {
            assert_eq!(NotifyEvent::parse(name).unwrap().name(), name);
            assert_eq!(serde_json::to_value(NotifyEvent::parse(name)).unwrap(), name);
        }
        assert_eq!(NotifyEvent::parse("failures"), None);
    }
}
