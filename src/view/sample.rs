//! Events made by hand, for the tests of the listeners.

use jiff::Timestamp;
use serde_json::{Map as JsonMap, json};

use crate::core::digest::Digest;
use crate::core::event::*;
use crate::core::schedule::Trigger;

pub const RUN: &str = "k3v9x2qm";

/// Seconds after three in the morning (UTC) of a certain day.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_322_800 + seconds).unwrap()
}

pub fn run_started(nodes: u64) -> Event {
    Event::RunStarted(RunStarted {
        time: at(0),
        run: RUN.into(),
        workflow: "nightly-train".into(),
        project: "demo".into(),
        domain: "development".into(),
        nodes,
        jobs: 4,
        trigger: Trigger::Manual,
        schedule: None,
        scheduled_at: None,
        retry_of: None,
        first: false,
        executor: None,
    })
}

pub fn node_started(node: &str, attempt: u32, seconds: i64) -> Event {
    Event::NodeStarted(NodeStarted {
        time: at(seconds),
        node: node.into(),
        index: None,
        attempt,
        log: None,
        queued: 0,
        waited_ms: 0,
        remaining_ms: None,
        executor: None,
        job: None,
        host: None,
        adopted: None,
    })
}

pub fn executed(node: &str) -> NodeFinished {
    NodeFinished {
        time: at(5),
        node: node.into(),
        index: None,
        task: format!("nightly-train.{node}"),
        kind: NodeKind::Task,
        status: Status::Succeeded,
        cache: Some(CacheStatus::Populated),
        key: Some(Digest::of(node)),
        work: None,
        attempts: 1,
        duration_ms: 400,
        cpu_ms: Some(380),
        peak_memory: Some(64 << 20),
        saved_ms: 0,
        outputs: JsonMap::new(),
        source: None,
        error: None,
        inputs: JsonMap::new(),
        reason: None,
        log: None,
        why: None,
        condition: None,
        counts: None,
        stored: None,
        executor: None,
        job: None,
        host: None,
        adopted: None,
    }
}

pub fn hit(node: &str) -> NodeFinished {
    NodeFinished {
        cache: Some(CacheStatus::Hit),
        attempts: 0,
        duration_ms: 0,
        cpu_ms: None,
        peak_memory: None,
        saved_ms: 1500,
        source: Some(ResultSource {
            run: "a1b2c3d4".into(),
            node: node.into(),
            time: at(5 - 86_400),
            provenance: Default::default(),
        }),
        ..executed(node)
    }
}

pub fn exit_3() -> TaskError {
    TaskError {
        exit_code: Some(3),
        log: Some("/home/ada/runs/k3v9x2qm/train.2.log".into()),
        tail: vec!["epoch 1".into(), "\x1b[31mValueError: no data\x1b[0m".into()],
        ..TaskError::new(TaskErrorKind::Exit, "the command exited with code 3")
    }
}

pub fn failed(node: &str) -> NodeFinished {
    NodeFinished {
        status: Status::Failed,
        cache: Some(CacheStatus::Miss),
        attempts: 2,
        duration_ms: 12_000,
        cpu_ms: Some(23_400),
        peak_memory: Some(3 << 30),
        error: Some(exit_3()),
        ..executed(node)
    }
}

pub fn idle(node: &str, status: Status, reason: &str) -> NodeFinished {
    NodeFinished {
        status,
        cache: None,
        key: None,
        work: None,
        attempts: 0,
        duration_ms: 0,
        cpu_ms: None,
        peak_memory: None,
        reason: Some(reason.into()),
        ..executed(node)
    }
}

pub fn attempt_failed(node: &str) -> Event {
    Event::AttemptFailed(AttemptFailed {
        time: at(3),
        node: node.into(),
        index: None,
        attempt: 1,
        duration_ms: 2000,
        cpu_ms: Some(1900),
        peak_memory: None,
        retry_in_ms: Some(4000),
        error: exit_3(),
    })
}

pub fn warning(node: Option<&str>, message: &str) -> Event {
    Event::Warning(Warning { time: at(4), message: message.into(), node: node.map(Into::into) })
}

pub fn run_finished(status: Status, counts: Counts, saved_ms: u64) -> Event {
    let outputs = json!({
        "hash": "2cf24d",
        "model": {"path": "/home/ada/out/model.bin", "digest": "sha256:00", "size": 3 << 20}
    });
    Event::RunFinished(RunFinished {
        remote: None,
        executor_calls: None,
        time: at(16),
        run: RUN.into(),
        status,
        duration_ms: 16_300,
        counts,
        saved_ms,
        outputs: outputs.as_object().cloned().filter(|_| status == Status::Succeeded).unwrap_or_default(),
    })
}

/// A node turns out to have elements.
pub fn expanded(node: &str, elements: u64, total: u64) -> Event {
    Event::NodeExpanded(NodeExpanded { time: at(0), node: node.into(), index: None, elements, total })
}

pub fn waiting(node: &str, index: Option<u64>, reason: &str) -> Event {
    Event::NodeWaiting(NodeWaiting { time: at(1), node: node.into(), index, reason: reason.into() })
}

/// One of a node's elements begins.
pub fn element_started(node: &str, index: u64, queued: u64, seconds: i64) -> Event {
    Event::NodeStarted(NodeStarted {
        time: at(seconds),
        node: node.into(),
        index: Some(index),
        attempt: 1,
        log: None,
        queued,
        waited_ms: 0,
        remaining_ms: None,
        executor: None,
        job: None,
        host: None,
        adopted: None,
    })
}

/// One of a node's elements ends as `node` says.
pub fn element(index: u64, node: NodeFinished) -> Event {
    Event::NodeFinished(NodeFinished { index: Some(index), ..node })
}

/// The end of what sums up others.
pub fn sum(node: &str, kind: NodeKind, counts: Counts) -> NodeFinished {
    NodeFinished {
        kind,
        cache: None,
        key: None,
        work: None,
        attempts: 0,
        duration_ms: 12_300,
        cpu_ms: None,
        peak_memory: None,
        counts: Some(counts),
        ..executed(node)
    }
}

/// What sums up others, and failed: because of them, or for a reason of its own.
pub fn sum_failed(node: &str, kind: NodeKind, counts: Counts, message: &str) -> NodeFinished {
    let error = Some(TaskError::new(TaskErrorKind::Output, message));
    NodeFinished { status: Status::Failed, error, ..sum(node, kind, counts) }
}

/// A run in which one thing of each kind happens, and `train` fails in the end.
pub fn failed_run() -> Vec<Event> {
    vec![
        run_started(6),
        Event::NodeFinished(hit("fetch")),
        node_started("hash", 1, 0),
        Event::NodeFinished(executed("hash")),
        node_started("train", 1, 1),
        warning(Some("train"), "the pinned version 1.0.0 hides a change of the command"),
        attempt_failed("train"),
        node_started("train", 2, 7),
        Event::NodeFinished(failed("train")),
        Event::NodeFinished(idle("report", Status::Cancelled, "train failed")),
        Event::NodeFinished(idle("notify", Status::Skipped, "its condition is false")),
        run_finished(
            Status::Failed,
            Counts { nodes: 5, executed: 1, cached: 1, failed: 1, skipped: 1, cancelled: 1 },
            1500,
        ),
    ]
}

/// `what` hears all of `events`.
pub fn play(reporter: &mut impl crate::core::reporter::Reporter, events: &[Event]) {
    for event in events {
        reporter.event(event, &event.to_line());
    }
}
