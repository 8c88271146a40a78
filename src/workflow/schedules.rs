//! `[[schedules]]`: when the workflow is due by itself, each entry checked against the workflow's inputs.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map as JsonMap, Value as Json};

use super::Input;
use super::binder::{Binder, inner_span};
use super::binding::Binding;
use super::diagnostic::{Diagnostic, SourceSpan, Span};
use super::keys;
use super::label::read_label;
use super::policy::duration;
use super::reader::Reader;
use super::syntax::{Table, TomlItem, TomlKind};
use crate::core::closest::closest;
use crate::core::cron::{Expression, Rhythm};
use crate::core::schedule::{CatchUp, InstantInput, Overlap, Schedule};
use crate::core::time_text::duration_text;
use crate::core::types::Type;
use crate::core::zone::named_zone;

const DEFAULT_CATCH_UP_WINDOW: SignedDuration = SignedDuration::from_hours(24);
const DEFAULT_KEEP_RUNS: i64 = 1000;

/// A schedule, and where it stands.
#[derive(Debug)]
pub struct PlacedSchedule {
    pub schedule: Schedule,
    /// Its first line.
    pub place: SourceSpan,
    /// Expressions in which both day fields say something.
    pub two_day_fields: Vec<SourceSpan>,
}

/// Reads the schedules of a workflow file. One with an error is left out, and the error reported.
pub fn read_schedules(
    reader: &mut Reader,
    tree: &Table,
    dir: &Path,
    inputs: &[Input],
) -> Vec<PlacedSchedule> {
    let Some(item) = tree.get("schedules") else { return Vec::new() };
    let TomlKind::Array(items) = &item.kind else {
        reader.wrong_type(item, "schedules", "an array of tables, [[schedules]]");
        return Vec::new();
    };
    let mut names = BTreeSet::new();
    let mut schedules = Vec::new();
    for item in items {
        let TomlKind::Table(table) = &item.kind else {
            reader.wrong_type(item, "schedules", "an array of tables, [[schedules]]");
            continue;
        };
        let before = reader.diagnostics.len();
        let read = read_schedule(reader, item, table, dir, inputs, &mut names);
        schedules.extend(read.filter(|_| reader.diagnostics.len() == before));
    }
    schedules
}

fn read_schedule(
    reader: &mut Reader,
    item: &TomlItem,
    table: &Table,
    dir: &Path,
    inputs: &[Input],
    names: &mut BTreeSet<String>,
) -> Option<PlacedSchedule> {
    let name = read_name(reader, item, table, names);
    let owner = match &name {
        Some(name) => format!("schedule `{name}`"),
        None => "the schedule".to_owned(),
    };
    reader.check_keys(table, keys::SCHEDULE, &owner);
    let start = read_start(reader, table);
    let zone = read_zone(reader, table);
    let cron = read_cron(reader, table);
    let rhythm = read_rhythm(reader, item, table, &owner, &cron, zone, start);
    let jitter = read_jitter(reader, table, rhythm.as_ref());
    let scheduled_at_input = read_instant_input(reader, table, inputs);
    let values = read_values(reader, item.span, table, dir, inputs, &owner, scheduled_at_input.as_ref());
    let overlap = match reader.choice(table, "overlap", &["skip", "queue", "replace", "allow"]) {
        Some("queue") => Overlap::Queue,
        Some("replace") => Overlap::Replace,
        Some("allow") => Overlap::Allow,
        _ => Overlap::Skip,
    };
    let catch_up = match reader.choice(table, "catch_up", &["latest", "none", "all"]) {
        Some("none") => CatchUp::None,
        Some("all") => CatchUp::All,
        _ => CatchUp::Latest,
    };
    let catch_up_window = signed(duration(reader, table, "catch_up_window", false));
    let max_runtime = signed(duration(reader, table, "max_runtime", false));
    let keep_runs = read_keep_runs(reader, table);
    let project = read_label(reader, table, "project");
    let domain = read_label(reader, table, "domain");
    let two_day_fields = cron.iter().filter(|(expression, ..)| expression.two_day_fields());
    Some(PlacedSchedule {
        place: reader.place(item.span),
        two_day_fields: two_day_fields.map(|(.., span)| reader.place(*span)).collect(),
        schedule: Schedule {
            name: name?,
            timezone: reader.text(table, "timezone").unwrap_or("UTC").to_owned(),
            cron: cron.into_iter().map(|(_, text, _)| text).collect(),
            rhythm: rhythm?,
            inputs: values,
            scheduled_at_input,
            overlap,
            catch_up,
            catch_up_window: catch_up_window.unwrap_or(DEFAULT_CATCH_UP_WINDOW),
            jitter,
            max_runtime,
            keep_runs,
            project,
            domain,
        },
    })
}

/// The name, if it is usable and no earlier schedule has it.
fn read_name(
    reader: &mut Reader,
    item: &TomlItem,
    table: &Table,
    names: &mut BTreeSet<String>,
) -> Option<String> {
    if table.get("name").is_none() {
        reader.error(item.span, "a schedule has no name", "add name = \"nightly\", or another name");
        return None;
    }
    let (name, span) = reader.text_item(table, "name")?;
    if !super::is_name(name, true) {
        let help = "use lower-case letters, digits, `_` and `-`, beginning with a letter, at most 128 in all";
        let message = format!("`{name}` cannot be the name of a schedule");
        reader.report(Diagnostic::at(reader.place(span), message, "not allowed").help(help));
        return None;
    }
    if !names.insert(name.to_owned()) {
        reader.error(span, format!("two schedules are called `{name}`"), "the second one");
        return None;
    }
    Some(name.to_owned())
}

/// Each expression with its text and its place.
fn read_cron(reader: &mut Reader, table: &Table) -> Vec<(Expression, String, Span)> {
    let texts = match table.get("cron") {
        Some(TomlItem { kind: TomlKind::Array(items), span }) => {
            if items.is_empty() {
                reader.error(*span, "`cron` has no expression", "empty");
            }
            reader.texts(table, "cron").unwrap_or_default()
        }
        _ => reader.text_item(table, "cron").into_iter().collect(),
    };
    let mut expressions = Vec::new();
    for (text, span) in texts {
        match Expression::parse(text) {
            Ok(expression) => expressions.push((expression, text.to_owned(), span)),
            Err(error) => {
                let place = reader.place(inner_span(span, text, error.span));
                let diagnostic = Diagnostic::at(place, format!("`cron`: {}", error.message), "here");
                reader.report(match error.help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
            }
        }
    }
    expressions
}

fn read_rhythm(
    reader: &mut Reader,
    item: &TomlItem,
    table: &Table,
    owner: &str,
    cron: &[(Expression, String, Span)],
    zone: Option<TimeZone>,
    start: Option<Timestamp>,
) -> Option<Rhythm> {
    match (table.get("cron"), table.get("every")) {
        (Some(_), Some(every)) => {
            let message = format!("{owner} has both `cron` and `every`");
            reader.error(every.span, message, "keep one of them");
            None
        }
        (None, None) => {
            let label = "add cron = \"0 2 * * *\" or every = \"6h\"";
            reader.error(item.span, format!("{owner} does not say when it is due"), label);
            None
        }
        (Some(_), None) => {
            let expressions: Vec<_> = cron.iter().map(|(expression, ..)| expression.clone()).collect();
            (!expressions.is_empty()).then_some(Rhythm::Cron { expressions, zone: zone?, start })
        }
        (None, Some(every)) => {
            if let Some(zone) = table.get("timezone") {
                let message = format!("{owner}: `timezone` goes with `cron`; a day of `every` is 24 hours");
                reader.error(zone.span, message, "not used");
            }
            let interval = signed(duration(reader, table, "every", false))?;
            if interval.as_secs() < 1 || interval.subsec_nanos() != 0 {
                reader.error(every.span, "`every` must be whole seconds, at least \"1s\"", "not usable");
                return None;
            }
            Some(Rhythm::Every { seconds: interval.as_secs(), start })
        }
    }
}

fn read_zone(reader: &mut Reader, table: &Table) -> Option<TimeZone> {
    let Some((name, span)) = reader.text_item(table, "timezone") else { return Some(TimeZone::UTC) };
    match named_zone(name) {
        Ok(zone) => Some(zone),
        Err(problem) => {
            reader.error(span, format!("`timezone`: {problem}"), "not known");
            None
        }
    }
}

fn read_start(reader: &mut Reader, table: &Table) -> Option<Timestamp> {
    let item = table.get("start")?;
    let text = match &item.kind {
        TomlKind::String(text) => &**text,
        TomlKind::Datetime(text) => text,
        _ => {
            reader.wrong_type(item, "start", "an instant such as 2026-01-01T00:00:00Z");
            return None;
        }
    };
    let instant = text.parse::<Timestamp>().ok();
    if instant.is_none() {
        let label = "expected an instant with its offset, such as 2026-01-01T00:00:00Z";
        reader.error(item.span, "`start` is not an instant", label);
    }
    instant
}

fn read_jitter(reader: &mut Reader, table: &Table, rhythm: Option<&Rhythm>) -> SignedDuration {
    let Some(jitter) = signed(duration(reader, table, "jitter", true)) else { return SignedDuration::ZERO };
    if jitter.is_zero() {
        return jitter;
    }
    // The rule is about the year to come: the distances depend on the changes of the clocks in it.
    let nearest = rhythm.and_then(|rhythm| rhythm.nearer_than(jitter, Timestamp::now()));
    if let (Some(nearest), Some(item)) = (nearest, table.get("jitter")) {
        let message = "`jitter` must be shorter than the time between two instants";
        reader.error(item.span, message, format!("two of them are {} apart", duration_text(nearest)));
    }
    jitter
}

fn read_keep_runs(reader: &mut Reader, table: &Table) -> u64 {
    let Some(item) = table.get("keep_runs") else { return DEFAULT_KEEP_RUNS.unsigned_abs() };
    match item.kind {
        TomlKind::Integer(count @ 1..) => count.unsigned_abs(),
        TomlKind::Integer(_) => {
            reader.error(item.span, "`keep_runs` must be at least 1", "out of range");
            1
        }
        _ => {
            reader.wrong_type(item, "keep_runs", "a whole number");
            1
        }
    }
}

fn read_instant_input(reader: &mut Reader, table: &Table, inputs: &[Input]) -> Option<InstantInput> {
    let (name, span) = reader.text_item(table, "scheduled_at_input")?;
    let Some(input) = inputs.iter().find(|input| &*input.name == name) else {
        let label = unknown_input(name, inputs);
        reader.error(span, format!("`scheduled_at_input`: the workflow has no input `{name}`"), label);
        return None;
    };
    match input.ty.required() {
        Type::Datetime => Some(InstantInput { name: name.to_owned(), is_day: false }),
        Type::Date => Some(InstantInput { name: name.to_owned(), is_day: true }),
        other => {
            let message = format!("`scheduled_at_input`: the input `{name}` is {other}");
            reader.error(span, message, "expected an input of type datetime or date");
            None
        }
    }
}

fn unknown_input(name: &str, inputs: &[Input]) -> String {
    match closest(name, inputs.iter().map(|input| &*input.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "no such input".to_owned(),
    }
}

/// The values for the workflow's inputs: plain ones, each of the input's type; and all that have no default.
fn read_values(
    reader: &mut Reader,
    header: Span,
    table: &Table,
    dir: &Path,
    inputs: &[Input],
    owner: &str,
    scheduled_at: Option<&InstantInput>,
) -> JsonMap<String, Json> {
    let mut values = JsonMap::new();
    let given = reader.table(table, "inputs");
    for (key, item) in given.into_iter().flat_map(Table::iter) {
        let name = &*key.name;
        let Some(input) = inputs.iter().find(|input| &*input.name == name) else {
            let label = unknown_input(name, inputs);
            reader.error(
                key.span,
                format!("{owner} gives `{name}`, which is no input of the workflow"),
                label,
            );
            continue;
        };
        if scheduled_at.is_some_and(|instant| instant.name == name) {
            let message = format!("{owner} gives `{name}`, which receives the instant");
            reader.error(key.span, message, "drop this, or `scheduled_at_input`");
            continue;
        }
        let mut binder = Binder { reader, scope: None, dir };
        let Some(binding) = binder.bind(&name, &input.ty, item) else { continue };
        if let Binding::Literal(value) = &binding
            && let Err(problem) = input.check_choice(value)
        {
            reader.error(item.span, format!("{owner}: {problem}"), "not one of them");
        }
        values.insert(name.to_owned(), plain(&binding));
    }
    let missing = |input: &&Input| {
        let is_given = given.is_some_and(|given| given.get(&input.name).is_some());
        let receives = scheduled_at.is_some_and(|instant| *instant.name == *input.name);
        input.default.is_none() && !input.ty.is_optional() && !is_given && !receives
    };
    for input in inputs.iter().filter(missing) {
        let name = &input.name;
        let help = format!("add `{name}` to the schedule's `inputs`, or give the input a default");
        let message = format!("{owner} gives no value for the input `{name}`");
        reader.report(Diagnostic::at(reader.place(header), message, "needed by the workflow").help(help));
    }
    values
}

/// A binding without templates as JSON that reads back.
fn plain(binding: &Binding) -> Json {
    match binding {
        Binding::Literal(value) => value.to_record(),
        Binding::Path(path) => Json::String(path.to_string_lossy().into_owned()),
        Binding::List(items) => items.iter().map(plain).collect(),
        Binding::Map(entries) => entries.iter().map(|(key, item)| (key.clone(), plain(item))).collect(),
        // Without a scope the binder makes none.
        Binding::Reference(_) | Binding::Template(_) => Json::Null,
    }
}

fn signed(duration: Option<std::time::Duration>) -> Option<SignedDuration> {
    duration.and_then(|duration| SignedDuration::try_from(duration).ok())
}
