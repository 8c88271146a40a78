//! `runner schedule next`: the instants of a schedule, a cron expression or an interval. Asks no home and no daemon, and the
//! clock only where `--from` does not say when to begin.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::Serialize;

use crate::cli::screen::{ColorChoice, note, print};
use crate::cli::stdout;
use crate::cli::{Failure, Outcome};
use crate::core::cron::{Clocks, Expression, Instant, Rhythm, delay, words};
use crate::core::schedule::Schedule;
use crate::core::time_arg::{Edge, parse};
use crate::core::time_text::{duration_text, parse_duration};
use crate::core::zone::named_zone;
use crate::ops::schedules::find;
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, columns};

/// How many instants are shown where neither `--count` nor `--until` says.
const DEFAULT_COUNT: usize = 10;
/// Lines are printed in blocks of this many: `--until` may ask for millions.
const BLOCK: usize = 1000;

/// Show the next instants of a schedule, a cron expression or an interval
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule next nightly
  runner schedule next --cron '0 2 * * *' --timezone Europe/Berlin
  runner schedule next --cron '0 9 LW * *' --count 12
  runner schedule next nightly --from 2026-03-28 --until 2026-03-31
  runner schedule next --every 90m --start 2026-01-01T00:00:00Z --json")]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Args {
    /// A schedule of a workflow file in the current folder: `<workflow>/<name>`, or the name alone where it is unique
    #[arg(id = "schedule", value_name = "NAME", group = "what", conflicts_with_all = ["cron", "every", "timezone", "start"])]
    name: Option<String>,
    /// A cron expression of five fields, or six with the seconds first; several give the union of their instants
    #[arg(long, value_name = "EXPR", group = "what", conflicts_with = "every")]
    cron: Vec<String>,
    /// The time zone of the expression, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "TZ", conflicts_with = "every")]
    timezone: Option<String>,
    /// An interval of whole seconds: 90s, 1h30m, 1d (24 hours)
    #[arg(long, value_name = "D", group = "what")]
    every: Option<String>,
    /// No instant before it; an interval is counted from it [default: 1970-01-01T00:00:00Z]
    #[arg(long, value_name = "T")]
    start: Option<String>,
    /// Instants after this time: RFC 3339, or 2026-11-01 and 2026-11-01T02:00 in the zone [default: now]
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// How many [default: 10, or all with --until]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// None after this time, in the same forms
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Print one line of JSON for each instant
    #[arg(long)]
    json: bool,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line {
    v: u8,
    at: Timestamp,
    /// The same instant on the clocks of the zone, with its offset.
    local: String,
    fires: Timestamp,
    note: Option<String>,
}

/// What instants are asked of.
struct Asked {
    rhythm: Rhythm,
    zone: TimeZone,
    /// The whole name and the jitter, for a schedule of a file.
    jitter: Option<(String, SignedDuration)>,
}

impl Asked {
    /// When the run of an instant begins.
    fn fires(&self, at: Timestamp) -> Timestamp {
        let delay = self.jitter.as_ref().map(|(name, jitter)| delay(name, at, *jitter));
        at.saturating_add(delay.unwrap_or_default()).unwrap_or(at)
    }
}

pub fn run(args: Args, color: ColorChoice) -> Outcome {
    let asked = match &args.name {
        Some(name) => {
            let found = find(name, &[])?;
            let Schedule { rhythm, jitter, .. } = found.schedule();
            Asked { zone: rhythm.zone(), rhythm: rhythm.clone(), jitter: Some((found.name.clone(), *jitter)) }
        }
        None => {
            let zone = match &args.timezone {
                Some(name) => {
                    named_zone(name).map_err(|problem| Failure::usage(format!("--timezone: {problem}")))?
                }
                None => TimeZone::UTC,
            };
            Asked { rhythm: rhythm(&args, &zone)?, zone, jitter: None }
        }
    };
    let now = Timestamp::now().to_zoned(asked.zone.clone());
    let from = time("--from", args.from.as_deref(), &now)?.unwrap_or_else(|| now.timestamp());
    let until = time("--until", args.until.as_deref(), &now)?;
    let all = if until.is_some() { usize::MAX } else { DEFAULT_COUNT };
    let instants = asked
        .rhythm
        .after(from)
        .take_while(|instant| until.is_none_or(|until| instant.at <= until))
        .take(args.count.unwrap_or(all));
    if args.json {
        print_lines(instants, &asked);
    } else {
        print_table(instants.collect(), &asked, color);
    }
    Ok(())
}

fn rhythm(args: &Args, zone: &TimeZone) -> Result<Rhythm, Failure> {
    let now = Timestamp::now().to_zoned(zone.clone());
    let start = time("--start", args.start.as_deref(), &now)?;
    if let Some(every) = &args.every {
        let usage = |problem: String| Failure::usage(format!("--every: {problem}"));
        let interval = parse_duration(every).map_err(usage)?;
        if interval.as_secs() < 1 || interval.subsec_nanos() != 0 {
            return Err(usage(format!("expected whole seconds, at least 1s, found {every}")));
        }
        return Ok(Rhythm::Every { seconds: interval.as_secs(), start });
    }
    let read = |text: &String| {
        Expression::parse(text).map_err(|error| {
            let help = error.help.map_or_else(String::new, |help| format!("; {help}"));
            Failure::usage(format!("--cron \"{text}\": {}{help}", error.message))
        })
    };
    let expressions = args.cron.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Rhythm::Cron { expressions, zone: zone.clone(), start })
}

fn time(flag: &str, text: Option<&str>, now: &Zoned) -> Result<Option<Timestamp>, Failure> {
    let parsed = text.map(|text| parse(text, Edge::Start, now)).transpose();
    parsed.map_err(|problem| Failure::usage(format!("{flag}: {problem}")))
}

fn print_lines(instants: impl Iterator<Item = Instant>, asked: &Asked) {
    let mut block = String::new();
    for (number, instant) in instants.enumerate() {
        let local = instant.at.to_zoned(asked.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let note = instant.clocks.map(Clocks::text);
        let line = Line { v: 1, at: instant.at, local, fires: asked.fires(instant.at), note };
        block.push_str(&serde_json::to_string(&line).unwrap_or_default());
        block.push('\n');
        if (number + 1).is_multiple_of(BLOCK) {
            print(&std::mem::take(&mut block));
            if stdout::failure().is_some() {
                return;
            }
        }
    }
    print(&block);
}

fn print_table(instants: Vec<Instant>, asked: &Asked, color: ColorChoice) {
    let name = asked.zone.iana_name().unwrap_or("UTC");
    note(&format!("{}, in {name}", words(&asked.rhythm)));
    if instants.is_empty() {
        note("no instant in that time");
    }
    let row = |instant: &Instant| {
        let local = instant.at.to_zoned(asked.zone.clone());
        let mut cells = vec![
            Cell::new(PLAIN, local.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
            Cell::new(FAINT, instant.at.to_string()),
        ];
        if asked.jitter.is_some() {
            let delay = asked.fires(instant.at).duration_since(instant.at);
            let text = if delay.is_zero() { String::new() } else { format!("+ {}", duration_text(delay)) };
            cells.push(Cell::new(PLAIN, text));
        }
        cells.push(Cell::new(PLAIN, instant.clocks.map_or_else(String::new, Clocks::text)));
        cells
    };
    let rows: Vec<_> = instants.iter().map(row).collect();
    print(&columns(&rows, Ink(color.on_stdout())));
}
