//! A shared cache as a whole: what goes, and what is wrong with it.
//!
//! Entries go by their last use, which is when they were put last: a hit puts an old one again. Then blobs go that no entry
//! names; a young one may belong to an entry that is on its way. A reader that finds half of something has a miss.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::backend::{Backend, ObjectKind, ObjectLooks, ObjectName, ReadObject, RemoteFault};
use super::client::RemoteCache;
use super::entry::{RemoteBlob, RemoteEntry};
use super::tally::RemoteTally;
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::core::parallel::{AfterFailure, try_in_parallel};

/// A blob that no entry names goes when it is older.
const MIN_BLOB_AGE: SignedDuration = SignedDuration::from_hours(24);

/// What may stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoteLimits {
    pub age: Option<SignedDuration>,
    /// Of blobs and entries together, in bytes.
    pub size: Option<u64>,
}

/// What a sweep removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteSwept {
    pub entries: u64,
    pub blobs: u64,
    /// In bytes.
    pub freed: u64,
    /// What stays, in bytes.
    pub left: u64,
}

/// What is wrong with a shared cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteFindings {
    /// How many entries were read.
    pub entries: u64,
    /// How many blobs were read, and their bytes.
    pub blobs: u64,
    pub bytes: u64,
    /// A sentence each, with the name of the object.
    pub wrong: Vec<String>,
}

type Listed = Vec<(ObjectName, ObjectLooks)>;

/// Removes entries that are older than they may be, then the oldest until the rest fits, then blobs that no entry names.
///
/// # Errors
/// A request failed; what was removed before stays so.
pub fn sweep(
    cache: &RemoteCache,
    limits: RemoteLimits,
    dry_run: bool,
    now: Timestamp,
) -> Result<RemoteSwept, RemoteFault> {
    let mut entries = list(&*cache.backend, ObjectKind::Entries)?;
    entries.sort_by_key(|(name, looks)| (std::cmp::Reverse(looks.modified), name.clone()));
    let is_aged = |looks: &ObjectLooks| {
        let age = looks.modified.map(|modified| now.duration_since(modified));
        limits.age.zip(age).is_some_and(|(most, age)| age > most)
    };
    // Blobs are listed before entries are read: one that comes later is not known, and stays.
    let blobs = list(&*cache.backend, ObjectKind::Blobs)?;
    let young = |looks: &ObjectLooks| {
        looks.modified.is_none_or(|modified| now.duration_since(modified) <= MIN_BLOB_AGE)
    };
    let sizes: HashMap<Digest, u64> =
        blobs.iter().map(|(name, looks)| (digest_of(name), looks.size)).collect();
    let named = read_all(cache, &entries)?;
    let unknown = named.iter().filter(|entry| entry.is_none()).count();
    if unknown * 2 > named.len() {
        return Err(RemoteFault::lasting(format!(
            "{unknown} of {} entries are signed by nobody who is trusted here, so that nothing is removed: name their keys in \
             remote_trust",
            named.len()
        )));
    }
    let mut swept = RemoteSwept::default();
    let mut kept = HashSet::new();
    let mut gone = Vec::new();
    for ((name, looks), entry) in entries.iter().zip(named) {
        let digests: Vec<Digest> =
            entry.iter().flat_map(|entry| &entry.blobs).map(|blob| blob.digest).collect();
        let more = digests.iter().filter(|digest| !kept.contains(*digest));
        let more: u64 = looks.size + more.filter_map(|digest| sizes.get(digest)).sum::<u64>();
        let fits = limits.size.is_none_or(|most| swept.left.saturating_add(more) <= most);
        // One that does not count may be on its way, but for a moment only.
        if !is_aged(looks) && fits && (entry.is_some() || young(looks)) {
            swept.left += more;
            kept.extend(digests);
        } else {
            swept.entries += 1;
            swept.freed += looks.size;
            gone.push(name.clone());
        }
    }
    for (name, looks) in blobs.iter().filter(|(name, _)| !kept.contains(&digest_of(name))) {
        if young(looks) {
            swept.left += looks.size;
        } else {
            swept.blobs += 1;
            swept.freed += looks.size;
            gone.push(name.clone());
        }
    }
    if !dry_run {
        // Entries before blobs: nobody sees an entry whose blobs are gone.
        let split = gone.iter().position(|name| matches!(name, ObjectName::Blob(_))).unwrap_or(gone.len());
        for part in [&gone[..split], &gone[split..]] {
            try_in_parallel(cache.jobs, part, AfterFailure::Stop, |name| {
                cache.attempt(&RemoteTally::default(), || cache.backend.remove(name))
            })?;
        }
    }
    Ok(swept)
}

/// Reads entries, and a part of the blobs that they name, from 0 to 1, and says what is wrong.
///
/// # Errors
/// A request failed.
pub fn verify(
    cache: &RemoteCache,
    picks: &(dyn Fn(&Digest) -> bool + Sync),
) -> Result<RemoteFindings, RemoteFault> {
    let entries: Listed = list(&*cache.backend, ObjectKind::Entries)?
        .into_iter()
        .filter(|(name, _)| picks(&digest_of(name)))
        .collect();
    let findings = Mutex::new(RemoteFindings::default());
    let wrong = |name: &ObjectName, problem: &str| {
        lock(&findings).wrong.push(format!("{}: {problem}", cache.place(name)));
    };
    let blobs = Mutex::new(HashMap::new());
    let tally = RemoteTally::default();
    try_in_parallel(cache.jobs, &entries, AfterFailure::Stop, |(name, _)| {
        let Some((bytes, _)) = cache.attempt(&tally, || cache.read_entry(name))? else { return Ok(()) };
        lock(&findings).entries += 1;
        match RemoteEntry::open(&bytes, &cache.trust) {
            Ok(entry) if entry.key != digest_of(name) => {
                wrong(name, "it is an entry of another key, put in this place");
            }
            Ok(entry) => lock(&blobs).extend(entry.blobs.iter().map(|blob| (blob.digest, blob.size))),
            Err(refusal) => wrong(name, &refusal.0),
        }
        Ok(())
    })?;
    let blobs: Vec<RemoteBlob> = std::mem::take(&mut *lock(&blobs))
        .into_iter()
        .map(|(digest, size)| RemoteBlob { digest, size })
        .collect();
    try_in_parallel(cache.jobs, &blobs, AfterFailure::Stop, |blob| {
        let name = ObjectName::Blob(blob.digest);
        let read = cache.attempt(&tally, || {
            let Some(ReadObject { content, .. }) = cache.backend.get(&name)? else { return Ok(None) };
            let read = Digest::of_reader(content);
            read.map(Some).map_err(|error| RemoteFault::passing(format!("{name} broke off: {error}")))
        })?;
        match read {
            None => wrong(&name, "an entry names it, and it is not there"),
            Some((digest, size)) => {
                let mut findings = lock(&findings);
                findings.blobs += 1;
                findings.bytes += size;
                drop(findings);
                if digest != blob.digest || size != blob.size {
                    wrong(&name, "its content is not what its name says");
                }
            }
        }
        Ok(())
    })?;
    let mut findings = std::mem::take(&mut *lock(&findings));
    findings.wrong.sort();
    Ok(findings)
}

fn list(backend: &dyn Backend, kind: ObjectKind) -> Result<Listed, RemoteFault> {
    let mut listed = Vec::new();
    backend.list(kind, &mut |name, looks| listed.push((name, looks)))?;
    Ok(listed)
}

fn digest_of(name: &ObjectName) -> Digest {
    match name {
        ObjectName::Entry(digest) | ObjectName::Blob(digest) | ObjectName::Check(digest) => *digest,
    }
}

/// Each of the entries; `None` for one that does not count, or is gone.
fn read_all(cache: &RemoteCache, entries: &Listed) -> Result<Vec<Option<RemoteEntry>>, RemoteFault> {
    let read = Mutex::new(HashMap::new());
    try_in_parallel(cache.jobs, entries, AfterFailure::Stop, |(name, _)| {
        let bytes = cache.attempt(&RemoteTally::default(), || cache.read_entry(name))?;
        let entry = bytes.and_then(|(bytes, _)| RemoteEntry::open(&bytes, &cache.trust).ok());
        if let Some(entry) = entry.filter(|entry| entry.key == digest_of(name)) {
            lock(&read).insert(name.clone(), entry);
        }
        Ok(())
    })?;
    let mut read = std::mem::take(&mut *lock(&read));
    Ok(entries.iter().map(|(name, _)| read.remove(name)).collect())
}
