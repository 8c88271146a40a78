//! Sweeping up: strays that no attempt accounts for, and what a runner that was killed left behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, geteuid, getpid};

use super::Cancel;
use super::batch::JobFolder;
use super::call::CALLED;
use super::children::{is_live, strays};
use super::descendants::ProcessRecord;
use super::ending::end;
use super::process::{Process, Stat, has_variable, parse_pid, variable};

/// Time from TERM to KILL: short, because no run needs the work of these processes.
const GRACE: Duration = Duration::from_secs(2);

/// Ends every process that was handed to this one as an orphan and belongs to no live attempt; how many there
/// were. For the end of a run. One that does not say by its variable `OUT` where it belongs may be of use to a
/// live attempt, and is ended only when there is none.
pub async fn sweep_strays() -> usize {
    let find = || {
        let mut found = strays();
        found.retain(|stray| {
            !is_live(variable(stray.pid, "OUT").as_deref()) && variable(stray.pid, CALLED).is_none()
        });
        found
    };
    end_found(find).await
}

/// Ends every process of our user that was started with `RUNNER_RUN_ID=<run>` or that the run's `record` knows, except this
/// one, those that it descends from and those of jobs; how many there were. For a run whose runner was killed.
pub async fn end_marked(run: &str, record: Option<&ProcessRecord>) -> usize {
    let find = || {
        let ancestors = lineage(getpid());
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| Some((parse_pid(entry.file_name().to_str()?)?, entry)))
            .filter(|(pid, _)| !ancestors.contains(pid))
            .filter(|(_, entry)| entry.metadata().is_ok_and(|meta| meta.uid() == geteuid().as_raw()))
            .filter_map(|(pid, _)| Stat::of(pid).filter(|stat| !stat.dead))
            .filter(|stat| {
                record.is_some_and(|record| record.knows(stat))
                    || has_variable(stat.process.pid, "RUNNER_RUN_ID", OsStr::new(run))
                        && !is_of_a_job(stat.process.pid)
            })
            .map(|stat| stat.process)
            .collect()
    };
    end_found(find).await
}

/// Whether a process belongs to a job of a batch system that runs on this very machine: it outlives its runner.
fn is_of_a_job(pid: Pid) -> bool {
    variable(pid, "OUT").is_some_and(|out| JobFolder::has_out(Path::new(OsStr::from_bytes(&out))))
}

async fn end_found(find: impl Fn() -> Vec<Process>) -> usize {
    let count = find().len();
    if count > 0 {
        end(find, None, GRACE, &Cancel::default()).await;
    }
    count
}

/// `pid`, its parent, and so on.
fn lineage(pid: Pid) -> Vec<Pid> {
    let mut line = vec![pid];
    while let Some(parent) = line.last().and_then(|pid| Stat::of(*pid)?.parent) {
        if line.contains(&parent) {
            break;
        }
        line.push(parent);
    }
    line
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn only_marked_processes_are_ended() {
        let run = format!("test-{}", tempfile::tempdir().unwrap().path().display());
        let sleeper = |run: &str| Command::new("sleep").arg("600").env("RUNNER_RUN_ID", run).spawn().unwrap();
        let (mut marked, mut other) = (sleeper(&run), sleeper(&format!("{run}0")));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(end_marked(&run, None)), 1);
        assert_eq!(marked.wait().unwrap().signal(), Some(15));
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn processes_of_jobs_outlive_their_runner() {
        let dir = tempfile::tempdir().unwrap();
        let run = format!("test-{}", dir.path().display());
        let out = dir.path().join("attempt/out");
        let sleeper =
            || Command::new("sleep").arg("600").env("RUNNER_RUN_ID", &run).env("OUT", &out).spawn().unwrap();
        let mut job = sleeper();
        fs::write(dir.path().join("claim"), "").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(end_marked(&run, None)), 0);
        fs::remove_file(dir.path().join("claim")).unwrap();
        assert_eq!(runtime.block_on(end_marked(&run, None)), 1);
        job.wait().unwrap();
    }

    #[test]
    fn the_lineage_begins_with_oneself_and_holds_the_parent() {
        let line = lineage(getpid());
        assert_eq!(line[0], getpid());
        assert_eq!(line.get(1).copied(), rustix::process::getppid());
    }
}
