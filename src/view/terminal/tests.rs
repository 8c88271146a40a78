//! What a person sees on a terminal while a run goes on and after it, on a screen in memory.

use super::*;
use crate::core::event::*;
use crate::view::sample::*;
use crate::view::terminal::tty::Tty;

/// Without a thread that draws.
fn on(tty: &Tty, verbosity: Verbosity) -> Terminal {
    Terminal::on(tty.screen(), verbosity, true, TimeZone::UTC)
}

/// Lets `terminal` believe in a ticker, so that only [`Shared::draw`] draws.
fn held_back(mut terminal: Terminal) -> Terminal {
    terminal.ticker = thread::Builder::new().spawn(|| ()).ok();
    terminal
}

#[test]
fn a_run_at_eighty_columns() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    let log = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&log, "epoch 1\n\x1b[2Jepoch 2\r10%\r\x1b[31m20% \x1b[0m\n\n").unwrap();
    let started = |node: &str| {
        let log = Some(log.path().to_str().unwrap().into());
        Event::NodeStarted(NodeStarted {
            time: at(1),
            node: node.into(),
            index: Some(7),
            attempt: 1,
            log,
            queued: 3,
            waited_ms: 0,
            remaining_ms: None,
            executor: None,
            job: None,
            host: None,
            adopted: None,
        })
    };
    let events = failed_run();
    play(&mut terminal, &events[..6]);
    play(&mut terminal, &[expanded("split", 9, 14), waiting("plot", None, "for gpu: all 2 are taken")]);
    play(&mut terminal, &[started("split")]);
    terminal.shared.draw(at(2), Ink(true));
    assert_eq!(
        tty.rows(),
        [
            "✓ hash  0.4s",
            "! train: the pinned version 1.0.0 hides a change of the command",
            "⠙ split     2.0s  0/9  1 running  [7] 20%",
            "⠙ train     1.0s",
            "⋯ plot   waiting for gpu: all 2 are taken",
            "━─────────  2/14  2.0s  2 running  3 queued  1 executed  1 cached  saved 1.5s",
        ]
    );
    play(&mut terminal, &events[6..7]);
    terminal.shared.draw(at(5), Ink(true));
    assert_eq!(
        tty.rows()[2..],
        [
            "↻ train  attempt 1: exit 3, again in 4.0s",
            "⠹ split     5.0s  0/9  1 running  [7] 20%",
            "↻ train     4.0s  exit 3, again in 2.0s",
            "⋯ plot   waiting for gpu: all 2 are taken",
            "━─────────  2/14  5.0s  2 running  3 queued  1 executed  1 cached  saved 1.5s",
        ]
    );
    play(&mut terminal, &events[7..]);
    assert_eq!(
        tty.rows(),
        [
            "✓ hash  0.4s",
            "! train: the pinned version 1.0.0 hides a change of the command",
            "↻ train  attempt 1: exit 3, again in 4.0s",
            "✗ train  exit 3 after 2 attempts  12.0s",
            "  │ epoch 1",
            "  │ ValueError: no data",
            "  log:  /home/ada/runs/k3v9x2qm/train.2.log",
            "  more: runner logs k3v9x2qm train",
            "○ report  cancelled: train failed",
            "○ notify  skipped: its condition is false",
            "next:",
            "  runner retry k3v9x2qm        runs what failed or was never reached",
            "  runner shell k3v9x2qm train  opens a shell with what it had",
            "✗ failed in 16.3s: 1 failed, 1 executed, 1 cached (saved 1.5s), 1 skipped, 1",
            "  cancelled  run k3v9x2qm",
        ]
    );
}

#[test]
fn forty_columns_and_resizing_leave_no_rubbish() {
    let tty = Tty::new(40, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    play(&mut terminal, &[run_started(20), Event::NodeFinished(executed("hash"))]);
    for i in 0..20 {
        play(&mut terminal, &[node_started(&format!("name_of_some_length_{i:02}"), 1, i)]);
    }
    terminal.shared.draw(at(100), Ink(true));
    let mut expected = vec!["✓ hash  0.4s".to_owned()];
    expected.extend((0..8).map(|i| format!("⠙ name_of_some_length_{i:02}   1m {}s", 40 - i)));
    expected.push("  and 12 more".into());
    let counts = "1/20  1m 40s  20 running  1 executed";
    expected.push(counts.into());
    assert_eq!(tty.rows(), expected);

    for (columns, bar) in [(30, "1/20  1m 40s  20 running"), (70, "──"), (40, counts), (100, "──")] {
        tty.resize(columns, 10);
        terminal.shared.draw(at(100), Ink(true));
        let rows = tty.rows();
        assert_eq!((rows.len(), &*rows[0], &*rows[9]), (11, "✓ hash  0.4s", "  and 12 more"), "{rows:#?}");
        assert!(rows[10].starts_with(bar), "{columns}: {rows:#?}");
    }
    let counts = Counts { cancelled: 20, executed: 1, ..Counts::default() };
    play(&mut terminal, &[run_finished(Status::Cancelled, counts, 0)]);
    assert_eq!(
        tty.rows().join("\n").replace('\n', ""),
        "✓ hash  0.4snext:  runner retry k3v9x2qm  runs what failed or was never reached✗ cancelled in 16.3s: 1 executed, 20 cancelled  run k3v9x2qm"
    );
}

#[test]
fn a_burst_of_hits_draws_nothing_but_the_summary() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    let hits = (0..100_000).map(|i| Event::NodeFinished(hit(&format!("n{i}"))));
    terminal.event(&run_started(100_000), "");
    hits.for_each(|hit| terminal.event(&hit, ""));
    assert_eq!(tty.writes(), 0);
    terminal.shared.draw(at(1), Ink(true));
    assert_eq!(tty.writes(), 1, "a frame is one write");
    assert_eq!(tty.rows(), ["━━━━━━━━━━  100,000/100,000  1.0s  100,000 cached  saved 1d 17h"]);
    let counts = Counts { nodes: 100_000, cached: 100_000, ..Counts::default() };
    terminal.event(&run_finished(Status::Succeeded, counts, 0), "");
    assert_eq!(tty.rows(), ["✓ succeeded in 16.3s: 100,000 cached  run k3v9x2qm"]);
}

#[test]
fn a_run_shorter_than_a_tick_shows_no_bar() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    play(&mut terminal, &failed_run());
    let raw = tty.rows().join("\n");
    assert!(!raw.contains('─') && tty.writes() == 1, "{raw}");
}

#[test]
fn quiet_is_silent_on_success_and_at_once_on_failure() {
    let tty = Tty::new(80, 24);
    let mut terminal = on(&tty, Verbosity::Quiet);
    play(&mut terminal, &[run_started(2), Event::NodeFinished(executed("hash"))]);
    assert_eq!(tty.rows(), [""; 0]);
    play(&mut terminal, &[Event::NodeFinished(failed("train"))]);
    assert_eq!(tty.rows()[0], "✗ train  exit 3 after 2 attempts  12.0s");
}

#[test]
fn a_run_without_an_end_leaves_a_clean_screen() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    play(&mut terminal, &[run_started(2), node_started("hash", 1, 0)]);
    terminal.shared.draw(at(1), Ink(true));
    assert_eq!(tty.rows().len(), 2);
    play(&mut terminal, &[Event::NodeFinished(executed("hash"))]);
    drop(terminal);
    assert_eq!(tty.rows(), ["✓ hash  0.4s"]);
}

/// A hundred elements, of which some have ended and some run.
fn elements() -> Vec<Event> {
    let mut events = vec![run_started(1), expanded("each", 100, 100)];
    for i in 0..60 {
        events.push(element_started("each", i, 99 - i, 1));
        match i {
            10 => events.push(element(i, failed("each"))),
            0..56 => events.push(element(i, executed("each"))),
            _ => {}
        }
    }
    events
}

#[test]
fn elements_are_one_line_at_eighty_columns() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    play(&mut terminal, &elements());
    terminal.shared.draw(at(5), Ink(true));
    let failure = [
        "✗ each[10]  exit 3 after 2 attempts  12.0s",
        "  │ epoch 1",
        "  │ ValueError: no data",
        "  log:  /home/ada/runs/k3v9x2qm/train.2.log",
        "  more: runner logs k3v9x2qm each --index 10",
    ];
    assert_eq!(tty.rows()[..5], failure);
    assert_eq!(
        tty.rows()[5..],
        [
            "⠙ each     5.0s  56/100  4 running  1 failed",
            "━━━━━─────  56/100  5.0s  1 failed  4 running  40 queued  55 executed",
        ]
    );
    for i in 56..60 {
        play(&mut terminal, &[element(i, executed("each"))]);
    }
    let never = idle("each", Status::Cancelled, "the run stopped first");
    let rest = (60..100).map(|i| element(i, never.clone()));
    rest.for_each(|end| terminal.event(&end, ""));
    terminal.shared.draw(at(6), Ink(true));
    assert_eq!(
        tty.rows()[5..],
        [
            "⠹ each     6.0s  100/100  1 failed",
            "━━━━━━━━━━  100/100  6.0s  1 failed  59 executed  40 cancelled"
        ]
    );
    let counts = Counts { nodes: 100, executed: 59, failed: 1, cancelled: 40, ..Counts::default() };
    let end = sum_failed("each", NodeKind::Elements, counts, "1 of 100 elements failed");
    play(&mut terminal, &[Event::NodeFinished(end), run_finished(Status::Failed, counts, 0)]);
    assert_eq!(
        tty.rows()[5..],
        [
            "✗ each  1 of 100 elements failed",
            "next:",
            "  runner retry k3v9x2qm                  runs what failed or was never reached",
            "  runner shell k3v9x2qm each --index 10  opens a shell with what it had",
            "✗ failed in 16.3s: 1 failed, 59 executed, 40 cancelled  run k3v9x2qm"
        ]
    );
}

#[test]
fn what_tasks_print_stands_above_the_live_lines() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal).with_output());
    let log = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(log.path(), "\x1b[2Jone\ntwo\nhalf").unwrap();
    let Event::NodeStarted(mut started) = node_started("hash", 1, 0) else { unreachable!() };
    started.log = log.path().to_str().map(str::to_owned);
    play(&mut terminal, &[run_started(2), Event::NodeStarted(started)]);
    terminal.shared.draw(at(2), Ink(true));
    assert_eq!(tty.rows()[..2], ["hash | one", "hash | two"]);
    assert!(tty.rows()[2].starts_with("⠙ hash") && tty.rows().len() == 4, "{:?}", tty.rows());
    play(&mut terminal, &[Event::NodeFinished(executed("hash"))]);
    terminal.shared.draw(at(3), Ink(true));
    assert_eq!(tty.rows()[2..4], ["hash | half", "✓ hash  0.4s"]);
}

#[test]
fn a_burst_of_elements_from_the_cache_says_one_thing() {
    let tty = Tty::new(80, 24);
    let mut terminal = held_back(on(&tty, Verbosity::Normal));
    play(&mut terminal, &[run_started(1), expanded("each", 100_000, 100_000)]);
    let hit = hit("each");
    (0..99_997).for_each(|i| terminal.event(&element(i, hit.clone()), ""));
    terminal.shared.draw(at(1), Ink(true));
    assert_eq!(tty.rows()[0], "⠙ each     1.0s  99,997/100,000");
    (99_997..100_000).for_each(|i| terminal.event(&element(i, executed("each")), ""));
    let counts = Counts { nodes: 100_000, executed: 3, cached: 99_997, ..Counts::default() };
    play(&mut terminal, &[Event::NodeFinished(sum("each", NodeKind::Elements, counts))]);
    play(&mut terminal, &[run_finished(Status::Succeeded, counts, 0)]);
    assert_eq!(
        tty.rows(),
        [
            "✓ each  12.3s  100,000 elements: 3 executed, 99,997 cached",
            "✓ succeeded in 16.3s: 3 executed, 99,997 cached  run k3v9x2qm",
        ]
    );
}
