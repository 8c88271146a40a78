//! The messages between this program and a fork server: requests with descriptors, answers in lines.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Pid;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::exec::ProcessUsage;
use crate::exec::reap::EndedProcess;

/// Maximum descriptors of a message.
const MAX_DESCRIPTORS: usize = 3;

/// What a server says.
pub enum ServerAnswer {
    Started(u64, Pid),
    Ended(u64, EndedProcess),
    /// There is no process for this request.
    Failed(u64),
}

impl ServerAnswer {
    /// Reads a line; `None` for one that is none of these.
    pub fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["started", id, pid] => {
                let pid = Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)?;
                Some(Self::Started(id.parse().ok()?, pid))
            }
            ["ended", id, status, cpu, peak] => {
                let status = ExitStatus::from_raw(status.parse().ok()?);
                Some(Self::Ended(id.parse().ok()?, EndedProcess { status, usage: usage(cpu, peak)? }))
            }
            ["failed", id] => Some(Self::Failed(id.parse().ok()?)),
            _ => None,
        }
    }
}

/// Reads what a worker says when it has made an attempt: `done MICROSECONDS KIB`.
pub fn read_usage(line: &str) -> Option<ProcessUsage> {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["done", cpu, peak] => usage(cpu, peak),
        _ => None,
    }
}

/// Microseconds and KiB.
fn usage(cpu: &str, peak: &str) -> Option<ProcessUsage> {
    let peak: u64 = peak.parse().ok()?;
    let cpu = Duration::from_micros(cpu.parse().ok()?);
    Some(ProcessUsage { cpu, peak_memory: Some(peak.saturating_mul(1024)).filter(|peak| *peak > 0) })
}

/// Sends fields, with descriptors that the other side gets as its own.
///
/// # Errors
/// The other side is gone, or a field holds NUL.
pub async fn send(stream: &UnixStream, fields: &[OsString], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fields.iter().any(|field| field.as_bytes().contains(&0)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let body = fields.iter().map(|field| field.as_bytes()).collect::<Vec<_>>().join(&0);
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let message = [&length.to_be_bytes()[..], &body].concat();
    let mut sent = 0;
    while sent < message.len() {
        stream.writable().await?;
        let part = stream.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let rest = [IoSlice::new(&message[sent..])];
            Ok(sendmsg(stream, &rest, &mut ancillary, SendFlags::NOSIGNAL)?)
        });
        match part {
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_others_are_not() {
        assert!(
            matches!(ServerAnswer::read("started 3 4711"), Some(ServerAnswer::Started(3, pid)) if pid.as_raw_pid() == 4711)
        );
        let Some(ServerAnswer::Ended(3, ended)) = ServerAnswer::read("ended 3 256 1500 2048") else {
            panic!("not read")
        };
        assert_eq!(ended.status.code(), Some(1));
        assert_eq!(ended.usage.cpu, Duration::from_micros(1500));
        assert_eq!(ended.usage.peak_memory, Some(2 << 20));
        assert!(matches!(ServerAnswer::read("failed 9"), Some(ServerAnswer::Failed(9))));
        assert_eq!(read_usage("done 7 1").map(|usage| usage.cpu), Some(Duration::from_micros(7)));
        assert_eq!(read_usage("ended 7 1"), None);
        for line in ["", "started 3 0", "started 3 -1", "ended 3 0 0", "hello", "failed x"] {
            assert!(ServerAnswer::read(line).is_none(), "{line}");
        }
    }
}
