//! Settings without effect, and templates where there are none.

use super::commands::short;
use super::{Lint, Text};
use crate::workflow::diagnostic::Diagnostic;
use crate::workflow::{Task, TaskCommand};

/// The warnings about a task's settings.
pub fn of_task(task: &Task, text: &Text) -> Vec<Lint> {
    let mut lints = Vec::new();
    let name = short(task);
    if !task.cache.enabled {
        let cache = &task.cache;
        let idle = [
            ("cache_version", cache.version.is_some()),
            ("cache_serialize", cache.serialize),
            ("cache_max_age", cache.max_age.is_some()),
            ("cache_aliases", !cache.aliases.is_empty()),
            ("cache_ignore_inputs", !cache.ignore_inputs.is_empty()),
        ];
        for (key, _) in idle.into_iter().filter(|(key, set)| *set && text.text.contains(key)) {
            let message = format!("`{key}` of task `{name}` has no effect: the task is not cached");
            let diagnostic = Diagnostic::warning(text.place(key, key), message, "no effect")
                .help("add cache = true, or take it away");
            lints.push(Lint { name: "no-effect", diagnostic });
        }
    }
    if let TaskCommand::Script { script, .. } = &task.command {
        lints.extend(windows_line_ends(task, text));
        for (template, input) in templates(script) {
            let known = task.inputs.iter().any(|own| *own.name == *input) || input.starts_with("inputs.");
            if known {
                let variable = input.trim_start_matches("inputs.");
                let message = format!(
                    "`{template}` in `run` of task `{name}` stays as it is: scripts are no templates"
                );
                let help = format!("inputs are variables: write \"${variable}\"");
                let diagnostic =
                    Diagnostic::warning(text.place("run", template), message, "not filled in").help(help);
                lints.push(Lint { name: "template-in-script", diagnostic });
            }
        }
    }
    lints
}

/// The warning about line ends that a shell would take for a part of the words.
pub fn windows_line_ends(task: &Task, text: &Text) -> Option<Lint> {
    let TaskCommand::Script { script, .. } = &task.command else { return None };
    if !script.contains('\n') || !text.text.contains("\r\n") {
        return None;
    }
    let name = short(task);
    let message = format!("`run` of task `{name}` has Windows line ends; they are read as plain ones");
    let diagnostic = Diagnostic::warning(text.place("run", ""), message, "defined here")
        .help("save the file with Unix line ends");
    Some(Lint { name: "windows-line-ends", diagnostic })
}

/// The first text in a script that looks like a template, with the name in it.
fn templates(script: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = script[at..].find("{{").map(|start| at + start) {
        let Some(end) = script[start..].find("}}").map(|end| start + end + 2) else { break };
        found.push((&script[start..end], script[start + 2..end - 2].trim()));
        at = end;
    }
    found
}
