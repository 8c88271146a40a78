//! Commands that lines for people suggest: what to type next about a run or a node.

use std::path::Path;
use std::sync::OnceLock;

use crate::core::event::Status;
use crate::core::node_path::NodeRef;
use crate::core::shell_word::shell_word;
use crate::view::text::style::{Cell, FAINT, Ink, STRONG, columns};

/// `runner`, with the home folder where that was given by a flag.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Says once a process that the home folder was given by a flag: without it the suggested commands would look elsewhere.
pub fn name_home(home: &Path) {
    let _ = PROGRAM.set(format!("runner --home {}", shell_word(&home.display().to_string())));
}

/// `runner VERB...`
pub fn command(words: &str) -> String {
    format!("{} {words}", PROGRAM.get().map_or("runner", String::as_str))
}

/// The command that prints a node's log.
pub fn logs_command(run: &str, node: &str, index: Option<u64>) -> String {
    command_of("logs", run, node, index)
}

/// The command of a verb that takes a run and a node.
pub fn command_of(verb: &str, run: &str, node: &str, index: Option<u64>) -> String {
    let index = index.map_or_else(String::new, |index| format!(" --index {index}"));
    command(&format!("{verb} {run} {}{index}", NodeRef::new(node, None).shell_word()))
}

/// What to do about a run whose jobs go on without a runner.
pub fn after_detached(run: &str) -> Vec<(String, &'static str)> {
    vec![
        (command(&format!("attach {run}")), "goes on with it"),
        (command(&format!("cancel {run}")), "ends its jobs"),
    ]
}

/// What to do after a run that did not succeed: commands, each with what it does. `failed` is a node whose command ran and
/// failed.
pub fn after(run: &str, status: Status, failed: Option<NodeRef>) -> Vec<(String, &'static str)> {
    let retry = (command(&format!("retry {run}")), "runs what failed or was never reached");
    let shell = failed
        .map(|node| (command_of("shell", run, node.node, node.index), "opens a shell with what it had"));
    match status {
        Status::Succeeded | Status::Skipped => Vec::new(),
        Status::Detached => after_detached(run),
        Status::Failed | Status::Cancelled => [Some(retry), shell].into_iter().flatten().collect(),
    }
}

/// Commands in lines, aligned.
pub fn table(commands: &[(String, &str)], ink: Ink) -> String {
    let row = |(command, what): &(String, &str)| {
        vec![Cell::new(STRONG, format!("  {command}")), Cell::new(FAINT, *what)]
    };
    columns(&commands.iter().map(row).collect::<Vec<_>>(), ink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_pattern() {
        assert_eq!(logs_command("k3v9", "prep/clean", Some(1)), "runner logs k3v9 prep/clean --index 1");
        assert_eq!(logs_command("k3v9", "prep[3]/clean", None), "runner logs k3v9 'prep[3]/clean'");
    }

    #[test]
    fn what_comes_next_depends_on_how_it_ended() {
        let words = |status, failed| {
            after("k3v9", status, failed).into_iter().map(|(command, _)| command).collect::<Vec<_>>()
        };
        let node = Some(NodeRef::new("train", None));
        assert_eq!(words(Status::Failed, node), ["runner retry k3v9", "runner shell k3v9 train"]);
        assert_eq!(words(Status::Cancelled, None), ["runner retry k3v9"]);
        assert!(words(Status::Succeeded, None).is_empty());
        assert_eq!(shell_word("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(shell_word("/a/b"), "/a/b");
    }
}
