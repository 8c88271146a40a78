//! The text of a run: complete, failed, interrupted, with elements.

use super::*;
use crate::core::event::{CacheStatus, Event, NodeKind};
use crate::view::model::run::Keep;
use crate::view::model::run::tests::with_elements;
use crate::view::sample::*;

fn now() -> Zoned {
    at(16 + 180).to_zoned(jiff::tz::TimeZone::UTC)
}

#[test]
fn a_failed_run_reads_well() {
    let view = RunState::from_events(RUN.into(), failed_run(), "running", Keep::OUTLINE);
    let expected = "\
run k3v9x2qm  nightly-train  demo/development
✗ failed in 16.3s, started 3 min ago (2026-01-02 03:00:00)
1 failed, 1 executed, 1 cached (saved 1.5s), 1 skipped, 1 cancelled

NODE      STATUS     CACHE      TIME
✓ fetch   succeeded  hit               from a1b2c3d4/fetch, yesterday 03:00
✓ hash    succeeded  populated  0.4s   cpu 0.3s, 64.0 MiB
✗ train   failed     miss       12.0s  exit 3 after 2 attempts; cpu 23.4s, 3.0 GiB
○ report  cancelled                    train failed
○ notify  skipped                      its condition is false

✗ train  exit 3 after 2 attempts
  attempt 1: exit 3 (2.0s)
  │ epoch 1
  │ ValueError: no data
  log:  /home/ada/runs/k3v9x2qm/train.2.log
  more: runner logs k3v9x2qm train

! train: the pinned version 1.0.0 hides a change of the command

next
  runner retry k3v9x2qm        runs what failed or was never reached
  runner shell k3v9x2qm train  opens a shell with what it had
";
    assert_eq!(view.render(false, Order::Events, false, &now()), expected);
    let coloured = view.render(false, Order::Events, true, &now());
    let stripped: Vec<_> = coloured.lines().map(|line| inert(line).into_owned()).collect();
    assert!(coloured.contains('\x1b'));
    assert_eq!(stripped.join("\n") + "\n", expected);
}

#[test]
fn many_hits_are_told_by_their_number() {
    let mut events = vec![run_started(100_001)];
    events.extend((0..99_999).map(|i| Event::NodeFinished(hit(&format!("n{i}")))));
    events.push(expanded("each", 1, 100_000));
    events.push(element(0, hit("each")));
    let one = Counts { nodes: 1, cached: 1, ..Counts::default() };
    let all_hit = NodeFinished { cache: Some(CacheStatus::Hit), ..sum("each", NodeKind::Elements, one) };
    events.push(Event::NodeFinished(all_hit));
    let counts = Counts { nodes: 100_000, cached: 100_000, ..Counts::default() };
    events.push(run_finished(Status::Succeeded, counts, 0));
    let view = RunState::from_events(RUN.into(), events, "running", Keep::EVERYTHING);
    let text = view.render(false, Order::Events, false, &now());
    assert!(text.contains("99,989 more from the cache; --all lists them\n"), "{text}");
    assert!(text.contains("\n✓ each  succeeded  hit    12.3s  1 element: 1 cached\n"), "{text}");
    assert!(text.contains("outputs\n  hash = \"2cf24d\"\n  model = /home/ada/out/model.bin (3.0 MiB)\n"));
    assert_eq!(view.render(true, Order::Events, false, &now()).matches("succeeded  hit").count(), 100_001);
}

#[test]
fn a_run_without_an_end_says_so() {
    let events = [run_started(2), node_started("hash", 1, 0)];
    let view = RunState::from_events(RUN.into(), events, "interrupted", Keep::OUTLINE);
    let text = view.render(false, Order::Events, false, &now());
    assert!(text.contains("\n… interrupted, started 3 min ago (2026-01-02 03:00:00)\n\nNODE "), "{text}");
    assert!(text.contains("\n… hash  interrupted\n"), "{text}");
}

#[test]
fn elements_are_folded_into_their_node() {
    let view = RunState::from_events(RUN.into(), with_elements(), "running", Keep::OUTLINE);
    let text = view.render(false, Order::Events, false, &now());
    let table: Vec<_> = text.lines().skip(4).filter(|line| !line.contains("each[")).collect();
    assert_eq!(
        table[..4],
        [
            "NODE             STATUS   CACHE  TIME",
            "✗ each           failed          12.3s   20 of 200 elements failed; 180 executed",
            "… prep           running                 3 of 4 elements",
            "… prep[3]/clean  running         3m 14s",
        ]
    );
    assert_eq!(text.matches("✗ each[").count(), 20 + DETAILED_FAILURES, "{text}");
    assert_eq!(text.matches("failed   miss ").count(), 20, "{text}");
    assert!(text.contains("more: runner logs k3v9x2qm each --index 7\n"), "{text}");
    let all = RunState::from_events(RUN.into(), with_elements(), "running", Keep::EVERYTHING);
    let all = all.render(true, Order::Events, false, &now());
    assert_eq!(all.lines().filter(|line| line.contains("succeeded ")).count(), 180 + 3 * 2);
    assert!(all.contains("\n✓ each[0]        succeeded  populated  0.4s    cpu 0.3s, 64.0 MiB\n"), "{all}");
}

#[test]
fn failures_beyond_number_are_counted() {
    let mut events = vec![run_started(1), expanded("each", 70_000, 70_000)];
    events.extend((0..70_000).map(|i| element(i, failed("each"))));
    let view = RunState::from_events(RUN.into(), events, "interrupted", Keep::OUTLINE);
    let text = view.render(false, Order::Events, false, &now());
    assert!(text.contains("\n69,950 more failed; --all lists them\n"), "{text}");
    assert!(
        text.contains("\n… each      interrupted                70,000 of 70,000 elements, 70,000 failed\n"),
        "{text}"
    );
    assert!(text.lines().count() < 130);
}

#[test]
fn allowed_failures_do_not_look_like_a_failed_run() {
    let counts = Counts { nodes: 3, executed: 2, failed: 1, ..Counts::default() };
    let events = [
        run_started(1),
        expanded("each", 3, 3),
        element(0, executed("each")),
        element(1, failed("each")),
        element(2, executed("each")),
        Event::NodeFinished(sum("each", NodeKind::Elements, counts)),
        run_finished(Status::Succeeded, counts, 0),
    ];
    let text = RunState::from_events(RUN.into(), events, "running", Keep::OUTLINE).render(
        false,
        Order::Events,
        false,
        &now(),
    );
    assert!(
        text.contains(
            "✓ succeeded in 16.3s, started 3 min ago (2026-01-02 03:00:00)\n2 executed, 1 failed (allowed)\n"
        ),
        "{text}"
    );
    assert!(text.contains("\n✓ each     succeeded         12.3s  3 elements: 2 executed, 1 failed (allowed)\n✗ each[1]  failed     miss   12.0s  exit 3 after 2 attempts; cpu 23.4s, 3.0 GiB\n"), "{text}");
}
