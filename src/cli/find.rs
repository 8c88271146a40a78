//! `runner find`: which run and node made a file, and which used it.

use std::path::Path;

use jiff::Zoned;
use serde_json::{Value as Json, json};

use super::Outcome;
use super::screen::{ColorChoice, print};
use crate::core::event::VERSION;
use crate::core::zone::local_now;
use crate::ops::find::{ContentUse, FileProvenance, find};
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::{age, inert};

/// Find which run and node made a file or directory, and which used it
///
/// Goes by content: a published file is found after the project moved or the file was renamed, and so is a file inside
/// a published or stored folder. Exit code 1 if nothing is known of it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner find results/report.html
  runner find sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
  runner find 2cf24dba5fb0 --json | jq '.made[0].run'")]
pub struct Args {
    /// A file or directory, or the digest of one (six digits are enough, if no file is called so)
    #[arg(value_name = "PATH|DIGEST")]
    what: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let found = find(home, &args.what)?;
    print(&match args.json {
        true => format!("{}\n", document(&found)),
        false => text(&found, Ink(color.on_stdout()), &local_now()),
    });
    Ok(())
}

fn text(found: &FileProvenance, ink: Ink, now: &Zoned) -> String {
    let title = match &found.path {
        Some(path) => format!("{}  sha256:{}", path.display(), &found.digest.hex()[..12]),
        None => format!("sha256:{}", found.digest),
    };
    let mut text = format!("{}\n", ink.paint(STRONG, inert(&title)));
    if let Some(note) = &found.note {
        text.push_str(&format!("{}\n", inert(note)));
    }
    let mut rows = Vec::new();
    let mut row = |label: &str, value: String| {
        rows.push(vec![Cell::new(FAINT, label), Cell::new(PLAIN, inert(&value).into_owned())]);
    };
    let mut places = |label: &str, kind: &str, places: &[ContentUse], count: u64| {
        for (i, place) in places.iter().enumerate() {
            let inside =
                if place.path.is_empty() { String::new() } else { format!(", {} in it", place.path) };
            let ContentUse { run, node, name, file, time, .. } = place;
            let whole = if place.path.is_empty() { format!(" ({file})") } else { String::new() };
            let value =
                format!("node {node} of run {run}, {}: {kind} {name}{whole}{inside}", age(*time, now));
            row(if i == 0 { label } else { "" }, value);
        }
        let shown = places.len() as u64;
        if count > shown && shown > 0 {
            row("", format!("and {} more", count - shown));
        }
    };
    places("made by", "output", &found.made, found.made_count);
    places("used by", "input", &found.used, found.used_count);
    for (i, (path, workflow)) in found.published.iter().enumerate() {
        row(if i == 0 { "published" } else { "" }, format!("{} by workflow {workflow}", path.display()));
    }
    text.push_str(&columns(&rows, ink));
    text
}

fn document(found: &FileProvenance) -> Json {
    let places = |places: &[ContentUse]| -> Json {
        let one = |place: &ContentUse| {
            json!({
                "run": place.run,
                "node": place.node,
                "task": place.task,
                "key": place.key,
                "time": place.time,
                "name": place.name,
                "file": place.file,
                "path": place.path,
                "directory": place.whole.map(|digest| format!("sha256:{digest}")),
            })
        };
        places.iter().map(one).collect()
    };
    let published = found
        .published
        .iter()
        .map(|(path, workflow)| json!({ "path": path.display().to_string(), "workflow": workflow }));
    json!({
        "v": VERSION,
        "digest": format!("sha256:{}", found.digest),
        "path": found.path.as_ref().map(|path| path.display().to_string()),
        "note": found.note,
        "made": places(&found.made),
        "made_count": found.made_count,
        "used": places(&found.used),
        "used_count": found.used_count,
        "published": published.collect::<Vec<_>>(),
    })
}
