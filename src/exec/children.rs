//! The children of this very process: which are commands of live attempts, and which are strays.
//!
//! A stray is a process whose parent ended and that was handed to us, their nearest living subreaper. It is
//! ours to reap; the command of an attempt is reaped only by the task that follows it. Both are in the same list of
//! the kernel's, so a command is entered here under a lock before anyone may take it for a stray. A child in our
//! own process group is neither (a stray cannot be in it): another part of the program started it and waits
//! for it. What is written here is about the process, so it is kept once for the process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use rustix::process::{Pid, getpid};

use super::ProcessUsage;
use super::process::{Process, Stat, parse_pids};
use super::reap::{EndedProcess, own_peak, reap};
use crate::core::lock::lock;

/// An attempt whose outcome has not been given yet.
struct Live {
    /// Its command's process, until that is reaped.
    command: Option<Pid>,
    /// The process group of its own.
    group: Pid,
    /// What the strays of this group had used that were reaped here.
    strays: ProcessUsage,
    /// See [`own_peak`]; as it was when the command started.
    floor: u64,
    /// The value of its variable `OUT`.
    out: OsString,
}

static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

/// Held shared from before a command is started until it is entered in `LIVE`, exclusively while strays are
/// distinguished from commands.
static STARTING: RwLock<()> = RwLock::new(());

/// The kernel's list of the children of our main thread, to which orphans are handed.
struct List {
    file: Option<File>,
    /// Children that we were born with: those of a shell that then became this program. They are not ours.
    inherited: Vec<Pid>,
}

static LIST: OnceLock<List> = OnceLock::new();

/// Makes this process the one that orphans of its descendants are handed to. Only the first call does anything.
pub fn adopt_orphans() {
    LIST.get_or_init(|| {
        let pid = getpid().as_raw_pid();
        let file = File::open(format!("/proc/{pid}/task/{pid}/children")).ok();
        let inherited = file.as_ref().map(read).unwrap_or_default();
        // Where it is refused, orphans go to the system's first process, out of our reach.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(getpid()));
        List { file, inherited }
    });
}

/// The entry of a live attempt; dropping it takes it away.
pub struct LiveEntry {
    out: OsString,
}

/// Starts a command by `start` and enters it, for the attempt known by `out`, before anyone can mistake it for a
/// stray. `start` gives the process's number along with whatever else.
///
/// # Errors
/// `start` failed.
pub fn enter<T, E>(
    out: &OsStr,
    start: impl FnOnce() -> Result<(Pid, T), E>,
) -> Result<(LiveEntry, Pid, T), E> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let (pid, started) = start()?;
    let floor = own_peak();
    live().push(Live {
        command: Some(pid),
        group: pid,
        strays: ProcessUsage::default(),
        floor,
        out: out.into(),
    });
    Ok((LiveEntry { out: out.into() }, pid, started))
}

impl LiveEntry {
    /// Notes that the command was reaped: its number may be given to another process from now on.
    pub fn reaped(&self) {
        if let Some(entry) = live().iter_mut().find(|live| live.out == self.out) {
            entry.command = None;
        }
    }

    /// What the strays of the command's group used that were reaped until now. Another thread may reap one at this
    /// moment: a stray is counted under the same lock under which it is reaped.
    pub fn used_by_strays(&self) -> ProcessUsage {
        live().iter().find(|live| live.out == self.out).map(|live| live.strays).unwrap_or_default()
    }
}

impl Drop for LiveEntry {
    fn drop(&mut self) {
        live().retain(|live| live.out != self.out);
    }
}

/// Whether an attempt known by `out` is live; without `out`, whether any is.
pub fn is_live(out: Option<&[u8]>) -> bool {
    let live = live();
    match out {
        Some(out) => live.iter().any(|live| live.out.as_encoded_bytes() == out),
        None => !live.is_empty(),
    }
}

/// Whether this process was born with a child, as a shell's that then became this program.
pub fn is_inherited(pid: Pid) -> bool {
    LIST.get().is_some_and(|list| list.inherited.contains(&pid))
}

/// Whether there may be strays, running or waiting to be reaped. Cheap.
pub fn may_have_strays() -> bool {
    !candidates().is_empty()
}

/// The strays that are running. Those that have ended are reaped on the way.
pub fn strays() -> Vec<Process> {
    let _exclusive = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let (ourselves, our_group) = (getpid(), Stat::own().map(|own| own.process.group));
    loop {
        let mut running = Vec::new();
        let mut changed = false;
        for pid in candidates() {
            match Stat::of(pid) {
                Some(stat) if stat.parent != Some(ourselves) || Some(stat.process.group) == our_group => {}
                Some(stat) if stat.dead => {
                    credit(stat.process.group, |floor| reap(pid, floor).ok().flatten());
                    changed = true;
                }
                Some(stat) => running.push(stat.process),
                None => changed = true,
            }
        }
        // One that ended since the list was read may have left children that are not in it.
        if !running.is_empty() || !changed {
            return running;
        }
    }
}

/// Reaps a stray and counts what it used as used by the attempt whose process group it was in.
fn credit(group: Option<Pid>, reap: impl FnOnce(u64) -> Option<EndedProcess>) {
    let mut live = live();
    let attempt = live.iter_mut().find(|live| Some(live.group) == group);
    let ended = reap(attempt.as_ref().map_or(0, |attempt| attempt.floor));
    if let (Some(attempt), Some(ended)) = (attempt, ended) {
        attempt.strays += ended.usage;
    }
}

/// The children in the list that are neither commands nor inherited.
fn candidates() -> Vec<Pid> {
    let Some(List { file: Some(file), inherited }) = LIST.get() else { return Vec::new() };
    let mut pids = read(file);
    if !pids.is_empty() {
        let live = live();
        pids.retain(|pid| !inherited.contains(pid) && !live.iter().any(|live| live.command == Some(*pid)));
    }
    pids
}

/// Reads the list; one system call where it is empty, as it mostly is.
fn read(file: &File) -> Vec<Pid> {
    let mut list = Vec::new();
    let mut page = [0; 4096];
    while let Ok(n @ 1..) = file.read_at(&mut page, list.len() as u64) {
        list.extend_from_slice(&page[..n]);
    }
    parse_pids(&list)
}

fn live() -> MutexGuard<'static, Vec<Live>> {
    lock(&LIVE)
}
