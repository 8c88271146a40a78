//! What this process must not keep of whoever started it, and what it says where the system would end it without a word.
//!
//! | from the system | without this | with it |
//! |---|---|---|
//! | SIGCHLD ignored by the parent | children vanish before they are waited for: every task fails | the default |
//! | signals blocked by the parent | TERM is never answered, nor by tasks | none is blocked |
//! | a write beyond `ulimit -f` (SIGXFSZ) | the process ends | the write fails, and is reported with its file |
//! | a mapped file cut short by another program (SIGBUS) | the process ends | a message and exit code 4 |
//! | no memory | the process aborts | a message and exit code 4 |
//!
//! Handlers, unlike ignored signals, are not inherited by the programs that a process starts. Knows nothing of runs: what
//! an exit in here leaves behind is swept by the next run.
#![allow(
    unsafe_code,
    reason = "handlers of signals and the allocator have no safe interface; both only write a text and exit"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::ptr;

use super::code;

const CUT_SHORT: &[u8] =
    b"error: a file of the home folder was cut short by another program while it was in use, most likely \
    runner.db-shm. The run ends here; start it again: finished work is kept\n";

/// To be called before anything else, while the process has one thread.
pub fn settle() {
    // SAFETY: the structures are filled as the calls want them, and live as long as these take; the handlers do nothing
    // but what a handler may.
    unsafe {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        handle(libc::SIGXFSZ, go_on as *const () as libc::sighandler_t);
        handle(libc::SIGBUS, cut_short as *const () as libc::sighandler_t);
    }
}

/// # Safety
/// `handler` is a function that may be called at any moment, with the number of a signal.
unsafe fn handle(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: all of the structure is set; the caller vouches for the handler.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

extern "C" fn go_on(_: libc::c_int) {}

extern "C" fn cut_short(_: libc::c_int) {
    leave(CUT_SHORT)
}

/// Writes a text to standard error and ends the process, without any of the work that an orderly end would do: may be
/// called at any moment.
fn leave(text: &[u8]) -> ! {
    // SAFETY: both calls are among those that a signal handler may make; the text lives longer than the first.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        libc::_exit(code::STORE.into())
    }
}

/// The system's allocator. Where it has no memory the process ends with a message in place of an abort.
struct OrLeave;

#[global_allocator]
static ALLOCATOR: OrLeave = OrLeave;

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for OrLeave {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller vouches.
        had(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[inline]
fn had(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() {
        out_of_memory(bytes);
    }
    memory
}

#[cold]
fn out_of_memory(bytes: usize) -> ! {
    // Nothing may be allocated here.
    let mut text = [0; 160];
    let length = {
        use std::io::Write;
        let mut rest = &mut text[..];
        let _ = writeln!(
            rest,
            "error: out of memory: the system refuses {bytes} more bytes. Free some, or raise the limit (ulimit -v)"
        );
        160 - rest.len()
    };
    leave(&text[..length])
}
