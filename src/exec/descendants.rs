//! A record of the processes that descend from this one, for the process that sweeps after this one is killed.
//!
//! Marks in the environment can be shed (`env -i`), and a killed runner's orphans are handed to a process that knows nothing
//! of them. So while attempts run, every new descendant is noted in a file: its number, when it began, its group and its
//! session. Groups and sessions are inherited, so that what a noted process starts later is known as well. What leaves its
//! group, its session and its environment within [`LOOK`] before the runner is killed is not caught.
//!
//! The record is good for the machine's present start, the same numbering of processes and the same file: a copy of it, as
//! in a copied home, names processes that are not ours.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::process::Pid;
use tokio::task::JoinHandle;

use super::children::{is_inherited, is_live};
use super::process::{Process, Stat, children, parse_pid};

/// Time between two looks at the descendants.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps a record until it is dropped.
pub struct ProcessRecorder(JoinHandle<()>);

impl Drop for ProcessRecorder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to note descendants of this process in `file`, which is empty. To be called on a runtime.
///
/// # Errors
/// The file cannot be written.
pub fn record(mut file: File) -> io::Result<ProcessRecorder> {
    writeln!(file, "{}", identity(&file)?)?;
    let mut noted = HashSet::new();
    Ok(ProcessRecorder(tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if is_live(None) && note(&mut file, &mut noted).is_err() {
                // A full disk: marks in environments are left.
                return;
            }
        }
    })))
}

/// Notes those that are new, in one write.
fn note(file: &mut File, noted: &mut HashSet<Process>) -> io::Result<()> {
    let mut lines = String::new();
    let Some(own) = Stat::own() else { return Ok(()) };
    for stat in descendants(&own) {
        if noted.insert(stat.process) {
            let Stat { process, session, .. } = stat;
            // Our own session is that of a terminal or of a daemon.
            let session = session.filter(|session| Some(*session) != own.session);
            let number = |pid: Option<Pid>| pid.map_or(0, Pid::as_raw_pid);
            let (pid, group) = (number(Some(process.pid)), number(process.group));
            lines += &format!("{pid} {} {group} {}\n", process.start(), number(session));
        }
    }
    match lines.as_str() {
        "" => Ok(()),
        lines => file.write_all(lines.as_bytes()),
    }
}

/// Everything alive below this process that it has started, or that was handed to it.
fn descendants(own: &Stat) -> Vec<Stat> {
    let ours = |stat: &Stat| stat.process.group != own.process.group && !is_inherited(stat.process.pid);
    let mut found: Vec<Stat> =
        children(own.process.pid).into_iter().filter_map(Stat::of).filter(ours).collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|stat| stat.process.pid) {
        found.extend(children(parent).into_iter().filter_map(Stat::of).filter(|s| s.parent == Some(parent)));
        next += 1;
    }
    found
}

/// A record of a process that is gone.
pub struct ProcessRecord {
    processes: HashSet<(Pid, u64)>,
    /// Groups and sessions, and when their first process began if it was seen.
    families: HashMap<Pid, Option<u64>>,
}

impl ProcessRecord {
    /// Reads a record; `None` if it is not good here and now.
    pub fn read(file: File) -> Option<Self> {
        let wanted = identity(&file).ok()?;
        let mut lines = BufReader::new(file).lines().map_while(Result::ok);
        if lines.next()? != wanted {
            return None;
        }
        let mut record = Self { processes: HashSet::new(), families: HashMap::new() };
        for line in lines {
            let mut words = line.split(' ');
            // The last line may be half of one.
            let (Some(pid), Some(start), Some(group), Some(session)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                break;
            };
            let (Some(pid), Ok(start)) = (parse_pid(pid), start.parse()) else { break };
            record.processes.insert((pid, start));
            for family in [group, session].into_iter().filter_map(parse_pid) {
                let leader = record.families.entry(family).or_default();
                if family == pid {
                    *leader = Some(start);
                }
            }
        }
        Some(record)
    }

    /// Whether a process was noted, or belongs to a group or session that was.
    pub fn knows(&self, stat: &Stat) -> bool {
        let Process { pid, group, .. } = stat.process;
        let in_family = |family: Pid| match self.families.get(&family) {
            // The number is given away again only when the whole family is gone; then its first process is another.
            Some(Some(start)) => Stat::of(family).is_none_or(|leader| leader.process.start() == *start),
            Some(None) | None => false,
        };
        self.processes.contains(&(pid, stat.process.start()))
            || [group, stat.session].into_iter().flatten().any(in_family)
    }
}

/// The start of the machine, the numbering of processes, and the file.
fn identity(file: &File) -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let numbering = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let found = file.metadata()?;
    Ok(format!("{} {} {} {}", boot.trim(), numbering.display(), found.dev(), found.ino()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_record_knows_its_processes_and_their_families_and_a_copy_knows_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("processes");
        let mut file = File::create(&path).unwrap();
        // A group of its own, as commands have.
        use std::os::unix::process::CommandExt;
        let mut child = Command::new("sh").args(["-c", "sleep 600 & wait"]).process_group(0).spawn().unwrap();
        let stat = Stat::of(Pid::from_child(&child)).unwrap();
        let (pid, start) = (stat.process.pid.as_raw_pid(), stat.process.start());
        writeln!(file, "{}", identity(&file).unwrap()).unwrap();
        writeln!(file, "{pid} {start} {pid} 0\n17 4").unwrap();
        let record = ProcessRecord::read(File::open(&path).unwrap()).unwrap();
        assert!(record.knows(&stat));
        let inner = loop {
            if let [inner] = children(stat.process.pid)[..] {
                break Stat::of(inner).unwrap();
            }
        };
        assert!(record.knows(&inner), "it is in the group");
        assert!(!record.knows(&Stat::own().unwrap()));
        let copy = folder.path().join("copy");
        fs::copy(&path, &copy).unwrap();
        assert!(ProcessRecord::read(File::open(&copy).unwrap()).is_none());
        super::super::process::signal(&[stat.process], stat.process.group, rustix::process::Signal::KILL);
        child.wait().unwrap();
    }
}
