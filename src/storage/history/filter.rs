//! Which runs are asked for: conditions on their rows, all of which must hold.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::{ABANDONED, COLUMNS, INTERRUPTED, RUNNING, Run, read_run, readable};
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
    /// Words that all stand in its id, workflow, project, domain or inputs, or in the names of nodes that failed; case does not
    /// matter.
    pub words: Vec<String>,
    /// Older than this one.
    pub before: Option<RunId>,
}

/// What rows do not say of a run.
pub trait RunFacts {
    /// Its status, where its row may be out of date.
    fn status(&self, run: &Run) -> String;
    /// The names of its nodes that failed, in lower case.
    fn failed_nodes(&self, run: &Run) -> String;
}

/// The latest runs that are asked for, the newest first.
///
/// # Errors
/// The database cannot be read.
pub fn select(
    db: &Connection,
    filter: &RunFilter,
    limit: usize,
    facts: &impl RunFacts,
) -> rusqlite::Result<Vec<Run>> {
    let (conditions, values) = filter.conditions();
    let words: Vec<String> = filter.words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let place = if words.is_empty() { "''".to_owned() } else { searched() };
    let mut statement =
        db.prepare(&format!("SELECT {COLUMNS}, {place} AS place FROM run {conditions} ORDER BY id DESC"))?;
    let mut runs = Vec::new();
    let read = |row: &rusqlite::Row| Ok((read_run(row)?, row.get::<_, String>("place")?));
    let mut rows = readable(statement.query_map(rusqlite::params_from_iter(values), read)?);
    while runs.len() < limit
        && let Some(row) = rows.next()
    {
        let (mut run, place) = row?;
        let missing: Vec<&String> = words.iter().filter(|word| !place.contains(*word)).collect();
        if !missing.is_empty() {
            let names = facts.failed_nodes(&run);
            if !missing.iter().all(|word| names.contains(*word)) {
                continue;
            }
        }
        run.status = facts.status(&run);
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

/// The text of a row that words are looked for in.
fn searched() -> String {
    let inputs = format!("coalesce({REQUEST} ->> 'inputs', '')");
    format!("lower(run || ' ' || workflow || ' ' || project || ' ' || domain || ' ' || {inputs})")
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
            // Of a run that failed the names of nodes are looked at as well.
            let term = format!("(instr({}, ?) > 0 OR counts ->> 'failed' > 0)", searched());
            add(&term, Value::Text(word.to_ascii_lowercase()));
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
            let mut names: BTreeSet<&str> = self.statuses.iter().map(String::as_str).collect();
            // No row says so.
            if names.remove(ABANDONED) {
                names.insert(INTERRUPTED);
            }
            // What was interrupted is still said to be running, until the next run marks it.
            if names.contains(INTERRUPTED) {
                names.insert(RUNNING);
            }
            let list: Vec<String> = names
                .into_iter()
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

    struct Facts;

    impl RunFacts for Facts {
        fn status(&self, run: &Run) -> String {
            if run.id == "dead" { INTERRUPTED.into() } else { run.status.clone() }
        }

        fn failed_nodes(&self, run: &Run) -> String {
            if run.id == "c" { "prep/clean".into() } else { String::new() }
        }
    }

    fn found(db: &Connection, filter: &RunFilter, limit: usize) -> String {
        let runs = select(db, filter, limit, &Facts).unwrap();
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
        db.execute("UPDATE run SET counts = json_set(counts, '$.failed', 1) WHERE run = 'cxxxxxxx'", [])
            .unwrap();
        let asked = "{\"inputs\":{\"day\":\"2026-11-28 100%\"}}";
        db.execute("UPDATE run SET invocation = ?1 WHERE run = 'axxxxxxx'", [asked]).unwrap();
        for (words, expected) in [
            (&["IT'S"][..], "c"),
            (&["dead"], "dead"),
            (&["axxx", "2026-11-28"], "a"),
            (&["100%"], "a"),
            (&["axxx", "2027"], ""),
            (&["1_0"], ""),
            (&["Clean"], "c"),
            (&["clean", "it's"], "c"),
            (&["clean", "axxx"], ""),
        ] {
            assert_eq!(found(&db, &named(words), 9), expected, "{words:?}");
        }
        assert_eq!(workflows(&db).unwrap().into_iter().collect::<Vec<_>>(), ["it's", "w"]);
    }
}
