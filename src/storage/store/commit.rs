//! From sealed content to durable blobs: the bytes first, then the name, then the folder.
//!
//! Only when all of that is on the disk may a row name them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Store;
use super::stat::FileStat;
use super::sync::sync_each;
use super::temp::{Blob, PendingBlob, Temp, TempState};
use crate::core::lock::lock;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

impl Store {
    /// Makes blobs durable under their final names; damaged ones that stand there are replaced. Groups are
    /// cheaper than single blobs, for each folder is written once. After an error some of the blobs may have
    /// become durable: the group can be tried again, or one by one to find the one that failed.
    ///
    /// # Errors
    /// A blob or folder cannot be written or synced.
    pub fn commit(&self, blobs: &[PendingBlob]) -> io::Result<()> {
        let _one_at_a_time = lock(&self.committing);
        let temps: Vec<&Temp> = blobs
            .iter()
            .filter_map(|PendingBlob(blob)| match blob {
                Blob::Temp(temp) => Some(&**temp),
                Blob::Held(_) => None,
            })
            .collect();
        sync_each(&temps, |temp| sync_content(temp))?;
        let mut folders = BTreeSet::new();
        let _no_collector = self.lock_condemned(temps.iter().map(|temp| &temp.digest));
        for PendingBlob(blob) in blobs {
            match blob {
                Blob::Temp(temp) => self.give_name(temp, &mut folders)?,
                Blob::Held(seen) => touch(&self.blob_path(&seen.digest), &mut folders),
            }
        }
        for folder in &folders {
            own_folder::open(folder)?.sync_all()?;
        }
        for PendingBlob(blob) in blobs {
            match blob {
                Blob::Temp(temp) => self.note_durable(temp),
                Blob::Held(seen) if seen.young => {}
                Blob::Held(seen) => self.stats.record(&seen.stat, seen.digest),
            }
        }
        Ok(())
    }

    fn give_name(&self, temp: &Temp, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let path = self.blob_path(&temp.digest);
        match temp.state() {
            TempState::Durable => return Ok(()),
            TempState::Named => {}
            TempState::Lost | TempState::Waiting => {
                if let Err(e) = fs::rename(temp.path(), &path) {
                    let Some(folder) = path.parent().filter(|_| e.kind() == io::ErrorKind::NotFound) else {
                        return Err(e);
                    };
                    own_folder::make(folder)?;
                    touch(folder, folders);
                    fs::rename(temp.path(), &path)?;
                }
                temp.becomes(TempState::Named);
                self.pending.remove(&temp.digest);
            }
        }
        touch(&path, folders);
        Ok(())
    }

    fn note_durable(&self, temp: &Temp) {
        if temp.state() == TempState::Durable {
            return;
        }
        temp.becomes(TempState::Durable);
        // It was not written to since it was sealed, young or not: its name is new. If it is gone again,
        // whoever looks for it will notice.
        if let Ok(metadata) = fs::symlink_metadata(self.blob_path(&temp.digest)) {
            self.stats.record(&FileStat::of(&metadata), temp.digest);
            self.added.fetch_add(metadata.len(), Ordering::Relaxed);
        }
    }
}

fn sync_content(temp: &Temp) -> io::Result<()> {
    match temp.state() {
        TempState::Named | TempState::Durable => Ok(()),
        TempState::Lost => Err(io::Error::other("its content could not be written before")),
        TempState::Waiting => own_file::open(temp.path(), Access::Read)
            .and_then(|file| file.sync_data())
            // The kernel reports a failed write once and may then call the pages clean.
            .inspect_err(|_| temp.becomes(TempState::Lost)),
    }
}

/// Notes the folder that `path` was put into.
fn touch(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    if let Some(folder) = path.parent()
        && !folders.contains(folder)
    {
        folders.insert(folder.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::testing::{place, reopen};
    use super::super::{LargeFiles, NewOutput};
    use super::*;
    use crate::core::staging::Staging;

    #[test]
    fn threads_that_seal_commit_and_stage_the_same_content_agree() {
        let p = place();
        let (send, receive) = mpsc::channel::<Vec<PendingBlob>>();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (p, send) = (&p, send.clone());
                scope.spawn(move || {
                    for i in 0..60 {
                        let name = format!("attempt/{thread}-{i}");
                        p.write(&name, &format!("content {}", i / 3));
                        let (artifact, blobs) = p.seal(&name, false).unwrap();
                        let how = if i % 7 == 0 { Staging::Link } else { Staging::Auto };
                        let target = p.path(&format!("user/{thread}-{i}"));
                        send.send(blobs).unwrap();
                        // Whether it has its final name by now is a matter of luck, and must not matter.
                        p.store.stage(&artifact, false, &target, how, LargeFiles::Copy).unwrap();
                        assert_eq!(fs::read_to_string(target).unwrap(), format!("content {}", i / 3));
                    }
                });
            }
            drop(send);
            while let Ok(mut group) = receive.recv() {
                group.extend(receive.try_iter().take(8).flatten());
                p.store.commit(&group).unwrap();
            }
        });
        let fresh: BTreeSet<_> =
            p.store.stats().drain_fresh().iter().map(|(_, entry)| entry.digest).collect();
        assert_eq!(fresh.len(), 20);
        let other = reopen(p.dir.path());
        for digest in &fresh {
            other.check_blob(digest).unwrap();
        }
        let temp_folder = p.store.lease().unwrap();
        assert_eq!(fs::read_dir(temp_folder.fresh_path().parent().unwrap()).unwrap().count(), 0);
    }

    /// Who gives a blob its name a second time changes the link count, and with it the ctime, of the file that another
    /// process reads just then: that is no damage.
    #[test]
    fn processes_that_store_the_same_content_do_not_take_it_for_damaged() {
        let p = place();
        for round in 0..30 {
            let content = format!("{round}{}", "x".repeat(1 << 20));
            let seal = |store: &Store, name: &str| {
                let path = p.write(&format!("attempt/{round}-{name}"), &content);
                let output = NewOutput { path: &path, is_dir: false, name: "result" };
                store.seal(&[output], &p.path("attempt")).unwrap()
            };
            // As three processes that know nothing of each other.
            let [a, b, c] = [(); 3].map(|()| reopen(p.dir.path()));
            let sealed = [seal(&a, "a"), seal(&b, "b")];
            a.commit(&sealed[0].blobs).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| b.commit(&sealed[1].blobs).unwrap());
                for again in 0..4 {
                    seal(&c, &format!("c{again}"));
                }
            });
        }
        assert!(!p.dir.path().join("store/damaged").exists());
    }

    #[test]
    fn content_that_was_lost_is_not_named() {
        let p = place();
        p.write("attempt/f", "content");
        let (artifact, blobs) = p.seal("attempt/f", false).unwrap();
        // As if the disk had failed.
        let [PendingBlob(Blob::Temp(temp))] = blobs.as_slice() else { panic!("one temporary") };
        temp.becomes(TempState::Lost);
        assert!(p.store.commit(&blobs).is_err());
        p.store.stage(&artifact, false, &p.path("user/f"), Staging::Auto, LargeFiles::Copy).unwrap();
        p.write("attempt/f", "content");
        let again = p.keep("attempt/f", false);
        p.store.verify(&again, false).unwrap();
        assert!(p.store.commit(&blobs).is_err(), "it stays lost");
        drop(blobs);
        p.store.verify(&again, false).unwrap();
    }
}
