//! The power fails: an ext4 under the home is shut down at a random instant, without a flush of its journal. What was
//! acknowledged before is there afterwards, and nothing wrong is.

use std::process::Stdio;

use super::{count, ends_by_itself};
use crate::common::disk::Disk;
use crate::common::trial::Trial;

#[test]
fn at_any_instant() {
    let times = count(3, 60);
    for i in 0..times as u32 {
        let trial = Trial::new();
        let image = trial.lab.path("image");
        let Some(disk) = Disk::ext4(&trial.lab.home(), &image) else {
            eprintln!("SKIPPED: no ext4 in a file can be made and mounted here");
            return;
        };
        let mut command = trial.lab.command(&["exec", "w.toml", "--json", "-j", "4"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(trial.duration * (i + 1) / times as u32);
        disk.cut_power();
        let run = ends_by_itself(child, "power cut");
        assert!(matches!(run.code, Some(0 | 1 | 4)), "{run:?}");
        let nodes = run.events("node_finished");
        let acknowledged = nodes.iter().filter(|node| node["cache"] == "populated").count();
        drop(disk);
        let disk = Disk::ext4(&trial.lab.home(), &image).expect("it was mounted before");
        let first = trial.settles();
        let kept = first.finished()["cached"].as_u64().unwrap() as usize;
        assert!(kept >= acknowledged, "{acknowledged} were acknowledged, {kept} are there");
        drop(disk);
    }
}
