//! `/metrics`: numbers as Prometheus reads them.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::schedules::rows;
use crate::ops::metrics::{DURATION_BOUNDS, Metrics, metrics};
use crate::server::ServedFile;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::server::web::query::Query;
use crate::view::model::schedule_row::ScheduleRow;

/// All numbers.
pub async fn show(State(app): State<Arc<App>>, query: Query) -> Result<Response, HttpProblem> {
    query.done()?;
    let schedules = rows(&app).await?;
    let snapshot = app.daemon.snapshot();
    let found = app.blocking(|home| Ok(metrics(Some(home))?)).await?;
    let text = text(&found, &schedules, &snapshot.files);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn text(found: &Metrics, schedules: &[ScheduleRow], files: &[ServedFile]) -> String {
    let mut page = MetricsText::default();
    page.family("runner_build_info", "gauge", "The program.");
    page.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    page.family("runner_runs_total", "counter", "Runs of the history that have ended.");
    for ((workflow, status), number) in &found.runs {
        page.sample("", &[("workflow", workflow), ("status", status)], *number as f64);
    }
    page.family("runner_nodes_total", "counter", "Nodes and elements of those runs.");
    for ((workflow, became), number) in &found.nodes {
        page.sample("", &[("workflow", workflow), ("cache", became)], *number as f64);
    }
    page.family("runner_run_duration_seconds", "histogram", "How long those runs took.");
    for (bound, number) in DURATION_BOUNDS.iter().zip(found.durations.at_most) {
        page.sample("_bucket", &[("le", &bound.to_string())], number as f64);
    }
    page.sample("_bucket", &[("le", "+Inf")], found.durations.count as f64);
    page.sample("_sum", &[], found.durations.sum_s);
    page.sample("_count", &[], found.durations.count as f64);
    page.family("runner_saved_seconds_total", "counter", "Time that results of the cache have saved.");
    page.sample("", &[], found.saved_ms as f64 / 1000.0);
    page.family("runner_runs_running", "gauge", "Runs that go on, in all processes of the home.");
    page.sample("", &[], found.running as f64);
    page.family(
        "runner_schedule_next_timestamp_seconds",
        "gauge",
        "When a schedule runs next, with its jitter.",
    );
    for row in schedules {
        if let Some(next) = &row.next {
            page.sample("", &[("schedule", &row.schedule)], seconds(next.fires));
        }
    }
    page.family(
        "runner_schedule_last_success_timestamp_seconds",
        "gauge",
        "When a run of a schedule last succeeded.",
    );
    for (name, times) in &found.schedules {
        if let Some(at) = times.last_success {
            page.sample("", &[("schedule", name)], seconds(at));
        }
    }
    page.family("runner_schedule_lag_seconds", "gauge", "How late the last run of a schedule began.");
    for (name, times) in &found.schedules {
        if let Some(ms) = times.lag_ms {
            page.sample("", &[("schedule", name)], ms as f64 / 1000.0);
        }
    }
    page.family("runner_instants_total", "counter", "Instants of schedules, by what they became.");
    for (schedule, became, number) in &found.instants {
        page.sample("", &[("schedule", schedule), ("became", became)], *number as f64);
    }
    page.family("runner_schedule_paused", "gauge", "Whether a schedule is paused.");
    for row in schedules {
        page.sample("", &[("schedule", &row.schedule)], f64::from(row.paused.is_some()));
    }
    page.family("runner_workflow_broken", "gauge", "Whether a file that is served does not load.");
    for file in files {
        let path = file.path.display().to_string();
        page.sample("", &[("path", &path)], f64::from(!file.mistakes.is_empty()));
    }
    page.family("runner_notifications_total", "counter", "Messages, by rule and outcome.");
    for (rule, outcome, number) in &found.messages {
        page.sample("", &[("notify", rule), ("outcome", outcome)], *number as f64);
    }
    page.family("runner_store_bytes", "gauge", "All that the home keeps.");
    page.sample("", &[], found.store_bytes as f64);
    page.text
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// The text, one family after the other.
#[derive(Default)]
struct MetricsText {
    text: String,
    name: &'static str,
}

impl MetricsText {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to text cannot fail, here and below.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.name);
    }
}

/// A value of a label: names of workflows and paths may hold anything.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_below_their_family_and_values_are_escaped() {
        let mut found = Metrics { saved_ms: 1500, ..Metrics::default() };
        found.runs.insert(("a\"b\\\n".into(), "failed".into()), 2);
        let text = text(&found, &[], &[]);
        for line in [
            "# TYPE runner_runs_total counter\nrunner_runs_total{workflow=\"a\\\"b\\\\\\n\",status=\"failed\"} 2\n",
            "runner_saved_seconds_total 1.5\n",
            "runner_run_duration_seconds_bucket{le=\"0.1\"} 0\n",
            "runner_run_duration_seconds_bucket{le=\"+Inf\"} 0\nrunner_run_duration_seconds_sum 0\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
