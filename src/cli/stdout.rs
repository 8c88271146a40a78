//! Standard output: what is written there is a result, so a write that fails is a failure of the program.
//!
//! A reader that went away (`runner runs | head -1`) is no failure. Every verb writes through here; `main` asks
//! in the end whether anything was lost.

use std::io::{self, Write};
use std::sync::OnceLock;

use crate::core::inert::escaped;

/// The first write that failed, in words.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Standard output, which remembers its first failure. Later writes go on as if nothing had happened.
#[derive(Clone, Copy, Default)]
pub struct Stdout;

/// What was lost, if anything was.
pub fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

/// Remembers that a write failed.
pub fn record(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = FAILURE.set(error.to_string());
    }
}

impl Stdout {
    /// Passes the result on, and remembers an error.
    fn noted<T>(result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(record)
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if closed::at_start() {
            return Self::noted(Err(io::Error::other("it is closed")));
        }
        Self::noted(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::noted(io::stdout().flush())
    }
}

/// Standard output for documents that are written piece by piece, each of whole characters: nothing in them acts on a
/// terminal.
pub struct Escaping(io::BufWriter<Stdout>);

impl Default for Escaping {
    fn default() -> Self {
        Self(io::BufWriter::new(Stdout))
    }
}

impl Write for Escaping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(escaped(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether standard output was closed when the program began. The standard library opens `/dev/null` in its place before
/// `main`, and every write would seem to succeed: so it is looked at before that.
mod closed {
    #![allow(
        unsafe_code,
        reason = "a constructor is the only code that runs before the standard library's own start"
    )]

    use std::sync::atomic::{AtomicBool, Ordering};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    pub fn at_start() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }

    /// Asks for the descriptor's flags, which fails only where there is none. Touches nothing that a start-up
    /// would have to prepare.
    #[cfg(target_os = "linux")]
    extern "C" fn look() {
        // SAFETY: a system call without pointers.
        if unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1 {
            CLOSED.store(true, Ordering::Relaxed);
        }
    }

    // SAFETY: the section holds pointers to functions without arguments that are called once, before `main`.
    #[cfg(target_os = "linux")]
    #[used]
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;
}
