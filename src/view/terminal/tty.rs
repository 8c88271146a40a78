//! A terminal in memory, for tests.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::view::terminal::screen::Screen;

/// Shows what is written to it, and counts the writes.
#[derive(Clone)]
pub struct Tty {
    parser: Arc<Mutex<vt100::Parser>>,
    columns: Arc<AtomicU16>,
    writes: Arc<AtomicUsize>,
}

impl Tty {
    pub fn new(columns: u16, rows: u16) -> Self {
        let parser = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
        Self {
            parser: Arc::new(Mutex::new(parser)),
            columns: Arc::new(columns.into()),
            writes: Arc::default(),
        }
    }

    pub fn screen(&self) -> Screen {
        let columns = self.columns.clone();
        let rows = self.parser.lock().unwrap().screen().size().0.into();
        let size = Box::new(move || (columns.load(Ordering::Relaxed), rows));
        Screen::new(Box::new(self.clone()), size)
    }

    /// How often something was written.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// Breaks its lines anew, as most terminals do; `live` is the number of lines that a frame drew,
    /// the only ones here that run on from the right edge.
    pub fn resize(&self, columns: u16, live: usize) {
        let rows = self.rows();
        let before = self.columns.swap(columns, Ordering::Relaxed);
        let (fixed, drawn) = rows.split_at(rows.len() - live);
        let mut text: String = fixed.iter().map(|row| format!("{row}\r\n")).collect();
        text.extend(drawn.iter().map(|row| format!("{row:width$}", width = usize::from(before))));
        let offset = (live - 1) * usize::from(before);
        let (row, column) = (offset / usize::from(columns), offset % usize::from(columns));
        text.push_str(&format!("\x1b[{};{}H", fixed.len() + row + 1, column + 1));
        let mut parser = vt100::Parser::new(24.try_into().unwrap(), columns.try_into().unwrap(), 0);
        parser.process(text.as_bytes());
        *self.parser.lock().unwrap() = parser;
    }

    /// What it shows, without the empty rows below.
    pub fn rows(&self) -> Vec<String> {
        let parser = self.parser.lock().unwrap();
        let columns = self.columns.load(Ordering::Relaxed);
        let mut rows: Vec<_> =
            parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }
}

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        // As the terminal driver does it.
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\n', "\r\n");
        self.parser.lock().unwrap().process(text.as_bytes());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
