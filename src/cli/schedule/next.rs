//! `runner schedule next`: the instants of a cron expression or an interval. Asks no home and no daemon, and the clock only
//! where `--from` does not say when to begin.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use crate::cli::screen::{ColorChoice, note, print};
use crate::cli::stdout;
use crate::cli::time_arg::{Edge, parse};
use crate::cli::{Failure, Outcome};
use crate::core::cron::{Clocks, Expression, Instant, Rhythm, words, zone};
use crate::core::time_text::parse_duration;
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, columns};

/// How many instants are shown where neither `--count` nor `--until` says.
const DEFAULT_COUNT: usize = 10;
/// Lines are printed in blocks of this many: `--until` may ask for millions.
const BLOCK: usize = 1000;

/// Show the next instants of a cron expression or an interval
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule next --cron '0 2 * * *' --timezone Europe/Berlin
  runner schedule next --cron '0 9 LW * *' --count 12
  runner schedule next --cron '30 2 * * *' --timezone Europe/Berlin --from 2026-03-28 --until 2026-03-31
  runner schedule next --every 90m --start 2026-01-01T00:00:00Z --json")]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Args {
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

pub fn run(args: Args, color: ColorChoice) -> Outcome {
    let zone = match &args.timezone {
        Some(name) => zone(name).map_err(|problem| Failure::usage(format!("--timezone: {problem}")))?,
        None => TimeZone::UTC,
    };
    let now = Timestamp::now().to_zoned(zone.clone());
    let rhythm = rhythm(&args, &zone, &now)?;
    let from = time("--from", args.from.as_deref(), &now)?.unwrap_or_else(|| now.timestamp());
    let until = time("--until", args.until.as_deref(), &now)?;
    let all = if until.is_some() { usize::MAX } else { DEFAULT_COUNT };
    let instants = rhythm
        .after(from)
        .take_while(|instant| until.is_none_or(|until| instant.at <= until))
        .take(args.count.unwrap_or(all));
    if args.json {
        print_lines(instants, &zone);
    } else {
        print_table(instants.collect(), &rhythm, &zone, color);
    }
    Ok(())
}

fn rhythm(args: &Args, zone: &TimeZone, now: &Zoned) -> Result<Rhythm, Failure> {
    let start = time("--start", args.start.as_deref(), now)?;
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

fn print_lines(instants: impl Iterator<Item = Instant>, zone: &TimeZone) {
    let mut block = String::new();
    for (number, instant) in instants.enumerate() {
        let local = instant.at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let note = instant.clocks.map(Clocks::text);
        let line = Line { v: 1, at: instant.at, local, fires: instant.at, note };
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

fn print_table(instants: Vec<Instant>, rhythm: &Rhythm, zone: &TimeZone, color: ColorChoice) {
    let name = zone.iana_name().unwrap_or("UTC");
    note(&format!("{}, in {name}", words(rhythm)));
    if instants.is_empty() {
        note("no instant in that time");
    }
    let row = |instant: &Instant| {
        let local = instant.at.to_zoned(zone.clone());
        vec![
            Cell::new(PLAIN, local.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
            Cell::new(FAINT, instant.at.to_string()),
            Cell::new(PLAIN, instant.clocks.map_or_else(String::new, Clocks::text)),
        ]
    };
    let rows: Vec<_> = instants.iter().map(row).collect();
    print(&columns(&rows, Ink(color.on_stdout())));
}
