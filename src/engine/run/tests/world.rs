//! What outlives one run: a memo, files, locks and a clock in memory.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::core::clock::Clock;
use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::core::value::Artifact;
use crate::engine::lookup::memo::{Memo, MemoError};
use crate::engine::run::seams::{LockAttempt, Recorder, RunVerdict, WorkLocks};
use crate::engine::scope::content::ContentStore;
use crate::storage::contents::Execution;
use crate::storage::history::times::Times;
use crate::storage::locks::Holder;
use crate::storage::memo::FoundResult;
use crate::storage::store::{Damage, FileError, FileKey, Snapshot, StatEntry, Wrong};
use crate::storage::writer::{Acknowledged, NewResult};

/// What outlives one run: the memo, the files, the locks, the clock.
#[derive(Clone, Default)]
pub struct FakeWorld(Arc<Mutex<WorldState>>);

#[derive(Default)]
pub struct WorldState {
    pub entries: HashMap<Digest, FoundResult>,
    /// The memo cannot be read.
    pub unreadable: bool,
    /// The memo cannot be written.
    pub full: bool,
    /// Files of the user by path.
    pub files: HashMap<PathBuf, String>,
    /// Stored content that is gone.
    pub lost: HashSet<Digest>,
    /// How far the clock is ahead.
    pub ahead: SignedDuration,
    /// For how many tries someone else holds every lock.
    pub busy: usize,
    /// A listener has heard that the run ended.
    pub heard_of_end: bool,
    /// Its end was on record before.
    pub recorded_first: bool,
    used: Vec<Digest>,
    held: usize,
}

impl FakeWorld {
    pub fn state(&self) -> MutexGuard<'_, WorldState> {
        lock(&self.0)
    }
}

impl Clock for FakeWorld {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap().checked_add(self.state().ahead).unwrap()
    }
}

impl Memo for FakeWorld {
    fn lookup(&self, key: &Digest) -> Result<Option<FoundResult>, MemoError> {
        let state = self.state();
        if state.unreadable {
            return Err(MemoError("it is on fire".into()));
        }
        Ok(state.entries.get(key).cloned())
    }

    fn definition(&self, _: &Digest) -> Option<Definition> {
        None
    }
}

impl ContentStore for FakeWorld {
    fn fingerprint(&self, path: &Path, _: bool) -> Result<(Artifact, Snapshot), FileError> {
        let text = self.state().files.get(path).cloned().ok_or_else(|| FileError::Missing(path.into()))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let artifact = Artifact {
            digest: Digest::of(&text),
            size: text.len() as u64,
            name: name.into(),
            executable: false,
            origin: Some(path.into()),
        };
        Ok((artifact, Snapshot::default()))
    }

    fn fingerprint_all(&self, _: &[(PathBuf, bool)], _: usize) {}

    fn verify(&self, artifact: &Artifact, _: bool) -> Result<(), Damage> {
        match self.state().lost.contains(&artifact.digest) {
            true => Err(Damage { digest: artifact.digest, path: "/blob".into(), wrong: Wrong::Missing }),
            false => Ok(()),
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        format!("/blobs/{digest}").into()
    }

    fn text(&self, _: &Digest, _: u64) -> Option<String> {
        None
    }

    fn folder(&self, _: &Digest, _: Option<&Path>) -> Option<serde_json::Value> {
        None
    }

    fn drain_stats(&self) -> Vec<(FileKey, StatEntry)> {
        Vec::new()
    }
}

/// Records into a world and acknowledges at once.
pub struct Recording(pub FakeWorld, pub UnboundedSender<Acknowledged>);

impl Recorder for Recording {
    fn result(&self, result: NewResult) {
        let mut state = self.0.state();
        let answer = if state.full { Err("the disk is full".into()) } else { Ok(()) };
        if let (Some(row), true) = (result.row, answer.is_ok()) {
            state.entries.insert(row.entry.key, row.entry.found);
        }
        let _ = self.1.send(Acknowledged { unit: result.unit, result: answer });
    }

    fn files(&self, _: Box<Execution>) {}

    fn stats(&self, _: Vec<(FileKey, StatEntry)>) {}

    fn times(&self, _: Times) {}

    fn used(&self, keys: Vec<Digest>) {
        self.0.state().used.extend(keys);
    }

    fn flush_now(&self) {}

    fn end(&self, _: RunVerdict) -> oneshot::Receiver<()> {
        let (world, (done, recorded)) = (self.0.clone(), oneshot::channel());
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            let mut state = world.state();
            state.recorded_first = !state.heard_of_end;
            drop(state);
            drop(done);
        });
        recorded
    }
}

impl WorkLocks for FakeWorld {
    fn try_take(&self, _: &Digest, _: &Holder) -> io::Result<LockAttempt> {
        let mut state = self.state();
        if state.busy > 0 {
            state.busy -= 1;
            return Ok(LockAttempt::Busy(Some(Holder { run: "other".into(), node: "twin".into() })));
        }
        if state.held > 0 {
            return Ok(LockAttempt::Busy(None));
        }
        state.held += 1;
        Ok(LockAttempt::Taken(Box::new(Release(self.clone()))))
    }
}

struct Release(FakeWorld);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.state().held -= 1;
    }
}
