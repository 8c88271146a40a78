//! The runner that holds the lock of serialised work is killed: the next one takes over at once.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use super::{appears, count, ends_by_itself};
use crate::common::trial::Trial;

#[test]
fn the_next_waiter_takes_over() {
    let trial = Trial::new();
    let mut gaps = Vec::new();
    for i in 0..count(4, 100) {
        // Half of the holders leave a daemon behind.
        let daemon = if i % 2 == 0 { "(setsid sleep 600 < /dev/null > /dev/null 2>&1 &)" } else { "true" };
        trial.lab.write(
            "s.toml",
            &format!(
                "[workflow]\nname = 's'\n[inputs]\nkey = 'int'\n[tasks.t]\ncache = true\ncache_serialize = true\n\
                 inputs = {{ key = 'int' }}\noutputs = {{ o = 'string' }}\nrun = '''\n\
                 if mkdir @DIR@/first-$key 2> /dev/null; then {daemon}; touch @DIR@/holds-$key; sleep 600; fi\n\
                 touch @DIR@/second-$key; echo done > $OUT/o\n'''\n[nodes.t]\ninputs = {{ key = '{{{{ inputs.key }}}}' }}\n"
            ),
        );
        let key = format!("key={i}");
        let start = || {
            let mut command = trial.lab.command(&["exec", "s.toml", "--json", "-i", &key]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut holder = start();
        appears(&trial, &format!("holds-{i}"));
        let waiter = start();
        std::thread::sleep(Duration::from_millis(300));
        assert!(!trial.lab.path(&format!("second-{i}")).exists(), "it waits");
        holder.kill().unwrap();
        holder.wait().unwrap();
        let reaped = SystemTime::now();
        assert_eq!(ends_by_itself(waiter, "waiter").code, Some(0));
        let taken = fs::metadata(trial.lab.path(&format!("second-{i}"))).unwrap().modified().unwrap();
        gaps.push(taken.duration_since(reaped).unwrap_or_default());
    }
    gaps.sort();
    let [middle, worst] = [gaps[gaps.len() / 2], gaps[gaps.len() - 1]].map(|gap| gap.as_millis());
    eprintln!("taken over {} times: {middle} ms in the middle, at most {worst} ms", gaps.len());
    trial.settles();
}
