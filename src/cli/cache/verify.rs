//! `runner cache verify`: reads everything that is stored again, or runs some of it again, and says what is wrong.

use std::path::Path;
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Failure, Outcome, recompute_text};
use crate::cli::args::RemoteFlags;
use crate::cli::runtime::block_on;
use crate::cli::screen::{ColorChoice, note, print, print_text};
use crate::cli::{code, signals};
use crate::core::event::VERSION;
use crate::ops::recompute::{MemoEntry, Picked, Recomputed, Recomputing};
use crate::ops::remote::{self, RemoteFindings, here};
use crate::ops::results::{KEY_DIGITS, StoredResult};
use crate::ops::verify::{Broken, Damage, Findings, VerifyProgress, verify};
use crate::view::text::style::{BAD, GOOD, Ink, STRONG};
use crate::view::text::{inert, named, size};

/// Find damaged files, or results that come out differently when run again
///
/// Reads every stored file and sets damaged ones aside, so that what needs them runs again. With --recompute or --sample,
/// runs tasks again in a scratch folder instead, with the inputs that they had: a result that differs was wrongly cached,
/// because it depends on something that is not in its key. Nothing of that is stored. Exits with 1 if anything was wrong,
/// or if none of what was asked for could be checked.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache verify
  runner cache verify --recompute train
  runner cache verify --recompute train --workflow churn
  runner cache verify --recompute 'prep/*' --sample 10%
  runner cache verify --sample 2%
  runner cache verify --remote --sample 2%")]
pub struct Args {
    /// Run the results again that came from this node: train, prep/clean, each[3], or a glob
    #[arg(long, value_name = "NODE")]
    recompute: Option<String>,
    /// Of that node, only results of this workflow's runs, by its name
    #[arg(long, value_name = "W", requires = "recompute", conflicts_with = "task")]
    workflow: Option<String>,
    /// Of that node, only results of this task, by its qualified name: text.hash
    #[arg(long, value_name = "QUALIFIED", requires = "recompute")]
    task: Option<String>,
    /// Run this part of the results again, at least one: 2%
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    sample: Option<f64>,
    /// Pick the same sample as one that was shown with this seed [default: another one each time]
    #[arg(long, value_name = "N", requires = "sample")]
    seed: Option<u64>,
    /// Look through the shared cache instead, all of it or a --sample: signatures of results, content of their files
    #[arg(long = "remote", conflicts_with_all = ["recompute", "seed"])]
    of_remote: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.trim().trim_end_matches('%').trim_end().parse().ok();
    percent
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| format!("expected a part of all such as 2%, found {text:?}"))
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    if args.of_remote {
        return of_remote(&args, Ink(color.on_stdout()));
    }
    if args.recompute.is_some() || args.sample.is_some() {
        let seed = args.seed.unwrap_or_else(|| Timestamp::now().as_second().unsigned_abs() % 100_000);
        let Args { recompute: node, workflow, task, sample, .. } = args;
        let picked = Picked { node, workflow, task, sample, seed };
        return again(picked, args.json, home, color);
    }
    let (findings, warnings) = verify(home, &Reading::default())?;
    warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    match args.json {
        true => print(&format!("{}\n", document(&findings))),
        false => print_text(text(&findings, Ink(color.on_stdout()))),
    }
    if findings.is_sound() { Ok(()) } else { Err(Failure::silent(code::FAILED)) }
}

/// Looks through the shared cache.
fn of_remote(args: &Args, ink: Ink) -> Outcome {
    let cache = here(&RemoteFlags::default().choice()?)?;
    let found = remote::verify(&cache, args.sample)?;
    let RemoteFindings { entries, blobs, bytes, wrong } = &found;
    if args.json {
        let document = json!({
            "v": VERSION, "remote": &*cache.url, "sound": wrong.is_empty(), "entries": entries, "blobs": blobs,
            "bytes": bytes, "wrong": wrong,
        });
        print(&format!("{document}\n"));
    } else {
        let mut text = String::new();
        for problem in wrong {
            text.push_str(&format!("{} {}\n", ink.paint(BAD, "✗"), inert(problem)));
        }
        let read =
            format!("{} and {} ({}) read", named(*entries, "result"), named(*blobs, "file"), size(*bytes));
        text.push_str(&match wrong.len() {
            0 => format!("{} {read}: all sound\n", ink.paint(GOOD, "✓")),
            wrong => format!("{read}: {wrong} wrong; whoever needs one runs it again, which mends it\n"),
        });
        print_text(text);
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::silent(code::FAILED)) }
}

/// A bar of the bytes that were read; hidden where standard error is no terminal.
#[derive(Default)]
struct Reading(OnceLock<ProgressBar>);

impl VerifyProgress for Reading {
    fn begin(&self, total: u64) {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("reading  {bar:30}  {bytes} of {total_bytes}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let _ = self.0.set(bar);
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = self.0.get() {
            bar.inc(bytes);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.0.get() {
            bar.finish_and_clear();
        }
    }
}

/// Runs results again.
fn again(picked: Picked, json: bool, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let picking = Recomputing::pick(home, &picked)?;
    picking.warnings().iter().for_each(|warning| note(&format!("warning: {warning}")));
    if picking.is_empty() {
        note("nothing is stored that could be run again");
        return Err(Failure::silent(code::FAILED));
    }
    // Hidden where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(picking.len() as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("running again  {pos} of {len}  {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let tell = |entry: &MemoEntry| {
        bar.inc(1);
        bar.set_message(inert(&format!("{} ({})", entry.task, entry.found.node)).into_owned());
    };
    let done = block_on(async { picking.recompute(signals::listen(), &tell).await })?;
    bar.finish_and_clear();
    let done = done?;
    let seed = picked.sample.map(|_| picked.seed);
    match json {
        true => print(&format!("{}\n", recompute_text::document(&done, seed))),
        false => print_text(recompute_text::text(&done, seed, Ink(color.on_stdout()))),
    }
    match done {
        Recomputed { signal: Some(signal), .. } => Err(Failure::silent(128 + signal as u8)),
        done if !done.is_sound() => Err(Failure::silent(code::FAILED)),
        _ => Ok(()),
    }
}

fn document(findings: &Findings) -> Json {
    let damaged = |damage: &Damage| json!({ "digest": damage.digest, "path": damage.path, "problem": damage.to_string() });
    let broken = |broken: &Broken| {
        let mut row = StoredResult::new(&broken.entry).json();
        row["problem"] = broken.problem.as_str().into();
        row
    };
    json!({
        "v": VERSION,
        "sound": findings.is_sound(),
        "files": findings.files,
        "bytes": findings.bytes,
        "damaged": findings.damaged.iter().map(damaged).collect::<Vec<_>>(),
        "results": findings.results,
        "broken": findings.broken.iter().map(broken).collect::<Vec<_>>(),
        "database": findings.database,
    })
}

fn text(findings: &Findings, ink: Ink) -> String {
    let mut text = String::new();
    let mut wrong = |line: &str| text.push_str(&format!("{} {}\n", ink.paint(BAD, "✗"), inert(line)));
    if let Some(problem) = &findings.database {
        wrong(&format!("the database: {problem}"));
    }
    findings.damaged.iter().for_each(|damage| wrong(&damage.to_string()));
    for Broken { entry, problem } in &findings.broken {
        let (key, found) = (&entry.key.hex()[..KEY_DIGITS], &entry.found);
        wrong(&format!("{key} {} ({} of run {}): {problem}", entry.task, found.node, found.run));
    }
    let read = format!(
        "{} ({}) and {} read",
        named(findings.files, "file"),
        size(findings.bytes),
        named(findings.results, "result")
    );
    if findings.is_sound() {
        text.push_str(&format!("{} {read}: all sound\n", ink.paint(GOOD, "✓")));
        return text;
    }
    text.push_str(&format!(
        "{read}: {} damaged, {} cannot be handed out\n",
        named(findings.damaged.len() as u64, "file"),
        named(findings.broken.len() as u64, "result"),
    ));
    if !findings.broken.is_empty() {
        let command = ink.paint(STRONG, "runner cache gc");
        text.push_str(&format!(
            "such results count as misses: what asks for them runs again; {command} forgets them\n"
        ));
    }
    text
}
