//! A session over a folder whose server is gone: requests that never end by themselves.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::super::backend::{
    Backend, Creation, ObjectContent, ObjectKind, ObjectLooks, ReadObject, RemoteFault,
};
use super::super::client::Fetched;
use super::super::entry::Trust;
use super::*;
use crate::core::run_request::CacheMode;
use crate::storage::db;
use crate::storage::memo::{FoundResult, MemoEntry, sqlite};
use crate::storage::store::StatCache;
use crate::storage::upload_queue;

/// Hangs until the other end of the channel is dropped; then there is nothing.
struct Hanging {
    released: Mutex<Receiver<()>>,
    since: Instant,
}

impl Hanging {
    fn hang(&self) {
        let _ = self.released.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

impl Backend for Hanging {
    fn get(&self, _: &ObjectName) -> Result<Option<ReadObject>, RemoteFault> {
        self.hang();
        Ok(None)
    }

    fn look(&self, _: &ObjectName) -> Result<Option<ObjectLooks>, RemoteFault> {
        self.hang();
        Ok(None)
    }

    fn create(&self, _: &ObjectName, _: ObjectContent) -> Result<Creation, RemoteFault> {
        self.hang();
        Ok(Creation::Made)
    }

    fn replace(&self, _: &ObjectName, _: ObjectContent) -> Result<(), RemoteFault> {
        self.hang();
        Ok(())
    }

    fn remove(&self, _: &ObjectName) -> Result<(), RemoteFault> {
        self.hang();
        Ok(())
    }

    fn list(&self, _: ObjectKind, _: &mut dyn FnMut(ObjectName, ObjectLooks)) -> Result<(), RemoteFault> {
        self.hang();
        Ok(())
    }

    fn last_progress(&self) -> Option<Instant> {
        Some(self.since)
    }
}

/// A session, and what releases its requests.
fn hanging(dir: &Path) -> (RemoteSession, Sender<()>) {
    let (release, released) = channel();
    let cache = RemoteCache {
        backend: Box::new(Hanging { released: Mutex::new(released), since: Instant::now() }),
        url: "file:///gone".into(),
        key: None,
        trust: Trust { keys: Vec::new(), unsigned: true },
        mode: CacheMode::ReadWrite,
        max_size: u64::MAX,
        jobs: 2,
        upload_wait: Duration::ZERO,
        timeout: Duration::from_millis(20),
        breaker: Arc::default(),
    };
    let store = Store::open(dir, StatCache::new(Box::new(|_| None))).unwrap();
    (RemoteSession::open(Arc::new(cache), Arc::new(store), dir), release)
}

fn lookup(key: &str) -> RemoteLookup {
    RemoteLookup {
        key: Digest::of(key),
        project: "p".into(),
        domain: "d".into(),
        task: "w.t".into(),
        interface: Digest::of("i"),
        max_age: None,
    }
}

#[tokio::test]
async fn lookups_that_hang_are_given_up_once_and_the_rest_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (mut session, release) = hanging(dir.path());
    // More than there are threads.
    for unit in 0..5 {
        session.ask(unit, lookup(&unit.to_string()));
    }
    let mut given_up = Vec::new();
    while given_up.len() < 5 {
        match session.next().await {
            Some(RemoteMessage::Answer(unit, Fetched::Failed(fault))) => {
                assert_eq!(fault.message, "no answer in time");
                given_up.push(unit);
            }
            Some(RemoteMessage::Idle) => {}
            _ => panic!("another report"),
        }
    }
    given_up.sort_unstable();
    assert_eq!(given_up, [0, 1, 2, 3, 4]);
    assert!(!session.cache().breaker.admits(Instant::now()), "it is off");
    // The next one does not wait for a thread that hangs.
    session.ask(5, lookup("5"));
    loop {
        match session.next().await {
            Some(RemoteMessage::Answer(unit, Fetched::Failed(_))) => break assert_eq!(unit, 5),
            Some(RemoteMessage::Idle) => {}
            _ => panic!("another report"),
        }
    }
    // What comes after all is not reported.
    drop(release);
    std::thread::yield_now();
    assert!(session.reported().is_none_or(|message| matches!(message, RemoteMessage::Idle)));
    assert!(session.counts().errors > 0);
}

#[tokio::test]
async fn uploads_that_hang_stay_queued_and_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut session, _release) = hanging(dir.path());
    let (db, _) = db::open(dir.path()).unwrap();
    let now = Timestamp::now();
    let keys = [Digest::of("a"), Digest::of("b")];
    for key in keys {
        let found = FoundResult {
            definition: Digest::of("d"),
            outputs: r#"{"n":1}"#.into(),
            run: "r".into(),
            node: "n".into(),
            created: now,
            duration_ms: 1,
            provenance: None,
            used: now,
        };
        let entry = MemoEntry {
            key,
            project: "p".into(),
            domain: "d".into(),
            task: "w.t".into(),
            version: "1".into(),
            inputs: "{}".into(),
            interface: Some(Digest::of("i")),
            found,
        };
        sqlite::record(&db, &entry).unwrap();
        upload_queue::add(&db, &key, &session.wish(0, false).unwrap(), now).unwrap();
    }
    session.upload_queued();
    session.hurry();
    assert_eq!(session.uploads_left(), 2);
    match session.next().await {
        Some(RemoteMessage::Warning(text)) => assert!(text.contains("no answer in time"), "{text}"),
        _ => panic!("another report"),
    }
    assert!(matches!(session.next().await, Some(RemoteMessage::Idle)));
    assert_eq!((session.uploads_left(), session.counts().queued), (0, 2));
    assert!(session.has_warned() && session.is_off());
}
