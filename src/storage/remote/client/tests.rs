//! The shared cache over a folder whose requests fail as a test says.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::super::backend::ObjectKind;
use super::super::entry::EntrySource;
use super::super::folder::FolderBackend;
use super::super::key::{Algorithm, make};
use super::*;
use crate::core::lock::lock;
use crate::storage::store::StatCache;

/// A folder whose requests fail as a test says, by the number of the request.
struct Faulty {
    inner: FolderBackend,
    /// What the next requests do; the last one for ever.
    script: Mutex<Vec<Fault>>,
    /// The names of the objects that were written, in order.
    written: Mutex<Vec<ObjectName>>,
    /// How old everything looks.
    age: Mutex<SignedDuration>,
    /// Whether bodies break off in the middle.
    truncates: AtomicBool,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Passing,
    Lasting,
    /// The work is done, and the answer is lost.
    Lost,
}

impl Faulty {
    fn next(&self) -> Fault {
        let mut script = lock(&self.script);
        if script.len() > 1 { script.remove(0) } else { script.first().copied().unwrap_or(Fault::None) }
    }

    fn meet<T>(&self, work: impl FnOnce() -> Result<T, RemoteFault>) -> Result<T, RemoteFault> {
        match self.next() {
            Fault::None => work(),
            Fault::Passing => Err(RemoteFault::passing("it is busy")),
            Fault::Lasting => Err(RemoteFault::lasting("it refuses")),
            Fault::Lost => {
                work()?;
                Err(RemoteFault::passing("the answer was lost"))
            }
        }
    }

    fn aged(&self, looks: ObjectLooks) -> ObjectLooks {
        ObjectLooks { modified: looks.modified.map(|modified| modified - *lock(&self.age)), ..looks }
    }
}

struct Shared(Arc<Faulty>);

impl Backend for Shared {
    fn get(&self, name: &ObjectName) -> Result<Option<ReadObject>, RemoteFault> {
        let read = self.0.meet(|| self.0.inner.get(name))?;
        Ok(read.map(|ReadObject { looks, content }| {
            let content: Box<dyn Read + Send> = match self.0.truncates.load(Ordering::Relaxed) {
                true => Box::new(content.take(looks.size / 2).chain(Broken)),
                false => content,
            };
            ReadObject { looks: self.0.aged(looks), content }
        }))
    }

    fn look(&self, name: &ObjectName) -> Result<Option<ObjectLooks>, RemoteFault> {
        Ok(self.0.meet(|| self.0.inner.look(name))?.map(|looks| self.0.aged(looks)))
    }

    fn create(&self, name: &ObjectName, content: ObjectContent) -> Result<Creation, RemoteFault> {
        self.0.meet(|| {
            let made = self.0.inner.create(name, content)?;
            if made == Creation::Made {
                lock(&self.0.written).push(name.clone());
            }
            Ok(made)
        })
    }

    fn replace(&self, name: &ObjectName, content: ObjectContent) -> Result<(), RemoteFault> {
        self.0.meet(|| {
            lock(&self.0.written).push(name.clone());
            self.0.inner.replace(name, content)
        })
    }

    fn remove(&self, name: &ObjectName) -> Result<(), RemoteFault> {
        self.0.meet(|| self.0.inner.remove(name))
    }

    fn list(
        &self,
        kind: ObjectKind,
        visit: &mut dyn FnMut(ObjectName, ObjectLooks),
    ) -> Result<(), RemoteFault> {
        self.0.meet(|| self.0.inner.list(kind, &mut |name, looks| visit(name, self.0.aged(looks))))
    }
}

/// A body that breaks off.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

/// A home, and a shared cache that others use as well.
struct Place {
    dir: tempfile::TempDir,
    store: Store,
    backend: Arc<Faulty>,
    cache: RemoteCache,
    tally: RemoteTally,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = store_at(&dir, "home");
    let backend = Arc::new(Faulty {
        inner: FolderBackend::new(dir.path().join("shared")),
        script: Mutex::default(),
        written: Mutex::default(),
        age: Mutex::default(),
        truncates: AtomicBool::new(false),
    });
    let key = SigningKey::parse(&make(Algorithm::HmacSha256).unwrap()).unwrap();
    let cache = RemoteCache {
        backend: Box::new(Shared(backend.clone())),
        url: "file:///shared".into(),
        trust: Trust { keys: vec![key.trusted()], unsigned: false },
        key: Some(key),
        mode: CacheMode::ReadWrite,
        max_size: u64::MAX,
        jobs: 1,
        upload_wait: Duration::ZERO,
        timeout: Duration::from_secs(60),
        breaker: Arc::default(),
    };
    Place { dir, store, backend, cache, tally: RemoteTally::default() }
}

fn store_at(dir: &tempfile::TempDir, name: &str) -> Store {
    Store::open(&dir.path().join(name), StatCache::new(Box::new(|_| None))).unwrap()
}

impl Place {
    /// A result whose files are in the store of this home.
    fn result(&self, key: &str, texts: &[&str]) -> RemoteEntry {
        let mut blobs = Vec::new();
        let mut outputs = serde_json::Map::new();
        for text in texts {
            let digest = Digest::of(text);
            let blob = self.store.receive(&digest, text.len() as u64, &mut text.as_bytes()).unwrap();
            self.store.commit(&[blob]).unwrap();
            blobs.push(RemoteBlob { digest, size: text.len() as u64 });
            outputs.insert((*text).into(), json!({"digest": digest, "size": text.len(), "name": "f"}));
        }
        RemoteEntry {
            v: RemoteEntry::VERSION,
            key: Digest::of(key),
            project: "p".into(),
            domain: "d".into(),
            task: "w.t".into(),
            interface: Digest::of("i"),
            outputs,
            blobs,
            duration_ms: 1,
            created: Timestamp::now(),
            source: EntrySource { run: "run".into(), node: "n".into() },
        }
    }

    fn upload(&self, entry: &RemoteEntry, replaces: bool) -> Result<Uploaded, UploadError> {
        let entry = RemoteEntry { blobs: Vec::new(), ..entry.clone() };
        self.cache.upload(entry, &self.store, replaces, &self.tally)
    }

    /// The lookup of a home that has nothing yet.
    fn fetch(&self, key: &str) -> Fetched {
        let store = store_at(&self.dir, &format!("home-{}", Timestamp::now().as_nanosecond()));
        self.cache.fetch(&wanted(key), &store, &self.tally)
    }

    fn expect_refused(&self, key: &str, expected: &str) {
        match self.fetch(key) {
            Fetched::Refused(text) => assert!(text.contains(expected), "{text}"),
            Fetched::Absent => panic!("absent"),
            Fetched::Found(_) => panic!("found"),
            Fetched::Failed(fault) => panic!("{fault}"),
        }
    }

    fn expect_found(&self, key: &str) -> RemoteEntry {
        match self.fetch(key) {
            Fetched::Found(result) => result.entry,
            Fetched::Refused(text) => panic!("{text}"),
            Fetched::Absent => panic!("absent"),
            Fetched::Failed(fault) => panic!("{fault}"),
        }
    }

    fn script(&self, faults: &[Fault]) {
        *lock(&self.backend.script) = faults.to_vec();
    }

    fn path(&self, name: &ObjectName) -> std::path::PathBuf {
        self.dir.path().join("shared").join(name.to_string())
    }
}

fn wanted(key: &str) -> RemoteLookup {
    RemoteLookup {
        key: Digest::of(key),
        project: "p".into(),
        domain: "d".into(),
        task: "w.t".into(),
        interface: Digest::of("i"),
        max_age: None,
    }
}

fn entry_of(key: &str) -> ObjectName {
    ObjectName::Entry(Digest::of(key))
}

fn blob_of(text: &str) -> ObjectName {
    ObjectName::Blob(Digest::of(text))
}

#[test]
fn what_one_home_uploads_another_one_has() {
    let p = place();
    assert!(matches!(p.fetch("k"), Fetched::Absent));
    let entry = p.result("k", &["one", "two"]);
    assert_eq!(p.upload(&entry, false), Ok(Uploaded::Done));
    let written = lock(&p.backend.written).clone();
    assert_eq!(written.last(), Some(&entry_of("k")), "the entry comes last");
    assert_eq!(written.len(), 3);
    assert_eq!(p.expect_found("k"), entry);
    assert_eq!(p.upload(&entry, false), Ok(Uploaded::Same));
    let counts = p.tally.counts();
    assert_eq!((counts.misses, counts.uploaded, counts.refused, counts.errors), (1, 1, 0, 0));
    assert!(counts.bytes_up > 6 && counts.bytes_down > 6);
}

#[test]
fn the_first_writer_wins_but_for_one_who_replaces() {
    let p = place();
    let (first, second) = (p.result("k", &["one"]), p.result("k", &["two"]));
    assert_eq!(p.upload(&first, false), Ok(Uploaded::Done));
    assert_eq!(p.upload(&second, false), Ok(Uploaded::Conflict));
    assert_eq!(p.expect_found("k").outputs, first.outputs);
    assert_eq!(p.upload(&second, true), Ok(Uploaded::Done));
    assert_eq!(p.expect_found("k").outputs, second.outputs);
    assert_eq!(p.tally.counts().conflicts, 1);
}

#[test]
fn an_answer_that_is_lost_changes_nothing() {
    let p = place();
    let entry = p.result("k", &["one"]);
    // The blob and the entry are made twice.
    p.script(&[Fault::Lost, Fault::None, Fault::None, Fault::Lost, Fault::None]);
    assert_eq!(p.upload(&entry, false), Ok(Uploaded::Same));
    assert_eq!(p.expect_found("k"), entry);
}

#[test]
fn poison_is_refused_named_and_healed_by_the_next_writer() {
    for poison in [
        "flipped",
        "empty",
        "torn",
        "unsigned",
        "of another key",
        "junk",
        "wrong blob",
        "short blob",
        "no blob",
    ] {
        let p = place();
        let entry = p.result("k", &["one"]);
        p.upload(&entry, false).unwrap();
        p.upload(&p.result("other", &["two"]), false).unwrap();
        let (own, blob) = (p.path(&entry_of("k")), p.path(&blob_of("one")));
        let bytes = std::fs::read(&own).unwrap();
        let mut of_blob = true;
        match poison {
            "wrong blob" => std::fs::write(&blob, "eno").unwrap(),
            "short blob" => std::fs::write(&blob, "on").unwrap(),
            "no blob" => std::fs::remove_file(&blob).unwrap(),
            _ => of_blob = false,
        }
        match poison {
            "flipped" => {
                let mut bytes = bytes.clone();
                let at = bytes.len() - 5;
                bytes[at] ^= 1;
                std::fs::write(&own, bytes).unwrap();
            }
            "empty" => std::fs::write(&own, "").unwrap(),
            "torn" => std::fs::write(&own, &bytes[..bytes.len() / 2]).unwrap(),
            "unsigned" => std::fs::write(&own, entry.seal(None)).unwrap(),
            "of another key" => drop(std::fs::copy(p.path(&entry_of("other")), &own).unwrap()),
            "junk" => std::fs::write(&own, [0xff; 1000]).unwrap(),
            _ => {}
        }
        let name = if of_blob { blob_of("one") } else { entry_of("k") };
        p.expect_refused("k", &p.cache.place(&name));
        // An invalid entry is replaced by whoever comes; for a blob, the miss says that it is wrong.
        assert_eq!(p.upload(&entry, of_blob), Ok(Uploaded::Done), "{poison}");
        assert_eq!(p.expect_found("k"), entry, "{poison}");
    }
}

#[test]
fn a_blob_of_another_size_is_replaced_without_being_asked_for() {
    let p = place();
    let entry = p.result("k", &["one"]);
    let blob = p.path(&blob_of("one"));
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(&blob, "longer").unwrap();
    assert_eq!(p.upload(&entry, false), Ok(Uploaded::Done));
    p.expect_found("k");
}

#[test]
fn what_passes_is_tried_again_and_what_lasts_is_not() {
    let p = place();
    let entry = p.result("k", &["one"]);
    p.upload(&entry, false).unwrap();
    p.script(&[Fault::Passing, Fault::Passing, Fault::None]);
    p.expect_found("k");
    assert_eq!(p.tally.counts().errors, 2);
    p.script(&[Fault::Lasting, Fault::None]);
    assert!(matches!(p.fetch("k"), Fetched::Failed(_)));
    assert_eq!(p.tally.counts().errors, 3);
}

#[test]
fn after_three_failures_in_a_row_nothing_is_asked_any_more() {
    let p = place();
    p.script(&[Fault::Lasting]);
    for _ in 0..10 {
        assert!(matches!(p.fetch("k"), Fetched::Failed(_)));
    }
    assert_eq!(p.tally.counts().errors, 3);
    let entry = p.result("k", &["one"]);
    assert!(matches!(p.upload(&entry, false), Err(UploadError::Remote(_))));
    assert_eq!(p.tally.counts().errors, 3);
}

#[test]
fn a_body_that_breaks_off_is_a_fault_and_not_poison() {
    let p = place();
    let entry = p.result("k", &["one"]);
    p.upload(&entry, false).unwrap();
    p.backend.truncates.store(true, Ordering::Relaxed);
    match p.fetch("k") {
        Fetched::Failed(fault) => assert!(fault.message.contains("v1/entries"), "{fault}"),
        _ => panic!("it was used"),
    }
    assert_eq!(p.tally.counts().errors, 3);
}

#[test]
fn a_hit_puts_an_old_entry_again_and_a_writer_does_not_trust_an_old_blob() {
    let p = place();
    let entry = p.result("k", &["one"]);
    p.upload(&entry, false).unwrap();
    lock(&p.backend.written).clear();
    p.expect_found("k");
    assert_eq!(p.upload(&p.result("l", &["one"]), false), Ok(Uploaded::Done));
    assert_eq!(*lock(&p.backend.written), [entry_of("l")]);
    lock(&p.backend.written).clear();
    *lock(&p.backend.age) = SignedDuration::from_hours(8 * 24);
    p.expect_found("k");
    assert_eq!(*lock(&p.backend.written), [entry_of("k")]);
    lock(&p.backend.written).clear();
    assert_eq!(p.upload(&p.result("m", &["one"]), false), Ok(Uploaded::Done));
    assert_eq!(*lock(&p.backend.written), [blob_of("one"), entry_of("m")]);
}

#[test]
fn an_old_result_counts_as_none_where_age_counts() {
    let p = place();
    let mut entry = p.result("k", &["one"]);
    entry.created = Timestamp::now() - SignedDuration::from_hours(2);
    p.upload(&entry, false).unwrap();
    let wanted = RemoteLookup { max_age: Some(SignedDuration::from_hours(1)), ..wanted("k") };
    assert!(matches!(p.cache.fetch(&wanted, &p.store, &p.tally), Fetched::Absent));
}

#[test]
fn racing_writers_agree() {
    let p = place();
    let results: Vec<RemoteEntry> =
        (0..4).map(|i| p.result("k", &[["zero", "one", "two", "three"][i]])).collect();
    let ended: HashMap<usize, Result<Uploaded, UploadError>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|i| {
                let (p, entry) = (&p, &results[i % 4]);
                scope.spawn(move || (i, p.upload(entry, false)))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let done: Vec<usize> = (0..8).filter(|i| ended[i] == Ok(Uploaded::Done)).collect();
    assert_eq!(done.len(), 1, "{ended:?}");
    let winner = done[0] % 4;
    for i in 0..8 {
        let expected = if i % 4 == winner { Uploaded::Same } else { Uploaded::Conflict };
        assert!(i == done[0] || ended[&i] == Ok(expected), "{ended:?}");
    }
    assert_eq!(p.expect_found("k").outputs, results[winner].outputs);
}

#[test]
fn a_sweep_takes_old_entries_and_blobs_that_no_entry_names() {
    use super::super::sweep::{RemoteLimits, sweep, verify};
    let p = place();
    p.upload(&p.result("a", &["one", "both"]), false).unwrap();
    p.upload(&p.result("b", &["two", "both"]), false).unwrap();
    let stray = p.path(&blob_of("stray"));
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, "stray").unwrap();
    let limits = |age| RemoteLimits { age, size: None };
    let now = Timestamp::now();
    assert_eq!(sweep(&p.cache, limits(None), false, now).unwrap().blobs, 0, "a young blob may be on its way");
    *lock(&p.backend.age) = SignedDuration::from_hours(48);
    let day = Some(SignedDuration::from_hours(24));
    let tried = sweep(&p.cache, limits(None), true, now).unwrap();
    assert_eq!((tried.entries, tried.blobs), (0, 1));
    assert!(stray.exists());
    assert_eq!(sweep(&p.cache, limits(None), false, now).unwrap(), tried);
    assert!(!stray.exists());
    assert!(verify(&p.cache, &|_| true).unwrap().wrong.is_empty());
    // One of the two fits.
    let size = Some(tried.left / 2 + 4);
    let swept = sweep(&p.cache, RemoteLimits { age: None, size }, false, now).unwrap();
    assert_eq!((swept.entries, swept.blobs), (1, 1));
    assert!(verify(&p.cache, &|_| true).unwrap().wrong.is_empty());
    let rest = sweep(&p.cache, limits(day), false, now).unwrap();
    assert_eq!((rest.entries, rest.blobs, rest.left), (1, 2, 0));
}

#[test]
fn whoever_trusts_nobody_removes_nothing() {
    use super::super::sweep::{RemoteLimits, sweep};
    let mut p = place();
    p.upload(&p.result("a", &["one"]), false).unwrap();
    p.cache.trust.keys.clear();
    *lock(&p.backend.age) = SignedDuration::from_hours(48);
    let fault = sweep(&p.cache, RemoteLimits::default(), false, Timestamp::now()).unwrap_err();
    assert!(fault.message.contains("remote_trust"), "{fault}");
    assert!(p.path(&entry_of("a")).exists());
}

#[test]
fn a_look_through_names_what_is_wrong() {
    use super::super::sweep::verify;
    let p = place();
    for key in ["a", "b", "c"] {
        p.upload(&p.result(key, &[key]), false).unwrap();
    }
    std::fs::write(p.path(&entry_of("a")), "junk").unwrap();
    std::fs::write(p.path(&blob_of("b")), "x").unwrap();
    std::fs::remove_file(p.path(&blob_of("c"))).unwrap();
    let findings = verify(&p.cache, &|_| true).unwrap();
    assert_eq!((findings.entries, findings.wrong.len()), (3, 3));
    for name in [entry_of("a"), blob_of("b"), blob_of("c")] {
        assert!(findings.wrong.iter().any(|wrong| wrong.contains(&name.to_string())), "{findings:?}");
    }
}
