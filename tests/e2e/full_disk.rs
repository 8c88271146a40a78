//! A home on a full disk: a collection still runs, and messages name the folder.

use std::fs;

use crate::common::Lab;
use crate::common::disk::Disk;

#[test]
fn a_collection_runs_on_a_full_disk() {
    let lab = Lab::new();
    let Some(disk) = Disk::in_memory(&lab.home(), "size=8m") else {
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
    let Some(disk) = Disk::in_memory(&lab.home(), "size=24m") else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let named = format!("no space left on {}", disk.folder().display());
    for run in ["head -c 40000000 /dev/zero > big", "head -c 40000000 /dev/zero > big 2> /dev/null"] {
        lab.write("w.toml", &format!("[workflow]\nname = 'wf'\n[tasks.t]\nrun = '{run}'\n[nodes.t]\n"));
        let err = lab.run(&["exec", "w.toml"]).expect_code(1).err;
        assert!(err.contains(&named), "{err}");
    }
    drop(disk);
}
