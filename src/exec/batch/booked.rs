//! One job: where it stands, its attempts, and what they print.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::JobNews;
use super::folder::{ClaimHolder, JobFolder};
use super::record::{JobRecord, JournalLine};
use super::system::{JobIntent, JobRequest, JobWish, SystemState};
use crate::exec::{Level, Outcome, tail};

/// How much of the batch system's own log is added to an attempt's log, in bytes.
const MAX_SYSTEM_LOG: u64 = 16 << 10;

/// An attempt that is ready to be part of its job.
pub struct ReadyAttempt {
    /// The file of the home that gets what the command prints.
    pub mirror: PathBuf,
    pub news: Box<dyn Fn(JobNews) + Send>,
    pub done: Box<dyn FnOnce(JobEnd) + Send>,
}

/// How an attempt ended, and its record if it left one.
pub struct JobEnd {
    pub outcome: Outcome,
    pub record: Option<JobRecord>,
    pub host: Option<String>,
}

/// A job of another run.
pub struct AdoptedJob {
    pub name: String,
    pub folder: JobFolder,
    /// Its id, if that was noted.
    pub id: Option<String>,
    /// How many attempts it was submitted with.
    pub size: usize,
}

/// A job and what is known of it.
pub struct BookedJob {
    pub name: String,
    pub folder: JobFolder,
    pub wish: JobWish,
    /// What its attempts work on, by their numbers, and the node of the first.
    works: Vec<String>,
    label: String,
    /// How many attempts it has, of this run or not.
    pub size: usize,
    /// The attempts that have not ended.
    pub parts: BTreeMap<usize, JobPart>,
    pub stage: Stage,
    pub id: Option<String>,
    /// When there was a sign of it.
    pub seen: Instant,
    last_sign: Option<SystemTime>,
    /// Status calls in a row that did not have it.
    pub absent: u32,
    pub host: Option<String>,
    pub claimed: bool,
    /// How much of the journal was read.
    read: u64,
    /// Lines about attempts that were not asked for yet, of a job of another run.
    early: Vec<JournalLine>,
    pub stuck: Option<Instant>,
    /// What the batch system said of its end, and when that was heard first.
    pub over: Option<(Instant, SystemState, String)>,
    /// Since when a record says that somebody ended it, and nobody has said who.
    pub unexplained: Option<Instant>,
    pub asked: Level,
    /// Whether the run gave back what had not begun.
    pub given_back: bool,
    /// When its state was noted last: what was asked before that says nothing of it.
    pub since: Instant,
}

/// An attempt of a job.
pub enum JobPart {
    /// Its inputs are still brought.
    Preparing,
    Ready(OpenAttempt),
}

pub struct OpenAttempt {
    pub ready: ReadyAttempt,
    pub begun: bool,
    mirrored: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its attempts are made ready.
    Gathering,
    /// To be submitted, not before.
    Waiting(Instant),
    Submitting,
    Submitted,
}

impl BookedJob {
    /// A job whose attempts are about to be made ready.
    pub fn new(
        name: String,
        folder: JobFolder,
        wish: JobWish,
        works: Vec<String>,
        label: String,
        now: Instant,
    ) -> Self {
        Self {
            name,
            folder,
            wish,
            size: works.len(),
            parts: (1..=works.len()).map(|attempt| (attempt, JobPart::Preparing)).collect(),
            works,
            label,
            stage: Stage::Gathering,
            id: None,
            seen: now,
            last_sign: None,
            absent: 0,
            host: None,
            claimed: false,
            read: 0,
            early: Vec::new(),
            stuck: None,
            over: None,
            unexplained: None,
            asked: Level::None,
            given_back: false,
            since: now,
        }
    }

    /// A job of another run.
    pub fn adopted(adopted: AdoptedJob, wish: JobWish, now: Instant) -> Self {
        let AdoptedJob { name, folder, id, size } = adopted;
        let new = Self::new(name, folder, wish, Vec::new(), String::new(), now);
        Self { stage: Stage::Submitted, id, size, ..new }
    }

    pub fn add(&mut self, attempt: usize, ready: ReadyAttempt) {
        self.parts.insert(attempt, JobPart::Ready(OpenAttempt { ready, begun: false, mirrored: 0 }));
    }

    pub fn is_ready(&self) -> bool {
        self.parts.values().all(|part| matches!(part, JobPart::Ready(_)))
    }

    pub fn intent(&self) -> JobIntent {
        JobIntent {
            name: self.name.clone(),
            works: self.works.clone(),
            label: self.label.clone(),
            folder: self.folder.path().to_owned(),
        }
    }

    pub fn request(&self) -> JobRequest {
        self.wish.request(&self.name, &self.folder, self.size)
    }

    pub fn open(&self) -> impl Iterator<Item = (usize, &OpenAttempt)> {
        self.parts.iter().filter_map(|(attempt, part)| match part {
            JobPart::Ready(open) => Some((*attempt, open)),
            JobPart::Preparing => None,
        })
    }

    /// The attempts that have begun and not ended, or may have: the last line of a node that failed may be missing.
    pub fn suspects(&self) -> Vec<usize> {
        let (mut begun, idle): (Vec<_>, Vec<_>) = self.open().partition(|(_, open)| open.begun);
        let more = self.wish.chunk.parallel.max(1).saturating_sub(begun.len());
        begun.extend(idle.into_iter().take(more));
        begun.into_iter().map(|(attempt, _)| attempt).collect()
    }

    /// Tells all attempts.
    pub fn tell(&self, news: &JobNews) {
        self.open().for_each(|(_, open)| (open.ready.news)(news.clone()));
    }

    /// Tells one of them, for all.
    pub fn tell_one(&self, news: JobNews) {
        if let Some((_, open)) = self.open().next() {
            (open.ready.news)(news);
        }
    }

    /// Notes that the job runs, and which of its attempts have begun; the records of those that have ended.
    pub fn look(&mut self, now: Instant) -> Vec<(usize, JobRecord)> {
        if !self.claimed
            && let Some(ClaimHolder { host: Some(host), job }) = self.folder.claimant()
        {
            self.host = Some(host);
            self.id = self.id.take().or(job);
            (self.seen, self.since, self.claimed) = (now, now, true);
        }
        if !self.claimed {
            return Vec::new();
        }
        let sign = self.folder.last_sign();
        if sign != self.last_sign {
            (self.last_sign, self.seen) = (sign, now);
        }
        let (lines, read) = self.folder.journal(self.read);
        self.read = read;
        let mut early = std::mem::take(&mut self.early);
        early.extend(lines);
        let mut records = Vec::new();
        for line in early {
            let JournalLine { attempt, record } = line;
            match (self.parts.contains_key(&attempt), record) {
                (true, None) => self.begin(attempt),
                (true, Some(record)) => records.push((attempt, record)),
                // It may still be asked for.
                (false, record) => self.early.push(JournalLine { attempt, record }),
            }
        }
        if self.works.len() == self.size {
            // All its attempts are of this run: nobody asks for one that has ended.
            self.early.clear();
        }
        for (attempt, part) in &mut self.parts {
            if let JobPart::Ready(open) = part
                && open.begun
            {
                open.mirror(&self.folder.log(*attempt));
            }
        }
        records
    }

    /// Notes that an attempt has begun.
    pub fn begin(&mut self, attempt: usize) {
        if let Some(JobPart::Ready(open)) = self.parts.get_mut(&attempt)
            && !std::mem::replace(&mut open.begun, true)
        {
            let job = self.id.clone().unwrap_or_default();
            (open.ready.news)(JobNews::Started { job, host: self.host.clone() });
        }
    }

    /// Takes an attempt that has ended, with what it printed.
    pub fn take(&mut self, attempt: usize) -> Option<ReadyAttempt> {
        match self.parts.remove(&attempt)? {
            JobPart::Preparing => None,
            JobPart::Ready(mut open) => {
                open.mirror(&self.folder.log(attempt));
                Some(open.ready)
            }
        }
    }

    /// The end of what the batch system said itself.
    pub fn said(&self) -> String {
        let lines = tail(&self.folder.system_log(), 5);
        lines.join("; ")
    }

    /// Adds the end of what the batch system said itself to what an attempt printed.
    pub fn add_system_log(&self, attempt: usize) {
        if let Some(JobPart::Ready(open)) = self.parts.get(&attempt) {
            let path = self.folder.system_log();
            let size = fs::metadata(&path).map_or(0, |file| file.len());
            let _ = copy_rest(&path, size.saturating_sub(MAX_SYSTEM_LOG), &open.ready.mirror);
        }
    }
}

impl OpenAttempt {
    /// Copies what the command has printed since the last time.
    fn mirror(&mut self, log: &Path) {
        if let Ok(copied) = copy_rest(log, self.mirrored, &self.ready.mirror) {
            self.mirrored += copied;
        }
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
