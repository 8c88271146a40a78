//! What tasks print, line by line, each behind the name of its node: `exec --logs`.
//!
//! Reads the logs of attempts under way as they grow. Whole lines only, so that those of several tasks never mix.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::core::event::Event;
use crate::core::lock::lock;
use crate::core::node_path::NodeRef;
use crate::core::reporter::Reporter;
use crate::view::text::log_lines::LogLines;
use crate::view::text::style::{FAINT, Ink};

/// The time between two looks at the logs.
const TICK: Duration = Duration::from_millis(100);

/// The logs of attempts under way.
pub(in crate::view) struct TaskOutput {
    ink: Ink,
    open: BTreeMap<String, LogLines>,
}

impl TaskOutput {
    pub fn new(ink: Ink) -> Self {
        Self { ink, open: BTreeMap::new() }
    }

    /// Takes notice of an event. An attempt that has ended is read to its end, a part with each call: whether to call
    /// again with the same event.
    pub fn notice(&mut self, event: &Event, out: &mut String) -> bool {
        match event {
            Event::NodeStarted(node) => {
                if let Some(log) = &node.log {
                    self.open.insert(node.path().label().into_owned(), LogLines::new(&**log));
                }
                false
            }
            Event::AttemptFailed(attempt) => self.close(attempt.path(), out),
            Event::NodeFinished(node) => self.close(node.path(), out),
            _ => false,
        }
    }

    /// Appends what has come since the last look; a bounded part of each log.
    pub fn look(&mut self, out: &mut String) {
        for (label, log) in &mut self.open {
            log.read(&prefix(label, self.ink), out);
        }
    }

    fn close(&mut self, node: NodeRef, out: &mut String) -> bool {
        // A hit has no log: the common case makes no label.
        if self.open.is_empty() {
            return false;
        }
        let label = node.label();
        let Some(log) = self.open.get_mut(&*label) else { return false };
        let prefix = prefix(&label, self.ink);
        if log.read(&prefix, out) {
            return true;
        }
        log.end(&prefix, out);
        self.open.remove(&*label);
        false
    }
}

fn prefix(label: &str, ink: Ink) -> String {
    format!("{} ", ink.paint(FAINT, format!("{label} |")))
}

/// Prints what tasks print where there is no live display.
pub struct TaskOutputPrinter<W: Write + Send + 'static> {
    shared: Arc<Shared<W>>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared<W> {
    state: Mutex<State<W>>,
    /// Wakes the ticker at the end.
    over: Condvar,
}

struct State<W> {
    output: TaskOutput,
    out: W,
    over: bool,
}

impl<W: Write + Send + 'static> TaskOutputPrinter<W> {
    /// Writes to `out`, which should not buffer. Must hear of an event before the listener that tells people of it.
    pub fn new(out: W, color: bool) -> Self {
        let state = State { output: TaskOutput::new(Ink(color)), out, over: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), over: Condvar::new() });
        let keeper = shared.clone();
        // Without the thread lines come when their attempt ends.
        let ticker = thread::Builder::new().name("task output".into()).spawn(move || keeper.keep_looking());
        Self { shared, ticker: ticker.ok() }
    }
}

impl<W: Write> Shared<W> {
    fn state(&self) -> MutexGuard<'_, State<W>> {
        lock(&self.state)
    }

    fn keep_looking(&self) {
        let mut state = self.state();
        while !state.over {
            let waited = self.over.wait_timeout_while(state, TICK, |state| !state.over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let mut text = String::new();
            state.output.look(&mut text);
            state.print(&text);
        }
    }
}

impl<W: Write> State<W> {
    /// A single write; a reader that went away must not fail the run.
    fn print(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = self.out.write_all(text.as_bytes());
        }
    }
}

impl<W: Write + Send> Reporter for TaskOutputPrinter<W> {
    fn event(&mut self, event: &Event, _line: &str) {
        let mut state = self.shared.state();
        loop {
            let mut text = String::new();
            let more = state.output.notice(event, &mut text);
            state.print(&text);
            if !more {
                return;
            }
        }
    }

    fn passes_over_hits(&self) -> bool {
        true
    }
}

impl<W: Write + Send> Drop for TaskOutputPrinter<W> {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.over.notify_all();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample::*;

    fn started(node: &str, index: Option<u64>, log: &std::path::Path) -> Event {
        let Event::NodeStarted(mut started) = node_started(node, 1, 0) else { unreachable!() };
        started.index = index;
        started.log = log.to_str().map(str::to_owned);
        Event::NodeStarted(started)
    }

    #[test]
    fn each_line_stands_behind_its_node_and_an_end_leaves_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let mut output = TaskOutput::new(Ink(false));
        let mut text = String::new();
        assert!(!output.notice(&started("a", None, &a), &mut text));
        assert!(!output.notice(&started("each", Some(3), &b), &mut text));
        std::fs::write(&a, "one\nhalf").unwrap();
        std::fs::write(&b, "x\n".repeat(100_000)).unwrap();
        output.look(&mut text);
        assert!(text.starts_with("a | one\neach[3] | x\n"), "{}", &text[..40]);
        while output.notice(&element(3, executed("each")), &mut text) {}
        assert_eq!(text.matches("each[3] | x\n").count(), 100_000);
        text.clear();
        assert!(!output.notice(&Event::NodeFinished(failed("a")), &mut text));
        assert_eq!(text, "a | half\n");
        assert!(output.open.is_empty());
    }
}
