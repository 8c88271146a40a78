//! The runner is killed: at random instants, and inside the system calls by which it makes results durable.

use super::{count, injected, spread};
use crate::common::trial::Trial;

#[test]
fn at_any_instant() {
    let times = count(6, 150);
    for i in 0..times as u32 {
        let trial = Trial::new();
        let mut runner = trial.start(&["-j", "4"]);
        std::thread::sleep(trial.duration * i / times as u32);
        // Fails where the run was faster this time.
        let _ = runner.kill();
        runner.wait().unwrap();
        trial.settles();
    }
}

#[test]
fn in_the_call_of_any_number() {
    for (calls, most) in [
        ("fdatasync,fsync", 40),
        ("pwrite64", 150),
        ("rename,renameat,renameat2", 60),
        ("ftruncate,unlink", 20),
    ] {
        for when in spread(count(2, 40), most) {
            let trial = Trial::new();
            if injected(&trial, &format!("{calls}:signal=KILL:when={when}")).is_none() {
                return;
            }
            trial.settles();
        }
    }
}
