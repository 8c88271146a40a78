//! The content of messages: the document of a run, of missed instants and of a file, with its title and its text.

use std::fmt::Write;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::decide::{Streak, streak};
use super::series::{Member, Series, failures};
use super::{BrokenNotifyFile, MissedInstants};
use crate::core::counted::counted;
use crate::core::event::{NodeFinished, Status, VERSION};
use crate::core::inert::{inert, inert_message};
use crate::core::notify::{NotifyDocument, NotifyEvent, NotifyFailure};
use crate::core::run_id::RunId;
use crate::ops::diff::diff;
use crate::ops::home::HomeReader;
use crate::storage::history::INTERRUPTED;
use crate::view::model::run_diff::{DiffRole, NamedPair, NodeDiff};
use crate::view::text::{count, cut, duration, named};

/// Maximum failures that a message has in full.
const MAX_FAILURES: usize = 20;
/// Maximum differences that a message names.
const MAX_CHANGES: usize = 10;
/// Maximum lines of a log in the text.
const MAX_TAIL: usize = 10;
/// Maximum instants that a text names one by one.
const MAX_INSTANTS: usize = 10;
/// Maximum columns of a value in a line about a difference.
const VALUE_COLUMNS: usize = 40;

/// The document of a run; event, id, title and text are filled in by [`finished`].
pub fn of_run(
    home: Option<&Path>,
    view: &HomeReader,
    series: &Series,
    now: Timestamp,
    base_url: Option<&str>,
) -> NotifyDocument {
    let Streak { count, since } = streak(&series.runs);
    let last_success = series.last_success();
    let known = NotifyDocument {
        schedule: series.schedule().map(str::to_owned),
        workflow: series.owner.workflow.clone(),
        project: series.owner.scope.as_ref().map(|scope| scope.project.clone()),
        domain: series.owner.scope.as_ref().map(|scope| scope.domain.clone()),
        scheduled_at: series.owner.scheduled.as_ref().and_then(|scheduled| scheduled.at),
        consecutive: count,
        since,
        last_success,
        ..empty(NotifyEvent::Failure, now)
    };
    let run = match &series.newest {
        Member::Run(run) => run,
        Member::NotBegun(not_begun) => {
            return NotifyDocument {
                // What no instant has cannot be looked up.
                run: not_begun.is_of_instant.then_some(not_begun.run),
                status: Some(Status::Failed.name().to_owned()),
                reason: Some(not_begun.reason.clone()),
                ..known
            };
        }
    };
    let succeeded = run.status == Status::Succeeded.name();
    let failures = match succeeded {
        true => Vec::new(),
        false => failures(view, run).into_iter().take(MAX_FAILURES).filter_map(failure).collect(),
    };
    let changed = match (succeeded, last_success) {
        (false, Some(last)) => changed(home, last, run.id),
        _ => Vec::new(),
    };
    let duration = run.finished.map(|end| end.as_millisecond() - run.started.as_millisecond());
    NotifyDocument {
        run: Some(run.id),
        status: Some(run.status.clone()),
        duration_ms: duration.and_then(|ms| u64::try_from(ms).ok()),
        no_op: run.counts.is_no_op(&run.status),
        counts: Some(run.counts),
        failures,
        changed,
        url: base_url.map(|base| format!("{}/runs/{}", base.trim_end_matches('/'), run.id)),
        ..known
    }
}

/// The document of instants that were missed.
pub fn of_missed(missed: &MissedInstants, now: Timestamp) -> NotifyDocument {
    NotifyDocument {
        schedule: Some(missed.schedule.clone()),
        workflow: Some(missed.workflow.clone()),
        project: Some(missed.project.clone()),
        domain: Some(missed.domain.clone()),
        instants: missed.instants.clone(),
        ..empty(NotifyEvent::Missed, now)
    }
}

/// The document of a file that stopped loading or loads again. Its title and its text stand at once: no field has the path.
pub fn of_broken(file: &BrokenNotifyFile, now: Timestamp) -> NotifyDocument {
    let path = inert(&file.path.display().to_string()).into_owned();
    let (title, status) = match file.errors.len() {
        0 => (format!("✓ {path} loads again"), "loaded"),
        errors => (format!("✗ {path} does not load: {}", counted(errors as u64, "error")), "broken"),
    };
    let mut text = format!("{title}\n");
    for error in file.errors.iter().take(MAX_FAILURES) {
        let _ = write!(text, "\n{}\n", inert_message(error).trim_end());
    }
    NotifyDocument {
        workflow: file.workflow.clone(),
        status: Some(status.to_owned()),
        title,
        text,
        ..empty(NotifyEvent::Broken, now)
    }
}

/// A document of which a message is made: with an id of its own, the event, a title and a text.
pub fn finished(mut document: NotifyDocument, event: NotifyEvent) -> NotifyDocument {
    document.id = format!("{}{}", RunId::make(), RunId::make());
    document.event = event;
    if document.title.is_empty() {
        document.title = title(&document);
        document.text = text(&document);
    }
    document
}

fn empty(event: NotifyEvent, time: Timestamp) -> NotifyDocument {
    NotifyDocument {
        v: VERSION,
        id: String::new(),
        event,
        time,
        title: String::new(),
        text: String::new(),
        schedule: None,
        workflow: None,
        project: None,
        domain: None,
        run: None,
        scheduled_at: None,
        status: None,
        duration_ms: None,
        no_op: false,
        consecutive: 0,
        since: None,
        counts: None,
        reason: None,
        failures: Vec::new(),
        changed: Vec::new(),
        last_success: None,
        instants: Vec::new(),
        url: None,
    }
}

fn failure(node: NodeFinished) -> Option<NotifyFailure> {
    let error = node.error?;
    Some(NotifyFailure {
        node: node.node,
        index: node.index,
        kind: error.kind.to_string(),
        message: error.message,
        exit_code: error.exit_code,
        tail: error.tail,
    })
}

/// Lines about what came first of the differences from an earlier run.
fn changed(home: Option<&Path>, before: RunId, after: RunId) -> Vec<String> {
    let Ok(diff) = diff(home, before.as_str(), Some(after.as_str())) else { return Vec::new() };
    let mut lines: Vec<String> = diff.asked.iter().map(asked_line).collect();
    let causes = diff.nodes.iter().filter(|node| node.role == DiffRole::Cause);
    lines.extend(causes.filter_map(cause_line));
    lines.truncate(MAX_CHANGES);
    lines
}

fn asked_line(change: &NamedPair<Json>) -> String {
    let is_file = |value: &Json| value.get("digest").is_some();
    // A file of the workflow: its digests say nothing to a reader.
    if !change.name.starts_with("inputs.") && (is_file(&change.before) || is_file(&change.after)) {
        return format!("{}: edited", inert(&change.name));
    }
    format!("{}: {} → {}", inert(&change.name), value_text(&change.before), value_text(&change.after))
}

fn cause_line(node: &NodeDiff) -> Option<String> {
    let name = node.path().to_string();
    let what = if !node.definition.is_empty() {
        format!("edited {}", node.definition.join(", "))
    } else if let Some(change) = node.changes.first() {
        change.text.lines().next().unwrap_or_default().to_owned()
    } else if let Some(input) = node.inputs.first() {
        format!("input {}: {} → {}", input.name, value_text(&input.before), value_text(&input.after))
    } else if !node.outputs.is_empty() {
        "other outputs from the same inputs".to_owned()
    } else {
        return None;
    };
    Some(inert(&format!("{name}: {what}")).into_owned())
}

fn value_text(value: &Json) -> String {
    let text = match value {
        Json::Null => "none".to_owned(),
        Json::String(text) => text.clone(),
        Json::Object(file) => match file.get("digest").and_then(Json::as_str) {
            Some(digest) => {
                format!("content {}", digest.trim_start_matches("sha256:").get(..8).unwrap_or(digest))
            }
            None => value.to_string(),
        },
        value => value.to_string(),
    };
    cut(&inert(&text), VALUE_COLUMNS).into_owned()
}

/// What a message is about, in a few words.
fn subject(document: &NotifyDocument) -> String {
    let name = document.schedule.as_deref().or(document.workflow.as_deref()).unwrap_or_default();
    inert(name).into_owned()
}

fn title(document: &NotifyDocument) -> String {
    let subject = subject(document);
    let counts = document.counts.unwrap_or_default();
    match document.event {
        NotifyEvent::Failure if document.status.as_deref() == Some(INTERRUPTED) => {
            format!("✗ {subject} was interrupted")
        }
        NotifyEvent::Failure if document.reason.is_some() => format!("✗ {subject} could not begin"),
        NotifyEvent::Failure => {
            let more = counts.failed.saturating_sub(1);
            let first = document.failures.first().map_or(String::new(), |first| format!(": {}", gist(first)));
            let more = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
            format!("✗ {subject} failed{first}{more}")
        }
        NotifyEvent::Recovery => {
            format!("✓ {subject} recovered after {}", named(document.consecutive, "failure"))
        }
        NotifyEvent::Success => {
            let ran = format!("{} of {} nodes ran", count(counts.executed), count(counts.nodes));
            let words = if document.no_op { "no-op" } else { "succeeded" };
            format!("✓ {subject}: {words}, {ran}")
        }
        NotifyEvent::Missed => {
            format!("! {subject} missed {}", named(document.instants.len() as u64, "instant"))
        }
        NotifyEvent::Broken => document.title.clone(),
    }
}

/// `clean, exit code 1`
fn gist(failure: &NotifyFailure) -> String {
    let index = failure.index.map_or(String::new(), |index| format!("[{index}]"));
    let node = inert(&failure.node);
    match failure.exit_code {
        Some(code) if failure.kind == "exit" => format!("{node}{index}, exit code {code}"),
        _ => format!("{node}{index}, {}", failure.kind),
    }
}

fn text(document: &NotifyDocument) -> String {
    let mut text = format!("{}\n", document.title);
    if let Some(reason) = &document.reason {
        let _ = write!(text, "\n{}\n", inert_message(reason).trim_end());
    }
    for failure in &document.failures {
        let _ = write!(text, "\n{}: {}\n", gist(failure), inert_message(&failure.message).trim_end());
        let skipped = failure.tail.len().saturating_sub(MAX_TAIL);
        for line in &failure.tail[skipped..] {
            let _ = writeln!(text, "    {}", inert(line));
        }
    }
    let failed = document.counts.map_or(0, |counts| counts.failed);
    let shown = document.failures.len() as u64;
    if failed > shown && shown > 0 {
        let _ = writeln!(text, "\nand {} more", count(failed - shown));
    }
    if let Some(last) = document.last_success.filter(|_| !document.changed.is_empty()) {
        let _ = writeln!(text, "\nchanged since the last success, run {last}:");
        for line in &document.changed {
            let _ = writeln!(text, "    {line}");
        }
    }
    for instant in document.instants.iter().take(MAX_INSTANTS) {
        let _ = writeln!(text, "    {instant}");
    }
    if let Some(more @ 1..) = document.instants.len().checked_sub(MAX_INSTANTS) {
        let _ = writeln!(text, "    and {} more", count(more as u64));
    }
    text.push_str(&facts(document));
    text
}

/// The run in numbers, and where to look.
fn facts(document: &NotifyDocument) -> String {
    let mut lines = String::new();
    if document.event == NotifyEvent::Failure && document.consecutive > 1 {
        let since = document.since.map_or(String::new(), |since| format!(" since {since}"));
        let _ = writeln!(lines, "{} failures in a row{since}", count(document.consecutive));
    }
    if document.reason.is_some() {
        let show = document.schedule.as_ref().filter(|_| document.run.is_some());
        let show = show.map_or(String::new(), |name| format!("; runner schedule show {}", inert(name)));
        if let Some(at) = document.scheduled_at {
            let _ = writeln!(lines, "scheduled for {at}{show}");
        }
    } else if let Some(run) = document.run {
        let at = document.scheduled_at.map_or(String::new(), |at| format!(", scheduled for {at}"));
        let took = document.duration_ms.map_or(String::new(), |ms| format!(", took {}", duration(ms)));
        let _ = writeln!(lines, "run {run}{at}{took}; runner show {run}");
    }
    if let Some(url) = &document.url {
        let _ = writeln!(lines, "{url}");
    }
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Counts;

    fn failed() -> NotifyDocument {
        NotifyDocument {
            schedule: Some("etl/nightly".into()),
            status: Some("failed".into()),
            consecutive: 3,
            since: Some(Timestamp::UNIX_EPOCH),
            counts: Some(Counts { nodes: 5, failed: 2, ..Counts::default() }),
            failures: vec![NotifyFailure {
                node: "clean".into(),
                index: None,
                kind: "exit".into(),
                message: "exit code 1".into(),
                exit_code: Some(1),
                tail: (0..30).map(|n| format!("line {n}\u{1b}[31m")).collect(),
            }],
            changed: vec!["inputs.day: a → b".into()],
            last_success: RunId::parse("k1d8w0aa").ok(),
            run: RunId::parse("jg5c55da").ok(),
            duration_ms: Some(68_000),
            ..empty(NotifyEvent::Failure, Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn a_failure_says_what_failed_how_its_log_ends_and_what_changed() {
        let told = finished(failed(), NotifyEvent::Failure);
        assert_eq!(told.title, "✗ etl/nightly failed: clean, exit code 1 and 1 more");
        for part in [
            "    line 29",
            "and 1 more",
            "run k1d8w0aa:\n    inputs.day",
            "3 failures in a row",
            "took 1m 08s",
        ] {
            assert!(told.text.contains(part), "{part}: {}", told.text);
        }
        assert!(!told.text.contains("line 19") && !told.text.contains('\u{1b}'), "{}", told.text);
        assert_ne!(told.id, finished(failed(), NotifyEvent::Failure).id);
        let not_begun = NotifyDocument {
            reason: Some("secret NO_SUCH is not set\nanother".into()),
            scheduled_at: Some(Timestamp::UNIX_EPOCH),
            failures: vec![],
            ..failed()
        };
        let told = finished(not_begun, NotifyEvent::Failure);
        assert_eq!(told.title, "✗ etl/nightly could not begin");
        let lines = "secret NO_SUCH is not set\nanother\n";
        assert!(
            told.text.contains(lines) && told.text.contains("schedule show etl/nightly"),
            "{}",
            told.text
        );
        let interrupted = NotifyDocument { status: Some(INTERRUPTED.into()), failures: vec![], ..failed() };
        assert_eq!(finished(interrupted, NotifyEvent::Failure).title, "✗ etl/nightly was interrupted");
    }

    #[test]
    fn other_events_have_titles_of_their_own() {
        let fine = NotifyDocument { failures: vec![], no_op: true, ..failed() };
        assert_eq!(
            finished(fine.clone(), NotifyEvent::Recovery).title,
            "✓ etl/nightly recovered after 3 failures"
        );
        assert_eq!(finished(fine, NotifyEvent::Success).title, "✓ etl/nightly: no-op, 0 of 5 nodes ran");
        let missed = MissedInstants {
            schedule: "etl/nightly".into(),
            workflow: "etl".into(),
            project: "p".into(),
            domain: "d".into(),
            instants: vec![Timestamp::UNIX_EPOCH; 12],
        };
        let told = finished(of_missed(&missed, Timestamp::UNIX_EPOCH), NotifyEvent::Missed);
        assert_eq!(told.title, "! etl/nightly missed 12 instants");
        assert!(told.text.contains("and 2 more") && told.instants.len() == 12, "{}", told.text);
        let file =
            BrokenNotifyFile { path: "/w/etl.toml".into(), workflow: None, errors: vec!["bad\nkey".into()] };
        let told = finished(of_broken(&file, Timestamp::UNIX_EPOCH), NotifyEvent::Broken);
        assert_eq!(told.title, "✗ /w/etl.toml does not load: 1 error");
        assert!(told.text.contains("bad\nkey"), "{}", told.text);
        let file = BrokenNotifyFile { errors: vec![], ..file };
        assert!(of_broken(&file, Timestamp::UNIX_EPOCH).title.ends_with("loads again"));
    }
}
