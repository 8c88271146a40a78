//! `runner cache verify`: reads everything that is stored again, or runs some of it again, and says what is wrong.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::recompute::{Picked, Recomputed, pick, recompute};
use super::rows::{Row, SHORT};
use super::{Failure, Outcome, recompute_text, unreadable};
use crate::cli::code;
use crate::cli::screen::{ColorChoice, note, print};
use crate::cli::session::{HomeReader, HomeWriter};
use crate::core::event::VERSION;
use crate::storage::gc::Files;
use crate::storage::memo::Entry;
use crate::storage::memo::listing::{self, Filter, Listed};
use crate::storage::store::{BlobFile, Damage, Store};
use crate::view::text::style::{BAD, GOOD, Ink, STRONG};
use crate::view::text::{count, inert, size};

/// Read every stored file again, and say what is damaged; or run results again, and say which differ
///
/// Damaged files are set aside, so that what needs them runs again. With --recompute or --sample, tasks are run again in
/// scratch instead, with the inputs that they had: a result that differs was wrongly cached, for it depends on more than
/// its key says. Nothing of that is stored. Exits with 1 if anything was wrong.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache verify
  runner cache verify --recompute train
  runner cache verify --recompute 'prep/*' --sample 10%
  runner cache verify --sample 2%")]
pub struct Args {
    /// Run the results again that came from this node: train, prep/clean, each[3], or a glob
    #[arg(long, value_name = "NODE")]
    recompute: Option<String>,
    /// Run this part of the results again, at least one: 2%
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    sample: Option<f64>,
    /// Pick the same sample as one that was shown with this seed [default: another one each time]
    #[arg(long, value_name = "N", requires = "sample")]
    seed: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Default)]
struct Findings {
    files: u64,
    bytes: u64,
    damaged: Vec<Damage>,
    results: u64,
    broken: Vec<Broken>,
    /// What SQLite says of the database, unless all is well.
    database: Option<String>,
}

/// A result that cannot be handed out.
#[derive(Serialize)]
struct Broken {
    #[serde(flatten)]
    row: Row,
    problem: String,
}

impl Findings {
    fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.broken.is_empty() && self.database.is_none()
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.trim().trim_end_matches('%').trim_end().parse().ok();
    percent
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| format!("expected a part of all such as 2%, found {text:?}"))
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    if args.recompute.is_some() || args.sample.is_some() {
        let seed = args.seed.unwrap_or_else(|| Timestamp::now().as_second().unsigned_abs() % 100_000);
        let picked = Picked { node: args.recompute, sample: args.sample, seed };
        return again(picked, args.json, home, color);
    }
    let HomeWriter { db, store, warnings, .. } = HomeWriter::open(home)?;
    warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let mut findings = Findings { database: check_database(&db).map_err(unreadable)?, ..Findings::default() };
    reread(&store, &mut findings).map_err(|e| Failure::store(format!("the store cannot be read: {e}")))?;
    check_rows(&db, &store, &mut findings)?;
    match args.json {
        true => print(&format!("{}\n", document(&findings))),
        false => print(&text(&findings, Ink(color.on_stdout()))),
    }
    if findings.is_sound() { Ok(()) } else { Err(Failure::silent(code::FAILED)) }
}

/// Runs results again.
fn again(picked: Picked, json: bool, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let session = HomeWriter::open(home)?;
    session.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let view = HomeReader::open(home)?;
    let (entries, of) = pick(&session.db, &picked)?;
    if entries.is_empty() {
        note("nothing is stored yet");
        return Ok(());
    }
    // Hidden where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(entries.len() as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("running again  {pos} of {len}  {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let tell = |entry: &Entry| {
        bar.inc(1);
        bar.set_message(inert(&format!("{} ({})", entry.task, entry.found.node)).into_owned());
    };
    let done = recompute(&session, &view, entries, of, &tell);
    bar.finish_and_clear();
    let done = done?;
    let seed = picked.sample.map(|_| picked.seed);
    print(&match json {
        true => format!("{}\n", recompute_text::document(&done, seed)),
        false => recompute_text::text(&done, seed, Ink(color.on_stdout())),
    });
    match done {
        Recomputed { signal: Some(signal), .. } => Err(Failure::silent(128 + signal as u8)),
        done if done.checked.iter().any(|checked| checked.verdict.is_wrong()) => {
            Err(Failure::silent(code::FAILED))
        }
        _ => Ok(()),
    }
}

fn check_database(db: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

fn reread(store: &Store, findings: &mut Findings) -> std::io::Result<()> {
    let mut blobs = store.blobs()?;
    // The largest first, so that no thread is left alone with one at the end.
    blobs.sort_unstable_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
    let total = blobs.iter().map(|blob| blob.size).sum();
    // Hidden where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("reading  {bar:30}  {bytes} of {total_bytes}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let damaged = Mutex::new(Vec::new());
    let bytes = AtomicU64::new(0);
    let tell = |blob: &BlobFile, verdict: Result<(), Damage>| {
        bytes.fetch_add(blob.size, Ordering::Relaxed);
        bar.inc(blob.size);
        if let Err(damage) = verdict {
            damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(damage);
        }
    };
    store.reread(&blobs, threads, &tell);
    bar.finish_and_clear();
    findings.files = blobs.len() as u64;
    findings.bytes = bytes.into_inner();
    findings.damaged = damaged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    findings.damaged.sort_by_key(|damage| damage.digest);
    Ok(())
}

/// Rows are read first: one that came later has its files.
fn check_rows(db: &Connection, store: &Store, findings: &mut Findings) -> Result<(), Failure> {
    let mut rows = Vec::new();
    listing::visit(db, &Filter::default(), &mut |listed| rows.push(listed)).map_err(unreadable)?;
    let mut files =
        Files::new(store).map_err(|e| Failure::store(format!("the store cannot be read: {e}")))?;
    findings.results = rows.len() as u64;
    for Listed { entry, intact } in rows {
        let problem = match intact {
            false => Some("its row in the database is damaged".to_owned()),
            true => listing::files_in(&entry.found.outputs).into_iter().find_map(|(output, artifact)| {
                let lost = artifact.origin.is_none() && !files.with_parts(&artifact.digest).1;
                lost.then(|| format!("a file of its output `{output}` is missing or was damaged"))
            }),
        };
        if let Some(problem) = problem {
            findings.broken.push(Broken { row: Row::new(&entry), problem });
        }
    }
    Ok(())
}

fn document(findings: &Findings) -> Json {
    let damaged = |damage: &Damage| json!({ "digest": damage.digest, "path": damage.path, "problem": damage.to_string() });
    json!({
        "v": VERSION,
        "sound": findings.is_sound(),
        "files": findings.files,
        "bytes": findings.bytes,
        "damaged": findings.damaged.iter().map(damaged).collect::<Vec<_>>(),
        "results": findings.results,
        "broken": findings.broken,
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
    for Broken { row, problem } in &findings.broken {
        let key = &row.key.hex()[..SHORT];
        wrong(&format!("{key} {} ({} of run {}): {problem}", row.task, row.node, row.run));
    }
    let named = |n: u64, name: &str| format!("{} {name}{}", count(n), if n == 1 { "" } else { "s" });
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
