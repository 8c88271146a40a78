//! The call of this program that a line of a crontab or a unit of systemd makes. Knows neither's syntax but for the quotes of
//! its words.

use std::path::Path;

use crate::cli::Failure;
use crate::core::cron::{Rhythm, words};
use crate::core::schedule::{Overlap, Schedule};
use crate::core::shell_word::shell_word;
use crate::ops::schedules::LoadedSchedule;

/// The words of a call of this program.
#[derive(Clone)]
pub(super) struct RunnerCommand(Vec<String>);

impl RunnerCommand {
    /// The program, and the home that it uses.
    ///
    /// # Errors
    /// A path that no line can hold.
    pub(super) fn new(program: &Path, home: Option<&Path>) -> Result<Self, Failure> {
        let mut command = Self(Vec::new());
        command.add_path(program)?;
        if let Some(home) = home {
            command.add(&["--home"]);
            command.add_path(home)?;
        }
        Ok(command)
    }

    /// The same with what runs a schedule.
    ///
    /// # Errors
    /// A path that no line can hold.
    pub(super) fn exec(&self, found: &LoadedSchedule) -> Result<Self, Failure> {
        let mut command = self.clone();
        command.add(&["exec"]);
        command.add_path(found.path())?;
        command.add(&["--schedule", &found.schedule().name]);
        let name = &found.name;
        match found.schedule().overlap {
            Overlap::Skip | Overlap::Replace => command.add(&["--lock", name]),
            Overlap::Queue => command.add(&["--lock", &format!("{name}=wait")]),
            Overlap::Allow => {}
        }
        command.add(&["-q", "--notify"]);
        Ok(command)
    }

    pub(super) fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Adds a path, made absolute: the line is run in another folder.
    ///
    /// # Errors
    /// A path that no line can hold.
    pub(super) fn add_path(&mut self, path: &Path) -> Result<(), Failure> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match path.to_str() {
            Some(text) if !text.contains(char::is_control) => self.0.push(text.to_owned()),
            _ => {
                let message = format!("{path:?} has characters that no line of a crontab or unit can hold");
                return Err(Failure::usage(message));
            }
        }
        Ok(())
    }

    /// For a crontab: a line of the shell in which `%` would be a line end.
    pub(super) fn for_cron(&self) -> String {
        self.0.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ").replace('%', "\\%")
    }

    /// For `ExecStart=`, in which `%` and `$` have a meaning.
    pub(super) fn for_systemd(&self) -> String {
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
pub(super) fn title(found: &LoadedSchedule) -> String {
    let Schedule { rhythm, timezone, .. } = found.schedule();
    match rhythm {
        Rhythm::Cron { .. } => format!("{}: {}, in {timezone}", found.name, words(rhythm)),
        Rhythm::Every { .. } => format!("{}: {}", found.name, words(rhythm)),
    }
}
