//! `runner schedule crontab`: schedules for the system's own timers, cron or systemd, each a call of `runner exec --schedule`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::command::{RunnerCommand, title};
use super::units;
use crate::cli::screen::print;
use crate::cli::{Failure, Outcome};
use crate::core::cron::{Unsayable, crontab_times};
use crate::core::schedule::{CatchUp, Overlap, Schedule};
use crate::core::zone::local_zone;
use crate::ops::schedules::{LoadedSchedule, schedules};

/// Print schedules as lines of a crontab, or as timers of systemd
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner schedule crontab /srv/etl >> crontab.txt
  runner schedule crontab etl.toml --systemd
  runner schedule crontab etl.toml --systemd -o ~/.config/systemd/user")]
pub struct Args {
    /// Workflow files, or folders of them [default: the current folder]
    #[arg(value_name = "WORKFLOW|DIR")]
    paths: Vec<PathBuf>,
    /// Units of systemd: a service for `runner serve`, and a service and a timer for each schedule
    #[arg(long)]
    systemd: bool,
    /// Write the units to this folder instead of printing them
    #[arg(short, long, value_name = "DIR", requires = "systemd")]
    output: Option<PathBuf>,
}

pub fn run(args: &Args, home: Option<&Path>) -> Outcome {
    let all = schedules(&args.paths)?;
    all.broken.iter().for_each(super::warn_of);
    if all.found.is_empty() {
        return Err(Failure::usage("there are no schedules: no workflow file here has [[schedules]]"));
    }
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("runner"));
    // The variable is not set where cron and systemd run the lines.
    let named = std::env::var_os("RUNNER_HOME").filter(|named| !named.is_empty()).map(PathBuf::from);
    let base = RunnerCommand::new(&program, home.or(named.as_deref()))?;
    if args.systemd {
        return units::run(&args.paths, &all.found, &base, args.output.as_deref());
    }
    print(&Crontab::default().render(&all.found, &base)?);
    Ok(())
}

#[derive(Default)]
struct Crontab {
    text: String,
    /// The zone in force, once a line has set one.
    zone: Option<String>,
}

impl Crontab {
    fn render(mut self, schedules: &[LoadedSchedule], base: &RunnerCommand) -> Result<String, Failure> {
        let here = zone_here();
        let now = Timestamp::now();
        for found in schedules {
            let command = base.exec(found)?;
            self.add(found, &command.for_cron(), &here, now);
        }
        let note = match self.zone {
            Some(_) => {
                "# CRON_TZ is known to cronie; Debian's cron ignores it, and goes by the zone of the machine.\n"
            }
            None => "",
        };
        Ok(note.to_owned() + &self.text)
    }

    fn add(&mut self, found: &LoadedSchedule, command: &str, here: &str, now: Timestamp) {
        let Schedule { rhythm, timezone, jitter, catch_up, max_runtime, overlap, .. } = found.schedule();
        self.text += &format!("# {}\n", title(found));
        let times = match crontab_times(&rhythm.clone().without_past_start(now)) {
            Ok(times) => times,
            Err(Unsayable(what)) => {
                self.text += &format!("# left out: a crontab cannot say {what}\n");
                return;
            }
        };
        let missing = [
            (!jitter.is_zero()).then_some("jitter"),
            (*catch_up != CatchUp::None).then_some("catching up on missed instants"),
            max_runtime.map(|_| "max_runtime"),
            (*overlap == Overlap::Replace).then_some("overlap = \"replace\": the run that is going goes on"),
        ];
        let missing: Vec<_> = missing.into_iter().flatten().collect();
        if !missing.is_empty() {
            self.text += &format!("# cron has no {}\n", missing.join(", no "));
        }
        if self.zone.as_deref().unwrap_or(here) != one_name(timezone) {
            self.text += &format!("CRON_TZ={timezone}\n");
            self.zone = Some(one_name(timezone).to_owned());
        }
        for times in times {
            self.text += &format!("{times} {command}\n");
        }
    }
}

/// The zone by which cron goes; without a setting that is UTC.
fn zone_here() -> String {
    let system = local_zone();
    one_name(system.iana_name().filter(|name| *name != "Etc/Unknown").unwrap_or("UTC")).to_owned()
}

/// One name for the names of UTC.
fn one_name(zone: &str) -> &str {
    match zone {
        "Etc/UTC" | "Etc/UCT" | "UCT" | "Universal" | "Etc/Universal" | "Zulu" | "Etc/Zulu" => "UTC",
        other => other,
    }
}
