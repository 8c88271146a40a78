//! Large inputs: the first hash of many files, and a run in which none of them changed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::field::{JOBS, check_counts, runner};
use crate::measure::{self, median};
use crate::table::{Row, Table, Unit, seconds};

const MIB: usize = 1 << 20;

pub struct Bulk {
    dir: PathBuf,
    files: usize,
}

impl Bulk {
    pub fn new(root: &Path, files: usize) -> Self {
        let dir = root.join("bulk");
        fs::create_dir_all(dir.join("in")).expect("the benchmark's folder can be written");
        let mut workflow = String::from(
            "[workflow]\nname = \"bench-bulk\"\n\n[defaults]\ncache = true\n\n\
             [tasks.count]\nshell = [\"/bin/sh\", \"-eu\"]\nstage = \"link\"\ninputs = { parts = \"list<file>\" }\n\
             outputs = { y = \"int\" }\nargs = [\"{{ parts }}\"]\nrun = 'echo $# >\"$OUT/y\"'\n\n\
             [nodes.count]\ninputs = { parts = [",
        );
        let mut ninja = String::from(
            "rule count\n  command = set -eu; cat $out.rsp | wc -w >$out\n  rspfile = $out.rsp\n  rspfile_content = $in\nbuild ninja/y: count",
        );
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut content = Vec::with_capacity(MIB);
        for file in 0..files {
            content.clear();
            while content.len() < MIB {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                content.extend_from_slice(&random.to_le_bytes());
            }
            let name = format!("in/{file}.bin");
            fs::write(dir.join(&name), &content).expect("the benchmark's folder can be written");
            let _ = write!(workflow, "\"{name}\", ");
            let _ = write!(ninja, " {name}");
        }
        workflow.push_str("] }\n\n[outputs]\ny = \"{{ count.y }}\"\n");
        ninja.push('\n');
        fs::write(dir.join("files.toml"), workflow).expect("the benchmark's folder can be written");
        fs::write(dir.join("build.ninja"), ninja).expect("the benchmark's folder can be written");
        rustix::fs::sync();
        Self { dir, files }
    }

    /// Prints a table of its own: the yardsticks differ.
    pub fn compare(&self, repetitions: usize, with_ninja: bool) {
        let table = Table::begin(vec!["openssl", "ninja", "runner"], vec![2]);
        let Self { dir, files } = self;
        let stdout = dir.join("stdout");
        let home = dir.join("home");
        let exec = || {
            let mut command = runner(&home);
            command.current_dir(dir).args(["exec", "files.toml", "-q", JOBS]);
            command
        };
        let ninja = || {
            let mut command = Command::new("ninja");
            command.current_dir(dir).args([JOBS, "--quiet"]);
            command
        };
        let check = |executed| {
            assert_eq!(fs::read_to_string(&stdout).unwrap_or_default(), format!("y = {files}\n"));
            let listing = runner(&home).args(["runs", "--limit", "1", "--json"]).output();
            check_counts(
                &String::from_utf8_lossy(&listing.expect("runner can be run").stdout),
                1,
                Some(executed),
            );
        };

        let mut openssl = Command::new("/bin/sh");
        openssl.current_dir(dir).args(["-euc", "ls in/* | xargs -P2 -n20 openssl dgst -sha256"]);
        let with_openssl = Command::new("openssl").arg("version").output().is_ok();
        let (mut peer, mut own) = (Vec::new(), Vec::new());
        for _ in 0..repetitions {
            if with_openssl {
                peer.push(seconds(measure::run(&mut openssl, &stdout).wall));
            }
            let _ = fs::remove_dir_all(&home);
            own.push(seconds(measure::run(&mut exec(), &stdout).wall));
            check(1);
        }
        table.row(&Row {
            case: format!("first hash of {files} files of 1 MiB"),
            unit: Unit::Seconds,
            cells: vec![with_openssl.then(|| median(peer)), None, Some(median(own))],
            yardstick: 0,
        });

        let (mut peer, mut own) = (Vec::new(), Vec::new());
        for repetition in 0..=repetitions {
            let ninja = with_ninja.then(|| seconds(measure::run(&mut ninja(), &stdout).wall));
            let runner = seconds(measure::run(&mut exec(), &stdout).wall);
            check(0);
            // The first time ninja does its work.
            if repetition > 0 {
                peer.extend(ninja);
                own.push(runner);
            }
        }
        table.row(&Row {
            case: format!("no-op over {files} files of 1 MiB"),
            unit: Unit::Seconds,
            cells: vec![None, with_ninja.then(|| median(peer)), Some(median(own))],
            yardstick: 1,
        });
    }
}
