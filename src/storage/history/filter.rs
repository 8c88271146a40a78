//! Which runs are asked for: conditions on their rows, all of which must hold.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::{COLUMNS, INTERRUPTED, RUNNING, Run, read_run, readable};
use crate::core::run_id::RunId;
use crate::core::schedule::{ScheduledRun, Trigger};

/// What a run was asked for, as JSON; nothing for runs older than the record of requests.
const REQUEST: &str = "iif(json_valid(invocation), invocation, '{}')";

/// What a run must be like; nothing that is left out matters.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub workflow: Option<String>,
    pub project: Option<String>,
    pub domain: Option<String>,
    /// One of these; any if there is none.
    pub statuses: BTreeSet<String>,
    /// When it began, at the earliest.
    pub since: Option<Timestamp>,
    /// When it began, before this.
    pub until: Option<Timestamp>,
    /// Of this schedule: its whole name, or what comes behind `/`.
    pub schedule: Option<String>,
    pub trigger: Option<Trigger>,
    /// Not begun by any of these.
    pub not_by: Vec<Trigger>,
    /// Of no schedule.
    pub unscheduled: bool,
    /// Whether it was a no-op: nothing was executed and nothing failed.
    pub no_op: Option<bool>,
    /// Words that all stand in its id, workflow, project, domain or inputs; case does not matter.
    pub words: Vec<String>,
    /// Older than this one.
    pub before: Option<RunId>,
}

/// The latest runs that are asked for, the newest first. `status` tells a run's status where its row may be out of date.
///
/// # Errors
/// The database cannot be read.
pub fn select(
    db: &Connection,
    filter: &RunFilter,
    limit: usize,
    status: impl Fn(&Run) -> String,
) -> rusqlite::Result<Vec<Run>> {
    let (conditions, values) = filter.conditions();
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM run {conditions} ORDER BY id DESC"))?;
    let mut runs = Vec::new();
    let mut rows = readable(statement.query_map(rusqlite::params_from_iter(values), read_run)?);
    while runs.len() < limit
        && let Some(run) = rows.next()
    {
        let mut run = run?;
        run.status = status(&run);
        if filter.statuses.is_empty() || filter.statuses.contains(&run.status) {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// The names of all workflows that were ever run.
///
/// # Errors
/// The database cannot be read.
pub fn workflows(db: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    db.prepare("SELECT DISTINCT workflow FROM run")?.query_map([], |row| row.get(0))?.collect()
}

/// The ids of all runs of a workflow.
///
/// # Errors
/// The database cannot be read.
pub fn runs_of(db: &Connection, workflow: &str) -> rusqlite::Result<BTreeSet<RunId>> {
    db.prepare("SELECT run FROM run WHERE workflow = ?1")?.query_map([workflow], |row| row.get(0))?.collect()
}

/// The projects or the domains, as `column` says, of all runs.
///
/// # Errors
/// The database cannot be read.
pub fn labels(db: &Connection, column: &'static str) -> rusqlite::Result<Vec<String>> {
    let query = format!("SELECT DISTINCT {column} FROM run ORDER BY 1");
    db.prepare(&query)?.query_map([], |row| row.get(0))?.collect()
}

/// What made a run begin; `None` if it is not on record.
///
/// # Errors
/// The database cannot be read.
pub fn origin(db: &Connection, run: RunId) -> rusqlite::Result<Option<(Trigger, Option<ScheduledRun>)>> {
    let query = format!(
        "SELECT coalesce({REQUEST} ->> 'trigger', 'manual'), {REQUEST} -> 'scheduled' FROM run WHERE run = ?1"
    );
    let read = |row: &rusqlite::Row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
    let found = db.prepare_cached(&query)?.query_row([run], read).optional()?;
    Ok(found.map(|(trigger, scheduled)| {
        let trigger = serde_json::from_value(serde_json::Value::String(trigger)).unwrap_or_default();
        (trigger, scheduled.and_then(|scheduled| serde_json::from_str(&scheduled).ok()))
    }))
}

impl RunFilter {
    /// A `WHERE`, or nothing, with its values in order.
    fn conditions(&self) -> (String, Vec<Value>) {
        let (mut terms, mut values) = (Vec::new(), Vec::new());
        let mut add = |term: &str, value: Value| {
            values.push(value);
            terms.push(term.replace('?', &format!("?{}", values.len())));
        };
        for (term, text) in
            [("workflow = ?", &self.workflow), ("project = ?", &self.project), ("domain = ?", &self.domain)]
        {
            if let Some(text) = text {
                add(term, Value::Text(text.clone()));
            }
        }
        let trigger = self.trigger.and_then(|trigger| serde_json::to_value(trigger).ok());
        if let Some(serde_json::Value::String(name)) = trigger {
            add(&format!("coalesce({REQUEST} ->> 'trigger', 'manual') = ?"), Value::Text(name));
        }
        for trigger in &self.not_by {
            if let Ok(serde_json::Value::String(name)) = serde_json::to_value(trigger) {
                add(&format!("coalesce({REQUEST} ->> 'trigger', 'manual') != ?"), Value::Text(name));
            }
        }
        if self.unscheduled {
            add(&format!("({REQUEST} ->> '$.scheduled.schedule' IS NULL) = ?"), Value::Integer(1));
        }
        if let Some(name) = &self.schedule {
            let whole = format!("{REQUEST} ->> '$.scheduled.schedule'");
            let term = format!("? IN ({whole}, substr({whole}, instr({whole}, '/') + 1))");
            add(&term, Value::Text(name.clone()));
        }
        if let Some(no_op) = self.no_op {
            let term = "(status = 'succeeded' AND counts ->> 'executed' = 0 AND counts ->> 'failed' = 0) = ?";
            add(term, Value::Integer(no_op.into()));
        }
        for word in &self.words {
            let inputs = format!("coalesce({REQUEST} ->> 'inputs', '')");
            let place = format!(
                "lower(run || ' ' || workflow || ' ' || project || ' ' || domain || ' ' || {inputs})"
            );
            add(&format!("instr({place}, ?) > 0"), Value::Text(word.to_ascii_lowercase()));
        }
        if let Some(run) = self.before {
            add("id < (SELECT id FROM run WHERE run = ?)", Value::Text(run.to_string()));
        }
        for (term, instant) in [("started_ms >= ?", self.since), ("started_ms < ?", self.until)] {
            if let Some(instant) = instant {
                add(term, Value::Integer(instant.as_millisecond()));
            }
        }
        if !self.statuses.is_empty() {
            // What was interrupted is still said to be running, until the next run marks it.
            let running = self.statuses.contains(INTERRUPTED).then_some(RUNNING);
            let names = self.statuses.iter().map(String::as_str).chain(running);
            let list: Vec<String> = names
                .map(|name| {
                    values.push(Value::Text(name.into()));
                    format!("?{}", values.len())
                })
                .collect();
            terms.push(format!("status IN ({})", list.join(", ")));
        }
        match terms.is_empty() {
            true => (String::new(), values),
            false => (format!("WHERE {}", terms.join(" AND ")), values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::database;
    use super::*;

    fn found(db: &Connection, filter: &RunFilter, limit: usize) -> String {
        let alive = |run: &Run| match run.id == "dead" {
            true => INTERRUPTED.into(),
            false => run.status.clone(),
        };
        let runs = select(db, filter, limit, alive).unwrap();
        runs.iter().map(|run| run.id.trim_end_matches('x')).collect::<Vec<_>>().join(" ")
    }

    fn statuses(names: &[&str]) -> RunFilter {
        RunFilter { statuses: names.iter().map(ToString::to_string).collect(), ..RunFilter::default() }
    }

    #[test]
    fn conditions_compose() {
        let db = database(&[("a", "failed"), ("dead", "running"), ("b", "running"), ("c", "failed")]);
        db.execute("UPDATE run SET workflow = 'it''s', started_ms = 1000 WHERE run = 'cxxxxxxx'", [])
            .unwrap();
        assert_eq!(found(&db, &RunFilter::default(), 9), "c b dead a");
        assert_eq!(found(&db, &RunFilter::default(), 2), "c b");
        assert_eq!(found(&db, &statuses(&["failed"]), 9), "c a");
        assert_eq!(found(&db, &statuses(&["failed"]), 1), "c");
        assert_eq!(found(&db, &statuses(&["running"]), 9), "b");
        assert_eq!(found(&db, &statuses(&["interrupted"]), 9), "dead");
        let named = RunFilter { workflow: Some("it's".into()), ..statuses(&["failed"]) };
        assert_eq!(found(&db, &named, 9), "c");
        let instant = |ms| Timestamp::from_millisecond(ms).ok();
        let late = RunFilter { since: instant(1000), ..RunFilter::default() };
        assert_eq!(found(&db, &late, 9), "c");
        let early = RunFilter { until: instant(1000), ..statuses(&["failed"]) };
        assert_eq!(found(&db, &early, 9), "a");
        let other = RunFilter { project: Some("x".into()), ..RunFilter::default() };
        assert_eq!(found(&db, &other, 9), "");
        let before = RunFilter { before: Some("b".into()), domain: Some("d".into()), ..RunFilter::default() };
        assert_eq!(found(&db, &before, 1), "dead");
        let named = |words: &[&str]| RunFilter {
            words: words.iter().map(ToString::to_string).collect(),
            ..RunFilter::default()
        };
        let asked = "{\"inputs\":{\"day\":\"2026-11-28 100%\"}}";
        db.execute("UPDATE run SET invocation = ?1 WHERE run = 'axxxxxxx'", [asked]).unwrap();
        for (words, expected) in [
            (&["IT'S"][..], "c"),
            (&["dead"], "dead"),
            (&["axxx", "2026-11-28"], "a"),
            (&["100%"], "a"),
            (&["axxx", "2027"], ""),
            (&["1_0"], ""),
        ] {
            assert_eq!(found(&db, &named(words), 9), expected, "{words:?}");
        }
        assert_eq!(workflows(&db).unwrap().into_iter().collect::<Vec<_>>(), ["it's", "w"]);
    }
}
