//! `runner schedule crontab`: schedules for the system's own timers, cron or systemd, each a call of `runner exec --schedule`.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::cli::screen::{note, print};
use crate::cli::{Failure, Outcome};
use crate::core::cron::{Rhythm, Unsayable, crontab_times, on_calendar, words};
use crate::core::schedule::{CatchUp, Schedule};
use crate::core::shell_word::shell_word;
use crate::core::time_text::seconds_text;
use crate::ops::schedules::{Found, schedules};
use crate::ops::user_file::write_user_file;

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
    /// A service and a timer of systemd for each schedule
    #[arg(long)]
    systemd: bool,
    /// Write the units to this folder instead of printing them
    #[arg(short, long, value_name = "DIR", requires = "systemd")]
    output: Option<PathBuf>,
}

/// The first line of a unit that may be replaced.
const MARK: &str = "# Made by runner schedule crontab --systemd.";

pub fn run(args: &Args, home: Option<&Path>) -> Outcome {
    let all = schedules(&args.paths)?;
    for (file, errors) in &all.broken {
        note(&format!(
            "warning: {} has {errors} errors and is left out: `runner check` shows them",
            file.display()
        ));
    }
    if all.found.is_empty() {
        return Err(Failure::usage("there are no schedules: no workflow file here has [[schedules]]"));
    }
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("runner"));
    let command = |found: &Found| Command::of(&program, home, found);
    if !args.systemd {
        let lines: String = Crontab::default().render(&all.found, command);
        print(&lines);
        return Ok(());
    }
    let mut units = Vec::new();
    for found in &all.found {
        units.extend(systemd_units(found, &command(found))?);
    }
    match &args.output {
        None => print(&units.iter().map(|(name, text)| format!("# {name}\n{text}\n")).collect::<String>()),
        Some(dir) => write_units(dir, &units)?,
    }
    Ok(())
}

/// The words of a call that runs a schedule.
struct Command(Vec<String>);

impl Command {
    fn of(program: &Path, home: Option<&Path>, found: &Found) -> Self {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = vec![path(program)];
        if let Some(home) = home {
            let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
            words.extend(["--home".to_owned(), path(&home)]);
        }
        words.extend(["exec".to_owned(), path(&found.workflow.path)]);
        words.extend(["--schedule".to_owned(), found.schedule().name.clone()]);
        words.extend(["--lock".to_owned(), found.whole_name(), "-q".to_owned()]);
        Self(words)
    }

    /// For a crontab: a line of the shell in which `%` would be a line end.
    fn for_cron(&self) -> String {
        self.0.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ").replace('%', "\\%")
    }

    /// For `ExecStart=`, in which `%` and `$` have a meaning.
    fn for_systemd(&self) -> String {
        let quote = |word: &String| {
            let is_plain = shell_word(word) == word.as_str();
            let word = word.replace('%', "%%").replace('$', "$$");
            match is_plain {
                true => word,
                false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
            }
        };
        self.0.iter().map(quote).collect::<Vec<_>>().join(" ")
    }
}

/// What the schedule is, for people.
fn title(found: &Found) -> String {
    let Schedule { rhythm, timezone, .. } = found.schedule();
    match rhythm {
        Rhythm::Cron { .. } => format!("{}: {}, in {timezone}", found.whole_name(), words(rhythm)),
        Rhythm::Every { .. } => format!("{}: {}", found.whole_name(), words(rhythm)),
    }
}

#[derive(Default)]
struct Crontab {
    text: String,
    /// The zone in force, once a line has set one.
    zone: Option<String>,
}

impl Crontab {
    fn render(mut self, schedules: &[Found], command: impl Fn(&Found) -> Command) -> String {
        let here = TimeZone::system().iana_name().unwrap_or("UTC").to_owned();
        for found in schedules {
            self.add(found, &command(found).for_cron(), &here);
        }
        let note = match self.zone {
            Some(_) => {
                "# CRON_TZ is known to cronie; Debian's cron ignores it, and goes by the zone of the machine.\n"
            }
            None => "",
        };
        note.to_owned() + &self.text
    }

    fn add(&mut self, found: &Found, command: &str, here: &str) {
        let Schedule { rhythm, timezone, jitter, catch_up, max_runtime, .. } = found.schedule();
        self.text += &format!("# {}\n", title(found));
        let times = match crontab_times(rhythm) {
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
        ];
        let missing: Vec<_> = missing.into_iter().flatten().collect();
        if !missing.is_empty() {
            self.text += &format!("# cron has no {}\n", missing.join(", no "));
        }
        if self.zone.as_deref().unwrap_or(here) != timezone {
            self.text += &format!("CRON_TZ={timezone}\n");
            self.zone = Some(timezone.clone());
        }
        for times in times {
            self.text += &format!("{times} {command}\n");
        }
    }
}

/// A service and its timer, each with the name of its file.
fn systemd_units(found: &Found, command: &Command) -> Result<[(String, String); 2], Failure> {
    let Schedule { rhythm, timezone, jitter, catch_up, max_runtime, .. } = found.schedule();
    let whole_name = found.whole_name();
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
         TimeoutStopSec=60\nUMask=0077\nNoNewPrivileges=true\n",
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
fn write_units(dir: &Path, units: &[(String, String)]) -> Outcome {
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
