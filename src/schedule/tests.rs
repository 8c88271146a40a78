//! The scheduler's tests: each rule by itself, and random trees of units.

use std::collections::BTreeMap;

use super::*;

/// A graph of `n` nodes; an edge says whether its target can do without its source.
fn graph(n: usize, edges: &[(u32, u32, bool)]) -> Arc<Graph> {
    Arc::new(Graph::from_edges(n, edges))
}

fn request(name: &str, amount: u64) -> Request {
    BTreeMap::from([(name.to_owned(), amount)])
}

fn scheduler(slots: usize) -> Scheduler {
    let capacity = BTreeMap::from([("cpus".to_owned(), 100), ("gpu".to_owned(), 1)]);
    Scheduler::new(Pools::new(slots, capacity))
}

fn open(scheduler: &mut Scheduler, n: usize, edges: &[(u32, u32, bool)]) {
    scheduler.open_frame(None, graph(n, edges), |_| true, |_| 0);
}

fn taken(scheduler: &mut Scheduler) -> Vec<Unit> {
    std::iter::from_fn(|| scheduler.take_ready()).collect()
}

#[test]
fn nodes_come_when_what_they_wait_for_has_succeeded() {
    let mut s = scheduler(2);
    open(&mut s, 3, &[(0, 2, false), (1, 2, false)]);
    assert_eq!(taken(&mut s), [0, 1]);
    assert!(s.finish(0, State::Succeeded).is_empty());
    assert_eq!(taken(&mut s), [0; 0]);
    s.finish(1, State::Succeeded);
    assert_eq!(taken(&mut s), [2]);
    s.finish(2, State::Succeeded);
    assert_eq!(s.open(), 0);
}

#[test]
fn a_failure_skips_all_below_it_and_a_skip_only_what_cannot_do_without() {
    let edges = [(0, 1, true), (1, 2, false), (0, 3, false), (3, 4, true)];
    let mut s = scheduler(2);
    open(&mut s, 5, &edges);
    s.take_ready();
    assert_eq!(s.finish(0, State::Failed), [1, 3, 4, 2]);
    let mut s = scheduler(2);
    open(&mut s, 5, &edges);
    s.take_ready();
    assert_eq!(s.finish(0, State::Skipped), [3]);
    assert_eq!(taken(&mut s), [1, 4], "both can do without what was skipped");
}

#[test]
fn slots_and_resources_bound_what_runs_and_priority_says_what_goes_first() {
    let mut s = scheduler(2);
    s.open_frame(None, graph(4, &[]), |_| true, |node| [1, 9, 5, 7][node]);
    for unit in taken(&mut s) {
        s.enqueue(unit, &request("gpu", u64::from(unit < 2)));
    }
    assert_eq!((s.take_start(), s.take_start(), s.take_start()), (Some(1), Some(3), None));
    assert_eq!(s.queued(), 2);
    assert_eq!(s.lacking(), [], "no slot is free");
    s.release(3);
    assert_eq!(s.lacking(), [(0, "gpu".to_owned())]);
    assert_eq!(s.take_start(), Some(2));
    s.release(1);
    assert_eq!(s.take_start(), Some(0));
}

#[test]
fn nothing_is_passed_over_for_ever() {
    let mut s = scheduler(100);
    s.open_frame(None, graph(401, &[]), |_| true, |node| u64::from(node == 0));
    let units = taken(&mut s);
    s.enqueue(400, &request("cpus", 60));
    s.take_start();
    s.enqueue(0, &request("cpus", 50));
    for unit in &units[1..400] {
        s.enqueue(*unit, &request("cpus", 1));
    }
    let mut passed = 0;
    while let Some(unit) = s.take_start() {
        passed += 1;
        s.release(unit);
        s.finish(unit, State::Succeeded);
    }
    assert_eq!(passed, 64, "then all wait for the large one");
    s.release(400);
    assert_eq!(s.take_start(), Some(0));
}

#[test]
fn elements_are_handed_out_as_far_as_they_may_be() {
    let mut s = scheduler(10);
    open(&mut s, 2, &[(0, 1, false)]);
    let node = s.take_ready().unwrap();
    let group = s.open_elements(node, 5, 2);
    assert_eq!(group, 1);
    assert_eq!(taken(&mut s), [2, 3]);
    assert_eq!(s.locate(3), (1, 1));
    s.finish(3, State::Failed);
    assert_eq!(taken(&mut s), [4]);
    s.finish(2, State::Succeeded);
    s.finish(4, State::Succeeded);
    for unit in taken(&mut s) {
        s.finish(unit, State::Succeeded);
    }
    assert_eq!(s.take_closed(), Some(0));
    assert_eq!(s.take_closed(), None);
    assert_eq!(s.ended(group), Ended { succeeded: 4, failed: 1, ..Ended::default() });
    s.finish(0, State::Succeeded);
    assert_eq!(taken(&mut s), [1]);
}

#[test]
fn empty_groups_end_at_once() {
    let mut s = scheduler(1);
    open(&mut s, 2, &[]);
    assert_eq!(taken(&mut s), [0, 1]);
    s.open_elements(0, 0, 3);
    s.open_frame(Some(1), graph(2, &[]), |_| false, |_| 0);
    assert_eq!((s.take_closed(), s.take_closed(), s.take_closed()), (Some(0), Some(1), None));
    s.open_elements(0, 1, 1);
    assert_eq!(taken(&mut s), [4]);
    assert_eq!(s.locate(4), (3, 0), "the empty groups hold nothing");
}

#[test]
fn what_nobody_took_up_ends_when_the_run_stops() {
    let mut s = scheduler(1);
    open(&mut s, 3, &[(0, 2, false)]);
    assert_eq!(taken(&mut s), [0, 1]);
    s.open_elements(1, 1000, 2);
    assert_eq!(taken(&mut s), [3, 4]);
    s.enqueue(3, &request("cpus", 1));
    s.enqueue(4, &request("cpus", 1));
    assert_eq!(s.take_start(), Some(3));
    s.stop();
    assert_eq!(s.abandon(), (vec![2, 4], 998));
    assert_eq!((s.queued(), s.open()), (0, 3), "0 is taken, 1 inside, 3 runs");
    s.release(3);
    s.finish(3, State::Failed);
    assert_eq!(s.take_closed(), Some(1));
    s.finish(1, State::Failed);
    s.finish(0, State::Succeeded);
    assert_eq!((s.open(), s.running()), (0, 0));
    s.resume();
    open(&mut s, 1, &[]);
    assert!(s.take_ready().is_some());
}

#[test]
fn only_what_is_below_a_unit_can_be_abandoned() {
    let mut s = scheduler(1);
    open(&mut s, 2, &[]);
    assert_eq!(taken(&mut s), [0, 1]);
    s.open_elements(0, 2, 2);
    assert_eq!(taken(&mut s), [2, 3]);
    for element in [2, 3] {
        s.open_frame(Some(element), graph(2, &[(0, 1, false)]), |_| true, |_| 0);
    }
    assert_eq!(taken(&mut s), [4, 6]);
    assert_eq!(s.abandon_below(2), (vec![5], 0));
    s.finish(4, State::Failed);
    assert_eq!(s.take_closed(), Some(2));
    assert_eq!(s.state(7), State::Waiting);
}

/// Random trees of frames and elements, driven to their ends with random outcomes.
#[test]
fn every_unit_ends_once_whatever_happens() {
    let mut seed: u64 = 7;
    let mut random = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for _ in 0..200 {
        let mut s = scheduler(3);
        let edges = |random: &mut dyn FnMut(u64) -> u64, n: u32| -> Vec<(u32, u32, bool)> {
            let pairs = (1..n).flat_map(|to| (0..to).map(move |from| (from, to)));
            let edges = pairs.map(|(from, to)| (from, to, random(6)));
            edges.filter(|(.., dice)| *dice < 2).map(|(from, to, dice)| (from, to, dice == 0)).collect()
        };
        let first = edges(&mut random, 6);
        open(&mut s, 6, &first);
        let mut running = Vec::new();
        let mut turns = 0;
        while s.open() > 0 {
            turns += 1;
            assert!(turns < 100_000, "stuck");
            while let Some(unit) = s.take_closed() {
                s.finish(unit, if random(4) == 0 { State::Failed } else { State::Succeeded });
            }
            if let Some(unit) = s.take_ready() {
                match random(8) {
                    0 if turns < 50 => drop(s.open_elements(unit, random(5) as usize, 2)),
                    1 if turns < 50 => {
                        let edges = edges(&mut random, 4);
                        s.open_frame(Some(unit), graph(4, &edges), |node| node != 2, |node| node as u64);
                    }
                    2 => drop(s.finish(unit, State::Skipped)),
                    _ => s.enqueue(unit, &request("gpu", random(2))),
                }
            }
            running.extend(s.take_start());
            assert!(s.running() == running.len() && running.len() <= 3);
            if !running.is_empty() && random(2) == 0 {
                let unit = running.swap_remove(random(running.len() as u64) as usize);
                s.release(unit);
                let end = [State::Succeeded, State::Failed, State::Cancelled][random(3) as usize];
                s.finish(unit, end);
            }
        }
        assert_eq!((s.queued(), s.running(), s.take_ready(), s.take_closed()), (0, 0, None, None));
    }
}

#[test]
fn very_many_elements() {
    let mut s = scheduler(4);
    open(&mut s, 1, &[]);
    s.take_ready();
    s.open_elements(0, 1_000_000, 64);
    while let Some(unit) = s.take_ready() {
        s.finish(unit, State::Succeeded);
    }
    assert_eq!(s.take_closed(), Some(0));
}
