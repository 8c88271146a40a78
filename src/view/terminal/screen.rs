//! The terminal as indicatif's drawing target: everything that belongs to one frame is gathered and goes
//! out in a single write, so that nothing flickers and no other output lands inside a line.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::core::lock::lock;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// Columns and rows.
pub(super) type Size = (u16, u16);

/// Some lines that are drawn over and over at the bottom of the screen, below text that stays.
pub(super) struct Screen {
    device: Device,
    bar: ProgressBar,
    /// How many lines are drawn, and for which width.
    drawn: (usize, u16),
}

impl Screen {
    /// Writes to `out`; `size` says how large the terminal is now.
    pub fn new(out: Box<dyn io::Write + Send>, size: Box<dyn Fn() -> Size + Send>) -> Self {
        let state = State { frame: String::new(), size: size(), out, measure: size };
        let device = Device(Arc::new(Mutex::new(state)));
        let bar = ProgressBar::with_draw_target(None, device.target());
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { device, bar, drawn: (0, 0) }
    }

    /// Measures the terminal again, before a frame is composed.
    pub fn size(&mut self) -> Size {
        let mut state = self.device.state();
        state.size = (state.measure)();
        state.size
    }

    /// Prints `text`, which ends with a newline or is empty, and draws `lines` below it. No line may be wider than
    /// the screen was when last measured.
    pub fn frame(&mut self, text: &str, lines: &[String]) {
        if lines.is_empty() && self.drawn.0 == 0 {
            self.device.state().write_out(text);
            return;
        }
        self.forget_resized();
        self.drawn = (lines.len(), self.device.width());
        self.bar.set_message(lines.join("\n"));
        if !text.is_empty() {
            self.bar.suspend(|| self.device.state().frame.push_str(text));
        }
        // At the left edge, what the keyboard echoes breaks no line.
        self.device.state().write_out("\r");
    }

    /// Removes the lines for good and prints `text`.
    pub fn finish(&mut self, text: &str) {
        self.forget_resized();
        self.drawn.0 = 0;
        self.bar.finish_and_clear();
        self.device.state().write_out(text);
    }

    /// The lines of a frame run on from the right edge, so a terminal of another width has broken them anew:
    /// they are removed here, since indicatif would look for them where they were.
    fn forget_resized(&mut self) {
        let (lines, before) = self.drawn;
        let now = self.device.width();
        if lines > 0 && before != now {
            // The cursor stands where the last line begins.
            let _ = self.device.move_cursor_up((lines - 1) * usize::from(before) / usize::from(now));
            self.device.state().frame.push_str("\r\x1b[J");
            self.bar.set_draw_target(self.device.target());
        }
    }
}

#[derive(Clone)]
struct Device(Arc<Mutex<State>>);

struct State {
    frame: String,
    /// As last measured: it must not change while a frame is drawn.
    size: Size,
    out: Box<dyn io::Write + Send>,
    measure: Box<dyn Fn() -> Size + Send>,
}

impl State {
    /// Sends the frame, and `last` as its end.
    fn write_out(&mut self, last: &str) {
        self.frame.push_str(last);
        // A terminal that went away must not fail the run.
        let _ = self.out.write_all(self.frame.as_bytes()).and_then(|()| self.out.flush());
        self.frame.clear();
    }
}

impl Device {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    fn target(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(self.clone()))
    }

    fn push(&self, text: fmt::Arguments) -> io::Result<()> {
        self.state().frame.write_fmt(text).map_err(io::Error::other)
    }

    /// The control sequence that moves the cursor; zero would mean one.
    fn travel(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.push(format_args!("\x1b[{n}{direction}")) }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device")
    }
}

impl TermLike for Device {
    // Two columns are the least in which any character fits.
    fn width(&self) -> u16 {
        self.state().size.0.max(2)
    }

    fn height(&self) -> u16 {
        self.state().size.1.max(1)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(format_args!("{text}\r\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push(format_args!("\r\x1b[2K"))
    }

    /// Nothing: a frame goes out as a whole.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
