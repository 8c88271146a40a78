//! One job: where it stands, and what it prints.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::JobNews;
use super::folder::{ClaimHolder, JobFolder, JobRecord};
use super::system::{JobIntent, JobRequest, SystemState};
use crate::exec::{Level, Outcome, tail};

/// How much of the batch system's own log is added to an attempt's log, in bytes.
const MAX_SYSTEM_LOG: u64 = 16 << 10;

/// A job from its submission to its end.
pub struct NewJob {
    pub folder: JobFolder,
    pub request: JobRequest,
    pub intent: JobIntent,
    /// The file of the home that gets what the command prints.
    pub mirror: PathBuf,
    /// Set for a job of another run: it was submitted, and its id is this one if it was noted.
    pub submitted: Option<Option<String>>,
    pub news: Box<dyn Fn(JobNews) + Send>,
    pub done: Box<dyn FnOnce(JobEnd) + Send>,
}

/// How a job ended, and its record if it left one.
pub struct JobEnd {
    pub outcome: Outcome,
    pub record: Option<JobRecord>,
    pub host: Option<String>,
}

/// A job and what is known of it.
pub struct BookedJob {
    pub new: NewJob,
    pub stage: Stage,
    pub id: Option<String>,
    /// When there was a sign of it.
    pub seen: Instant,
    pub last_sign: Option<SystemTime>,
    /// Status calls in a row that did not have it.
    pub absent: u32,
    pub host: Option<String>,
    pub begun: bool,
    pub mirrored: u64,
    pub stuck: Option<Instant>,
    /// What the batch system said of its end, and when that was heard first.
    pub over: Option<(Instant, SystemState, String)>,
    /// Since when its record says that somebody ended it, and nobody has said who.
    pub unexplained: Option<Instant>,
    pub asked: Level,
    /// Whether the run wants to leave it to itself.
    pub let_go: bool,
    /// When its state was noted last: what was asked before that says nothing of it.
    pub since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To be submitted, not before.
    Waiting(Instant),
    Submitting,
    Submitted,
}

impl BookedJob {
    pub fn new(new: NewJob, now: Instant) -> Self {
        let (stage, id) = match &new.submitted {
            None => (Stage::Waiting(now), None),
            Some(id) => (Stage::Submitted, id.clone()),
        };
        Self {
            new,
            stage,
            id,
            seen: now,
            last_sign: None,
            absent: 0,
            host: None,
            begun: false,
            mirrored: 0,
            stuck: None,
            over: None,
            unexplained: None,
            asked: Level::None,
            let_go: false,
            since: now,
        }
    }

    /// Notes that the job runs, and what it prints.
    pub fn look_for_life(&mut self, now: Instant) {
        if !self.begun
            && let Some(ClaimHolder { host: Some(host), job }) = self.new.folder.claimant()
        {
            self.host = Some(host);
            self.id = self.id.take().or(job);
            (self.seen, self.since) = (now, now);
            self.begin();
        }
        if self.begun {
            let sign = self.new.folder.last_sign();
            if sign != self.last_sign {
                (self.last_sign, self.seen) = (sign, now);
            }
            self.mirror();
        }
    }

    pub fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            let job = self.id.clone().unwrap_or_default();
            (self.new.news)(JobNews::Started { job, host: self.host.clone() });
        }
    }

    /// Copies what the command has printed since the last time.
    pub fn mirror(&mut self) {
        if let Ok(copied) = copy_rest(&self.new.folder.log(), self.mirrored, &self.new.mirror) {
            self.mirrored += copied;
        }
    }

    /// The end of what the batch system said itself.
    pub fn said(&self) -> String {
        let lines = tail(&self.new.folder.system_log(), 5);
        lines.join("; ")
    }

    pub fn add_system_log(&self) {
        let path = self.new.folder.system_log();
        let size = fs::metadata(&path).map_or(0, |file| file.len());
        let _ = copy_rest(&path, size.saturating_sub(MAX_SYSTEM_LOG), &self.new.mirror);
    }
}

/// Appends what stands in `from` behind `offset` to `to`; how many bytes.
fn copy_rest(from: &Path, offset: u64, to: &Path) -> io::Result<u64> {
    let mut source = File::open(from)?;
    if source.metadata()?.len() <= offset {
        return Ok(0);
    }
    source.seek(SeekFrom::Start(offset))?;
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut target = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(to)?;
    let mut copied = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(copied),
            n => target.write_all(&buffer[..n])?,
        }
        copied = source.stream_position()? - offset;
    }
}
