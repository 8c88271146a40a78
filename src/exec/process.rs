//! Processes as `/proc` shows them, and signals that reach only them.
//!
//! A number is not a process: it is given away again once its process is gone. A process is known by its number
//! and the time at which it began. Where there is no `/proc`, nothing is found here.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};

/// A process that was seen running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: Pid,
    /// Its process group; none if that began outside of the container that we are in.
    pub group: Option<Pid>,
    /// In clock ticks since the machine started.
    start: u64,
}

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Whether it has ended and only waits to be reaped.
    pub dead: bool,
    /// Whether it has no environment for good: it was given none, or its memory is gone.
    bare: bool,
    pub parent: Option<Pid>,
    /// None if it began outside of the container that we are in.
    pub session: Option<Pid>,
    pub process: Process,
}

impl Process {
    /// When it began, in clock ticks since the machine started.
    pub fn start(&self) -> u64 {
        self.start
    }
}

impl Stat {
    /// Of this process. Its group and session are asked for here, not by `getpgrp` and `getsid`: those give 0 where a
    /// container was entered from outside, and 0 is no number of a group.
    pub fn own() -> Option<Self> {
        Self::of(getpid())
    }

    /// Of the process that has this number now, if there is one.
    pub fn of(pid: Pid) -> Option<Self> {
        let line = fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&line))
    }

    fn parse(pid: Pid, line: &str) -> Option<Self> {
        // The program's name stands in parentheses and may hold anything, parentheses too.
        let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let state = *fields.first()?;
        // A process whose first thread has ended is shown as a zombie although its other threads run on.
        let threads: u32 = fields.get(17)?.parse().ok()?;
        // The kernel writes -1 for a process that is being reaped at this moment: that is gone, and to signal -1 would
        // reach others.
        let group: i32 = fields.get(2)?.parse().ok()?;
        let group = if group < 0 { return None } else { Pid::from_raw(group) };
        Some(Self {
            dead: matches!(state, "Z" | "X") && threads <= 1,
            // While a process changes its program it has memory, but its code and environment are nowhere yet.
            bare: *fields.get(20)? == "0"
                || (*fields.get(23)? != "0" && fields.get(47)? == fields.get(48)?),
            parent: parse_pid(fields.get(1)?),
            session: parse_pid(fields.get(3)?),
            process: Process { pid, group, start: fields.get(19)?.parse().ok()? },
        })
    }
}

/// The children of all threads of `pid`; empty if it is gone.
pub fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read(thread.path().join("children")).ok())
        .flat_map(|list| parse_pids(&list))
        .collect()
}

/// Reads numbers that are separated by spaces.
pub fn parse_pids(list: &[u8]) -> Vec<Pid> {
    list.split(u8::is_ascii_whitespace)
        .filter_map(|word| parse_pid(std::str::from_utf8(word).ok()?))
        .collect()
}

/// Reads a number; none where the kernel writes 0 or -1.
pub fn parse_pid(text: &str) -> Option<Pid> {
    let number: i32 = text.parse().ok()?;
    if number > 0 { Pid::from_raw(number) } else { None }
}

/// The value of a variable in the environment that the process was started with.
pub fn variable(pid: Pid, name: &str) -> Option<Vec<u8>> {
    environment(pid)?.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.to_vec())
    })
}

/// The environment that the process was started with. While it changes its program, it seems to have none: that
/// takes about 50 microseconds, unless the machine is very busy, and is waited for.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    const LOOKS: usize = 1000;
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..LOOKS {
        // It is read in one piece: between two pieces the process may change its program, and the second is lost.
        let length =
            File::open(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?.read(&mut buffer).ok()?;
        if length == buffer.len() {
            buffer.resize(2 * length, 0);
        } else if length > 0 || Stat::of(pid)?.bare {
            buffer.truncate(length);
            return Some(buffer);
        } else {
            thread::sleep(Duration::from_micros(100));
        }
    }
    None
}

/// Whether the process was started with the variable `name` set to `value`.
pub fn has_variable(pid: Pid, name: &str, value: &OsStr) -> bool {
    variable(pid, name).is_some_and(|found| found == value.as_bytes())
}

/// Sends `signal` to `processes`: to those of `group` together, which leaves none out that is just being forked,
/// and to each other one if its number is still its own. That some cannot be reached shows in that they stay.
pub fn signal(processes: &[Process], group: Option<Pid>, signal: Signal) {
    // As long as a process of the group was just seen, its number belongs to no other group.
    if let Some(group) = group
        && processes.iter().any(|process| process.group == Some(group))
    {
        let _ = kill_process_group(group, signal);
    }
    for process in processes.iter().filter(|process| group.is_none() || process.group != group) {
        if Stat::of(process.pid).is_some_and(|now| now.process.start == process.start) {
            let _ = kill_process(process.pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_program_names_do_not_shift_the_fields() {
        let pid = Pid::from_raw(12).unwrap();
        let rest = |state: &str, memory: &str, code: &str, environment: &str| {
            let middle = "9 ".repeat(23);
            format!(
                "{state} 7 12 3 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 4711 {memory} 9 9 {code} {middle}{environment} 0"
            )
        };
        let running = rest("S", "4096", "4000", "77 99");
        let plain = Stat::parse(pid, &format!("12 (sh) {running}")).unwrap();
        assert_eq!(plain.parent, Pid::from_raw(7));
        assert_eq!(plain.process, Process { pid, group: Some(pid), start: 4711 });
        assert!(!plain.dead);
        assert_eq!(Stat::parse(pid, &format!("12 (a) Z 1 (b) {running}")), Some(plain));
        let parse = |rest: String| Stat::parse(pid, &format!("12 (sh) {rest}")).unwrap();
        assert!(parse(rest("Z", "0", "0", "0 0")).dead);
        assert!(!plain.bare && parse(rest("S", "4096", "4000", "77 77")).bare, "it was given nothing");
        assert!(!parse(rest("R", "4096", "0", "0 0")).bare, "it changes its program");
        assert_eq!(Stat::parse(pid, "12 (sh) S 7"), None);
        let reaped = running.replacen("S 7 12 3", "X 0 -1 -1", 1);
        assert_eq!(Stat::parse(pid, &format!("12 (sh) {reaped}")), None);
        let foreign = parse(running.replacen("S 7 12 3", "S 7 0 0", 1));
        assert_eq!(
            (foreign.process.group, foreign.session),
            (None, None),
            "they began outside of our container"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found() {
        let stat = Stat::of(getpid()).unwrap();
        assert_eq!(stat.process.pid, getpid());
        assert!(!stat.dead);
        assert_eq!(variable(getpid(), "PATH").is_some(), std::env::var_os("PATH").is_some());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_signal_does_not_reach_who_took_over_the_number() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let mut process = Stat::of(Pid::from_child(&child)).unwrap().process;
        process.start += 1;
        signal(&[process], None, Signal::KILL);
        assert!(!Stat::of(process.pid).unwrap().dead);
        process.start -= 1;
        signal(&[process], None, Signal::KILL);
        child.wait().unwrap();
    }
}
