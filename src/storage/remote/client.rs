//! A shared cache as runs use it: results in and out, in the order that keeps readers from ever seeing half of one.
//!
//! In: the entry, its signature, what was asked for, then each blob into the store. Out: the blobs, then the entry; both only
//! where there is none. Nothing fails a run: a request that fails is tried again if that may help, and after a few the remote
//! is left alone for a while.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::backend::{Backend, Creation, ObjectContent, ObjectLooks, ObjectName, ReadObject, RemoteFault};
use super::breaker::Breaker;
use super::entry::{MAX_ENTRY_BYTES, Refusal, RemoteBlob, RemoteEntry, RemoteLookup, Trust, files_of};
use super::key::SigningKey;
use super::tally::{RemoteTally, more, one};
use crate::core::digest::Digest;
use crate::core::run_request::CacheMode;
use crate::storage::store::{BlobContent, InStore, PendingBlob, ReceiveError, Store};

/// How often a request is made before its failure counts.
const MAX_TRIES: u32 = 3;
/// The wait before the second try; three times as long before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// A hit re-puts an entry that is older: collections go by its age.
const REFRESH_ENTRY_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A writer does not trust that an older blob stays.
const TRUST_BLOB_FOR: SignedDuration = SignedDuration::from_hours(12);
/// Larger blobs are looked for before they are sent.
const LOOK_BEFORE: u64 = 64 << 10;

/// A shared cache.
pub struct RemoteCache {
    pub backend: Box<dyn Backend>,
    /// Its address, as people write it.
    pub url: Arc<str>,
    /// `None` where entries are not signed, or nothing is written.
    pub key: Option<SigningKey>,
    pub trust: Trust,
    pub mode: CacheMode,
    /// Larger results are not uploaded; in bytes.
    pub max_size: u64,
    /// How many requests go on at once.
    pub jobs: usize,
    /// How long the end of a run waits for uploads.
    pub upload_wait: Duration,
    /// How long a request may make no progress.
    pub timeout: Duration,
    pub breaker: Arc<Breaker>,
}

/// What a lookup has found.
pub enum Fetched {
    Absent,
    Found(Box<FetchedResult>),
    /// Something is wrong with what is there: a sentence that names the object.
    Refused(String),
    /// It could not be asked.
    Failed(RemoteFault),
}

/// A result whose content is in the store.
pub struct FetchedResult {
    pub entry: RemoteEntry,
    /// To be committed with the row that names them.
    pub blobs: Vec<PendingBlob>,
}

/// What has become of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// Others can have it now.
    Done,
    /// It was there.
    Same,
    /// There is another result, which stays.
    Conflict,
}

/// Why a result was not uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadError {
    /// It can be tried again.
    Remote(RemoteFault),
    /// A file of it is not here, or damaged.
    Local(String),
}

impl From<RemoteFault> for UploadError {
    fn from(fault: RemoteFault) -> Self {
        Self::Remote(fault)
    }
}

impl RemoteCache {
    /// The address of an object.
    pub fn place(&self, name: &ObjectName) -> String {
        format!("{}/{name}", self.url)
    }

    /// Makes a request, again if that may help.
    ///
    /// # Errors
    /// The remote is off, or the request failed each time.
    pub fn attempt<T>(
        &self,
        tally: &RemoteTally,
        mut request: impl FnMut() -> Result<T, RemoteFault>,
    ) -> Result<T, RemoteFault> {
        let mut wait = FIRST_WAIT;
        for tried in 1.. {
            if !self.breaker.admits(Instant::now()) {
                break;
            }
            match request() {
                Ok(answer) => {
                    self.breaker.succeeded();
                    return Ok(answer);
                }
                Err(fault) => {
                    one(&tally.errors);
                    self.breaker.failed(Instant::now(), fault.is_timeout);
                    if !fault.passes || tried == MAX_TRIES {
                        return Err(fault);
                    }
                }
            }
            std::thread::sleep(wait);
            wait *= 3;
        }
        Err(RemoteFault::lasting("it is off for a while, after requests that failed"))
    }

    /// Brings a result into the store, if it is there and everything about it is right.
    pub fn fetch(&self, wanted: &RemoteLookup, store: &Store, tally: &RemoteTally) -> Fetched {
        let fetched = self.try_fetch(wanted, store, tally);
        match &fetched {
            Fetched::Absent => one(&tally.misses),
            Fetched::Refused(_) => one(&tally.refused),
            Fetched::Found(_) | Fetched::Failed(_) => {}
        }
        fetched
    }

    fn try_fetch(&self, wanted: &RemoteLookup, store: &Store, tally: &RemoteTally) -> Fetched {
        let name = ObjectName::Entry(wanted.key);
        let (bytes, looks) = match self.attempt(tally, || self.read_entry(&name)) {
            Ok(None) => return Fetched::Absent,
            Ok(Some(found)) => found,
            Err(fault) => return Fetched::Failed(fault),
        };
        more(&tally.bytes_down, bytes.len() as u64);
        let refuse = |name: &ObjectName, problem: &dyn std::fmt::Display| {
            Fetched::Refused(format!("{} is not used: {problem}", self.place(name)))
        };
        let opened =
            RemoteEntry::open(&bytes, &self.trust).and_then(|entry| entry.expect(wanted).map(|()| entry));
        let entry = match opened {
            Ok(entry) => entry,
            Err(refusal) => return refuse(&name, &refusal),
        };
        if entry.is_aged(wanted, Timestamp::now()) {
            return Fetched::Absent;
        }
        let mut blobs = Vec::new();
        for blob in &entry.blobs {
            match self.fetch_blob(blob, store, tally) {
                Ok(fetched) => blobs.extend(fetched),
                Err(BlobError::Refused(refusal)) => return refuse(&ObjectName::Blob(blob.digest), &refusal),
                Err(BlobError::Failed(fault)) => return Fetched::Failed(fault),
            }
        }
        if self.mode.writes() && is_older(looks, REFRESH_ENTRY_AFTER) {
            // Without it the entry goes a little earlier.
            let _ = self.attempt(tally, || self.backend.replace(&name, ObjectContent::Bytes(&bytes)));
        }
        Fetched::Found(Box::new(FetchedResult { entry, blobs }))
    }

    /// The bytes of an entry: one more than an entry may have, at most.
    ///
    /// # Errors
    /// The request failed.
    pub fn read_entry(&self, name: &ObjectName) -> Result<Option<(Vec<u8>, ObjectLooks)>, RemoteFault> {
        let Some(ReadObject { looks, content }) = self.backend.get(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = content.take(MAX_ENTRY_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| RemoteFault::passing(format!("{name} broke off: {error}")))?;
        Ok(Some((bytes, looks)))
    }

    fn fetch_blob(
        &self,
        blob: &RemoteBlob,
        store: &Store,
        tally: &RemoteTally,
    ) -> Result<Option<PendingBlob>, BlobError> {
        let RemoteBlob { digest, size } = blob;
        match store.find(digest) {
            InStore::Durable => return Ok(None),
            InStore::Pending(pending) => return Ok(Some(pending)),
            InStore::No => {}
        }
        let name = ObjectName::Blob(*digest);
        let received = self.attempt(tally, || {
            let Some(ReadObject { mut content, .. }) = self.backend.get(&name)? else { return Ok(None) };
            match store.receive(digest, *size, &mut content) {
                Err(ReceiveError::Source(error)) => {
                    Err(RemoteFault::passing(format!("{name} broke off: {error}")))
                }
                received => Ok(Some(received)),
            }
        });
        match received {
            Ok(Some(Ok(pending))) => {
                more(&tally.bytes_down, *size);
                Ok(Some(pending))
            }
            Ok(None) => Err(BlobError::Refused(Refusal("an entry names it, and it is not there".into()))),
            Ok(Some(Err(ReceiveError::Wrong))) => {
                Err(BlobError::Refused(Refusal(ReceiveError::Wrong.to_string())))
            }
            Ok(Some(Err(error))) => Err(BlobError::Failed(RemoteFault::lasting(error.to_string()))),
            Err(fault) => Err(BlobError::Failed(fault)),
        }
    }

    /// Uploads a result: its blobs, which are noted in the entry, and only then the entry.
    ///
    /// # Errors
    /// The remote does not answer as it should, or a file of the result is not here.
    pub fn upload(
        &self,
        mut entry: RemoteEntry,
        store: &Store,
        replaces: bool,
        tally: &RemoteTally,
    ) -> Result<Uploaded, UploadError> {
        let mut waiting: Vec<Digest> = files_of(&entry.outputs).iter().map(|file| file.digest).collect();
        let outputs = waiting.len();
        let mut seen = HashSet::new();
        let mut next = 0;
        while let Some(digest) = waiting.get(next).copied() {
            next += 1;
            if !seen.insert(digest) {
                continue;
            }
            let content = store.content(&digest).map_err(|damage| UploadError::Local(damage.to_string()))?;
            self.upload_blob(digest, &content, replaces, tally)?;
            entry.blobs.push(RemoteBlob { digest, size: content.size() });
            if next <= outputs {
                let parts = content.parts();
                waiting.extend(parts.map_err(|error| {
                    UploadError::Local(format!("the file {digest} cannot be read: {error}"))
                })?);
            }
        }
        let name = ObjectName::Entry(entry.key);
        let bytes = entry.seal(self.key.as_ref());
        if bytes.len() as u64 > MAX_ENTRY_BYTES {
            return Err(UploadError::Local("it is larger than an entry may be".into()));
        }
        let content = ObjectContent::Bytes(&bytes);
        if !replaces {
            let created = self.attempt(tally, || self.backend.create(&name, content))?;
            if created == Creation::Exists {
                match self.compare(&entry, &name, tally)? {
                    Some(Uploaded::Conflict) => {
                        one(&tally.conflicts);
                        return Ok(Uploaded::Conflict);
                    }
                    Some(same) => return Ok(same),
                    None => self.attempt(tally, || self.backend.replace(&name, content))?,
                }
            }
        } else {
            self.attempt(tally, || self.backend.replace(&name, content))?;
        }
        one(&tally.uploaded);
        more(&tally.bytes_up, content.size());
        Ok(Uploaded::Done)
    }

    /// What the entry that is there means for the one to be made; `None` if it is to be replaced.
    fn compare(
        &self,
        entry: &RemoteEntry,
        name: &ObjectName,
        tally: &RemoteTally,
    ) -> Result<Option<Uploaded>, RemoteFault> {
        let Some((bytes, _)) = self.attempt(tally, || self.read_entry(name))? else { return Ok(None) };
        more(&tally.bytes_down, bytes.len() as u64);
        let RemoteEntry { key, project, domain, task, interface, .. } = entry.clone();
        let wanted = RemoteLookup { key, project, domain, task, interface, max_age: None };
        let found =
            RemoteEntry::open(&bytes, &self.trust).and_then(|found| found.expect(&wanted).map(|()| found));
        Ok(match found {
            Ok(found) if found.outputs == entry.outputs => Some(Uploaded::Same),
            Ok(_) => Some(Uploaded::Conflict),
            Err(_) => None,
        })
    }

    fn upload_blob(
        &self,
        digest: Digest,
        content: &BlobContent,
        replaces: bool,
        tally: &RemoteTally,
    ) -> Result<(), UploadError> {
        let (name, size) = (ObjectName::Blob(digest), content.size());
        let content = match content {
            BlobContent::Small(bytes) => ObjectContent::Bytes(bytes),
            BlobContent::Large { file, size } => ObjectContent::File { file, size: *size, digest },
        };
        let stays = |looks: Option<ObjectLooks>| {
            looks.is_some_and(|looks| looks.size == size && !is_older(looks, TRUST_BLOB_FOR))
        };
        let look = || self.attempt(tally, || self.backend.look(&name));
        if !replaces {
            if size > LOOK_BEFORE {
                let found = look()?;
                if stays(found) {
                    return Ok(());
                }
                if found.is_none() && self.create(&name, content, tally)? == Creation::Made {
                    return Ok(());
                }
            } else if self.create(&name, content, tally)? == Creation::Made || stays(look()?) {
                return Ok(());
            }
        }
        self.attempt(tally, || self.backend.replace(&name, content))?;
        more(&tally.bytes_up, size);
        Ok(())
    }

    fn create(
        &self,
        name: &ObjectName,
        content: ObjectContent,
        tally: &RemoteTally,
    ) -> Result<Creation, RemoteFault> {
        let created = self.attempt(tally, || self.backend.create(name, content))?;
        if created == Creation::Made {
            more(&tally.bytes_up, content.size());
        }
        Ok(created)
    }

    /// Writes an object, reads it back and removes it: as far as the mode allows.
    ///
    /// # Errors
    /// What does not work.
    pub fn trial(&self) -> Result<(), RemoteFault> {
        let now = Timestamp::now().as_nanosecond();
        let name = ObjectName::Check(Digest::of(format!("{}\0{now}", std::process::id())));
        if !self.mode.writes() {
            return self.backend.look(&name).map(drop);
        }
        let text = b"runner config --check";
        self.backend.create(&name, ObjectContent::Bytes(text))?;
        let read = self.read_entry(&name);
        self.backend.remove(&name)?;
        match read? {
            Some((bytes, _)) if bytes == text => Ok(()),
            _ => Err(RemoteFault::lasting("it does not return what was written")),
        }
    }
}

/// Why a blob was not fetched.
enum BlobError {
    Refused(Refusal),
    Failed(RemoteFault),
}

/// Whether an object was made longer ago, by the clocks of both sides. What does not say when is old.
fn is_older(looks: ObjectLooks, than: SignedDuration) -> bool {
    looks.modified.is_none_or(|modified| Timestamp::now().duration_since(modified) > than)
}

#[cfg(test)]
mod tests;
