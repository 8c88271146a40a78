//! Many runners at one home at once, with a collection beside them: none fails, none is told of a busy database, and work
//! that is serialised is done once.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{count, ends_by_itself};
use crate::common::trial::Trial;

/// A workflow of this many keys, each of which says in the file of executions that it runs.
fn workflow(trial: &Trial, keys: usize, serialize: bool) {
    let items: Vec<String> = (0..keys).map(|i| format!("'k{i}'")).collect();
    trial.lab.write(
        "many.toml",
        &format!(
            "[workflow]\nname = 'many'\n[tasks.t]\ncache = true\ncache_serialize = {serialize}\n\
             inputs = {{ k = 'string' }}\noutputs = {{ f = 'file' }}\n\
             run = 'echo $k >> @COUNT@; printf %01000d 0 > \"$OUT/f\"; echo $k >> \"$OUT/f\"'\n\
             [nodes.n]\ntask = 't'\nforeach = ['k']\ninputs = {{ k = [{}] }}\n[outputs]\nf = '{{{{ n.f }}}}'\n",
            items.join(", ")
        ),
    );
}

fn start(trial: &Trial, args: &[&str]) -> Child {
    let mut command = trial.lab.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn together(serialize: bool, collect: bool) {
    let (runners, keys) = (count(6, 16), count(8, 50));
    for _ in 0..count(1, 5) {
        let trial = Trial::new();
        workflow(&trial, keys, serialize);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if collect {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let done = ends_by_itself(start(&trial, &["cache", "gc", "--max-size", "0"]), "gc");
                        assert_eq!(done.code, Some(0), "{done:?}");
                    }
                });
            }
            let children: Vec<_> =
                (0..runners).map(|_| start(&trial, &["exec", "many.toml", "--json", "-j", "2"])).collect();
            // All at once: who is not read from waits, and holds up those who wait for it.
            let ended: Vec<_> = children
                .into_iter()
                .map(|child| scope.spawn(|| ends_by_itself(child, "one of many")))
                .collect::<Vec<_>>()
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect();
            over.store(true, Ordering::Relaxed);
            for run in ended {
                let run = run.unwrap();
                assert_eq!(run.code, Some(0), "{run:?}");
                assert!(!format!("{}{}", run.out, run.err).contains("locked"), "{run:?}");
                assert_eq!(run.outputs()["f"].as_array().unwrap().len(), keys);
            }
        });
        if serialize && !collect {
            for key in 0..keys {
                assert_eq!(trial.lab.ran_as(&format!("k{key}")), 1, "key {key}");
            }
        }
        trial.settles();
    }
}

#[test]
fn serialised_work_is_done_once() {
    together(true, false);
}

#[test]
fn without_serialisation_and_with_collections_none_fails() {
    together(false, true);
    together(true, true);
}
