//! Units of systemd: one that keeps `runner serve` running, and a service with its timer for each schedule.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::process::geteuid;

use super::command::{RunnerCommand, title};
use crate::cli::screen::print;
use crate::cli::{Failure, Outcome};
use crate::core::cron::{Rhythm, Unsayable, on_calendar};
use crate::core::schedule::{CatchUp, Schedule};
use crate::core::time_text::seconds_text;
use crate::ops::schedules::LoadedSchedule;
use crate::ops::user_file::write_user_file;

/// The first line of a unit that may be replaced.
const MARK: &str = "# Made by runner schedule crontab --systemd.";

/// The name of a unit's file and its text.
type Unit = (String, String);

/// What a service of a plain user may do without. Tasks still see the whole system, and all files of the user.
const HARDENED: &str =
    "UMask=0077\nNoNewPrivileges=true\nLockPersonality=true\nRestrictRealtime=true\nRestrictSUIDSGID=true\n";

/// What a service of the system may do without as well: a user's service manager cannot promise these.
const HARDENED_AS_ROOT: &str = "ProtectSystem=full\nProtectClock=true\nProtectControlGroups=true\nProtectHostname=true\n\
    ProtectKernelLogs=true\nProtectKernelModules=true\nProtectKernelTunables=true\n";

/// Prints the units, or writes them to a folder.
pub(super) fn run(
    paths: &[PathBuf],
    schedules: &[LoadedSchedule],
    base: &RunnerCommand,
    output: Option<&Path>,
) -> Outcome {
    let mut units = vec![serve_unit(paths, base)?];
    for found in schedules {
        units.extend(schedule_units(found, &base.exec(found)?)?);
    }
    match output {
        None => print(&units.iter().map(|(name, text)| format!("# {name}\n{text}\n")).collect::<String>()),
        Some(dir) => write(dir, &units)?,
    }
    Ok(())
}

/// The service that keeps the daemon running.
fn serve_unit(paths: &[PathBuf], base: &RunnerCommand) -> Result<Unit, Failure> {
    let mut command = base.clone();
    command.add(&["serve"]);
    let here = [PathBuf::from(".")];
    for path in if paths.is_empty() { &here } else { paths } {
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        command.add_path(&path)?;
    }
    let (hardened, target) = match geteuid().is_root() {
        true => (format!("{HARDENED}{HARDENED_AS_ROOT}"), "multi-user.target"),
        false => (HARDENED.to_owned(), "default.target"),
    };
    let text = format!(
        "{MARK}\n# It runs all schedules by itself. Enable this service, or the timers, and not both: else each instant runs twice.\n\
         [Unit]\nDescription=Runs the schedules of workflows\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nType=notify\nNotifyAccess=main\nExecStart={}\nExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\n\
         RestartSec=5\nKillMode=mixed\n# What runs is finished first.\nTimeoutStopSec=infinity\n{hardened}\n\
         [Install]\nWantedBy={target}\n",
        command.for_systemd()
    );
    Ok(("runner-serve.service".to_owned(), text))
}

/// A service and its timer, each with the name of its file.
fn schedule_units(found: &LoadedSchedule, command: &RunnerCommand) -> Result<[Unit; 2], Failure> {
    let Schedule { rhythm, timezone, jitter, catch_up, max_runtime, .. } = found.schedule();
    let whole_name = &found.name;
    let rhythm = &rhythm.clone().without_past_start(Timestamp::now());
    let calendar = on_calendar(rhythm, timezone).map_err(|Unsayable(what)| {
        Failure::usage(format!("schedule `{whole_name}`: systemd's OnCalendar cannot say {what}"))
    })?;
    let title = title(found).replace('%', "%%");
    let limit = match max_runtime {
        Some(limit) => format!("TimeoutStartSec={}\n", seconds_text(*limit)),
        None => "TimeoutStartSec=infinity\n".to_owned(),
    };
    let service = format!(
        "{MARK}\n[Unit]\nDescription={title}\n\n[Service]\nType=oneshot\nExecStart={}\n{limit}KillMode=mixed\n\
         TimeoutStopSec=60\n{HARDENED}",
        command.for_systemd()
    );
    let mut timer = format!("{MARK}\n[Unit]\nDescription={title}\n\n[Timer]\n");
    for value in &calendar {
        timer += &format!("OnCalendar={value}\n");
    }
    if let (true, Rhythm::Every { seconds, .. }) = (calendar.is_empty(), rhythm) {
        timer += &format!(
            "# Counted from the last run: OnCalendar has no such interval.\nOnActiveSec=1\nOnUnitActiveSec={seconds}\n"
        );
    }
    timer += &format!("Persistent={}\nAccuracySec=1s\n", *catch_up != CatchUp::None && !calendar.is_empty());
    if !jitter.is_zero() {
        timer += &format!("RandomizedDelaySec={}\nFixedRandomDelay=true\n", seconds_text(*jitter));
    }
    timer += "\n[Install]\nWantedBy=timers.target\n";
    let unit = whole_name.replace('/', ".");
    Ok([(format!("runner-{unit}.service"), service), (format!("runner-{unit}.timer"), timer)])
}

/// Writes units; one that a person made or changed stays.
fn write(dir: &Path, units: &[Unit]) -> Outcome {
    fs::create_dir_all(dir)
        .map_err(|error| Failure::usage(format!("{} cannot be made: {error}", dir.display())))?;
    for (name, text) in units {
        let path = dir.join(name);
        let is_ours = fs::read_to_string(&path).map_or(!path.exists(), |old| old.starts_with(MARK));
        if !is_ours {
            let message = format!(
                "{} is not a unit that runner made: move it away, or write to another folder",
                path.display()
            );
            return Err(Failure::usage(message));
        }
        write_user_file(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))?;
        print(&format!("{}\n", path.display()));
    }
    Ok(())
}
