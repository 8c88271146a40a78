//! Small parts that the pages share: statuses, times, bars, links. Those that are markup write themselves, escaped.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;

use crate::core::event::{CacheStatus, Counts};
use crate::core::schedule::Trigger;
use crate::ops::inspect::{ABANDONED, INTERRUPTED, RUNNING};
use crate::ops::nodes::{NodeItem, NodeStanding};
use crate::view::text::{count, duration, inert};

/// How something stands: a class for colour and glyph, and the word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPart {
    pub class: &'static str,
    pub word: String,
}

impl StatusPart {
    fn new(class: &'static str, word: impl Into<String>) -> Self {
        Self { class, word: word.into() }
    }

    /// Of a run; one in which nothing was executed and nothing failed is called so.
    pub fn of_run(status: &str, counts: &Counts) -> Self {
        match status {
            "succeeded" if counts.is_no_op(status) => Self::new("hit", "no-op"),
            "succeeded" => Self::new("ok", "succeeded"),
            "failed" | INTERRUPTED | ABANDONED => Self::new("bad", status),
            RUNNING => Self::new("busy", "running"),
            _ => Self::new("skip-", status),
        }
    }

    /// The class of a drawing of it.
    pub fn fill(&self) -> &'static str {
        match self.class {
            "ok" => "f-ok",
            "hit" => "f-hit",
            "bad" => "f-bad",
            "busy" => "f-busy",
            "care" => "f-care",
            _ => "f-idle",
        }
    }

    pub fn of_node(item: &NodeItem) -> Self {
        Self::of_standing(item.standing, item.cache())
    }

    pub fn of_standing(standing: NodeStanding, cache: Option<CacheStatus>) -> Self {
        use crate::core::event::Status;
        match standing {
            NodeStanding::Ended(Status::Succeeded) if cache == Some(CacheStatus::Hit) => {
                Self::new("hit", "hit")
            }
            NodeStanding::Ended(Status::Succeeded) => Self::new("ok", "succeeded"),
            NodeStanding::Ended(Status::Failed) => Self::new("bad", "failed"),
            NodeStanding::Interrupted => Self::new("bad", INTERRUPTED),
            NodeStanding::Running => Self::new("busy", "running"),
            NodeStanding::Waiting => Self::new("idle", "waiting"),
            NodeStanding::Ended(status) => Self::new("skip-", status.name()),
        }
    }
}

/// An instant: in UTC as it stands, in the reader's zone when the script has been there.
#[derive(Clone, Copy, Debug)]
pub struct TimePart {
    at: Timestamp,
    is_short: bool,
}

impl TimePart {
    /// With its day.
    pub fn new(at: Timestamp) -> Self {
        Self { at, is_short: false }
    }

    /// Hour and minute, where the day stands nearby.
    pub fn short(at: Timestamp) -> Self {
        Self { at, is_short: true }
    }
}

impl fmt::Display for TimePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, class) = match self.is_short {
            true => ("%H:%M", " class=\"t-short\""),
            false => ("%Y-%m-%d %H:%M:%S UTC", ""),
        };
        let (shown, full) = (self.at.strftime(form), self.at.strftime("%Y-%m-%d %H:%M:%S UTC"));
        write!(f, "<time datetime=\"{}\" title=\"{full}\"{class}>{shown}</time>", self.at)
    }
}

/// What ran, what was saved and what failed, as one bar with its words.
#[derive(Clone, Copy, Debug, Default)]
pub struct MixPart {
    pub counts: Counts,
    /// How many there are, if more than have ended.
    pub total: u64,
    pub running: u64,
    /// Whether the rest is still to come.
    pub goes_on: bool,
}

impl MixPart {
    fn parts(&self) -> [(&'static str, u64, &'static str); 6] {
        let Counts { executed, cached, failed, skipped, cancelled, .. } = self.counts;
        let idle = skipped + cancelled;
        let rest = self.total.saturating_sub(self.counts.finished() + self.running);
        let (waiting, lost) = if self.goes_on { (rest, 0) } else { (0, rest) };
        [
            ("f-ok", executed, "executed"),
            ("f-hit", cached, "cached"),
            ("f-bad", failed, "failed"),
            ("f-busy", self.running, "running"),
            ("f-idle", idle + lost, "not reached"),
            ("f-line", waiting, "waiting"),
        ]
    }

    /// `3 executed, 34 cached`.
    pub fn words(&self) -> String {
        let parts: Vec<_> = self
            .parts()
            .iter()
            .filter(|(_, n, _)| *n > 0)
            .map(|(_, n, word)| format!("{} {word}", count(*n)))
            .collect();
        if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
    }
}

impl fmt::Display for MixPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        let sum: u64 = parts.iter().map(|(_, n, _)| n).sum();
        write!(
            f,
            "<svg class=\"mix\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            self.words()
        )?;
        let mut x = 0.0;
        for (class, n, _) in parts.into_iter().filter(|(_, n, _)| *n > 0) {
            // A small part can be seen as well.
            let width = (n as f64 / sum as f64 * 100.0).max(1.5);
            write!(f, "<rect class=\"{class}\" x=\"{x:.1}\" width=\"{width:.1}\"/>")?;
            x += width;
        }
        f.write_str("</svg>")
    }
}

/// What made a run begin.
pub fn origin(trigger: Trigger, schedule: Option<&str>) -> String {
    let name = schedule.map_or("", |name| name.rsplit('/').next().unwrap_or(name));
    match trigger {
        Trigger::Manual if name.is_empty() => "by hand".into(),
        Trigger::Manual => format!("by hand for {name}"),
        Trigger::Schedule => format!("schedule {name}"),
        Trigger::CatchUp => format!("catch-up of {name}"),
        Trigger::Backfill => format!("backfill of {name}"),
        Trigger::Retry => "retry".into(),
        Trigger::Api => "API".into(),
    }
}

/// A mistake in a file that is named nearby: without the path, with the word `line`.
pub fn in_file(mistake: &str, path: &Path) -> String {
    let path = path.display().to_string();
    let place = mistake.strip_prefix(&*path).and_then(|rest| rest.strip_prefix(':'));
    inert(&place.map_or_else(|| mistake.to_owned(), |place| format!("line {place}"))).into_owned()
}

/// A duration, or nothing where there is none.
pub fn maybe_duration(ms: Option<u64>) -> String {
    ms.map_or_else(String::new, duration)
}

/// Text as a part of a path or of a query.
pub fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The address of a node's page below the base path.
pub fn node_address(run: &str, node: &str, index: Option<u64>) -> String {
    let name: Vec<_> = node.split('/').map(encode).collect();
    let index = index.map_or(String::new(), |index| format!("?index={index}"));
    format!("/runs/{run}/nodes/{}{index}", name.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_words_and_no_inline_style() {
        let counts = Counts { nodes: 10, executed: 3, cached: 1, failed: 1, ..Counts::default() };
        let mix = MixPart { counts, total: 12, running: 2, goes_on: false };
        assert_eq!(mix.words(), "3 executed, 1 cached, 1 failed, 2 running, 5 not reached");
        let waits = MixPart { goes_on: true, ..mix };
        assert_eq!(waits.words(), "3 executed, 1 cached, 1 failed, 2 running, 5 waiting");
        let html = mix.to_string();
        assert!(html.contains("aria-label=\"3 executed, 1 cached") && !html.contains("style="), "{html}");
        assert_eq!(MixPart::default().words(), "nothing");
    }

    #[test]
    fn times_carry_their_instant_and_addresses_are_encoded() {
        let at: Timestamp = "2026-11-28T09:41:05Z".parse().unwrap();
        assert_eq!(
            TimePart::short(at).to_string(),
            "<time datetime=\"2026-11-28T09:41:05Z\" title=\"2026-11-28 09:41:05 UTC\" class=\"t-short\">09:41</time>"
        );
        assert_eq!(node_address("r", "prep[3]/clean", Some(2)), "/runs/r/nodes/prep%5B3%5D/clean?index=2");
    }

    #[test]
    fn a_mistake_does_not_say_the_path_again() {
        let path = Path::new("/f/w.toml");
        assert_eq!(in_file("/f/w.toml:4:1: unknown key", path), "line 4:1: unknown key");
        assert_eq!(in_file("/f/other.toml:4:1: no", path), "/f/other.toml:4:1: no");
    }

    #[test]
    fn runs_say_what_they_were() {
        let ran = Counts { executed: 1, ..Counts::default() };
        assert_eq!(StatusPart::of_run("succeeded", &Counts::default()), StatusPart::new("hit", "no-op"));
        assert_eq!(StatusPart::of_run("succeeded", &ran), StatusPart::new("ok", "succeeded"));
        assert_eq!(StatusPart::of_run("interrupted", &ran), StatusPart::new("bad", "interrupted"));
        assert_eq!(origin(Trigger::Schedule, Some("etl/nightly")), "schedule nightly");
        assert_eq!(origin(Trigger::Manual, None), "by hand");
    }
}
