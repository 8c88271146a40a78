//! How the outputs of a task that was run again differ from what is stored.

use serde::Serialize;
use serde_json::{Map as JsonMap, Value as Json};
use similar::TextDiff;

use crate::core::value::Value;
use crate::storage::store::Store;
use crate::workflow::Task;

/// An output that came out differently.
#[derive(Debug, Serialize)]
pub struct Difference {
    pub output: String,
    pub was: Json,
    pub now: Json,
    /// What differs, in lines; empty where a few lines cannot show it.
    pub diff: Vec<String>,
}

/// Maximum lines of a difference that are shown.
const LINES: usize = 12;
/// Maximum size of texts that are compared line by line, in bytes.
const MAX_COMPARED_BYTES: u64 = 64 << 10;

/// Every output that is not what the record says.
///
/// # Errors
/// The record does not fit the task.
pub fn differences(
    store: &Store,
    task: &Task,
    record: &str,
    now: &[Value],
) -> Result<Vec<Difference>, String> {
    let record: JsonMap<String, Json> = serde_json::from_str(record).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for (output, now) in task.outputs.iter().zip(now) {
        let was = match record.get(&*output.name) {
            None | Some(Json::Null) => Value::Null,
            Some(json) => Value::from_json(&output.ty, json)?,
        };
        // As records, NaN is equal to itself.
        if was == *now || was.to_record() == now.to_record() {
            continue;
        }
        let diff = told(store, &was, now);
        found.push(Difference {
            output: output.name.to_string(),
            was: was.to_record(),
            now: now.to_record(),
            diff,
        });
    }
    Ok(found)
}

fn told(store: &Store, was: &Value, now: &Value) -> Vec<String> {
    match (was, now) {
        (Value::File(was), Value::File(now)) if was.digest == now.digest => {
            vec!["its name or whether it may be executed".into()]
        }
        (Value::File(was), Value::File(now)) => {
            match (store.text(&was.digest, MAX_COMPARED_BYTES), store.text(&now.digest, MAX_COMPARED_BYTES)) {
                (Some(was), Some(now)) => lines(&was, &now),
                _ => Vec::new(),
            }
        }
        (Value::Dir(was), Value::Dir(now)) => shortened(store.differing_entries(was, now)),
        (Value::String(was), Value::String(now)) => lines(was, now),
        (was, now) => lines(&was.to_record().to_string(), &now.to_record().to_string()),
    }
}

/// The lines that differ, those that were with `-` and those that are with `+`.
fn lines(was: &str, now: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(was, now);
    let changed = diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
    shortened(
        changed.map(|change| format!("{} {}", change.tag(), change.value().trim_end_matches('\n'))).collect(),
    )
}

fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("... {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_are_told_and_no_others() {
        assert_eq!(lines("a\nb\nc\n", "a\nx\nc\n"), ["- b", "+ x"]);
        let many = |text: &str| (0..20).map(|i| format!("{text}{i}\n")).collect::<String>();
        let told = lines(&many("a"), &many("b"));
        assert_eq!((told.len(), told[LINES].as_str()), (LINES + 1, "... 28 more"));
    }
}
