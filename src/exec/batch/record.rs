//! The journal of a job: what has become of each of its attempts, a line with a checksum for each beginning and each end. The
//! line of an end is the record of the attempt.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{End, Outcome, ProcessUsage};
use super::ends::fault;
use super::{JobFault, JobFaultKind};

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalLine {
    /// The attempt's number in its job, from 1.
    pub attempt: usize,
    /// Its end; none if this is its beginning.
    pub record: Option<JobRecord>,
}

/// A journal that its job writes.
pub struct Journal {
    file: File,
    folder: PathBuf,
}

impl Journal {
    pub(super) fn new(file: File, folder: PathBuf) -> Self {
        Self { file, folder }
    }

    /// Notes that an attempt is about to begin.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn begins(&mut self, attempt: usize) -> io::Result<()> {
        self.file.write_all(&checked(&JournalLine { attempt, record: None })?)
    }

    /// Adds a record; it is safe when this returns.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn ended(&mut self, attempt: usize, record: JobRecord) -> io::Result<()> {
        let is_new = self.file.metadata()?.len() == 0;
        self.file.write_all(&checked(&JournalLine { attempt, record: Some(record) })?)?;
        self.file.sync_data()?;
        if is_new { File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

/// The lines of a journal that are whole, from an offset on; and where the next one begins.
pub(super) fn read_journal(path: &Path, from: u64) -> io::Result<(Vec<JournalLine>, u64)> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() <= from {
        return Ok((Vec::new(), from));
    }
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    Ok((read_checked(&bytes[..whole]), from + whole as u64))
}

/// The record of an attempt that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub end: RecordedEnd,
    pub host: String,
    /// By the node's own clock, as all durations.
    pub duration_us: u64,
    pub leftovers: usize,
    pub cpu_us: Option<u64>,
    pub peak_memory: Option<u64>,
    /// The files among the results, of an attempt that ended well.
    pub results: Vec<RecordedFile>,
}

/// How a recorded attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedEnd {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    /// By a signal to the job, whoever sent it.
    Cancelled,
    NotStarted(String),
    Unsound(String),
    /// The job was to begin no more attempts.
    NotBegun,
}

/// A file that an attempt left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedFile {
    pub path: PathBuf,
    pub size: u64,
    pub digest: String,
}

impl JobRecord {
    pub fn of(outcome: Outcome, host: String, results: Vec<RecordedFile>) -> Self {
        let end = match outcome.end {
            End::Exited(code) => RecordedEnd::Exited(code),
            End::Signalled(signal) => RecordedEnd::Signalled(signal),
            End::TimedOut => RecordedEnd::TimedOut,
            End::Cancelled => RecordedEnd::Cancelled,
            End::NotStarted(why) | End::NoViews(why) => RecordedEnd::NotStarted(why),
            End::Unsound(why) => RecordedEnd::Unsound(why),
            End::Job(JobFault { kind: JobFaultKind::NotBegun, .. }) => RecordedEnd::NotBegun,
            End::Job(fault) => RecordedEnd::Unsound(fault.message),
        };
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            end,
            host,
            duration_us: micros(outcome.duration),
            leftovers: outcome.leftovers,
            cpu_us: outcome.usage.map(|usage| micros(usage.cpu)),
            peak_memory: outcome.usage.and_then(|usage| usage.peak_memory),
            results,
        }
    }

    pub fn outcome(&self) -> Outcome {
        let end = match &self.end {
            RecordedEnd::Exited(code) => End::Exited(*code),
            RecordedEnd::Signalled(signal) => End::Signalled(*signal),
            RecordedEnd::TimedOut => End::TimedOut,
            RecordedEnd::Cancelled => End::Cancelled,
            RecordedEnd::NotStarted(why) => End::NotStarted(why.clone()),
            RecordedEnd::Unsound(why) => End::Unsound(why.clone()),
            RecordedEnd::NotBegun => fault(JobFaultKind::NotBegun, "the job was to begin no more"),
        };
        let micros = Duration::from_micros;
        let usage = self.cpu_us.map(|cpu| ProcessUsage { cpu: micros(cpu), peak_memory: self.peak_memory });
        Outcome { end, duration: micros(self.duration_us), leftovers: self.leftovers, usage }
    }
}

/// A line with a checksum before it.
pub(super) fn checked(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(value)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// The lines that are whole.
pub(super) fn read_checked<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once(' '));
    whole
        .filter(|(sum, json)| u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes())))
        .filter_map(|(_, json)| serde_json::from_str(json).ok())
        .collect()
}
