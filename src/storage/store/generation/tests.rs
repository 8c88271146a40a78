//! Tests of generations: threads stand for runs, as each opens a store of its own.

use super::super::testing::{place, reopen};
use super::super::{NewOutput, StatCache};
use super::*;

#[test]
fn nobody_is_alone_while_others_have_the_store_open() {
    let p = place();
    p.write("attempt/f", "content");
    let artifact = p.keep("attempt/f", false);
    let [blob] = p.store.blobs().unwrap()[..] else { panic!("one blob") };
    assert_eq!((blob.digest, blob.size), (artifact.digest, 7));
    let looking = || Store::open_read_only(p.dir.path(), StatCache::new(Box::new(|_| None))).unwrap();
    for open in [&|| reopen(p.dir.path()), &looking as &dyn Fn() -> Store] {
        let other = open();
        assert!(p.store.alone().is_none());
        assert!(other.alone().is_none());
    }
    let alone = p.store.alone().unwrap();
    alone.remove(&artifact.digest).unwrap();
    alone.remove(&artifact.digest).unwrap();
    drop(alone);
    assert!(p.store.blobs().unwrap().is_empty());
    drop(reopen(p.dir.path()));
    assert!(p.store.alone().is_some());
}

#[test]
fn whoever_opens_the_store_waits_until_blobs_are_removed() {
    let p = place();
    let alone = p.store.alone().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send.send("begun").unwrap();
            drop(reopen(p.dir.path()));
            send.send("open").unwrap();
        });
        assert_eq!(receive.recv(), Ok("begun"));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(receive.try_recv().is_err());
        drop(alone);
        assert_eq!(receive.recv(), Ok("open"));
    });
}

/// A run: a store of its own.
struct Run {
    store: Store,
    /// Keeps temporaries until the run ends.
    attempt: tempfile::TempDir,
}

impl Run {
    fn open(home: &Path) -> Self {
        Self { store: reopen(home), attempt: tempfile::tempdir_in(home).unwrap() }
    }

    /// Makes a file of that content, as a task does.
    fn make(&self, content: &str) -> Digest {
        let path = self.attempt.path().join("f");
        fs::write(&path, content).unwrap();
        let output = NewOutput { path: &path, is_dir: false, name: "f" };
        let sealed = self.store.seal(&[output], self.attempt.path()).unwrap();
        self.store.commit(&sealed.blobs).unwrap();
        sealed.artifacts[0].digest
    }

    fn has(&self, digest: &Digest) -> bool {
        self.store.check_blob(digest).is_ok()
    }
}

/// A collection for which all blobs but those in `named` are garbage; how many it removed.
fn collect(home: &Path, named: &[Digest]) -> usize {
    let store = reopen(home);
    let collector = store.collect_beside().unwrap();
    let blobs = store.blobs().unwrap();
    let garbage: Vec<Digest> =
        blobs.iter().map(|blob| blob.digest).filter(|digest| !named.contains(digest)).collect();
    let (due, waiting): (Vec<Digest>, Vec<Digest>) =
        garbage.into_iter().partition(|digest| collector.is_due(digest));
    collector.remove(due.iter()).unwrap();
    let _ = collector.finish(&waiting.into_iter().collect()).unwrap();
    due.len()
}

fn files(home: &Path) -> usize {
    fs::read_dir(home.join("store/generations")).unwrap().count()
}

#[test]
fn garbage_goes_when_the_runs_have_ended_that_could_need_it_however_many_follow() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = Run::open(dir.path());
    let mut removed = 0;
    // At every moment a run is under way.
    for turn in 0..20 {
        let content = last.make(&format!("{turn}"));
        removed += collect(dir.path(), &[]);
        assert!(last.has(&content), "a run keeps what it made");
        let next = Run::open(dir.path());
        assert!(last.store.alone().is_none() && next.store.alone().is_none());
        last = next;
    }
    assert!(removed >= 18, "{removed}");
    assert!(files(dir.path()) <= 6, "lists and generations go as well: {}", files(dir.path()));
}

#[test]
fn a_run_takes_what_was_condemned_before_it_for_missing_and_makes_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let old = Run::open(dir.path());
    let content = old.make("content");
    assert_eq!(collect(dir.path(), &[]), 0);
    let new = Run::open(dir.path());
    assert!(old.has(&content) && !new.has(&content));
    assert_eq!(new.make("content"), content);
    assert!(new.has(&content));
    drop(old);
    assert_eq!(collect(dir.path(), &[]), 0, "it is another file now");
    assert!(new.has(&content));
    drop(new);
    collect(dir.path(), &[]);
    collect(dir.path(), &[]);
    assert!(reopen(dir.path()).blobs().unwrap().is_empty());
}

#[test]
fn what_is_needed_again_is_taken_off_the_lists() {
    let dir = tempfile::tempdir().unwrap();
    let old = Run::open(dir.path());
    let content = old.make("content");
    collect(dir.path(), &[]);
    // The old run has named it in a row.
    collect(dir.path(), &[content]);
    let new = Run::open(dir.path());
    assert!(new.has(&content));
    drop(old);
    assert_eq!(collect(dir.path(), &[]), 0, "the new run may have found the row");
    assert!(new.has(&content));
    drop(new);
    assert!(reopen(dir.path()).can_sweep());
}

#[test]
fn one_who_is_alone_ends_all_lists() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::open(dir.path());
    run.make("content");
    collect(dir.path(), &[]);
    let waiting = Run::open(dir.path());
    drop(run);
    assert!(waiting.store.alone().is_some());
    let alone = waiting.store.alone().unwrap();
    let other = || {
        let home = dir.path().to_owned();
        std::thread::spawn(move || drop(reopen(&home)))
    };
    let thread = other();
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert!(!thread.is_finished());
    alone.swept().unwrap();
    drop(alone);
    thread.join().unwrap();
    assert!(lists(&dir.path().join("store/generations")).unwrap().is_empty());
}

/// Counts a thread as ended, also one that panicked.
struct Ended<'a>(&'a std::sync::atomic::AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// All content is garbage at all times, and runs make the same content over and over: each must have what it made or
/// found until it ends.
#[test]
fn twelve_runs_at_once_lose_nothing_to_a_collection_that_never_rests() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let running = std::sync::atomic::AtomicUsize::new(12);
    let removed: usize = std::thread::scope(|scope| {
        for thread in 0..12_u32 {
            let running = &running;
            scope.spawn(move || {
                let _ended = Ended(running);
                for turn in 0..25 {
                    let run = Run::open(home);
                    let mut mine = Vec::new();
                    for i in 0..4 {
                        let content = format!("{}", (thread + turn * 3 + i) % 10);
                        let digest = Digest::of(&content);
                        match run.has(&digest) {
                            true => mine.push(digest),
                            false => mine.push(run.make(&content)),
                        }
                        std::thread::yield_now();
                    }
                    for digest in &mine {
                        assert!(run.has(digest));
                        assert_eq!(Digest::of(fs::read(run.store.blob_path(digest)).unwrap()), *digest);
                    }
                }
            });
        }
        let collector = scope.spawn(|| {
            let mut removed = 0;
            while running.load(std::sync::atomic::Ordering::SeqCst) > 0 {
                removed += collect(home, &[]);
            }
            removed
        });
        collector.join().unwrap()
    });
    assert!(removed > 0);
}
