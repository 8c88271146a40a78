//! Events as lines, and back.

use super::*;

#[test]
fn lines_read_back_and_carry_the_version() {
    let event = Event::NodeFinished(NodeFinished {
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        node: "hash".into(),
        index: None,
        task: "demo.hash".into(),
        kind: NodeKind::Task,
        status: Status::Failed,
        cache: Some(CacheStatus::LookupFailure),
        key: Some(Digest::of("x")),
        work: None,
        attempts: 2,
        duration_ms: 7,
        cpu_ms: Some(4),
        peak_memory: None,
        saved_ms: 0,
        outputs: JsonMap::new(),
        source: None,
        error: Some(TaskError::new(TaskErrorKind::Timeout, "took over 3s")),
        inputs: JsonMap::new(),
        reason: None,
        condition: None,
        log: None,
        why: None,
        counts: None,
        stored: None,
        executor: Some("cl".into()),
        job: Some("17".into()),
        host: None,
        adopted: Some("k3v9x2qm".into()),
    });
    let line = event.to_line();
    assert!(line.starts_with(r#"{"v":1,"event":"node_finished","time":"2026-01-02T03:04:05Z","#), "{line}");
    assert!(line.contains(r#""cache":"lookup_failure""#) && line.contains(r#""kind":"timeout""#), "{line}");
    assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
}

#[test]
fn shown_names_are_the_serialised_ones() {
    for status in [CacheStatus::Hit, CacheStatus::PutFailure, CacheStatus::LookupFailure] {
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
    }
}
