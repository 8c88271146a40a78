//! Slurm: how its three commands are spelled, and what its states mean.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::batch::{BatchSystem, JobRequest, SubmitFault, SystemJob, SystemState};
use super::call::{CallAnswer, CallEnvironment, CallFault, call};

/// The settings of a Slurm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slurm {
    /// `--partition` and its kin, each with its value.
    pub options: Vec<(&'static str, String)>,
    /// Whether memory is asked for by node or by cpu; not at all if none.
    pub memory: Option<MemoryUnit>,
    /// Whether GPUs are asked for by `--gpus` in place of `--gres`.
    pub by_gpus: bool,
    pub gpu_type: Option<String>,
    pub extra_args: Vec<String>,
    pub bin_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryUnit {
    Node,
    Cpu,
}

/// Arguments of sbatch that are said here, and must not be said otherwise.
const OWN: [&str; 14] = [
    "--job-name",
    "-J",
    "--output",
    "-o",
    "--error",
    "-e",
    "--parsable",
    "--requeue",
    "--no-requeue",
    "--export",
    "--array",
    "-a",
    "--wrap",
    "--wait",
];

/// What a submission that may succeed later says.
const LATER: [&str; 9] = [
    "Unable to contact",
    "temporarily",
    "QOSMaxSubmit",
    "AssocMaxSubmit",
    "MaxSubmitJob",
    "MaxJobCount",
    "rate limit",
    "Too many",
    "max jobs",
];
/// What a submission says whose answer was lost.
const LOST_ANSWER: [&str; 2] = ["timed out", "Zero Bytes"];
/// Reasons of a job that never begins.
const NEVER: [&str; 8] = [
    "BadConstraints",
    "PartitionConfig",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "DependencyNeverSatisfied",
    "AccountNotAllowed",
    "QOSNotAllowed",
    "Invalid",
];

/// The argument among `args` that is not the user's to say.
pub fn refused_argument(args: &[String]) -> Option<&str> {
    let name = |arg: &str| arg.split('=').next().unwrap_or_default().to_owned();
    args.iter().map(String::as_str).find(|arg| OWN.contains(&&*name(arg)))
}

impl Slurm {
    fn call(&self, name: &str, args: &[String]) -> Result<CallAnswer, CallFault> {
        let program: OsString =
            self.bin_dir.as_ref().map_or_else(|| name.into(), |dir| dir.join(name).into());
        call(&program, args, CallEnvironment::Few)
    }

    /// The arguments that submit a job.
    fn arguments(&self, job: &JobRequest) -> Vec<String> {
        let mut args: Vec<String> =
            ["--parsable", "--no-requeue", "--nodes=1", "--ntasks=1"].map(str::to_owned).into();
        let mut say = |name: &str, value: String| args.push(format!("{name}={value}"));
        say("--job-name", job.name.clone());
        // Jobs have names and paths of ours in them; `%` would be filled in.
        say("--output", job.log.display().to_string().replace('%', "%%"));
        let needs = &job.needs;
        say("--cpus-per-task", needs.cpus.max(1).to_string());
        if let (Some(mib), Some(unit)) = (needs.memory_mib(), self.memory) {
            match unit {
                MemoryUnit::Node => say("--mem", format!("{mib}M")),
                MemoryUnit::Cpu => say("--mem-per-cpu", format!("{}M", mib.div_ceil(needs.cpus.max(1)))),
            }
        }
        if let Some(gpus) = needs.gpus {
            let kind = self.gpu_type.as_ref().map_or_else(String::new, |kind| format!("{kind}:"));
            match self.by_gpus {
                true => say("--gpus", format!("{kind}{gpus}")),
                false => say("--gres", format!("gpu:{kind}{gpus}")),
            }
        }
        if let Some(limit) = needs.limit {
            say("--time", minutes(limit).to_string());
        }
        for (name, value) in &self.options {
            say(name, value.clone());
        }
        if !needs.exclude.is_empty() {
            say("--exclude", needs.exclude.join(","));
        }
        args.extend(self.extra_args.iter().chain(&needs.args).cloned());
        args.push(job.script.display().to_string());
        args
    }
}

/// Whole minutes: Slurm knows no seconds.
fn minutes(limit: Duration) -> u64 {
    limit.as_secs().div_ceil(60).max(1)
}

impl BatchSystem for Slurm {
    fn submit(&self, job: &JobRequest) -> Result<String, SubmitFault> {
        let CallAnswer { succeeded, stdout, stderr } = self.call("sbatch", &self.arguments(job))?;
        // `4711` or `4711;cluster`.
        let id = stdout.trim().split(';').next().unwrap_or_default();
        match succeeded && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(id.to_owned()),
            false => Err(submit_fault(stderr.trim())),
        }
    }

    fn status(&self) -> Result<Vec<SystemJob>, String> {
        let mut args: Vec<String> =
            ["--noheader", "--states=all", "--format=%i|%T|%N|%j|%r"].map(str::to_owned).into();
        args.push(format!("--user={}", rustix::process::getuid().as_raw()));
        args.extend(self.clusters());
        let answer = self.call("squeue", &args)?;
        match answer.succeeded {
            true => Ok(answer.stdout.lines().filter_map(system_job).collect()),
            false => Err(answer.stderr.trim().to_owned()),
        }
    }

    fn cancel(&self, jobs: &[SystemJob]) -> Result<(), String> {
        let (running, waiting): (Vec<_>, Vec<_>) =
            jobs.iter().partition(|job| job.state == SystemState::Running);
        // TERM to the script alone: the job gives its task its own time to end.
        for (jobs, how) in [(waiting, &[][..]), (running, &["--signal=TERM", "--batch"][..])] {
            if jobs.is_empty() {
                continue;
            }
            let mut args: Vec<String> = how.iter().map(|arg| (*arg).to_owned()).collect();
            args.extend(self.clusters());
            args.extend(jobs.iter().map(|job| job.id.clone()));
            let answer = self.call("scancel", &args)?;
            if !answer.succeeded {
                return Err(answer.stderr.trim().to_owned());
            }
        }
        Ok(())
    }
}

impl Slurm {
    fn clusters(&self) -> Option<String> {
        let (name, value) = self.options.iter().find(|(name, _)| *name == "--clusters")?;
        Some(format!("{name}={value}"))
    }
}

fn submit_fault(words: &str) -> SubmitFault {
    let says = |known: &[&str]| known.iter().any(|known| words.contains(known));
    match () {
        () if says(&LOST_ANSWER) => SubmitFault::Unknown(words.to_owned()),
        () if says(&LATER) => SubmitFault::Later(words.to_owned()),
        () => SubmitFault::Refused(words.to_owned()),
    }
}

/// A line of squeue.
fn system_job(line: &str) -> Option<SystemJob> {
    let mut parts = line.splitn(5, '|');
    let (id, state, host, name, reason) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let words = match reason {
        "None" | "" => state.to_owned(),
        reason => format!("{state} ({reason})"),
    };
    Some(SystemJob {
        id: id.to_owned(),
        name: name.to_owned(),
        state: meaning(state, reason),
        words,
        host: (!host.is_empty()).then(|| host.to_owned()),
    })
}

fn meaning(state: &str, reason: &str) -> SystemState {
    let lower = reason.to_lowercase();
    match state {
        "PENDING" if lower.contains("launch failed") => SystemState::Lost,
        "PENDING" if lower.contains("held") || NEVER.iter().any(|never| reason.starts_with(never)) => {
            SystemState::Stuck
        }
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" => SystemState::Pending,
        "NODE_FAIL" | "BOOT_FAIL" | "PREEMPTED" | "REVOKED" => SystemState::Lost,
        "CANCELLED" => SystemState::Cancelled,
        "TIMEOUT" | "DEADLINE" => SystemState::TimedOut,
        "OUT_OF_MEMORY" => SystemState::OutOfMemory,
        "COMPLETED" | "FAILED" => SystemState::Ended,
        // Running, configuring, completing, suspended and whatever else there may be: it is waited for.
        _ => SystemState::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::JobNeeds;
    use super::*;

    #[test]
    fn a_submission_says_what_the_task_asks_for() {
        let slurm = Slurm {
            options: vec![("--partition", "long".into())],
            memory: Some(MemoryUnit::Node),
            extra_args: vec!["--nice".into()],
            ..Slurm::default()
        };
        let job = JobRequest {
            name: "r-abc-1".into(),
            script: "/w/script".into(),
            log: "/w/50%/log".into(),
            needs: JobNeeds {
                cpus: 2,
                memory: Some((4 << 30) + 1),
                gpus: Some(1),
                limit: Some(Duration::from_secs(61)),
                args: vec!["--exclusive".into()],
                exclude: vec!["n2".into()],
            },
        };
        let args = slurm.arguments(&job).join(" ");
        for expected in [
            "--no-requeue",
            "--job-name=r-abc-1",
            "--output=/w/50%%/log",
            "--cpus-per-task=2",
            "--mem=4097M",
            "--gres=gpu:1",
            "--time=2",
            "--partition=long",
            "--exclude=n2",
            "--nice --exclusive /w/script",
        ] {
            assert!(args.contains(expected), "{expected}: {args}");
        }
        let by_cpu =
            Slurm { memory: Some(MemoryUnit::Cpu), by_gpus: true, gpu_type: Some("a100".into()), ..slurm };
        let args = by_cpu.arguments(&job).join(" ");
        assert!(args.contains("--mem-per-cpu=2049M") && args.contains("--gpus=a100:1"), "{args}");
    }

    #[test]
    fn states_mean_what_the_contract_says() {
        for (line, state) in [
            ("1|PENDING||r-a-1|Resources", SystemState::Pending),
            ("1|PENDING||r-a-1|PartitionConfig", SystemState::Stuck),
            ("1|PENDING||r-a-1|JobHeldUser", SystemState::Stuck),
            ("1|PENDING||r-a-1|launch failed requeued held", SystemState::Lost),
            ("1|COMPLETING|n1|r-a-1|None", SystemState::Running),
            ("1|NODE_FAIL|n1|r-a-1|NodeDown", SystemState::Lost),
            ("1|FAILED|n1|r-a-1|NonZeroExitCode", SystemState::Ended),
            ("1|SOMETHING_NEW|n1|r-a-1|None", SystemState::Running),
        ] {
            assert_eq!(system_job(line).unwrap().state, state, "{line}");
        }
        let job = system_job("17|RUNNING|n2|a|b|c").unwrap();
        assert_eq!((&*job.id, &*job.name, job.host.as_deref()), ("17", "a", Some("n2")));
    }

    #[test]
    fn a_refusal_is_final_unless_it_may_pass() {
        let fault = |words: &str| submit_fault(words);
        assert!(matches!(fault("Batch job submission failed: Invalid account"), SubmitFault::Refused(_)));
        assert!(matches!(
            fault("Unable to contact slurm controller (connect failure)"),
            SubmitFault::Later(_)
        ));
        assert!(matches!(fault("Socket timed out on send/recv operation"), SubmitFault::Unknown(_)));
        assert_eq!(refused_argument(&["--nice".into(), "--array=1-3".into()]), Some("--array=1-3"));
        assert_eq!(refused_argument(&["--exclusive".into()]), None);
    }
}
