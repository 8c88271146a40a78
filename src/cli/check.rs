//! `runner check`, or `lint`: validates workflows and libraries, says what looks wrong in them, and does nothing else.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::screen::{ColorChoice, note, print, show_diagnostics, tell_errors};
use super::{Failure, Outcome, code};
use crate::core::counted::counted;
use crate::core::event::VERSION;
use crate::ops::WorkflowErrors;
use crate::ops::check::{Checked, Contents, check};
use crate::workflow::diagnostic::{Diagnostic, Severity, Sources};

/// Find errors in workflow and library files, and warn of what looks wrong
///
/// Errors prevent a run. Warnings point at what a run would lack (a secret, a resource, an input file), at text that
/// is taken literally (`~`, `$HOME`, `{% if %}`), at files, network, clock or chance that a cached task depends on
/// without declaring them, at edits under a pinned version, and at outputs and settings without effect.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner check workflows/*.toml
  runner lint workflow.toml --strict
  runner check workflow.toml --json | jq .message")]
pub struct Args {
    /// The workflow or library files
    #[arg(value_name = "FILE", required = true)]
    workflows: Vec<PathBuf>,
    /// Exit with 2 for warnings as well
    #[arg(long)]
    strict: bool,
    /// The Python of functions: a folder with bin/python, or an interpreter
    #[arg(long, value_name = "ENV")]
    python_env: Option<String>,
    /// Print one line of JSON for each error and warning
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let (mut wrong, mut warned) = (false, false);
    for path in &args.workflows {
        match check(path, home, args.python_env.as_deref()) {
            Ok(checked) => {
                warned |= !checked.lints.is_empty();
                match args.json {
                    true => checked.lints.iter().for_each(|lint| {
                        tell(&lint.diagnostic, Some(lint.name), &checked.sources);
                    }),
                    false => show(path, checked, color),
                }
            }
            Err(errors) => {
                wrong = true;
                let WorkflowErrors { diagnostics, sources, .. } = &errors;
                match args.json {
                    true => diagnostics.iter().for_each(|diagnostic| tell(diagnostic, None, sources)),
                    false => tell_errors(color, &errors),
                }
            }
        }
    }
    if wrong || warned && args.strict { Err(Failure::silent(code::USAGE)) } else { Ok(()) }
}

fn show(path: &Path, checked: Checked, color: ColorChoice) {
    let contents = match checked.contents {
        Contents::Nodes(nodes) => counted(nodes as u64, "node"),
        Contents::Tasks(tasks) => counted(tasks as u64, "task"),
    };
    let diagnostics: Vec<Diagnostic> = checked.lints.into_iter().map(|lint| lint.diagnostic).collect();
    if diagnostics.is_empty() {
        return note(&format!("{}: ok, {contents}", path.display()));
    }
    show_diagnostics(color, &checked.sources, &diagnostics);
    note(&format!("{}: ok, {contents}, {}", path.display(), counted(diagnostics.len() as u64, "warning")));
}

fn tell(diagnostic: &Diagnostic, lint: Option<&str>, sources: &Sources) {
    let place = diagnostic.primary.as_ref().map(|(place, _)| *place);
    let (line, column) = place.map(|place| sources.line_column(place)).unzip();
    let document = json!({
        "v": VERSION,
        "level": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "lint": lint,
        "file": place.map(|place| sources.path(place.file).display().to_string()),
        "line": line,
        "column": column,
        "message": diagnostic.message,
        "label": diagnostic.primary.as_ref().map_or(Json::Null, |(_, label)| label.as_str().into()),
        "help": diagnostic.help,
    });
    print(&format!("{document}\n"));
}
