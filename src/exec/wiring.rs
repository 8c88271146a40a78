//! The files that a command prints to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::Attempt;
use super::pump::Pump;

/// Where a command prints to.
pub struct Wired {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub pumps: Vec<Pump>,
}

/// Opens what an attempt's command prints to; with secrets that is pumps.
///
/// # Errors
/// A file cannot be opened: a sentence.
pub fn wire_files(attempt: &Attempt) -> Result<Wired, String> {
    let open = |path: &Path, how: &mut OpenOptions| {
        // An earlier attempt may have put a link or a FIFO there.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let opened = how.create(true).mode(0o600).custom_flags(flags).open(path);
        let regular = opened.and_then(|file| match file.metadata()?.file_type().is_fifo() {
            false => Ok(file),
            true => Err(io::Error::other("a FIFO is there")),
        });
        regular.map_err(|error| {
            format!("{} could not be opened for what the command prints: {error}", path.display())
        })
    };
    let mut files = vec![open(&attempt.log, OpenOptions::new().append(true))?];
    if let Some(stdout) = &attempt.stdout {
        files.push(open(stdout, OpenOptions::new().write(true).truncate(true))?);
    }
    wire(files, attempt).map_err(|error| format!("no pipe could be made: {error}"))
}

/// Leads standard error to the first of `files` and standard output to the last, which may be the same.
fn wire(files: Vec<File>, attempt: &Attempt) -> io::Result<Wired> {
    let mut pumps = Vec::new();
    let mut ends = Vec::new();
    for (i, file) in files.into_iter().enumerate() {
        let is_masked = !attempt.masker.is_empty() && (i == 0 || attempt.masks_stdout);
        ends.push(match is_masked {
            false => file.into(),
            true => {
                let (pump, writer) = Pump::start(file, &attempt.masker)?;
                pumps.push(pump);
                OwnedFd::from(writer)
            }
        });
    }
    let stderr = ends.remove(0);
    let stdout = match ends.pop() {
        Some(stdout) => stdout,
        None => stderr.try_clone()?,
    };
    Ok(Wired { stdout, stderr, pumps })
}
