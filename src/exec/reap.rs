//! Waiting for processes to end, and what they used: the one place with unsafe code.
//!
//! No crate that we use returns the resource usage that `wait4` reports.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use {
    rustix::process::{PidfdFlags, pidfd_open},
    std::os::fd::OwnedFd,
    tokio::io::{Interest, unix::AsyncFd},
};

use super::ProcessUsage;

/// How a process ended.
pub struct EndedProcess {
    pub status: ExitStatus,
    pub usage: ProcessUsage,
}

/// The process of a started command.
pub struct CommandProcess {
    pub pid: Pid,
    /// See [`own_peak`]; as it was when the command started.
    floor: u64,
    /// Readable once it has ended; `None` where the system has no such thing.
    #[cfg(target_os = "linux")]
    end: Option<AsyncFd<OwnedFd>>,
}

/// Maximum pause between two looks at a process where the system has no notification of its end.
const MAX_PAUSE: Duration = Duration::from_millis(20);

impl CommandProcess {
    /// For a child of this process that was not waited for yet.
    pub fn new(pid: Pid) -> Self {
        Self {
            pid,
            floor: own_peak(),
            #[cfg(target_os = "linux")]
            end: end_of(pid),
        }
    }

    /// Waits for its end and reaps it. May be dropped and called again until it has said how it ended.
    ///
    /// # Errors
    /// Another part of the process has reaped it.
    pub async fn wait(&mut self) -> io::Result<EndedProcess> {
        #[cfg(target_os = "linux")]
        if let Some(end) = &self.end {
            loop {
                let mut readable = end.readable().await?;
                match reap(self.pid, self.floor)? {
                    Some(ended) => return Ok(ended),
                    None => readable.clear_ready(),
                }
            }
        }
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(ended) = reap(self.pid, self.floor)? {
                return Ok(ended);
            }
            tokio::time::sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    }
}

#[cfg(target_os = "linux")]
fn end_of(pid: Pid) -> Option<AsyncFd<OwnedFd>> {
    let end = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    // SAFETY: an owned descriptor is open, and the same one, until it is dropped.
    #[expect(unsafe_code, reason = "the runtime cannot know that of every type")]
    unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) }.ok()
}

/// Reaps a child if it has ended; does not wait. `floor` is [`own_peak`] as it was when the child's command started.
///
/// # Errors
/// The child is not ours, or was reaped by someone else.
pub fn reap(pid: Pid, floor: u64) -> io::Result<Option<EndedProcess>> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to memory of ours that is large enough and that the call only writes to; numbers are
    // valid whatever their bits, so that `usage` is initialised even where it was left alone.
    #[expect(unsafe_code, reason = "there is no other way to learn what a process used")]
    let (reaped, usage) = unsafe {
        let reaped = libc::wait4(pid.as_raw_pid(), &mut status, libc::WNOHANG, usage.as_mut_ptr());
        (reaped, usage.assume_init())
    };
    match reaped {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => {
            let cpu = time(usage.ru_utime) + time(usage.ru_stime);
            let usage = ProcessUsage { cpu, peak_memory: above(bytes(usage.ru_maxrss), floor) };
            Ok(Some(EndedProcess { status: ExitStatus::from_raw(status), usage }))
        }
    }
}

fn time(time: libc::timeval) -> Duration {
    // Numbers of these have 32 bits on some systems.
    fn part(n: impl Into<i64>) -> u64 {
        u64::try_from(n.into()).unwrap_or(0)
    }
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}

/// macOS reports the peak of resident memory in bytes, other systems in KiB.
fn bytes(peak: libc::c_long) -> u64 {
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    u64::try_from(peak).unwrap_or(0).saturating_mul(unit)
}

/// The kernel counts memory only roughly, where that is faster.
const ROUGHLY: u64 = 1 << 20;

/// The peak resident memory of this process so far, in bytes: the floor below which the system does not tell what a
/// command that starts now uses. 0 on systems without such a floor.
///
/// Until a child runs its own program it borrows our memory, and the kernel counts that as the child's: a peak no
/// higher than ours at that moment may be ours. Our peak at the end of the command is the wrong measure: it may have
/// risen in between above a peak that is the command's own.
#[cfg(target_os = "linux")]
pub fn own_peak() -> u64 {
    // What this process was before it became this program counts here as well: then the file has the lower, right number.
    let rusage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    let peak = rusage.map_or(0, |usage| bytes(usage.max_rss()));
    if peak > 0 && peak <= KNOWN.load(Ordering::Relaxed) + ROUGHLY {
        return peak;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let known = kib.map_or(0, |kib| kib * 1024);
    KNOWN.fetch_max(known, Ordering::Relaxed);
    known
}

/// Our peak when the file was read last. It only rises.
#[cfg(target_os = "linux")]
static KNOWN: AtomicU64 = AtomicU64::new(0);

/// Elsewhere a child's memory is its own from the start.
#[cfg(not(target_os = "linux"))]
pub fn own_peak() -> u64 {
    0
}

/// `peak` if it is a command's own.
fn above(peak: u64, floor: u64) -> Option<u64> {
    (peak > 0 && (floor == 0 || peak > floor + ROUGHLY)).then_some(peak)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_peak_no_higher_than_ours_was_at_the_start_is_not_reported() {
        let floor = own_peak();
        assert!(floor > 1 << 20, "{floor}");
        assert_eq!(above(0, floor), None);
        assert_eq!(above(floor, floor), None);
        assert_eq!(above(floor + (2 << 20), floor), Some(floor + (2 << 20)));
    }

    #[test]
    fn our_peak_only_rises() {
        let before = own_peak();
        let large = vec![1_u8; 64 << 20];
        assert!(own_peak() + ROUGHLY >= before.max(large.len() as u64));
    }
}
