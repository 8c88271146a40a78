//! Stored files that are damaged, gone, or something else: each is a miss, and heals.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::count;
use crate::common::trial::Trial;

/// Damages a blob; the number chooses the place.
type Harm = fn(&Path, usize);

const HARMS: [(&str, Harm); 9] = [
    ("flipped bit", |path, i| {
        let mut bytes = fs::read(path).unwrap();
        let at = i * 977 % bytes.len();
        bytes[at] ^= 1 << (i % 8);
        fs::write(path, bytes).unwrap();
    }),
    ("flipped bit behind the old time", |path, i| {
        let before = fs::metadata(path).unwrap().modified().unwrap();
        let mut bytes = fs::read(path).unwrap();
        let at = i * 977 % bytes.len();
        bytes[at] ^= 0x20;
        fs::write(path, bytes).unwrap();
        fs::File::options().append(true).open(path).unwrap().set_modified(before).unwrap();
    }),
    ("cut short", |path, i| {
        let length = fs::metadata(path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(length * (i as u64 % 7) / 7).unwrap();
    }),
    ("zeros of the same size", |path, _| {
        let length = fs::metadata(path).unwrap().len() as usize;
        fs::write(path, vec![0; length]).unwrap();
    }),
    ("gone", |path, _| fs::remove_file(path).unwrap()),
    ("a FIFO", |path, _| {
        fs::remove_file(path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
    }),
    ("a folder", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("a link to equal content", |path, _| {
        let equal = path.with_extension("equal");
        fs::rename(path, &equal).unwrap();
        symlink(equal, path).unwrap();
    }),
    ("a link to somebody's file", |path, _| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    }),
];

/// The stored files that are where they belong.
fn stored(trial: &Trial) -> Vec<PathBuf> {
    let mut blobs = trial.blobs();
    blobs.retain(|path| path.parent().unwrap().ends_with("blobs") && path.extension().is_none());
    blobs
}

#[test]
fn each_is_a_miss_that_heals() {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    let mut done = 0;
    for round in 0.. {
        if done >= count(20, 1000) {
            break;
        }
        let blobs = stored(&trial);
        assert_eq!(blobs.len(), 20);
        for (i, path) in blobs.iter().enumerate() {
            let (_, harm) = HARMS[(i + round) % HARMS.len()];
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            harm(path, i + 31 * round);
            done += 1;
        }
        let first = trial.settles();
        assert_eq!(first.finished()["cached"], 0, "each was a miss: {first:?}");
        let verified = trial.lab.run(&["cache", "verify"]).expect_code(0);
        assert!(!verified.out.contains("damaged"), "{verified:?}");
    }
}

/// One at a time, so that no other damage hides it.
#[test]
fn one_alone_is_one_miss() {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    for (i, (what, harm)) in HARMS.iter().enumerate() {
        let path = &stored(&trial)[2 * i];
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        harm(path, i);
        let first = trial.settles();
        assert_eq!(first.finished()["executed"], 1, "{what}: {first:?}");
    }
}
