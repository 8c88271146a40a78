//! A home on a full disk: a collection still runs, and messages name the folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Lab;

/// A small file system in memory, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).ok()?;
        let size = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self(folder.to_owned()))
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_collection_runs_on_a_full_disk() {
    let lab = Lab::new();
    let Some(disk) = Disk::mount(&lab.home(), "8m") else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    lab.write(
        "w.toml",
        "[workflow]\nname = 'wf'\n[inputs]\nn = 'int'\n[tasks.t]\ncache = true\ninputs = { n = 'int' }\n\
         outputs = { f = 'file' }\nrun = 'head -c 300000 /dev/urandom > \"$OUT/f\"'\n\
         [nodes.t]\ninputs = { n = '{{ inputs.n }}' }\n",
    );
    for n in 0..4 {
        lab.ok("w.toml", &["-i", &format!("n={n}")]);
    }
    disk.fill();
    let failed = lab.exec("w.toml", &["-i", "n=9"]);
    assert_ne!(failed.code, Some(0), "{failed:?}");
    let evicted = lab.run(&["cache", "evict", "--task", "wf.t"]).expect_code(0);
    assert!(evicted.out.contains("4 results"), "{evicted:?}");
    disk.fill();
    lab.run(&["cache", "gc", "--max-size", "0", "--keep-runs", "0"]).expect_code(0);
    assert_eq!(fs::read_dir(lab.home().join("store/blobs")).unwrap().count(), 0);
    fs::remove_file(lab.home().join("filler")).unwrap();
    lab.ok("w.toml", &["-i", "n=9"]);
}

#[test]
fn a_task_that_fails_on_a_full_disk_says_where() {
    let lab = Lab::new();
    let Some(disk) = Disk::mount(&lab.home(), "24m") else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let named = format!("no space left on {}", disk.0.display());
    for run in ["head -c 40000000 /dev/zero > big", "head -c 40000000 /dev/zero > big 2> /dev/null"] {
        lab.write("w.toml", &format!("[workflow]\nname = 'wf'\n[tasks.t]\nrun = '{run}'\n[nodes.t]\n"));
        let err = lab.run(&["exec", "w.toml"]).expect_code(1).err;
        assert!(err.contains(&named), "{err}");
    }
    drop(disk);
}
