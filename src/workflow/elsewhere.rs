//! Keys that do not belong where they stand: what other tools call them, and the table that they were meant for.

use super::keys::{self, Key};

/// Keys of other tools, and what they are called here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("when", "if"),
    ("condition", "if"),
    ("only_if", "if"),
    ("depends_on", "needs"),
    ("depends", "needs"),
    ("dependencies", "needs"),
    ("deps", "needs"),
    ("after", "needs"),
    ("requires", "needs"),
    ("for_each", "foreach"),
    ("loop", "foreach"),
    ("scatter", "foreach"),
    ("map_over", "foreach"),
    ("uses", "task"),
    ("with", "inputs"),
    ("params", "inputs"),
    ("parameters", "inputs"),
    ("arguments", "inputs"),
    ("max_parallel", "concurrency"),
    ("parallelism", "concurrency"),
    ("command", "run"),
    ("cmd", "run"),
    ("cmds", "run"),
    ("script", "run"),
    ("commands", "run"),
    ("environment", "env"),
    ("workdir", "cwd"),
    ("working_directory", "cwd"),
    ("retry", "retries"),
    ("max_retries", "retries"),
    ("attempts", "retries"),
    ("time_limit", "timeout"),
    ("includes", "import"),
    ("include", "import"),
    ("files", "sources"),
];

/// What another tool's key is called in a table with these keys.
pub fn own_name(name: &str, known: &[Key]) -> Option<&'static str> {
    let (_, own) = OTHER_NAMES.iter().find(|(other, _)| *other == name)?;
    known.iter().any(|key| key.name == *own).then_some(*own)
}

/// Where a key of a task or a node belongs, if it stands in another table that holds such keys.
pub fn right_table(name: &str, known: &[Key]) -> Option<String> {
    let has = |keys: &[Key], name: &str| keys.iter().any(|key| key.name == name);
    let is_task = has(known, "argv");
    let is_node = has(known, "foreach");
    let is_head = has(known, "description") && has(known, "project");
    let is_defaults = has(known, "cache_version") && !is_task;
    let place = if !is_task && !is_node && !is_head && !is_defaults {
        return None;
    } else if is_head && has(keys::DEFAULTS, name) {
        "a task, or to all tasks of the file: [defaults]"
    } else if !is_task && has(keys::TASK, name) {
        "a task: [tasks.NAME]"
    } else if !is_node && has(keys::NODE, name) {
        "a node: [nodes.NAME]"
    } else {
        return None;
    };
    Some(format!("`{name}` belongs to {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_are_known_where_their_key_can_stand() {
        assert_eq!(own_name("when", keys::NODE), Some("if"));
        assert_eq!(own_name("when", keys::TASK), None);
        assert_eq!(own_name("cmd", keys::TASK), Some("run"));
        // Each stands for a key that there is, and is none itself.
        for (other, own) in OTHER_NAMES {
            let tables = [keys::FILE, keys::TASK, keys::NODE];
            assert!(tables.iter().any(|table| own_name(other, table) == Some(own)), "{other}");
            assert!(tables.iter().all(|table| table.iter().all(|key| key.name != *other)), "{other}");
        }
    }

    #[test]
    fn keys_in_the_wrong_table_are_sent_to_the_right_one() {
        let table = |name, known| right_table(name, known).unwrap_or_default();
        assert!(table("foreach", keys::TASK).ends_with("[nodes.NAME]"));
        assert!(table("run", keys::NODE).ends_with("[tasks.NAME]"));
        assert!(table("stage", keys::DEFAULTS).ends_with("[tasks.NAME]"));
        assert!(table("retries", keys::WORKFLOW).ends_with("[defaults]"));
        assert_eq!(table("zzz", keys::NODE) + &table("run", keys::OUTPUT), "");
    }
}
