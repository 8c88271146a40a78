//! Schedules in words: what comes, what was, pauses and runs by hand.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;

use super::parts::{StatusPart, TimePart, encode, maybe_duration};
use super::{PageFrame, login, page};
use crate::ops::schedules::overview::show;
use crate::server::web::api::schedules::{
    BackfillBody, Coming, TriggerBody, backfilled, coming, rows, set_paused, triggered, view,
};
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::model::schedule_row::{DeliveryView, InstantRow, ScheduleRow};
use crate::view::text::{count, inert};

/// Past instants on the page of one schedule.
const PAST: usize = 100;
/// Past instants of each schedule in the list.
const BEFORE: usize = 20;
/// Instants to come there.
const NEXT: usize = 5;

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    frame: PageFrame,
    rows: Vec<Row>,
    is_read_only: bool,
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    frame: PageFrame,
    row: Row,
    next: Vec<NextRow>,
    past: Vec<PastRow>,
    deliveries: Vec<DeliveryRow>,
    zone: String,
    is_read_only: bool,
}

struct Row {
    name: String,
    address: String,
    words: String,
    /// The expressions and the zone.
    times: String,
    path: String,
    paused: Option<String>,
    is_served: bool,
    mistakes: Vec<String>,
    next: Option<TimePart>,
    /// The same on the clocks of the schedule's zone, where that is not UTC.
    next_local: String,
    last: Option<PastRow>,
    /// How often it failed in a row, if it did.
    failures: String,
    /// What came of the instants before, the newest at the right.
    before: Vec<InstantBar>,
}

impl Row {
    /// What the strip shows, in words.
    fn strip_words(&self) -> String {
        let of = |class: &str| self.before.iter().filter(|bar| bar.class == class).count();
        format!(
            "of the last {} instants {} failed, {} succeeded",
            self.before.len(),
            of("f-bad"),
            of("f-ok") + of("f-hit")
        )
    }
}

/// A message to those who are told.
struct DeliveryRow {
    at: TimePart,
    event: String,
    notify: String,
    run: Option<String>,
    state: StatusPart,
    error: String,
}

impl DeliveryRow {
    fn of(sent: &DeliveryView) -> Self {
        let class = match &*sent.state {
            "delivered" => "ok",
            "failed" => "bad",
            _ => "busy",
        };
        Self {
            at: TimePart::new(sent.time),
            event: clean(&sent.event),
            notify: clean(&sent.notify),
            run: sent.run.clone(),
            state: StatusPart { class, word: sent.state.clone() },
            error: sent.error.as_deref().map(clean).unwrap_or_default(),
        }
    }
}

/// An instant as a bar of a strip.
struct InstantBar {
    class: &'static str,
    x: usize,
    title: String,
}

struct NextRow {
    at: TimePart,
    local: String,
    note: String,
}

struct PastRow {
    at: TimePart,
    became: StatusPart,
    run: Option<String>,
    status: Option<StatusPart>,
    took: String,
    reason: String,
}

fn clean(text: &str) -> String {
    inert(text).into_owned()
}

pub(super) fn address(name: &str) -> String {
    format!("/schedules/{}", name.split('/').map(encode).collect::<Vec<_>>().join("/"))
}

fn row(row: &ScheduleRow) -> Row {
    let settings = &row.settings;
    let zone = settings.timezone.as_deref().unwrap_or("UTC");
    let times = match (&settings.every, settings.cron.is_empty()) {
        (Some(every), _) => format!("every {every}"),
        (None, true) => String::new(),
        (None, false) => format!("{} ({zone})", settings.cron.join(", ")),
    };
    let paused = row.paused.as_ref().map(|pause| {
        let reason = pause.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        clean(&format!("since {} by {}{reason}", pause.since.strftime("%Y-%m-%d %H:%M UTC"), pause.by))
    });
    Row {
        name: clean(&row.schedule),
        address: address(&row.schedule),
        words: clean(settings.words.as_deref().unwrap_or_default()),
        times: if settings.words.as_deref() == Some(&*times) { String::new() } else { clean(&times) },
        path: clean(&row.path),
        paused,
        is_served: row.served,
        mistakes: row.mistakes.iter().map(|mistake| clean(mistake)).collect(),
        next: row.next.as_ref().map(|next| TimePart::new(next.fires)),
        next_local: row
            .next
            .as_ref()
            .filter(|_| zone != "UTC")
            .and_then(|next| next.fires.in_tz(zone).ok())
            .map_or_else(String::new, |local| format!("{} {zone}", local.strftime("%Y-%m-%d %H:%M:%S"))),
        last: row.last.as_ref().map(past),
        before: Vec::new(),
        failures: match row.consecutive_failures {
            0 => String::new(),
            1 => "failed the last time".into(),
            times => format!("failed {} times in a row", count(times)),
        },
    }
}

/// The strip of past instants, which come newest first.
fn strip(instants: &[InstantRow]) -> Vec<InstantBar> {
    let bar = |(at, instant): (usize, &InstantRow)| {
        let row = past(instant);
        let (class, word) = match &row.status {
            Some(status) => (status.fill(), status.word.clone()),
            None => (row.became.fill(), row.became.word),
        };
        InstantBar {
            class,
            x: at * 6,
            title: format!("{} {word}", instant.at.strftime("%Y-%m-%d %H:%M UTC")),
        }
    };
    instants.iter().rev().enumerate().map(bar).collect()
}

fn past(instant: &InstantRow) -> PastRow {
    let class = match &*instant.became {
        "missed" => "care",
        "fired" | "caught_up" => "run",
        _ => "skip-",
    };
    PastRow {
        at: TimePart::new(instant.at),
        became: StatusPart { class, word: instant.became.replace('_', " ") },
        run: instant.run.map(String::from),
        status: instant.status.as_ref().map(|status| StatusPart::of_run(status, &instant.counts)),
        took: maybe_duration(instant.duration_ms),
        reason: instant.reason.as_deref().map(clean).unwrap_or_default(),
    }
}

/// The list.
pub async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Response, HttpProblem> {
    query.done()?;
    let mut found = rows(&app).await?;
    // What fails comes first, then what comes next.
    found.sort_by_key(|row| {
        let next = row.next.as_ref().map_or(Timestamp::MAX, |next| next.fires);
        (row.mistakes.is_empty() && row.consecutive_failures == 0, next, row.schedule.clone())
    });
    let rows = app
        .blocking(move |home| {
            let with_before = |found: &ScheduleRow| {
                // One that is gone meanwhile has none.
                let before = show(Some(home), &found.schedule, BEFORE).map(|view| strip(&view.instants));
                Row { before: before.unwrap_or_default(), ..row(found) }
            };
            Ok(found.iter().map(with_before).collect())
        })
        .await?;
    let made = SchedulesPage {
        frame: PageFrame::new(&app, "Schedules", "schedules"),
        rows,
        is_read_only: app.is_read_only,
    };
    Ok(page(StatusCode::OK, &made))
}

/// One schedule.
pub async fn one(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response, HttpProblem> {
    query.done()?;
    let name = format!("{workflow}/{name}");
    let found = view(&app, name.clone(), PAST).await?;
    // A file that does not load has no next instant.
    let next = coming(&app, name, NEXT).await.unwrap_or_default();
    let next = next.into_iter().map(|Coming { fires, local, note, .. }| NextRow {
        at: TimePart::new(fires),
        local,
        note: note.unwrap_or_default(),
    });
    let made = SchedulePage {
        frame: PageFrame::new(&app, clean(&found.row.schedule), "schedules"),
        row: row(&found.row),
        next: next.collect(),
        past: found.instants.iter().map(past).collect(),
        deliveries: found.deliveries.iter().map(DeliveryRow::of).collect(),
        zone: clean(found.row.settings.timezone.as_deref().unwrap_or("UTC")),
        is_read_only: app.is_read_only,
    };
    Ok(page(StatusCode::OK, &made))
}

/// Pauses a schedule, with the reason of the form.
pub async fn hold(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    body: String,
) -> Result<Response, HttpProblem> {
    let reason = Query::parse(&body).text("reason");
    let name = format!("{workflow}/{name}");
    set_paused(&app, name.clone(), true, reason).await?;
    Ok(login::see_other(&app, &address(&name)))
}

/// Ends the pause of a schedule.
pub async fn go_on(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
) -> Result<Response, HttpProblem> {
    let name = format!("{workflow}/{name}");
    set_paused(&app, name.clone(), false, None).await?;
    Ok(login::see_other(&app, &address(&name)))
}

/// Runs past instants that have no successful run.
pub async fn fill_in(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
    body: String,
) -> Result<Response, HttpProblem> {
    let mut form = Query::parse(&body);
    let mut text = |name: &str| form.text(name).unwrap_or_default();
    let wanted = BackfillBody {
        from: text("from"),
        to: text("to"),
        all: !text("all").is_empty(),
        ..BackfillBody::default()
    };
    let name = format!("{workflow}/{name}");
    backfilled(&app, name.clone(), wanted).await?;
    Ok(login::see_other(&app, &address(&name)))
}

/// Runs a schedule now.
pub async fn run(
    State(app): State<Arc<App>>,
    Path((workflow, name)): Path<(String, String)>,
) -> Result<Response, HttpProblem> {
    let run = triggered(&app, format!("{workflow}/{name}"), TriggerBody::default()).await?;
    // It may wait for its turn: the schedule's page says so until it has begun.
    let begun = app.blocking({
        let run = run.to_string();
        move |home| {
            Ok(crate::ops::inspect::run(Some(home), &run, crate::view::model::run::Keep::OUTLINE).is_ok())
        }
    });
    let place = match begun.await {
        Ok(true) => format!("/runs/{run}"),
        _ => address(&format!("{workflow}/{name}")),
    };
    Ok(login::see_other(&app, &place))
}
