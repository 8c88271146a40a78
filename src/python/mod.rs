//! Python functions: which Python runs them, what they are without running them, and the program that calls one.
//!
//! | file | owns |
//! |---|---|
//! | `interpreter.rs` | which Python belongs to a task |
//! | `answer.rs` | the description of a function, as data |
//! | `describe.rs` | asking Python's own parser for it |
//! | `memory.rs` | earlier answers, in the home, which count while every file that was read is as it was |
//! | `runtime.rs` | the program that calls a function, in the home |
//! | `scripts/` | both programs, in Python |
//!
//! Knows nothing of workflow files and runs.

pub mod answer;
pub mod describe;
pub mod interpreter;
mod memory;
pub mod runtime;
#[cfg(test)]
mod tests;

pub use memory::remember_in;
