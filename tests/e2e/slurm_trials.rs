//! What becomes of jobs when runner or controller are killed at the wrong moment: everything ends, and no command begins
//! twice. Counts are small; RUNNER_FAULTS=full takes the full ones.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::Lab;
use crate::common::live::until;
use crate::faults::count;
use crate::slurm::Cluster;

/// Elements that note their beginning, take a moment, and return their number.
fn workflow(elements: usize, tag: &str) -> String {
    let numbers: Vec<String> = (0..elements).map(|n| n.to_string()).collect();
    format!(
        "[workflow]\nname = 'w'\n[tasks.t]\nexecutor = 'cl'\ncache = true\ninputs = {{ n = 'int' }}\n\
         outputs = {{ n = 'int' }}\nrun = '''\necho \"{tag}$n\" >> @COUNT@\nsleep 0.02\necho \"$n\" > \"$OUT/n\"\n'''\n\
         [nodes.t]\nforeach = ['n']\ninputs = {{ n = [{}] }}\n[outputs]\nn = '{{{{ t.n }}}}'\n",
        numbers.join(", ")
    )
}

fn begin(lab: &Lab) -> Child {
    let mut command = lab.command(&["exec", "w.toml", "--json"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A plain run ends all that is left: outputs, beginnings, folders, jobs.
#[track_caller]
fn settles(cluster: &Cluster, elements: usize) {
    let lab = &cluster.lab;
    let done = lab.ok("w.toml", &[]);
    let expected: Vec<u64> = (0..elements as u64).collect();
    assert_eq!(done.outputs()["n"], serde_json::json!(expected));
    let mut begun: BTreeMap<String, usize> = BTreeMap::new();
    for line in lab.read("count").lines() {
        *begun.entry(line.to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = begun.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty() && begun.len() == elements, "{} begun, twice: {twice:?}", begun.len());
    cluster.expect_clean();
    until("no job is left", || cluster.is_idle());
    until("no process is left", || lab.alive().is_empty());
    assert!(lab.ok("w.toml", &[]).events("node_submitted").is_empty());
}

/// A number that looks random, the same each time.
fn spread(i: usize) -> u64 {
    let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40
}

fn kills_of_the_runner(settings: &str, elements: usize, kills: usize) {
    let Some(cluster) = Cluster::new(settings) else { return };
    let lab = &cluster.lab;
    lab.write("w.toml", &workflow(elements, "b"));
    for i in 0..kills {
        let mut runner = begin(lab);
        std::thread::sleep(Duration::from_millis(100 + spread(i) % 1500));
        let _ = runner.kill();
        runner.wait().unwrap();
    }
    settles(&cluster, elements);
}

#[test]
fn a_runner_that_is_killed_again_and_again_begins_nothing_twice() {
    kills_of_the_runner("chunk = 1\nsubmits_per_minute = 10000", count(40, 1500), count(3, 50));
}

#[test]
fn nor_do_attempts_that_share_jobs() {
    kills_of_the_runner("max_in_flight = 20", count(150, 1500), count(4, 50));
}

#[test]
fn a_controller_that_is_killed_after_a_submission_loses_nothing() {
    let Some(cluster) = Cluster::alone("chunk = 2\nlost_retries = 10") else { return };
    let lab = &cluster.lab;
    let ctl = |args: &[&str]| {
        let done = Command::new(cluster.folder.join("ctl")).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
    };
    for i in 0..count(1, 20) {
        lab.write("w.toml", &workflow(12, &format!("b{i}.")));
        lab.write("count", "");
        let mut runner = begin(lab);
        until("a job is submitted", || !cluster.is_idle() || lab.ran() > 0);
        std::thread::sleep(Duration::from_millis(spread(i) % 4500));
        ctl(&["controller-kill"]);
        ctl(&["controller-start"]);
        ctl(&["controller-wait"]);
        let ended = loop {
            if let Some(ended) = runner.try_wait().unwrap() {
                break ended;
            }
            for node in ["1", "2", "3"] {
                // One that was drained for a job whose id was given twice.
                let _ = Command::new(cluster.folder.join("ctl")).args(["node-resume", node]).output();
            }
            std::thread::sleep(Duration::from_millis(500));
        };
        assert!(ended.success(), "{i}");
        settles(&cluster, 12);
    }
}

#[test]
fn a_runner_that_is_killed_before_it_has_the_answer_finds_its_job() {
    let Some(cluster) = Cluster::new("chunk = 3\nbin_dir = \"@DIR@/bin\"") else { return };
    let lab = &cluster.lab;
    fs::create_dir_all(lab.path("bin")).unwrap();
    for name in ["sbatch", "squeue", "scancel"] {
        // A submission while `deadly` is there is answered by the death of the runner.
        let kill = match name {
            "sbatch" => "if [ -e @DIR@/deadly ]; then rm @DIR@/deadly; kill -9 $PPID; sleep 1; fi\n",
            _ => "",
        };
        let text = format!("#!/bin/sh\nanswer=$(/usr/bin/{name} \"$@\") || exit\n{kill}echo \"$answer\"\n");
        let path = lab.write(&format!("bin/{name}"), &text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for i in 0..count(2, 10) {
        lab.write("w.toml", &workflow(6, &format!("b{i}.")));
        lab.write("count", "");
        lab.write("deadly", "");
        let mut runner = begin(lab);
        assert!(!runner.wait().unwrap().success());
        assert!(!lab.path("deadly").exists());
        settles(&cluster, 6);
    }
}
