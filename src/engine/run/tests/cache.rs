//! Hits, misses and everything between.

use jiff::SignedDuration;
use serde_json::json;

use super::lab::{Lab, Reply, text};
use super::world::FakeWorld;
use crate::core::digest::Digest;
use crate::core::event::{Status, TaskErrorKind};
use crate::core::run_id::RunId;
use crate::core::run_request::CacheMode;
use crate::core::run_request::Selection;

const CACHED: &str = "
[tasks.a]
cache = true
cache_version = '1'
outputs = { text = 'string' }
run = 'x'
[nodes.a]
";

#[test]
fn a_miss_is_populated_and_the_next_run_hits_it() {
    let world = FakeWorld::default();
    let first = Lab::of(CACHED).in_world(&world).run();
    assert_eq!((first.status("a"), first.calls), ("succeeded populated".into(), vec!["a#1".to_owned()]));
    let again = Lab::of(CACHED).in_world(&world).run();
    assert_eq!((again.status("a"), again.calls.len()), ("succeeded hit".into(), 0));
    let end = again.ends().next().unwrap();
    assert_eq!((end.attempts, end.source.as_ref().unwrap().node.as_str()), (0, "a"));
    assert_eq!(end.outputs["text"], "a");
    assert_eq!((again.summary.counts.cached, again.summary.counts.executed), (1, 0));
}

#[test]
fn a_task_without_cache_runs_every_time() {
    let (world, toml) = (FakeWorld::default(), CACHED.replace("cache = true", "cache = false"));
    for _ in 0..2 {
        assert_eq!(Lab::of(&toml).in_world(&world).run().status("a"), "succeeded disabled");
    }
}

#[test]
fn a_failure_is_a_miss_and_nothing_is_stored() {
    let world = FakeWorld::default();
    let ran = Lab::of(CACHED).in_world(&world).script(|_| Reply::Failed(TaskErrorKind::Exit)).run();
    assert_eq!((ran.status("a"), ran.summary.status), ("failed miss".into(), Status::Failed));
    assert!(world.state().entries.is_empty());
}

#[test]
fn the_modes_of_the_cache() {
    for (mode, first, second) in [
        (CacheMode::ReadWrite, "populated", "hit"),
        (CacheMode::ReadOnly, "miss", "miss"),
        (CacheMode::WriteOnly, "skipped", "skipped"),
        (CacheMode::Off, "skipped", "skipped"),
    ] {
        let world = FakeWorld::default();
        let statuses = [(); 2].map(|()| Lab::of(CACHED).in_world(&world).mode(mode).run().status("a"));
        assert_eq!(statuses, [format!("succeeded {first}"), format!("succeeded {second}")], "{mode:?}");
        assert_eq!(!world.state().entries.is_empty(), mode.writes(), "{mode:?}");
    }
}

#[test]
fn what_is_overwritten_is_not_looked_up_and_is_stored() {
    let world = FakeWorld::default();
    Lab::of(CACHED).in_world(&world).script(|_| Reply::Outputs(vec![("text", text("old"))])).run();
    let ran = Lab::of(CACHED)
        .in_world(&world)
        .overwrite("a")
        .script(|_| Reply::Outputs(vec![("text", text("new"))]))
        .run();
    assert_eq!(ran.status("a"), "succeeded skipped");
    let hit = Lab::of(CACHED).in_world(&world).run();
    assert_eq!((hit.status("a"), &hit.end("a").outputs["text"]), ("succeeded hit".into(), &json!("new")));
}

#[test]
fn a_memo_that_cannot_be_read_fails_no_run() {
    let world = FakeWorld::default();
    world.state().unreadable = true;
    let ran = Lab::of(CACHED).in_world(&world).run();
    assert_eq!((ran.status("a"), ran.summary.status), ("succeeded lookup_failure".into(), Status::Succeeded));
    assert_eq!(ran.warnings(), ["the cache could not be read: it is on fire"]);
}

#[test]
fn a_memo_that_cannot_be_written_fails_no_run() {
    let world = FakeWorld::default();
    world.state().full = true;
    let ran = Lab::of(CACHED).in_world(&world).run();
    assert_eq!((ran.status("a"), ran.summary.status), ("succeeded put_failure".into(), Status::Succeeded));
    assert!(ran.warnings()[0].contains("the disk is full"), "{:?}", ran.warnings());
}

#[test]
fn a_result_older_than_its_limit_or_from_the_future_is_a_miss() {
    let toml = CACHED.replace("cache = true", "cache = true\ncache_max_age = '1h'");
    let world = FakeWorld::default();
    Lab::of(&toml).in_world(&world).run();
    for (ahead, status, reason) in [
        (SignedDuration::from_mins(60), "succeeded hit", ""),
        (SignedDuration::from_mins(61), "succeeded populated", "1h 1m old"),
        (SignedDuration::from_mins(1), "succeeded populated", "in the future"),
        (SignedDuration::from_mins(2), "succeeded hit", ""),
    ] {
        world.state().ahead = ahead;
        let ran = Lab::of(&toml).in_world(&world).run();
        let why = ran.end("a").why.as_ref().map_or(String::new(), |why| why.text().to_string());
        assert!(ran.status("a") == status && why.contains(reason), "{ahead:?}: {} {why}", ran.status("a"));
    }
}

#[test]
fn a_stored_file_that_is_gone_is_a_miss() {
    let (world, toml) = (FakeWorld::default(), file_flow("text = 'file'", "inputs.f"));
    world.state().files.insert("/lab/data.txt".into(), "content".into());
    Lab::of(&toml).in_world(&world).script(passes_on).run();
    assert_eq!(Lab::of(&toml).in_world(&world).script(passes_on).run().status("a"), "succeeded hit");
    world.state().lost.insert(Digest::of("content"));
    let ran = Lab::of(&toml).in_world(&world).script(passes_on).run();
    assert_eq!(ran.status("a"), "succeeded populated");
    assert!(ran.end("a").why.as_ref().unwrap().text().contains("a stored file cannot be used"));
}

fn file_flow(output: &str, bound: &str) -> String {
    format!(
        "[inputs]\nf = {{ type = 'file', default = 'data.txt' }}\n[tasks.a]\ncache = true\ncache_version = '1'\n\
         inputs = {{ f = 'file' }}\noutputs = {{ {output} }}\nrun = 'x'\n[nodes.a]\ninputs = {{ f = '{{{{ {bound} }}}}' }}\n"
    )
}

fn passes_on(call: &super::lab::Call) -> Reply {
    Reply::Outputs(vec![("text", call.inputs["f"].clone())])
}

#[test]
fn a_file_counts_by_its_content() {
    let (world, toml) = (FakeWorld::default(), file_flow("text = 'string'", "inputs.f"));
    world.state().files.insert("/lab/data.txt".into(), "one".into());
    assert_eq!(Lab::of(&toml).in_world(&world).run().status("a"), "succeeded populated");
    assert_eq!(Lab::of(&toml).in_world(&world).run().status("a"), "succeeded hit");
    world.state().files.insert("/lab/data.txt".into(), "two".into());
    assert_eq!(Lab::of(&toml).in_world(&world).run().status("a"), "succeeded populated");
}

#[test]
fn an_input_that_changed_while_the_task_ran_is_used_but_not_stored() {
    let world = FakeWorld::default();
    let ran = Lab::of(CACHED).in_world(&world).script(|_| Reply::Changed("/lab/data.txt")).run();
    assert_eq!((ran.status("a"), world.state().entries.len()), ("succeeded miss".into(), 0));
    assert!(
        ran.warnings()[0].starts_with("/lab/data.txt changed while the task ran"),
        "{:?}",
        ran.warnings()
    );
}

#[test]
fn a_task_edited_under_its_pinned_version_hits_with_one_warning() {
    let world = FakeWorld::default();
    Lab::of(CACHED).in_world(&world).run();
    let edited = CACHED.replace("run = 'x'", "run = 'y'");
    let ran = Lab::of(&edited).in_world(&world).run();
    assert_eq!((ran.status("a"), ran.warnings().len()), ("succeeded hit".into(), 1));
    assert!(ran.warnings()[0].ends_with("so the result counts: bump cache_version to run it again"));
    let automatic = |run: &str| CACHED.replace("cache_version = '1'", "").replace("'x'", run);
    Lab::of(&automatic("'x'")).in_world(&world).run();
    assert_eq!(Lab::of(&automatic("'y'")).in_world(&world).run().status("a"), "succeeded populated");
}

#[test]
fn identical_work_in_one_run_is_found_before_it_is_committed() {
    let toml = format!("{CACHED}[nodes.b]\ntask = 'a'\nneeds = ['a']\n");
    let ran = Lab::of(&toml).run();
    assert_eq!((ran.status("a"), ran.status("b")), ("succeeded populated".into(), "succeeded hit".into()));
}

#[test]
fn identical_work_runs_once_where_the_task_says_so() {
    let toml = CACHED.replace("cache = true", "cache = true\ncache_serialize = true");
    let ran = Lab::of(&format!("{toml}[nodes.b]\ntask = 'a'\n[nodes.c]\ntask = 'a'\n")).run();
    assert_eq!(ran.calls.len(), 1, "{:?}", ran.calls);
    assert_eq!(ran.summary.counts.cached, 2);
}

#[test]
fn a_unit_waits_for_the_holder_of_its_lock_and_says_so() {
    let toml = CACHED.replace("cache = true", "cache = true\ncache_serialize = true");
    let ran = Lab::of(&toml).busy_for(2).run();
    assert_eq!(ran.story("a"), ["waiting", "started", "finished"]);
    assert_eq!(ran.status("a"), "succeeded populated");
}

#[test]
fn where_there_are_no_locks_identical_work_runs() {
    let toml = CACHED.replace("cache = true", "cache = true\ncache_serialize = true");
    let ran = Lab::of(&toml).without_locks().run();
    assert_eq!(ran.status("a"), "succeeded populated");
}

#[test]
fn what_is_not_selected_comes_from_the_cache_or_the_run_fails() {
    let toml = format!(
        "{CACHED}[tasks.b]\ninputs = {{ t = 'string' }}\nrun = 'x'\n[nodes.b]\ninputs = {{ t = '{{{{ a.text }}}}' }}\n"
    );
    let only = || Selection { only: vec!["b".into()], ..Selection::default() };
    let world = FakeWorld::default();
    let ran = Lab::of(&toml).in_world(&world).select(only()).run();
    assert_eq!((ran.error("a").0, ran.calls.len()), (TaskErrorKind::Input, 0));
    assert!(ran.error("a").1.contains("was not selected"));
    Lab::of(&toml).in_world(&world).run();
    let ran = Lab::of(&toml).in_world(&world).select(only()).run();
    assert_eq!((ran.status("a"), ran.calls), ("succeeded hit".into(), vec!["b#1".to_owned()]));
}

#[test]
fn a_retry_takes_over_what_succeeded_cached_or_not() {
    let toml = "
[tasks.a]
outputs = { text = 'string' }
run = 'x'
[nodes.a]
[nodes.b]
task = 'a'
needs = ['a']
";
    let first = Lab::of(toml)
        .script(|call| if call.node == "b" { Reply::Failed(TaskErrorKind::Exit) } else { Reply::Done })
        .run();
    assert_eq!(
        (first.status("a"), first.status("b")),
        ("succeeded disabled".into(), "failed disabled".into())
    );
    let retry = Lab::of(toml).retry_of(&first).run();
    assert_eq!(retry.status("a"), "succeeded hit");
    assert_eq!(retry.end("a").source.as_ref().unwrap().run, RunId::from("first"));
    // The other node with the same work takes no result over.
    assert_eq!(retry.calls, ["b#1"]);
}
