//! Files that change while nobody should: an input during its task, inputs between runs within one tick of the clock, and
//! stored files by whoever is given them.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{count, ends};
use crate::common::Lab;
use crate::common::one_task::OneTask;
use crate::common::trial::Trial;

#[test]
fn an_input_during_its_task_is_not_stored_and_named() {
    let lab = Lab::new();
    lab.write("input.txt", "AAAA");
    lab.write(
        "e.toml",
        "[workflow]\nname = 'e'\n[inputs]\nf = { type = 'file', default = 'input.txt' }\n[tasks.t]\ncache = true\n\
         inputs = { f = 'file' }\noutputs = { o = 'file' }\nrun = '''\n\
         cat $f > $OUT/o; touch -r @DIR@/input.txt ref; printf %s $(date +%N | head -c 4) > @DIR@/input.txt\n\
         touch -r ref @DIR@/input.txt\n'''\n[nodes.t]\ninputs = { f = '{{ inputs.f }}' }\n",
    );
    for i in 0..count(4, 200) {
        lab.write("input.txt", &format!("{i:04}"));
        let run = ends(&mut lab.command(&["exec", "e.toml", "--json"])).expect_code(0);
        assert!(run.warnings().contains("input.txt"), "{run:?}");
        let listed = lab.run(&["cache", "ls", "--json"]).expect_code(0);
        assert_eq!(listed.lines().len(), 0, "{}", listed.out);
    }
}

/// The unit tests of the stat cache do the same thousands of times without a run.
#[test]
fn edits_of_one_size_between_runs_are_all_seen() {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::copying().text());
    for i in 0..count(20, 4000) {
        lab.write("data.txt", &format!("{i:05}"));
        let run = lab.ok("w.toml", &[]);
        let path = run.outputs()["g"]["path"].as_str().unwrap().to_owned();
        assert_eq!(fs::read_to_string(path).unwrap(), format!("{i:05}"), "stale");
    }
}

/// Every stored file still has the content that its name says.
#[track_caller]
fn intact(blobs: &[std::path::PathBuf]) -> usize {
    for path in blobs {
        let found: String =
            Sha256::digest(fs::read(path).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, found, "{} was changed", path.display());
    }
    blobs.len()
}

fn blobs(home: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(home.join("store/blobs")).unwrap().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn stored_files_by_their_consumers() {
    let lab = Lab::new();
    lab.write(
        "edit.py",
        "import mmap, os, sys\nway, path = sys.argv[1:]\n\
         if way == 'append':\n    open(path, 'ab').write(b'more')\n\
         elif way == 'truncate':\n    os.truncate(path, 7)\n\
         elif way == 'overwrite':\n    open(path, 'r+b').write(b'other')\n\
         else:\n    f = open(path, 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:5] = b'other'; m.flush()\n",
    );
    lab.write(
        "c.toml",
        "[workflow]\nname = 'c'\n[inputs]\nsize = 'int'\nway = 'string'\nround = 'int'\n\
         [tasks.make]\ncache = true\ninputs = { size = 'int' }\noutputs = { o = 'file' }\n\
         run = 'head -c $size /dev/zero > $OUT/o'\n\
         [tasks.spoil]\ncache = true\ninputs = { f = 'file', way = 'string', round = 'int' }\noutputs = { o = 'string' }\n\
         run = 'python3 @DIR@/edit.py $way $f; echo done > $OUT/o'\n\
         [nodes.make]\ninputs = { size = '{{ inputs.size }}' }\n\
         [nodes.spoil]\ninputs = { f = '{{ make.o }}', way = '{{ inputs.way }}', round = '{{ inputs.round }}' }\n\
         [outputs]\nf = '{{ make.o }}'\n",
    );
    for i in 0..count(8, 200) {
        let way = ["append", "truncate", "overwrite", "map"][i % 4];
        let size = if i / 4 % 2 == 0 { 4096 } else { 20_000_000 };
        let given = [format!("size={size}"), format!("way={way}"), format!("round={i}")];
        let args = ["-i", &given[0], "-i", &given[1], "-i", &given[2]];
        let run = lab.exec("c.toml", &args);
        assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
        assert!(intact(&blobs(&lab.home())) > 0);
        if run.code == Some(0) {
            let path = run.outputs()["f"]["path"].as_str().unwrap().to_owned();
            let handed = fs::read(path).unwrap();
            assert!(handed.len() == size && handed.iter().all(|byte| *byte == 0), "{way} of {size}");
        }
    }
    Trial::new().settles();
}
