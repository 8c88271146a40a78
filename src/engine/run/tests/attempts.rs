//! Attempts, retries, limits, interruptions and the order of events.

use serde_json::json;

use super::lab::{Lab, Reply};
use super::ran::Ran;
use super::world::FakeWorld;
use crate::core::event::{Event, Status, TaskErrorKind};

const PLAIN: &str = "
[tasks.t]
outputs = { text = 'string' }
run = 'x'
";

fn nodes(toml: &str, names: &[&str]) -> String {
    names.iter().fold(toml.to_owned(), |toml, name| format!("{toml}[nodes.{name}]\ntask = 't'\n"))
}

#[test]
fn a_failed_attempt_is_retried_as_often_as_the_task_says() {
    let toml = nodes(&PLAIN.replace("run =", "retries = 2\nretry_delay = '0s'\nrun ="), &["a"]);
    let fails = |times: u32| {
        move |call: &super::lab::Call| match call.attempt <= times {
            true => Reply::Failed(TaskErrorKind::Exit),
            false => Reply::Done,
        }
    };
    let ran = Lab::of(&toml).script(fails(2)).run();
    assert_eq!((ran.status("a"), ran.end("a").attempts), ("succeeded disabled".into(), 3));
    let story = ["started", "attempt_failed", "started", "attempt_failed", "started", "finished"];
    assert_eq!(ran.story("a"), story);
    let ran = Lab::of(&toml).script(fails(3)).run();
    assert_eq!((ran.status("a"), ran.end("a").attempts), ("failed disabled".into(), 3));
}

#[test]
fn only_what_may_go_better_is_retried() {
    let toml = nodes(&PLAIN.replace("run =", "retries = 1\nretry_delay = '0s'\nrun ="), &["a"]);
    for (kind, calls) in [
        (TaskErrorKind::Exit, 2),
        (TaskErrorKind::Signal, 2),
        (TaskErrorKind::Timeout, 2),
        (TaskErrorKind::Output, 2),
        (TaskErrorKind::Input, 1),
        (TaskErrorKind::Spawn, 1),
    ] {
        let ran = Lab::of(&toml).script(move |_| Reply::Failed(kind)).run();
        assert_eq!((ran.calls.len(), ran.error("a").0), (calls, kind), "{kind:?}");
    }
}

#[test]
fn a_failure_stops_what_has_not_begun() {
    let toml = nodes(PLAIN, &["a", "b", "c"]);
    let fails = |call: &super::lab::Call| match call.node.as_str() {
        "a" => Reply::Failed(TaskErrorKind::Exit),
        _ => Reply::Done,
    };
    let ran = Lab::of(&toml).jobs(1).script(fails).run();
    assert_eq!(
        (ran.status("b"), ran.status("c")),
        ("cancelled disabled".into(), "cancelled disabled".into())
    );
    assert_eq!((ran.summary.counts.failed, ran.summary.counts.cancelled), (1, 2));
    let ran = Lab::of(&toml).jobs(1).keep_going().script(fails).run();
    assert_eq!((ran.status("b"), ran.calls.len()), ("succeeded disabled".into(), 3));
    assert_eq!(ran.summary.status, Status::Failed);
}

#[test]
fn what_depends_on_a_failure_is_skipped() {
    let toml = format!("{}[nodes.b]\ntask = 't'\nneeds = ['a']\n", nodes(PLAIN, &["a"]));
    let ran = Lab::of(&toml).script(|_| Reply::Failed(TaskErrorKind::Timeout)).run();
    assert_eq!((ran.status("b"), ran.reason("b")), ("skipped".into(), "`a` failed"));
    assert_eq!(ran.error("a"), (TaskErrorKind::Timeout, "a said no".into()));
}

#[test]
fn jobs_and_resources_bound_what_runs_at_once() {
    let names = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(Lab::of(&nodes(PLAIN, &names)).jobs(2).run().at_once, 2);
    let toml = nodes(&PLAIN.replace("run =", "resources = { gpu = 1 }\nrun ="), &names);
    let ran = Lab::of(&toml).jobs(6).resource("gpu", 1).run();
    assert_eq!((ran.at_once, ran.calls.len()), (1, 6));
    let waits = ran.events.iter().any(|e| matches!(e, Event::NodeWaiting(e) if e.reason.contains("gpu")));
    assert!(waits, "nobody said what it waits for");
}

#[test]
fn an_interrupt_ends_what_runs_and_cancels_the_rest() {
    let toml = format!("{}[nodes.b]\ntask = 't'\nneeds = ['a']\n", nodes(PLAIN, &["a"]));
    let ran = Lab::of(&toml)
        .script(|call| {
            call.interrupt(15);
            Reply::UntilCancelled
        })
        .run();
    assert_eq!((ran.summary.status, ran.summary.signal), (Status::Cancelled, Some(15)));
    assert_eq!((ran.status("a"), ran.status("b")), ("cancelled disabled".into(), "cancelled".into()));
    assert!(ran.warnings()[0].starts_with("SIGTERM"), "{:?}", ran.warnings());
    assert!(ran.summary.outputs.is_empty());
}

#[test]
fn a_failed_attempt_of_an_interrupted_run_is_not_retried() {
    let toml = nodes(&PLAIN.replace("run =", "retries = 1\nretry_delay = '1h'\nrun ="), &["a"]);
    let ran = Lab::of(&toml)
        .script(|call| {
            call.interrupt(2);
            Reply::Failed(TaskErrorKind::Exit)
        })
        .run();
    assert_eq!((ran.end("a").status, ran.calls.len()), (Status::Failed, 1));
    assert_eq!(ran.summary.status, Status::Cancelled);
}

#[test]
fn nobody_sees_a_node_begin_before_the_one_it_waited_for_has_ended() {
    let toml = "
[tasks.t]
cache = true
inputs = { from = 'string' }
outputs = { text = 'string' }
run = 'x'
[nodes.a]
task = 't'
inputs = { from = 'start' }
[nodes.b]
task = 't'
inputs = { from = '{{ a.text }}' }
[outputs]
last = '{{ b.text }}'
";
    let world = FakeWorld::default();
    let ran = Lab::of(toml).in_world(&world).run();
    assert!(world.state().heard_of_end && world.state().recorded_first);
    let order: Vec<String> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::RunStarted(_) => Some("run".to_owned()),
            Event::NodeStarted(e) => Some(format!("+{}", e.node)),
            Event::NodeFinished(e) => Some(format!("-{}", e.node)),
            Event::RunFinished(_) => Some("end".to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["run", "+a", "-a", "+b", "-b", "end"]);
    assert_eq!(ran.output("last"), json!("b"));
}

#[test]
fn twelve_runs_go_on_in_one_process() {
    let world = FakeWorld::default();
    let toml = nodes(&PLAIN.replace("run =", "cache = true\nrun ="), &["a", "b"]);
    let threads: Vec<_> = (0..12)
        .map(|_| {
            let (toml, world) = (toml.clone(), world.clone());
            std::thread::spawn(move || Lab::of(&toml).in_world(&world).run())
        })
        .collect();
    let runs: Vec<Ran> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(runs.iter().all(|ran| ran.summary.status == Status::Succeeded));
    assert_eq!(world.state().entries.len(), 1);
}
