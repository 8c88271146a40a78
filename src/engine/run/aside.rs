//! Attempts beside the engine, which must hear of the end of each. Knows nothing of what they do.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::core::event::{TaskError, TaskErrorKind};
use crate::engine::attempt::perform::AttemptEnded;
use crate::engine::schedule::UnitId;

/// Runs an attempt as a task of the runtime. Its end is sent even where a fault of this program ends the task: an engine
/// that never hears of it would wait for ever.
pub fn attempt(
    unit: UnitId,
    number: u32,
    ended: UnboundedSender<AttemptEnded>,
    attempt: impl Future<Output = AttemptEnded> + Send + 'static,
) {
    let mut report = Report { unit, number, ended: Some(ended) };
    tokio::spawn(async move {
        let end = attempt.await;
        if let Some(ended) = report.ended.take() {
            // The engine outlives its attempts, so the receiver exists.
            let _ = ended.send(end);
        }
    });
}

struct Report {
    unit: UnitId,
    number: u32,
    /// `None` after the end was reported.
    ended: Option<UnboundedSender<AttemptEnded>>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(ended) = self.ended.take() else { return };
        let error = TaskError {
            kind: TaskErrorKind::Spawn,
            message: "the runner itself failed while it attended to this task; standard error says where"
                .into(),
            exit_code: None,
            log: None,
            tail: Vec::new(),
        };
        let (unit, attempt) = (self.unit, self.number);
        // The receiver is gone if the whole run is being dropped.
        let _ = ended.send(AttemptEnded {
            unit,
            attempt,
            duration: Duration::ZERO,
            usage: None,
            result: Err(error),
            left: false,
            given_back: false,
            is_final: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_attempt_that_panics_ends_all_the_same() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let unit: UnitId = 7;
        attempt(unit, 3, sender, async { panic!("expected by a test") });
        let ended = receiver.recv().await.unwrap();
        assert_eq!((ended.unit, ended.attempt, ended.result.is_err()), (unit, 3, true));
    }
}
