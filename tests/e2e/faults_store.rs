//! Damage to the store and homes that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::Lab;
use crate::common::one_task::OneTask;
use crate::common::trial::Trial;

fn writable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs once, does harm to the blobs, and asks the oracle.
#[track_caller]
fn harmed(harm: impl Fn(usize, &PathBuf)) {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    let blobs = trial.blobs();
    assert_eq!(blobs.len(), 20);
    blobs.iter().enumerate().for_each(|(i, path)| harm(i, path));
    let first = trial.settles();
    assert_ne!(first.finished()["executed"], 0);
}

#[test]
fn blobs_with_a_flipped_bit_heal() {
    harmed(|i, path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() * i / 20;
        bytes[at] ^= 1 << (i % 8);
        writable(path);
        fs::write(path, bytes).unwrap();
    });
}

/// As a failing disk does it, without a trace in the file's size and times. Only the time of the last change
/// of the inode cannot be forged.
#[test]
fn a_flipped_bit_behind_the_old_time_heals() {
    harmed(|_, path| {
        let mut bytes = fs::read(path).unwrap();
        let before = fs::metadata(path).unwrap().modified().unwrap();
        bytes[0] ^= 1;
        writable(path);
        fs::write(path, bytes).unwrap();
        fs::File::options().append(true).open(path).unwrap().set_modified(before).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    });
}

#[test]
fn truncated_and_empty_blobs_heal() {
    harmed(|i, path| {
        writable(path);
        let length = fs::metadata(path).unwrap().len() * (i as u64 % 3) / 3;
        fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    });
}

#[test]
fn removed_blobs_heal() {
    harmed(|i, path| {
        if i % 2 == 0 {
            fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn blobs_replaced_by_a_folder_or_a_link_heal() {
    harmed(|i, path| {
        fs::remove_file(path).unwrap();
        match i % 3 {
            0 => fs::create_dir(path).unwrap(),
            1 => std::os::unix::fs::symlink("/etc/passwd", path).unwrap(),
            _ => std::os::unix::fs::symlink("nowhere", path).unwrap(),
        }
    });
}

#[test]
fn a_store_that_was_removed_as_a_whole_heals() {
    let trial = Trial::new();
    trial.lab.ok("w.toml", &[]);
    fs::remove_dir_all(trial.lab.home().join("store")).unwrap();
    assert_eq!(trial.settles().finished()["executed"], 20);
}

#[test]
fn folders_of_a_home_that_were_removed_come_back() {
    let trial = Trial::new();
    for folder in ["logs", "outputs", "scratch"] {
        trial.lab.ok("w.toml", &[]);
        fs::remove_dir_all(trial.lab.home().join(folder)).unwrap();
        trial.settles();
    }
}

/// Exit code 4, a message that names the place, and nothing on standard output.
#[track_caller]
fn refused(lab: &Lab, home: &str) {
    lab.write("w.toml", &OneTask::default().text());
    let run = lab.exec("w.toml", &["--home", home]).expect_code(4);
    assert!(run.err.starts_with("error: ") && run.err.contains(home) && run.out.is_empty(), "{run:?}");
    assert!(!run.err.contains("panicked"), "{run:?}");
    assert_eq!(lab.ran(), 0);
}

#[test]
fn a_home_that_is_a_file_is_refused() {
    let lab = Lab::new();
    refused(&lab, lab.write("file", "mine").to_str().unwrap());
    assert_eq!(lab.read("file"), "mine");
}

#[test]
fn a_home_below_a_file_is_refused() {
    let lab = Lab::new();
    refused(&lab, lab.write("file", "mine").join("home").to_str().unwrap());
}

#[test]
fn a_home_that_cannot_be_made_is_refused() {
    // Nobody can make folders there, root neither.
    refused(&Lab::new(), "/proc/runner");
}

#[test]
fn a_read_only_home_is_refused() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::default().text());
    lab.ok("w.toml", &[]);
    let probe = lab.path("closed");
    fs::create_dir(&probe).unwrap();
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(probe.join("x"), "").is_ok() {
        eprintln!("SKIPPED: this user may write to read-only folders");
        return;
    }
    refused(&Lab::new(), probe.to_str().unwrap());
}

#[test]
fn a_home_in_which_something_else_has_our_names_is_refused() {
    for name in ["store", "scratch", "logs"] {
        let lab = Lab::new();
        lab.write(&format!("home/{name}"), "a file");
        refused(&lab, lab.home().to_str().unwrap());
    }
    let lab = Lab::new();
    lab.write("home/runner.db/file", "a folder");
    refused(&lab, lab.home().to_str().unwrap());
}
