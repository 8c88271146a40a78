//! The process tree of one attempt: everything that descends from its command, however it tried to get away.

use std::ffi::OsString;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};

use super::ProcessUsage;
use super::children::{LiveEntry, may_have_strays, strays};
use super::process::{Process, Stat, children, has_variable};

/// The processes of one attempt: the command, its descendants, and those handed to us that are in its process
/// group or carry its variable `OUT`.
pub struct Tree {
    entry: LiveEntry,
    /// The number of the command's process, which leads the process group.
    pub group: Pid,
    out: OsString,
    reaped: bool,
}

impl Tree {
    /// Of the command `group`, not reaped yet, of the attempt known by `out`.
    pub fn new(entry: LiveEntry, group: Pid, out: OsString) -> Self {
        Self { entry, group, out, reaped: false }
    }

    /// Notes that the command was reaped.
    pub fn reaped(&mut self) {
        self.reaped = true;
        self.entry.reaped();
    }

    /// What those used that were handed to us and have ended.
    pub fn used_by_strays(&self) -> ProcessUsage {
        self.entry.used_by_strays()
    }

    /// Whether nothing is left after the command was reaped. Two system calls where nothing is.
    pub fn is_empty(&self) -> bool {
        let no_group = test_kill_process_group(self.group) == Err(Errno::SRCH);
        (no_group && !may_have_strays()) || self.processes().is_empty()
    }

    /// What is running beside the command.
    pub fn others(&self) -> Vec<Process> {
        let mut found = self.processes();
        found.retain(|process| process.pid != self.group);
        found
    }

    /// What is running. Parents are looked at before those who inherit their children, so that an empty answer
    /// is certain.
    pub fn processes(&self) -> Vec<Process> {
        let mut found = Vec::new();
        if !self.reaped
            && let Some(command) = Stat::of(self.group)
            && !command.dead
        {
            add_with_descendants(command.process, &mut found);
        }
        for stray in strays() {
            if stray.group == Some(self.group) || has_variable(stray.pid, "OUT", &self.out) {
                add_with_descendants(stray, &mut found);
            }
        }
        found
    }
}

fn add_with_descendants(process: Process, found: &mut Vec<Process>) {
    let mut next = found.len();
    if !found.contains(&process) {
        found.push(process);
    }
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        for pid in children(parent) {
            // A number that was given away meanwhile has another parent; an orphan is ours and found as such.
            if let Some(stat) = Stat::of(pid)
                && !stat.dead
                && stat.parent == Some(parent)
                && !found.contains(&stat.process)
            {
                found.push(stat.process);
            }
        }
        next += 1;
    }
}
