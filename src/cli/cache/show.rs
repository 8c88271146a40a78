//! `runner cache show`: one stored result, whole.

use std::path::Path;

use serde_json::{Map as JsonMap, Value as Json, json};

use super::Outcome;
use crate::cli::screen::{ColorChoice, print, print_text};
use crate::core::provenance::Provenance;
use crate::core::zone::local_now;
use crate::ops::results::{ResultDetail, StoredFile, files_in, show};
use crate::view::text::style::{BAD, Cell, FAINT, GOOD, Ink, PLAIN, STRONG, columns};
use crate::view::text::{age, cut, duration, inert, size};

/// Show a stored result: its inputs, its outputs and the run that made it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache show 3f9a0c
  runner cache show 3f9a0c --json | jq .outputs")]
pub struct Args {
    /// The result's key, or a unique beginning of it
    #[arg(value_name = "KEY")]
    key: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Maximum columns of a value on a screen.
const MAX_VALUE_CHARS: usize = 60;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let detail = show(home, &args.key)?;
    match args.json {
        true => print(&format!("{}\n", detail.to_json())),
        false => print_text(text(&detail, Ink(color.on_stdout()))),
    }
    Ok(())
}

fn record(text: &str) -> JsonMap<String, Json> {
    serde_json::from_str(text).unwrap_or_default()
}

fn text(detail: &ResultDetail, ink: Ink) -> String {
    let ResultDetail { entry, intact, files } = detail;
    let now = local_now();
    let line = |name: &str, value: String| vec![Cell::new(FAINT, name), Cell::new(PLAIN, value)];
    let named = |text: &str| inert(text).into_owned();
    let mut lines = vec![
        vec![Cell::new(FAINT, "key"), Cell::new(STRONG, entry.key.hex())],
        line("task", named(&entry.task)),
        line("scope", format!("project {}, domain {}", named(&entry.project), named(&entry.domain))),
        line("version", named(&entry.version)),
        line("made", age(entry.found.created, &now)),
        line("by", format!("node {} of run {}", named(&entry.found.node), named(&entry.found.run))),
        line("took", duration(entry.found.duration_ms)),
        line("used", age(entry.found.used, &now)),
    ];
    if let Some(note) = Provenance::from_record(entry.found.provenance.as_deref()).note() {
        lines.push(line("how", named(&note)));
    }
    lines.push(match (*intact, detail.is_sound()) {
        (_, true) => vec![Cell::new(FAINT, "state"), Cell::new(GOOD, "sound")],
        (true, false) => {
            vec![Cell::new(FAINT, "state"), Cell::new(BAD, "a file is missing or damaged: a miss")]
        }
        (false, _) => vec![Cell::new(FAINT, "state"), Cell::new(BAD, "its row is damaged: a miss")],
    });
    let mut text = columns(&lines, ink);
    text.push_str(&values("inputs", &entry.inputs, &[], ink));
    text.push_str(&values("outputs", &entry.found.outputs, files, ink));
    text
}

/// The values of a record, and below each where its files lie.
fn values(title: &str, text: &str, files: &[StoredFile], ink: Ink) -> String {
    let record = record(text);
    if record.is_empty() {
        return String::new();
    }
    let mut shown = format!("{title}\n");
    let width = record.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in &record {
        let single = files_in(&json!({ "x": value }).to_string());
        let value = match &single[..] {
            [(_, file)] if value.get("digest").is_some() => format!("{}  {}", file.name, size(file.size)),
            _ => value.to_string(),
        };
        let value = cut(&inert(&value), MAX_VALUE_CHARS).into_owned();
        shown.push_str(&format!("  {}  {value}\n", ink.paint(FAINT, format!("{name:width$}"))));
        for file in files.iter().filter(|file| file.output == *name) {
            shown.push_str(&format!("    {}\n", inert(&file.path.display().to_string())));
            if let Some(problem) = &file.problem {
                shown.push_str(&format!("    {}\n", ink.paint(BAD, inert(problem))));
            }
        }
    }
    shown
}
