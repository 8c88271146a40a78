//! Any batch system: how the settings spell its three commands, and what its states mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use regex::{Captures, Regex};

use super::batch::{BatchSystem, JobNeeds, JobRequest, SubmitFault, SystemJob, SystemState};
use super::call::{CallAnswer, CallEnvironment, CallFault, call};
use super::command_template::{CommandTemplate, GapValues};
use crate::core::lock::lock;

/// A batch system that is spelled out in the settings.
pub struct CommandSystem {
    pub submit: CommandTemplate,
    /// What joins `{options}` where a task asks for it.
    pub options: Vec<(SubmitOption, CommandTemplate)>,
    /// Finds the id of a job in what `submit` prints; its first word without.
    pub id: Option<Regex>,
    /// What a submission says that may succeed later.
    pub again: Option<Regex>,
    pub status: CommandTemplate,
    /// Reads a line that `status` prints.
    pub line: Regex,
    pub states: BTreeMap<String, SystemState>,
    pub cancel: CommandTemplate,
    pub work_dir: PathBuf,
    /// Variables that the commands do not get: the secrets of tasks.
    pub hidden: Vec<String>,
    pub heard: Mutex<Heard>,
}

/// What a task may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitOption {
    Cpus,
    Memory,
    Time,
    Gpus,
}

/// What was heard of the batch system so far.
#[derive(Default)]
pub struct Heard {
    /// States without a meaning.
    unknown: BTreeSet<String>,
    notes: Vec<String>,
    /// Running jobs that were asked to end by their folders, and not by the batch system yet.
    asked: BTreeSet<String>,
}

/// The states that jobs may be said to have.
pub const STATES: [(&str, SystemState); 6] = [
    ("pending", SystemState::Pending),
    ("running", SystemState::Running),
    ("held", SystemState::Stuck),
    ("lost", SystemState::Lost),
    ("cancelled", SystemState::Cancelled),
    ("ended", SystemState::Ended),
];

/// The first three words of a line.
pub const STATUS_LINE: &str = r"^\s*(?P<id>\S+)\s+(?P<name>\S+)\s+(?P<state>\S+)";

impl CommandSystem {
    fn call(&self, words: &[String]) -> Result<CallAnswer, CallFault> {
        let none = || CallFault::NotCalled("there is no command".to_owned());
        let (program, args) = words.split_first().ok_or_else(none)?;
        call(&program.into(), args, CallEnvironment::AllBut(&self.hidden))
    }

    fn general(&self) -> GapValues {
        GapValues::from([
            ("user", std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default()),
            ("work_dir", self.work_dir.display().to_string()),
        ])
    }

    /// The command that submits a job.
    fn submission(&self, job: &JobRequest) -> Result<Vec<String>, SubmitFault> {
        let (mut filled, needs) = (self.general(), &job.needs);
        filled.extend([
            ("name", job.name.clone()),
            ("script", job.script.display().to_string()),
            ("log", job.log.display().to_string()),
            ("cpus", needs.cpus.max(1).to_string()),
        ]);
        filled.extend(needs.memory_mib().map(|mib| ("memory_mb", mib.to_string())));
        filled.extend(needs.gpus.map(|gpus| ("gpus", gpus.to_string())));
        if let Some(limit) = needs.limit {
            let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            filled.insert("time_s", seconds.to_string());
            filled.insert("time_hms", format!("{hours:02}:{minutes:02}:{:02}", seconds % 60));
        }
        let mut options = Vec::new();
        for (option, template) in &self.options {
            if option.is_asked_for(needs) {
                options.extend(template.fill(&filled, &[]));
            }
        }
        options.extend(needs.args.iter().cloned());
        if !options.is_empty() && !self.submit.takes_many() {
            let why = "`submit` has no {options}, where `executor_args` would stand";
            return Err(SubmitFault::Refused(why.to_owned()));
        }
        Ok(self.submit.fill(&filled, &options))
    }

    fn job(&self, found: &Captures) -> SystemJob {
        let text = |name: &str| found.name(name).map_or_else(String::new, |text| text.as_str().to_owned());
        let words = text("state");
        let state = self.states.get(&words).copied().unwrap_or_else(|| {
            let mut heard = lock(&self.heard);
            if heard.unknown.insert(words.clone()) {
                let note = format!(
                    "`states` does not say what the state `{words}` of a job means: it is taken to run"
                );
                heard.notes.push(note);
            }
            SystemState::Running
        });
        let host = found.name("host").map(|host| host.as_str().to_owned()).filter(|host| !host.is_empty());
        SystemJob { id: text("id"), name: text("name"), state, words, host }
    }
}

impl SubmitOption {
    /// The options by their names in the settings, with what each of them alone may say.
    pub const ALL: [(&'static str, Self, &'static [&'static str]); 4] = [
        ("cpus", Self::Cpus, &["cpus"]),
        ("memory", Self::Memory, &["memory_mb"]),
        ("time", Self::Time, &["time_s", "time_hms"]),
        ("gpus", Self::Gpus, &["gpus"]),
    ];

    fn is_asked_for(self, needs: &JobNeeds) -> bool {
        match self {
            Self::Cpus => needs.cpus > 1,
            Self::Memory => needs.memory.is_some(),
            Self::Time => needs.limit.is_some_and(|limit| limit > Duration::ZERO),
            Self::Gpus => needs.gpus.is_some(),
        }
    }
}

impl BatchSystem for CommandSystem {
    fn submit(&self, job: &JobRequest) -> Result<String, SubmitFault> {
        let CallAnswer { succeeded, stdout, stderr } = self.call(&self.submission(job)?)?;
        if !succeeded {
            let words = format!("{}\n{}", stdout.trim(), stderr.trim()).trim().to_owned();
            let again = self.again.as_ref().is_some_and(|again| again.is_match(&words));
            return Err(if again { SubmitFault::Later(words) } else { SubmitFault::Refused(words) });
        }
        let id = match &self.id {
            Some(id) => id.captures(&stdout).and_then(|found| Some(found.get(1)?.as_str())),
            None => stdout.split_whitespace().next(),
        };
        let lost = || SubmitFault::Unknown(format!("no id is in what it printed: {:?}", stdout.trim()));
        id.filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(lost)
    }

    fn status(&self) -> Result<Vec<SystemJob>, String> {
        let answer = self.call(&self.status.fill(&self.general(), &[]))?;
        match answer.succeeded {
            true => {
                let lines = answer.stdout.lines().filter_map(|line| self.line.captures(line));
                Ok(lines.map(|found| self.job(&found)).collect())
            }
            false => Err(format!("{}\n{}", answer.stdout.trim(), answer.stderr.trim()).trim().to_owned()),
        }
    }

    fn cancel(&self, jobs: &[SystemJob]) -> Result<(), String> {
        let mut asked = std::mem::take(&mut lock(&self.heard).asked);
        // What such a command does to a running job is not known: its folder asks it to end within its grace, and only who
        // asks once more has it ended by the batch system.
        let waits = |job: &&SystemJob| job.state != SystemState::Running || !asked.insert(job.id.clone());
        let ids: Vec<String> = jobs.iter().filter(waits).map(|job| job.id.clone()).collect();
        lock(&self.heard).asked = asked;
        if ids.is_empty() {
            return Ok(());
        }
        let answer = self.call(&self.cancel.fill(&self.general(), &ids))?;
        if answer.succeeded { Ok(()) } else { Err(answer.stderr.trim().to_owned()) }
    }

    fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.heard).notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERAL: [&str; 2] = ["user", "work_dir"];

    fn template(text: &str, known: &[&str], many: Option<&'static str>) -> CommandTemplate {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        CommandTemplate::parse(&words, known, many).unwrap()
    }

    fn system() -> CommandSystem {
        let of = |option: usize, text: &str| {
            let (_, option, known) = SubmitOption::ALL[option];
            (option, template(text, known, None))
        };
        CommandSystem {
            submit: template(
                "qsub -N {name} -o {log} {options} {script}",
                &["name", "log", "script"],
                Some("options"),
            ),
            options: vec![
                of(0, "-pe smp {cpus}"),
                of(1, "-l h_vmem={memory_mb}M"),
                of(2, "-l h_rt={time_s}"),
                of(3, "-l gpu={gpus}"),
            ],
            id: Some(Regex::new(r"Your job (\d+)").unwrap()),
            again: None,
            status: template("qstat -u {user}", &GENERAL, None),
            line: Regex::new(r"^\s*(?P<id>\d+)\s+\S+\s+(?P<name>\S+)\s+\S+\s+(?P<state>\S+)").unwrap(),
            states: BTreeMap::from([("qw".to_owned(), SystemState::Pending)]),
            cancel: template("qdel {ids}", &GENERAL, Some("ids")),
            work_dir: "/w".into(),
            hidden: Vec::new(),
            heard: Mutex::default(),
        }
    }

    #[test]
    fn options_join_where_a_task_asks_for_them() {
        let job = JobRequest {
            name: "r-a-1".into(),
            script: "/s".into(),
            log: "/l".into(),
            needs: JobNeeds { cpus: 1, ..JobNeeds::default() },
        };
        let words = |job: &JobRequest| system().submission(job).unwrap().join(" ");
        assert_eq!(words(&job), "qsub -N r-a-1 -o /l /s");
        let needs = JobNeeds {
            cpus: 4,
            memory: Some((1 << 30) + 1),
            gpus: Some(2),
            limit: Some(Duration::from_millis(90_500)),
            args: vec!["-q".into(), "long q".into()],
            ..JobNeeds::default()
        };
        let more = JobRequest { needs, ..job };
        assert_eq!(
            words(&more),
            "qsub -N r-a-1 -o /l -pe smp 4 -l h_vmem=1025M -l h_rt=91 -l gpu=2 -q long q /s"
        );
        assert_eq!(system().submission(&more).unwrap().len(), 17, "an argument with a space is one");
    }

    #[test]
    fn a_line_is_a_job_and_a_state_without_a_meaning_is_said_once() {
        let system = system();
        let job = |line: &str| system.line.captures(line).map(|found| system.job(&found));
        assert!(job("job-ID  prior   name       user         state").is_none());
        let found = job("  12 0.55500 r-k3v9x2qm me qw 11/29/2026").unwrap();
        assert_eq!((&*found.id, &*found.name, found.state), ("12", "r-k3v9x2qm", SystemState::Pending));
        assert!(found.is("r-k3v9x2qm-17", Some("12")), "the name is cut short");
        assert!(!found.is("r-k3v9x2qm-17", None) && !found.is("r-k3v9x2qm-17", Some("13")));
        for _ in 0..2 {
            assert_eq!(job("  13 0.55500 r-k3v9x2qm me hr 11/29").unwrap().state, SystemState::Running);
        }
        assert_eq!(system.take_notes().len(), 1);
    }
}
