//! Which log a node's name refers to, and why there is none.

use std::path::PathBuf;

use crate::core::event::{Event, NodeFinished, NodeKind, Status};
use crate::core::node_path::NodeRef;
use crate::ops::node_arg::{ends, is_inside, unknown, which};
use crate::view::text::commands::logs_command;

/// The log of what is wanted.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn find_log(
    events: &[Event],
    wanted: NodeRef,
    attempt: Option<u32>,
    run: &str,
) -> Result<PathBuf, String> {
    if let Some(log) = log_of(events, wanted, attempt) {
        return Ok(log.into());
    }
    let label = wanted.label();
    let own = ends(events).find(|node| node.path() == wanted && node.kind == NodeKind::Task);
    let started = log_of(events, wanted, None).is_some();
    if let (Some(attempt), true) = (attempt, started) {
        return Err(format!("`{label}` had no attempt {attempt} in run {run}"));
    }
    if let Some(node) = own {
        return Err(match &node.source {
            Some(source) => format!(
                "`{label}` did not run: its result came from the cache; try `{}`",
                logs_command(&source.run, &source.node, None)
            ),
            None => format!("`{label}` did not run in run {run}"),
        });
    }
    let inside: Vec<&NodeFinished> = ends(events).filter(|node| is_inside(node, &label)).collect();
    let failed: Vec<&NodeFinished> =
        inside.iter().copied().filter(|node| node.status == Status::Failed && node.attempts > 0).collect();
    if let [one] = failed[..] {
        let log = log_of(events, one.path(), attempt);
        return log.map(PathBuf::from).ok_or_else(|| {
            let one = one.path();
            format!("`{one}`, which failed, had no attempt {} in run {run}", attempt.unwrap_or(1))
        });
    }
    match failed.first().or(inside.first()) {
        Some(example) => {
            Err(which(events, wanted, &failed, &logs_command(run, &example.node, example.index)))
        }
        None => Err(unknown(events, wanted, run)),
    }
}

/// The log of the last attempt of `wanted`, or of the one given.
pub fn log_of<'e>(events: &'e [Event], wanted: NodeRef, attempt: Option<u32>) -> Option<&'e str> {
    events.iter().rev().find_map(|event| match event {
        Event::NodeStarted(started)
            if started.path() == wanted && attempt.is_none_or(|n| n == started.attempt) =>
        {
            started.log.as_deref()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{CacheStatus, Counts, NodeStarted};
    use crate::ops::node_arg::node_ref;
    use crate::view::sample::{self, sum, sum_failed};

    fn started(node: &str, index: Option<u64>, attempt: u32) -> Event {
        let log = Some(format!("/logs/{}.{attempt}", NodeRef::new(node, index)));
        Event::NodeStarted(NodeStarted {
            time: sample::at(0),
            node: node.into(),
            index,
            attempt,
            log,
            queued: 0,
            waited_ms: 0,
            remaining_ms: None,
            executor: None,
            job: None,
            host: None,
            adopted: None,
        })
    }

    fn end(node: NodeFinished) -> Event {
        Event::NodeFinished(node)
    }

    /// What is found, or the words that say why not.
    fn logs(events: &[Event], node: &str, index: Option<u64>, attempt: Option<u32>) -> String {
        let found = node_ref(node, index).and_then(|wanted| find_log(events, wanted, attempt, "k3v9"));
        found.map_or_else(|why| why, |path| path.display().to_string())
    }

    fn each(failed: &[u64]) -> Vec<Event> {
        let mut events = vec![sample::expanded("each", 4, 4)];
        for i in 0..3 {
            events.push(started("each", Some(i), 1));
            if failed.contains(&i) {
                events.extend([started("each", Some(i), 2), sample::element(i, sample::failed("each"))]);
            } else {
                events.push(sample::element(i, sample::executed("each")));
            }
        }
        events.push(sample::element(3, sample::hit("each")));
        let sums = Counts { failed: failed.len() as u64, ..Counts::default() };
        events.push(end(sum("each", NodeKind::Elements, sums)));
        events
    }

    #[test]
    fn an_element_is_named_by_its_number() {
        let events = each(&[0, 2]);
        for (node, index, attempt, expected) in [
            ("each", Some(1), None, "/logs/each[1].1"),
            ("each[1]", None, None, "/logs/each[1].1"),
            ("each[1]", Some(1), Some(1), "/logs/each[1].1"),
            ("each[2]", None, None, "/logs/each[2].2"),
            ("each[2]", None, Some(1), "/logs/each[2].1"),
            ("each[2]", None, Some(3), "`each[2]` had no attempt 3 in run k3v9"),
            ("each[1]", Some(2), None, "`each[1]` and --index 2 name two elements"),
            (
                "each[3]",
                None,
                None,
                "`each[3]` did not run: its result came from the cache; try `runner logs a1b2c3d4 each`",
            ),
            ("each", Some(4), None, "`each` has 4 elements, 0 to 3: there is no 4"),
            ("eahc", Some(1), None, "run k3v9 has no node `eahc[1]`; did you mean `each`?"),
        ] {
            assert_eq!(logs(&events, node, index, attempt), expected);
        }
    }

    #[test]
    fn without_a_number_the_one_that_failed_is_meant() {
        let one = "/logs/each[1].2";
        for (failed, expected) in [
            (&[1][..], one),
            (&[], "`each` has 4 elements: name one, as in `runner logs k3v9 each --index 0`"),
            (
                &[1, 2],
                "`each` has 4 elements, 2 failed (each[1], each[2]): name one, as in `runner logs k3v9 each --index 1`",
            ),
        ] {
            assert_eq!(logs(&each(failed), "each", None, None), expected);
        }
        assert_eq!(logs(&each(&[1]), "each", None, Some(1)), "/logs/each[1].1");
        assert_eq!(
            logs(&each(&[1]), "each", None, Some(9)),
            "`each[1]`, which failed, had no attempt 9 in run k3v9"
        );
    }

    #[test]
    fn workflows_inside_are_named_with_their_nodes() {
        let sums = Counts::default();
        let mut events = vec![sample::expanded("prep", 9, 18)];
        for i in 0..9 {
            for node in [format!("prep[{i}]/clean"), format!("prep[{i}]/sort")] {
                events.extend([started(&node, None, 1), end(sample::failed(&node))]);
            }
            events.push(sample::element(i, sum_failed("prep", NodeKind::Workflow, sums, "2 nodes failed")));
        }
        events.extend([started("one/a", None, 1), end(sample::failed("one/a"))]);
        events.extend([started("one/b", None, 1), end(sample::executed("one/b"))]);
        events.push(end(sum_failed("one", NodeKind::Workflow, sums, "1 node of the workflow failed")));
        for (node, expected) in [
            ("prep[3]/clean", "/logs/prep[3]/clean.1"),
            ("one/b", "/logs/one/b.1"),
            ("one", "/logs/one/a.1"),
            (
                "prep",
                "`prep` has 9 elements, 18 failed (prep[0]/clean, prep[0]/sort, prep[1]/clean, ...): \
                 name one, as in `runner logs k3v9 'prep[0]/clean'`",
            ),
            (
                "prep[3]",
                "`prep[3]` is made of other nodes, 2 failed (prep[3]/clean, prep[3]/sort): \
                 name one, as in `runner logs k3v9 'prep[3]/clean'`",
            ),
            (
                "prep/clean",
                "`prep/clean` runs once for each element, 9 failed (prep[0]/clean, prep[1]/clean, prep[2]/clean, ...): \
                 name one, as in `runner logs k3v9 'prep[0]/clean'`",
            ),
            ("on", "run k3v9 has no node `on`; did you mean `one`?"),
        ] {
            assert_eq!(logs(&events, node, None, None), expected);
        }
    }

    #[test]
    fn plain_nodes_need_no_number() {
        let skipped = sample::idle("notify", Status::Skipped, "its condition is false");
        let hit = NodeFinished { cache: Some(CacheStatus::Hit), ..sample::hit("fetch") };
        let events = [started("hash", None, 1), end(sample::executed("hash")), end(skipped), end(hit)];
        for (node, index, expected) in [
            ("hash", None, "/logs/hash.1"),
            ("hash", Some(0), "`hash` has no elements in run k3v9: leave out the index"),
            ("notify", None, "`notify` did not run in run k3v9"),
            (
                "fetch",
                None,
                "`fetch` did not run: its result came from the cache; try `runner logs a1b2c3d4 fetch`",
            ),
        ] {
            assert_eq!(logs(&events, node, index, None), expected);
        }
    }
}
