//! Schedules as a table, one in full with what became of its instants, and the runs of instants line by line.

use anstyle::Style;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde_json::Value as Json;

use crate::core::event::Status;
use crate::core::time_text::duration_text;
use crate::view::model::schedule_row::{
    DeliveryView, InstantRow, InstantRun, ScheduleRow, ScheduleView, Settings,
};
use crate::view::text::phrases::{counts, mark};
use crate::view::text::style::{BAD, CACHED, CAUTION, Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::{age, ahead, count, cut, duration, inert, width};

/// The most columns of when a schedule is due, on a screen.
const LONGEST_DUE: usize = 32;
/// The least that is left of the line of a run behind its status.
const LEAST: usize = 12;

/// The schedules in the order given. On a screen, long times are cut.
pub fn render(rows: &[ScheduleRow], color: bool, screen: Option<usize>, now: &Zoned) -> String {
    let head = ["SCHEDULE", "DUE", "NEXT", "LAST"];
    let mut table = vec![head.map(|name| Cell::new(FAINT, name)).to_vec()];
    for row in rows {
        let due = due(&row.settings);
        let due = if screen.is_some() { cut(&due, LONGEST_DUE).into_owned() } else { due };
        table.push(vec![
            Cell::new(STRONG, &*row.schedule),
            Cell::new(PLAIN, due),
            next(row, now),
            last(row, now),
        ]);
    }
    columns(&table, Ink(color))
}

/// `daily at 02:00, Europe/Berlin`.
fn due(settings: &Settings) -> String {
    let words = settings.words.clone().unwrap_or_else(|| "?".into());
    match settings.timezone.as_deref() {
        Some(zone) if !settings.cron.is_empty() && zone != "UTC" => format!("{words}, {zone}"),
        _ => words,
    }
}

fn next(row: &ScheduleRow, now: &Zoned) -> Cell {
    if let Some(pause) = &row.paused {
        return Cell::new(CAUTION, format!("paused by {}", inert(&pause.by)));
    }
    match &row.next {
        Some(next) => Cell::new(if row.served { PLAIN } else { FAINT }, ahead(next.fires, now)),
        None => Cell::default(),
    }
}

fn last(row: &ScheduleRow, now: &Zoned) -> Cell {
    if let Some(mistake) = row.mistakes.first() {
        return Cell::new(BAD, format!("! {}", inert(mistake.lines().next().unwrap_or_default())));
    }
    let Some(last) = &row.last else { return Cell::default() };
    let (style, text) = status(last);
    let cell = Cell::new(style, text).and(PLAIN, format!("  {}", age(last.at, now)));
    match row.consecutive_failures {
        0 | 1 => cell,
        several => cell.and(FAINT, format!(", {} in a row", count(several))),
    }
}

/// What became of an instant: the status of its run, or why there was none.
fn status(instant: &InstantRow) -> (Style, String) {
    match instant.status.as_deref() {
        Some(status) => run_status(status, instant.no_op),
        None if instant.became == "missed" => (CAUTION, "! missed".into()),
        None => (FAINT, format!("○ {}", inert(&instant.became))),
    }
}

fn run_status(status: &str, no_op: bool) -> (Style, String) {
    let (mark, style) = match status {
        "succeeded" if no_op => return (CACHED, "≡ no-op".into()),
        "succeeded" => mark(Status::Succeeded, None),
        "failed" => mark(Status::Failed, None),
        "cancelled" => mark(Status::Cancelled, None),
        "detached" => mark(Status::Detached, None),
        _ => ("…", PLAIN),
    };
    (style, format!("{mark} {}", inert(status)))
}

/// One schedule: what it is, and its past instants in its own zone, newest first.
pub fn show(view: &ScheduleView, color: bool, now: &Zoned) -> String {
    let ink = Ink(color);
    let row = &view.row;
    let mut text = format!("{}  {}\n", ink.paint(STRONG, &row.schedule), due(&row.settings));
    for (name, fact) in facts(view, now) {
        let (style, fact) = fact;
        text += &format!("  {} {}\n", ink.paint(FAINT, format!("{name:<8}")), ink.paint(style, inert(&fact)));
    }
    let head = ["INSTANT", "BECAME", "RUN", "STATUS", "TIME", "NODES"];
    let zone = zone(&row.settings);
    if view.instants.is_empty() {
        text += &format!("\n{}\n", ink.paint(FAINT, "no instant has passed while a daemon served it"));
    } else {
        let mut table = vec![head.map(|name| Cell::new(FAINT, name)).to_vec()];
        table.extend(view.instants.iter().map(|instant| instant_cells(instant, &zone)));
        text = text + "\n" + &columns(&table, ink);
    }
    if !view.deliveries.is_empty() {
        let head = ["NOTIFIED", "EVENT", "BY", "STATE"];
        let mut table = vec![head.map(|name| Cell::new(FAINT, name)).to_vec()];
        table.extend(view.deliveries.iter().map(|delivery| delivery_cells(delivery, &zone)));
        text = text + "\n" + &columns(&table, ink);
    }
    text
}

fn delivery_cells(delivery: &DeliveryView, zone: &TimeZone) -> Vec<Cell> {
    let (style, word) = match &*delivery.state {
        "delivered" => (PLAIN, "✓ delivered".to_owned()),
        "failed" => (BAD, format!("✗ failed after {} tries", delivery.tries)),
        _ => (PLAIN, "… waiting".to_owned()),
    };
    let error = delivery.error.as_deref().filter(|_| delivery.state != "delivered");
    let error = error.map(|error| format!(": {}", inert(error.lines().next().unwrap_or_default())));
    vec![
        Cell::new(PLAIN, local(delivery.time, zone)),
        Cell::new(PLAIN, inert(&delivery.event)),
        Cell::new(PLAIN, inert(&delivery.notify)),
        Cell::new(style, word + &error.unwrap_or_default()),
    ]
}

fn zone(settings: &Settings) -> TimeZone {
    settings.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
}

/// An instant on the clocks of a zone.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    local.strftime(if local.second() == 0 { "%a %Y-%m-%d %H:%M" } else { "%a %Y-%m-%d %H:%M:%S" }).to_string()
}

fn instant_cells(instant: &InstantRow, zone: &TimeZone) -> Vec<Cell> {
    let (style, word) = match &instant.status {
        Some(status) => run_status(status, instant.no_op),
        None => (PLAIN, String::new()),
    };
    let became = match (&*instant.became, instant.trigger.name()) {
        (_, by @ ("manual" | "api" | "backfill")) => by.to_owned(),
        (became, _) => became.replace('_', " "),
    };
    let became_style = if instant.became == "missed" { CAUTION } else { PLAIN };
    let has_nodes = instant.run.is_some() && instant.counts.finished() > 0;
    let nodes = has_nodes.then(|| counts(&instant.counts, 0, instant.status.as_deref() == Some("succeeded")));
    let detail = [nodes, instant.reason.as_deref().map(|reason| inert(reason).into_owned())];
    vec![
        Cell::new(PLAIN, local(instant.at, zone)),
        Cell::new(became_style, became),
        Cell::new(PLAIN, instant.run.map(|run| run.to_string()).unwrap_or_default()),
        Cell::new(style, word),
        Cell::new(PLAIN, instant.duration_ms.map_or_else(String::new, duration)),
        Cell::new(PLAIN, detail.into_iter().flatten().collect::<Vec<_>>().join("; ")),
    ]
}

fn facts(view: &ScheduleView, now: &Zoned) -> Vec<(&'static str, (Style, String))> {
    let row = &view.row;
    let settings = &row.settings;
    let mut facts = vec![("file", (PLAIN, row.path.clone()))];
    facts.extend(row.mistakes.iter().map(|mistake| ("error", (BAD, mistake.clone()))));
    if !settings.cron.is_empty() {
        facts.push(("cron", (PLAIN, settings.cron.join(" and "))));
    }
    let policies = policies(settings);
    if !policies.is_empty() {
        facts.push(("policies", (PLAIN, policies)));
    }
    facts.push((
        "served",
        match &view.server {
            Some(server) => {
                let url = server.url.as_ref().map(|url| format!(", {url}")).unwrap_or_default();
                (PLAIN, format!("by process {}{url}", server.pid))
            }
            None => (CAUTION, "by no daemon: `runner serve` runs it".into()),
        },
    ));
    if let Some(pause) = &row.paused {
        let reason = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        facts.push(("paused", (CAUTION, format!("{} by {}{reason}", age(pause.since, now), pause.by))));
    }
    if let Some(next) = &row.next {
        let delay = next.fires.duration_since(next.at);
        let jitter =
            if delay.is_zero() { String::new() } else { format!(", fires {} later", duration_text(delay)) };
        let local = local(next.at, &zone(settings));
        facts.push(("next", (PLAIN, format!("{} ({local}{jitter})", ahead(next.at, now)))));
    }
    if row.consecutive_failures > 0 {
        let since = view.failing_since.map(|since| format!(" since {}", age(since, now))).unwrap_or_default();
        let success = match view.last_success {
            Some(run) => format!("; the last success is {run}"),
            None => String::new(),
        };
        facts.push((
            "failing",
            (BAD, format!("{} in a row{since}{success}", count(row.consecutive_failures))),
        ));
    }
    facts
}

/// `overlap skip, catch up latest within 24h, jitter 30s`.
fn policies(settings: &Settings) -> String {
    let word = |value: Option<Json>| value.and_then(|json| json.as_str().map(str::to_owned));
    let length = |seconds: &Json| {
        let seconds = seconds.as_f64().filter(|seconds| *seconds > 0.0)?;
        SignedDuration::try_from_secs_f64(seconds).ok().map(duration_text)
    };
    let overlap =
        word(serde_json::to_value(settings.overlap).ok()).map(|overlap| format!("overlap {overlap}"));
    let within = length(&settings.catch_up_window_s).map(|window| format!(" within {window}"));
    let catch_up = word(serde_json::to_value(settings.catch_up).ok()).map(|catch_up| match &*catch_up {
        "none" => "catch up none".to_owned(),
        _ => format!("catch up {catch_up}{}", within.unwrap_or_default()),
    });
    let jitter = length(&settings.jitter_s).map(|jitter| format!("jitter {jitter}"));
    overlap.into_iter().chain(catch_up).chain(jitter).collect::<Vec<_>>().join(", ")
}

/// How the run of an instant ended, in one line: `✓ succeeded  Sat 2026-11-28 02:00  jg5c55da  68s  3 executed`.
pub fn instant_run(run: &InstantRun, zone: &TimeZone, color: bool, screen: Option<usize>) -> String {
    let run = &run.instant;
    let ink = Ink(color);
    let (style, word) = match &run.status {
        Some(status) => run_status(status, run.no_op),
        None => (FAINT, "○ left out".to_owned()),
    };
    let word = format!("{word}{}", " ".repeat(11usize.saturating_sub(width(&word))));
    let mut parts = vec![local(run.at, zone)];
    parts.extend(run.run.map(|run| run.to_string()));
    parts.extend(run.duration_ms.map(duration));
    if run.status.is_some() && run.counts.finished() > 0 {
        parts.push(counts(&run.counts, 0, run.status.as_deref() == Some("succeeded")));
    }
    parts.extend(
        run.reason.as_deref().map(|reason| inert(reason.lines().next().unwrap_or_default()).into_owned()),
    );
    let rest = parts.join("  ");
    let room = screen.map_or(usize::MAX, |screen| screen.saturating_sub(width(&word) + 2).max(LEAST));
    format!("{}  {}", ink.paint(style, word), cut(&rest, room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Counts;
    use crate::core::run_id::RunId;
    use crate::core::schedule::{CatchUp, Overlap, Trigger};
    use crate::view::model::schedule_row::{NextInstant, PauseView, ServerView};
    use crate::view::sample::at;

    fn past(minutes: i64, became: &str, status: Option<&str>) -> InstantRow {
        let executed = u64::from(status == Some("succeeded"));
        InstantRow {
            at: at(-60 * minutes),
            fires: at(-60 * minutes),
            became: became.into(),
            trigger: Trigger::Schedule,
            run: status.map(|_| RunId::parse("jg5c55da").unwrap()),
            status: status.map(str::to_owned),
            no_op: false,
            executed: Some(executed),
            nodes: Some(18),
            duration_ms: status.map(|_| 68_000),
            reason: None,
            counts: Counts { nodes: 18, executed, failed: 1 - executed, ..Counts::default() },
        }
    }

    fn row(name: &str) -> ScheduleRow {
        ScheduleRow {
            v: 1,
            schedule: name.into(),
            workflow: "etl".into(),
            path: "/srv/etl.toml".into(),
            settings: Settings {
                cron: vec!["0 2 * * *".into()],
                timezone: Some("Europe/Berlin".into()),
                words: Some("daily at 02:00".into()),
                overlap: Some(Overlap::Skip),
                catch_up: Some(CatchUp::Latest),
                catch_up_window_s: 86_400.into(),
                jitter_s: 30.into(),
                ..Settings::default()
            },
            paused: None,
            served: true,
            mistakes: Vec::new(),
            next: Some(NextInstant { at: at(60 * 12), fires: at(60 * 12 + 7) }),
            last: Some(past(60, "fired", Some("succeeded"))),
            consecutive_failures: 0,
        }
    }

    fn now() -> Zoned {
        at(0).to_zoned(TimeZone::UTC)
    }

    #[test]
    fn a_line_for_each_schedule_says_what_is_next_and_what_was() {
        let failing = ScheduleRow {
            last: Some(past(90, "fired", Some("failed"))),
            consecutive_failures: 3,
            ..row("etl/failing")
        };
        let paused = ScheduleRow {
            paused: Some(PauseView { since: at(-60), by: "ada".into(), reason: None }),
            last: Some(past(30, "missed", None)),
            ..row("etl/paused")
        };
        let broken = ScheduleRow {
            settings: Settings::default(),
            next: None,
            mistakes: vec!["/srv/etl.toml:3:1: unknown key `x`\u{1b}[31m".into()],
            ..row("etl/broken")
        };
        let rows = [row("etl/nightly"), failing, paused, broken];
        assert_eq!(
            render(&rows, false, None, &now()),
            "\
SCHEDULE     DUE                            NEXT           LAST
etl/nightly  daily at 02:00, Europe/Berlin  in 12 min      ✓ succeeded  today 02:00
etl/failing  daily at 02:00, Europe/Berlin  in 12 min      ✗ failed  today 01:30, 3 in a row
etl/paused   daily at 02:00, Europe/Berlin  paused by ada  ! missed  30 min ago
etl/broken   ?                                             ! /srv/etl.toml:3:1: unknown key `x`
"
        );
        let mut long = row("etl/long");
        long.settings.words = Some("on the last workday of the month at 09:00".into());
        let narrow = render(&[long], false, Some(80), &now());
        assert!(narrow.contains("  on the last workday of the mont…  in 12 min  "), "{narrow}");
    }

    #[test]
    fn one_schedule_has_its_facts_and_what_became_of_its_instants() {
        let mut reasoned = past(2880, "overlapped", None);
        reasoned.reason = Some("run k3v9x2qm went on".into());
        let view = ScheduleView {
            row: ScheduleRow { consecutive_failures: 1, ..row("etl/nightly") },
            instants: vec![
                past(60, "fired", Some("failed")),
                past(1500, "caught_up", Some("succeeded")),
                reasoned,
            ],
            deliveries: vec![
                DeliveryView {
                    time: at(-60 * 59),
                    event: "failure".into(),
                    notify: "ops".into(),
                    run: None,
                    state: "failed".into(),
                    tries: 3,
                    error: Some("it answered 500\u{1b}[31m".into()),
                },
                DeliveryView {
                    time: at(-60 * 1500),
                    event: "recovery".into(),
                    notify: "ops".into(),
                    run: None,
                    state: "delivered".into(),
                    tries: 2,
                    error: None,
                },
            ],
            server: Some(ServerView { pid: 4711, url: Some("http://127.0.0.1:7070/".into()) }),
            failing_since: Some(at(-3600)),
            last_success: Some(RunId::parse("k3v9x2qm").unwrap()),
        };
        assert_eq!(
            show(&view, false, &now()),
            "\
etl/nightly  daily at 02:00, Europe/Berlin
  file     /srv/etl.toml
  cron     0 2 * * *
  policies overlap skip, catch up latest within 24h, jitter 30s
  served   by process 4711, http://127.0.0.1:7070/
  next     in 12 min (Fri 2026-01-02 04:12, fires 7s later)
  failing  1 in a row since today 02:00; the last success is k3v9x2qm

INSTANT               BECAME      RUN       STATUS       TIME    NODES
Fri 2026-01-02 03:00  fired       jg5c55da  ✗ failed     1m 08s  1 failed
Thu 2026-01-01 03:00  caught up   jg5c55da  ✓ succeeded  1m 08s  1 executed
Wed 2025-12-31 04:00  overlapped                                 run k3v9x2qm went on

NOTIFIED              EVENT     BY   STATE
Fri 2026-01-02 03:01  failure   ops  ✗ failed after 3 tries: it answered 500
Thu 2026-01-01 03:00  recovery  ops  ✓ delivered
"
        );
    }

    #[test]
    fn the_run_of_an_instant_is_one_line() {
        let run = InstantRow {
            status: Some("succeeded".into()),
            no_op: true,
            duration_ms: Some(41),
            counts: Counts { nodes: 18, cached: 18, ..Counts::default() },
            ..past(0, "fired", Some("succeeded"))
        };
        let line = |instant: &InstantRow| {
            let run = InstantRun { v: 1, schedule: "etl/nightly".into(), instant: instant.clone() };
            instant_run(&run, &TimeZone::UTC, false, None)
        };
        let local = local(at(0), &TimeZone::UTC);
        assert_eq!(line(&run), format!("≡ no-op      {local}  jg5c55da  41ms  18 cached"));
        let left = InstantRow {
            status: None,
            run: None,
            duration_ms: None,
            reason: Some("another process has run it".into()),
            ..run
        };
        assert_eq!(line(&left), format!("○ left out   {local}  another process has run it"));
    }
}
