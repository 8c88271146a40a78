//! The scheduler's tests: each rule by itself, and random trees of units.

use std::collections::BTreeMap;

use super::*;

/// A graph of `n` nodes; an edge says whether its target can do without its source.
fn graph(n: usize, edges: &[(u32, u32, bool)]) -> Arc<Graph> {
    Arc::new(Graph::from_edges(n, edges))
}

fn request(name: &str, amount: u64) -> Reservation {
    BTreeMap::from([(name.to_owned(), amount)])
}

fn scheduler(slots: usize) -> Scheduler {
    let capacity = BTreeMap::from([("cpus".to_owned(), 100), ("gpu".to_owned(), 1)]);
    Scheduler::new(Pools::new(slots, capacity))
}

fn open(scheduler: &mut Scheduler, n: usize, edges: &[(u32, u32, bool)]) {
    scheduler.open_frame(None, graph(n, edges), |_| true, |_| 0);
}

fn taken(scheduler: &mut Scheduler) -> Vec<UnitId> {
    std::iter::from_fn(|| scheduler.take_ready()).collect()
}

#[test]
fn nodes_come_when_what_they_wait_for_has_succeeded() {
    let mut s = scheduler(2);
    open(&mut s, 3, &[(0, 2, false), (1, 2, false)]);
    assert_eq!(taken(&mut s), [0, 1]);
    assert!(s.finish(0, UnitState::Succeeded).is_empty());
    assert_eq!(taken(&mut s), [0; 0]);
    s.finish(1, UnitState::Succeeded);
    assert_eq!(taken(&mut s), [2]);
    s.finish(2, UnitState::Succeeded);
    assert_eq!(s.open(), 0);
}

#[test]
fn a_failure_skips_all_below_it_and_a_skip_only_what_cannot_do_without() {
    let edges = [(0, 1, true), (1, 2, false), (0, 3, false), (3, 4, true)];
    let mut s = scheduler(2);
    open(&mut s, 5, &edges);
    s.take_ready();
    assert_eq!(s.finish(0, UnitState::Failed), [1, 3, 4, 2]);
    let mut s = scheduler(2);
    open(&mut s, 5, &edges);
    s.take_ready();
    assert_eq!(s.finish(0, UnitState::Skipped), [3]);
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
        s.finish(unit, UnitState::Succeeded);
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
    s.finish(3, UnitState::Failed);
    assert_eq!(taken(&mut s), [4]);
    s.finish(2, UnitState::Succeeded);
    s.finish(4, UnitState::Succeeded);
    for unit in taken(&mut s) {
        s.finish(unit, UnitState::Succeeded);
    }
    assert_eq!(s.take_closed(), Some(0));
    assert_eq!(s.take_closed(), None);
    assert_eq!(s.ended(group), EndCounts { succeeded: 4, failed: 1, ..EndCounts::default() });
    s.finish(0, UnitState::Succeeded);
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
    s.finish(3, UnitState::Failed);
    assert_eq!(s.take_closed(), Some(1));
    s.finish(1, UnitState::Failed);
    s.finish(0, UnitState::Succeeded);
    assert_eq!((s.open(), s.running()), (0, 0));
    s.resume();
    open(&mut s, 1, &[]);
    assert!(s.take_ready().is_some());
}

#[test]
fn nothing_is_handed_out_while_stopped() {
    let mut s = scheduler(1);
    open(&mut s, 2, &[]);
    assert_eq!(s.take_ready(), Some(0));
    s.enqueue(0, &Reservation::new());
    s.stop();
    assert!(s.is_stopped() && !s.has_ready());
    assert_eq!((s.take_ready(), s.take_start()), (None, None));
    s.resume();
    assert_eq!((s.take_ready(), s.take_start()), (Some(1), Some(0)));
}

#[test]
fn a_frame_that_has_ended_gives_back_its_graph() {
    let inner = graph(1, &[]);
    let mut s = scheduler(1);
    s.open_frame(None, inner.clone(), |_| true, |_| 0);
    assert_eq!(taken(&mut s), [0]);
    assert_eq!(Arc::strong_count(&inner), 2);
    s.finish(0, UnitState::Succeeded);
    assert_eq!(Arc::strong_count(&inner), 1);
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
    s.finish(4, UnitState::Failed);
    assert_eq!(s.take_closed(), Some(2));
    assert_eq!(s.state(7), UnitState::Waiting);
}

#[test]
fn nodes_that_take_no_part_are_not_waited_for() {
    let mut s = scheduler(1);
    s.open_frame(None, graph(3, &[(0, 1, false), (1, 2, false)]), |node| node != 0, |_| 0);
    assert_eq!((s.open(), s.state(0)), (2, UnitState::Out));
    assert_eq!(taken(&mut s), [1]);
}

#[test]
fn a_node_with_good_and_bad_news_is_skipped_whichever_comes_first() {
    let edges = [(0, 2, true), (1, 2, false)];
    for bad in [UnitState::Skipped, UnitState::Failed, UnitState::Cancelled] {
        for [first, second] in [[0, 1], [1, 0]] {
            let mut s = scheduler(1);
            open(&mut s, 3, &edges);
            assert_eq!(taken(&mut s), [0, 1]);
            let mut skipped = s.finish(first, if first == 1 { bad } else { UnitState::Succeeded });
            skipped.extend(s.finish(second, if second == 1 { bad } else { UnitState::Succeeded }));
            assert_eq!((skipped, s.open()), (vec![2], 0));
        }
    }
}

#[test]
fn nodes_go_before_elements_and_elements_of_several_nodes_in_turn() {
    let mut s = scheduler(1);
    open(&mut s, 3, &[(2, 1, false)]);
    assert_eq!(taken(&mut s), [0, 2]);
    s.open_elements(0, 3, 3);
    s.finish(2, UnitState::Succeeded);
    assert_eq!(s.take_ready(), Some(1), "a node, though it became ready later");
    s.open_elements(1, 3, 2);
    assert_eq!(s.take_ready(), Some(3));
    s.open_frame(Some(3), graph(1, &[]), |_| true, |_| 0);
    assert_eq!(taken(&mut s), [9, 6, 4, 7, 5], "what is inside of an element before the next one");
}

#[test]
fn elements_have_the_priority_of_their_node_at_any_depth() {
    let mut s = scheduler(1);
    s.open_frame(None, graph(2, &[]), |_| true, |node| [1, 2][node]);
    assert_eq!(taken(&mut s), [0, 1]);
    s.open_elements(1, 1, 1);
    s.enqueue(0, &Reservation::new());
    let element = s.take_ready().unwrap();
    s.enqueue(element, &Reservation::new());
    assert_eq!(s.take_start(), Some(element));
}

#[test]
fn a_retried_unit_holds_what_it_requests_now() {
    let mut s = scheduler(3);
    open(&mut s, 3, &[]);
    for unit in taken(&mut s) {
        s.enqueue(unit, &request("gpu", 1));
    }
    assert_eq!((s.take_start(), s.take_start()), (Some(0), None));
    s.release(0);
    s.enqueue(0, &request("gpu", 0));
    assert_eq!((s.take_start(), s.take_start()), (Some(1), Some(0)));
    s.release(0);
    s.finish(0, UnitState::Succeeded);
    assert_eq!(s.take_start(), None, "the gpu is still taken");
    s.release(1);
    assert_eq!(s.take_start(), Some(2));
}

#[test]
fn elements_of_an_abandoned_unit_are_not_handed_out_any_more() {
    let mut s = scheduler(1);
    open(&mut s, 2, &[]);
    assert_eq!(taken(&mut s), [0, 1]);
    s.open_elements(0, 10, 2);
    s.open_elements(1, 10, 1);
    assert_eq!(s.take_ready(), Some(2));
    assert_eq!(s.abandon_below(0), (vec![], 9));
    assert_eq!(s.abandon_below(0), (vec![], 0));
    assert_eq!(taken(&mut s), [12], "the other node goes on");
    assert!(!s.has_ready());
    s.finish(2, UnitState::Succeeded);
    assert!(!s.has_ready());
    assert_eq!(s.take_closed(), Some(0));
    assert_eq!(s.ended(1), EndCounts { succeeded: 1, cancelled: 9, ..EndCounts::default() });
}

#[test]
fn a_unit_costs_little() {
    assert_eq!(size_of::<UnitState>(), 1);
}

/// Were any of this done by looking at all that there is, it would never end.
#[test]
fn very_many_elements_that_are_frames_and_lose_parts() {
    let mut s = scheduler(4);
    open(&mut s, 2, &[]);
    assert_eq!(taken(&mut s), [0, 1]);
    s.open_elements(0, 50_000, 50_000);
    s.open_elements(1, 50_000, 50_000);
    let inner = graph(2, &[(0, 1, false)]);
    for element in 2..100_002 {
        let taken = s.take_ready().unwrap();
        assert!((2..100_002).contains(&taken), "after {element}");
        s.open_frame(Some(taken), inner.clone(), |_| true, |_| 0);
        let first = s.take_ready().unwrap();
        assert_eq!(s.abandon_below(taken), (vec![first + 1], 0));
        s.stop();
        assert!(s.abandon_below(first).0.is_empty());
        s.resume();
    }
    for first in (100_002..300_002).step_by(2) {
        s.finish(first, UnitState::Failed);
        while let Some(closed) = s.take_closed() {
            s.finish(closed, UnitState::Failed);
        }
    }
    assert_eq!((s.open(), s.ended(0)), (0, EndCounts { failed: 2, ..EndCounts::default() }));
}

#[test]
fn very_many_elements() {
    let mut s = scheduler(4);
    open(&mut s, 1, &[]);
    s.take_ready();
    s.open_elements(0, 1_000_000, 64);
    while let Some(unit) = s.take_ready() {
        s.finish(unit, UnitState::Succeeded);
    }
    assert_eq!(s.take_closed(), Some(0));
}
