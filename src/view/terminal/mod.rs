//! Live progress on a terminal: what runs now at the bottom, what ended above it.
//!
//! Events only change a small state; a single thread draws it a few times a second, so that a hundred
//! thousand hits in a burst cost no more than their counting.

mod frame;
mod rows;
mod screen;
#[cfg(test)]
mod tty;

use std::io::{self, IsTerminal};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::core::event::Event;
use crate::core::lock::lock;
use crate::core::reporter::Reporter;
use crate::view::Verbosity;
use crate::view::model::live::Live;
use crate::view::terminal::screen::{Screen, Size};
use crate::view::text::log_end::last_line;
use crate::view::text::narrator::Narrator;
use crate::view::text::phrases::quote_mark;
use crate::view::text::style::Ink;
use crate::view::text::task_output::TaskOutput;
use crate::view::text::wrap::wrap;
use crate::view::text::{cut, width};

/// The time between two frames. No run that is shorter shows any.
const TICK: Duration = Duration::from_millis(150);

pub struct Terminal {
    shared: Arc<Shared>,
    ink: Ink,
    /// None in a quiet run, where nothing is live, and after the run.
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the ticker at the end.
    over: Condvar,
    /// Locked after `state` was released, never the other way round.
    screen: Mutex<Screen>,
}

struct State {
    narrator: Narrator,
    /// What was said and is not on the screen yet.
    said: String,
    live: Live,
    /// Number of frames drawn.
    frames: usize,
    /// What tasks print, if that is asked for.
    output: Option<TaskOutput>,
    over: bool,
}

impl Terminal {
    /// Draws on standard error; times in words are those of `zone`.
    pub fn new(verbosity: Verbosity, color: bool, zone: TimeZone) -> Self {
        let screen = Screen::new(Box::new(io::stderr()), Box::new(size));
        let mut terminal = Self::on(screen, verbosity, color, zone);
        if verbosity > Verbosity::Quiet && io::stderr().is_terminal() {
            let (shared, ink) = (terminal.shared.clone(), terminal.ink);
            let ticker = thread::Builder::new().name("terminal".into());
            terminal.ticker = ticker.spawn(move || shared.keep_drawing(ink)).ok();
        }
        terminal
    }

    /// Prints what tasks print as well, above what is live.
    pub fn with_output(self) -> Self {
        self.shared.state().output = Some(TaskOutput::new(self.ink));
        self
    }

    /// Without a thread that draws: what is said appears at once.
    fn on(screen: Screen, verbosity: Verbosity, color: bool, zone: TimeZone) -> Self {
        let ink = Ink(color);
        let state = State {
            narrator: Narrator::new(verbosity, ink, zone).with_retries(),
            said: String::new(),
            live: Live::default(),
            frames: 0,
            output: None,
            over: false,
        };
        let shared = Shared { state: Mutex::new(state), over: Condvar::new(), screen: Mutex::new(screen) };
        Self { shared: Arc::new(shared), ink, ticker: None }
    }

    fn finish(&mut self) {
        self.shared.state().over = true;
        self.shared.over.notify_all();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
        let said = std::mem::take(&mut self.shared.state().said);
        let mut screen = self.shared.screen();
        let (columns, _) = screen.size();
        screen.finish(&fit(&said, columns.into(), self.ink));
    }
}

impl Reporter for Terminal {
    fn event(&mut self, event: &Event, _line: &str) {
        self.shared.print_output_before(event, self.ink);
        let mut state = self.shared.state();
        let said = state.narrator.tell(event);
        state.said.extend(said);
        state.live.step(event);
        let over = matches!(event, Event::RunFinished(_));
        let now = (self.ticker.is_none() && !over).then(|| std::mem::take(&mut state.said));
        drop(state);
        if let Some(said) = now.filter(|said| !said.is_empty()) {
            self.shared.screen().frame(&said, &[]);
        } else if over {
            self.finish();
        }
    }

    fn passes_over_hits(&self) -> bool {
        self.shared.state().narrator.passes_over_hits()
    }
}

impl Drop for Terminal {
    /// Leaves a clean screen behind a run that never reported its end.
    fn drop(&mut self) {
        if !self.shared.state().over {
            self.finish();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        lock(&self.screen)
    }

    /// Gathers what a task printed up to the end that `event` reports. Where that is much it is printed at once, so that
    /// memory stays bounded.
    fn print_output_before(&self, event: &Event, ink: Ink) {
        loop {
            let mut guard = self.state();
            let state = &mut *guard;
            let Some(output) = &mut state.output else { return };
            if !output.notice(event, &mut state.said) {
                return;
            }
            let said = std::mem::take(&mut state.said);
            drop(guard);
            let mut screen = self.screen();
            let (columns, _) = screen.size();
            screen.frame(&fit(&said, columns.into(), ink), &[]);
        }
    }

    fn keep_drawing(&self, ink: Ink) {
        let mut state = self.state();
        while !state.over {
            let waited = self.over.wait_timeout_while(state, TICK, |state| !state.over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !state.over {
                drop(state);
                self.draw(Timestamp::now(), ink);
                state = self.state();
            }
        }
    }

    /// One frame. Logs are read and the terminal is written to while events may come in.
    fn draw(&self, now: Timestamp, ink: Ink) {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut said = std::mem::take(&mut state.said);
        if let Some(output) = &mut state.output {
            output.look(&mut said);
        }
        state.frames += 1;
        let (mut moment, sources) = state.live.moment(now, &state.narrator.tally, state.frames);
        let live = state.narrator.tally.begun.is_some();
        drop(guard);

        for (line, source) in moment.lines.iter_mut().zip(sources) {
            if let Some(source) = source
                && let Ok(Some(last)) = last_line(&source.log)
            {
                line.words = format!("{}{last}", source.prefix);
            }
        }
        let mut screen = self.screen();
        let (columns, rows) = screen.size();
        let lines = if live { moment.lines(columns.into(), rows.into(), ink) } else { Vec::new() };
        screen.frame(&fit(&said, columns.into(), ink), &lines);
    }
}

/// Cuts the quoted ends of logs to the width of the screen: a few long lines must not push the rest away.
fn fit(said: &str, columns: usize, ink: Ink) -> String {
    let quoted = quote_mark(ink);
    let room = columns.saturating_sub(width("  │ "));
    let fit_line = |line: &str| match line.strip_prefix(&*quoted) {
        Some(text) => format!("{quoted}{}\n", cut(text, room)),
        None => wrap(&format!("{line}\n"), columns),
    };
    said.lines().map(fit_line).collect()
}

/// The size of the terminal behind standard error.
fn size() -> Size {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests;
