//! `runner serve`: the daemon, and what it says to people and scripts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Zoned;

use super::config::tell_warnings;
use super::runtime::block_on;
use super::screen::{ColorChoice, note, print};
use super::{Failure, Outcome, code, signals};
use crate::core::clock::SystemClock;
use crate::core::counted::counted;
use crate::ops::config::serve::{ServeSettings, serve_settings};
use crate::server::events::{Became, RunEnded, ServerEvent};
use crate::server::web::WebOptions;
use crate::server::{OnExit, Options, serve};
use crate::view::text::duration;
use crate::view::text::inert;
use crate::view::text::style::{BAD, FAINT, GOOD, Ink, PLAIN};

/// Run what schedules say when they say it, until a signal ends it
///
/// Files that change are loaded again, new ones are found, and one that does not load keeps its schedules as they last were. What
/// fell due while no daemon ran is caught up as each schedule says.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner serve                       # the workflow files of this folder
  runner serve etl.toml reports/     # a file, and the files of a folder
  runner serve --once                # what is due or was missed, then end

TERM and INT end it when what runs has ended, HUP loads all files again.
What a flag does not say, [serve] of the settings files says.")]
pub struct Args {
    /// Workflow files, and folders of them [default: the current folder]
    #[arg(value_name = "WORKFLOW|DIR")]
    paths: Vec<PathBuf>,
    /// Serve no schedules
    #[arg(long, help_heading = "Schedules", conflicts_with = "once")]
    no_schedules: bool,
    /// Run what is due or was missed, and end: for a timer of the system
    #[arg(long, help_heading = "Schedules")]
    once: bool,
    /// What becomes of runs when a signal ends it; a second signal cancels them [default: finish]
    #[arg(long, value_name = "WHAT", help_heading = "Running")]
    on_exit: Option<OnExitArg>,
    /// How many runs may go on at once; what is due waits, longest first [default: 4]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Running"
    )]
    max_runs: Option<u64>,
    /// How many nodes of a run may run at once [default: as for `exec`]
    #[arg(short, long, value_name = "N", value_parser = super::args::parse_jobs, help_heading = "Running")]
    jobs: Option<u32>,
    /// Print events as JSON Lines on standard output
    #[arg(long, help_heading = "What is printed")]
    json: bool,
    #[command(flatten)]
    web: WebArgs,
}

/// The web page and the API.
#[derive(clap::Args)]
#[command(next_help_heading = "Web page")]
struct WebArgs {
    /// Where the page and the API are: ADDRESS:PORT, with port 0 for a free one, or unix:PATH [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Read the token from this file instead of the home's serve.token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What every path begins with
    #[arg(long, value_name = "/x")]
    base_path: Option<String>,
    /// How browsers reach the page through a proxy
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A name of this host that requests may ask for
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Refuse whatever would change something
    #[arg(long)]
    read_only: bool,
    /// Serve no page and no API
    #[arg(long)]
    no_web: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OnExitArg {
    /// Wait until they have ended
    Finish,
    /// Cancel them
    Cancel,
}

/// How many runs may go on at once, if nothing says so.
const DEFAULT_MAX_RUNS: u64 = 4;
/// Where the page is, if nothing says so.
const DEFAULT_LISTEN: &str = "127.0.0.1:7070";

/// What is to be served, and how: by the flags, else by the settings.
fn options(args: Args, settings: ServeSettings, home: Option<&Path>) -> Options {
    let on_exit = match (args.on_exit, settings.on_exit.as_deref()) {
        (Some(OnExitArg::Cancel), _) | (None, Some("cancel")) => OnExit::Cancel,
        _ => OnExit::Finish,
    };
    let max_runs = args.max_runs.or(settings.max_runs).unwrap_or(DEFAULT_MAX_RUNS);
    let web = args.web;
    let allow_host = if web.allow_host.is_empty() { settings.allow_host } else { web.allow_host };
    Options {
        paths: args.paths,
        home: home.map(Path::to_owned),
        jobs: args.jobs,
        max_runs: usize::try_from(max_runs).unwrap_or(usize::MAX),
        once: args.once,
        on_exit,
        schedules: !args.no_schedules,
        web: (!web.no_web && !args.once).then(|| WebOptions {
            home: home.map(Path::to_owned),
            listen: web.listen.or(settings.listen).unwrap_or_else(|| DEFAULT_LISTEN.to_owned()),
            token_file: web.token_file.or(settings.token_file),
            base_path: web.base_path.or(settings.base_path).unwrap_or_default(),
            public_url: web.public_url.or(settings.public_url),
            allow_host,
            read_only: web.read_only || settings.read_only,
        }),
    }
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let settings = serve_settings(&args.paths)?;
    tell_warnings(&settings.warnings);
    let (once, json) = (args.once, args.json);
    let options = options(args, settings, home);
    let ink = Ink(color.on_stderr());
    let mut is_ready = false;
    let listener = Box::new(move |event: &ServerEvent| {
        if json {
            print(&format!("{}\n", event.to_json()));
        }
        is_ready |= matches!(event, ServerEvent::Serving { .. });
        if let Some(text) = text(event, is_ready, &ink) {
            note(&text);
        }
    });
    let served = block_on(async {
        let signals = signals::listen();
        serve(options, Arc::new(SystemClock), listener, signals).await
    })??;
    match once && served.failed > 0 {
        true => Err(Failure::silent(code::FAILED)),
        false => Ok(()),
    }
}

/// What people read of an event; `None` for what is of no interest to them.
fn text(event: &ServerEvent, is_ready: bool, ink: &Ink) -> Option<String> {
    let now = || ink.paint(FAINT, Zoned::now().strftime("%H:%M:%S").to_string());
    match event {
        ServerEvent::Serving { url, login, workflows, schedules, .. } => {
            let counts = format!(
                "{}, {}",
                counted(*workflows as u64, "workflow"),
                counted(*schedules as u64, "schedule")
            );
            Some(match (url, login) {
                (Some(url), Some(login)) => format!("serving {url} ({counts})\nto log in once: {login}"),
                (Some(url), None) => format!("serving {url} ({counts})"),
                (None, _) => format!("serving {counts}"),
            })
        }
        ServerEvent::Instant { schedule, at, became, run: None } => {
            let zone = jiff::tz::TimeZone::system();
            let local = at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string();
            let style = if *became == Became::Missed { BAD } else { PLAIN };
            Some(format!("{} {schedule} {} {local}", now(), ink.paint(style, became.name())))
        }
        ServerEvent::Instant { .. } => None,
        ServerEvent::Ended(ended) => Some(format!("{} {}", now(), ended_text(ended, ink))),
        // Until it is ready, only what does not load is news.
        ServerEvent::Loaded { path } => is_ready.then(|| format!("{} loaded {}", now(), shown(path))),
        ServerEvent::Gone { path } => Some(format!("{} gone {}", now(), shown(path))),
        ServerEvent::Broken { path, mistakes } => {
            let head = format!("{} does not load; its schedules stay as they last were", shown(path));
            let lines = mistakes.iter().map(|line| format!("\n  {}", inert(line)));
            Some(format!("{} {}{}", now(), ink.paint(BAD, head), lines.collect::<String>()))
        }
        ServerEvent::Warning { message } => Some(format!("{} warning: {}", now(), inert(message))),
        ServerEvent::Stopping { runs: 0 } => None,
        ServerEvent::Stopping { runs } => Some(format!(
            "{} ends when {} ended; a second signal cancels",
            now(),
            if *runs == 1 { "the run has".to_owned() } else { format!("{runs} runs have") }
        )),
    }
}

/// The end of a run: `✓ etl/nightly succeeded in 68.0s, 12 of 18 nodes ran, run jg5c55da`.
fn ended_text(ended: &RunEnded, ink: &Ink) -> String {
    let (glyph, style) = match &*ended.status {
        "succeeded" if ended.is_no_op() => ("≡", FAINT),
        "succeeded" => ("✓", GOOD),
        "cancelled" | "skipped" => ("○", PLAIN),
        _ => ("✗", BAD),
    };
    let name = ended.schedule.as_deref().unwrap_or("a run");
    let head = format!("{} {name}", ink.paint(style, glyph));
    if let Some(reason) = &ended.reason {
        return format!("{head} {}, did not begin: {}, run {}", ended.status, inert(reason), ended.run);
    }
    let word = if ended.is_no_op() { "no-op" } else { &ended.status };
    let (time, counts, run) = (duration(ended.duration_ms), &ended.counts, ended.run);
    format!("{head} {word} in {time}, {} of {} nodes ran, run {run}", counts.executed, counts.nodes)
}

fn shown(path: &Path) -> String {
    inert(&path.display().to_string()).into_owned()
}
