//! What the home keeps for Python and nobody has used for long: answers for files that changed, programs of other versions.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::storage::own_folder;

/// How long something is kept that is not used.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How exactly it is known when something was used last.
const NOTED: Duration = Duration::from_secs(24 * 3600);

/// Notes that a file or folder is in use.
pub(super) fn note_use(path: &Path) {
    let is_old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > NOTED);
    if path.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_old) {
        // It goes too early, and is made again.
        let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

/// Removes from a home what nobody has used for long. What cannot be removed stays.
pub fn remove_unused(home: &Path) {
    let folder = home.join("python");
    remove_in(&folder.join("described"), |_| true);
    remove_in(&folder, |name| name.starts_with("call-"));
}

fn remove_in(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    if own_folder::open(folder).is_err() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_unused = |time: SystemTime| time.elapsed().is_ok_and(|age| age > KEPT);
        let unused = entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_unused);
        if unused && entry.file_name().to_str().is_some_and(&is_ours) {
            let _ = own_folder::remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays() {
        let home = tempfile::tempdir().unwrap();
        let described = home.path().join("python/described");
        own_folder::make(home.path()).unwrap();
        let call = |name: &str| home.path().join("python").join(name);
        for folder in [&described, &call("call-1"), &call("call-2"), &call("other")] {
            own_folder::make(folder).unwrap();
        }
        let (old, used) = (described.join("old.json"), described.join("used.json"));
        fs::write(call("call-1").join("a.py"), "").unwrap();
        let long_ago = SystemTime::now() - 2 * KEPT;
        for path in [&old, &used] {
            fs::write(path, "{}").unwrap();
        }
        for path in [&old, &used, &call("call-1"), &call("call-2"), &call("other")] {
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
        note_use(&used);
        note_use(&call("call-2"));
        remove_unused(home.path());
        assert_eq!((old.exists(), used.exists()), (false, true));
        assert_eq!(
            (call("call-1").exists(), call("call-2").exists(), call("other").exists()),
            (false, true, true)
        );
    }
}
