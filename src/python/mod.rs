//! Python functions: which Python runs them, what they are without running them, and the program that calls one.
//!
//! | file | owns |
//! |---|---|
//! | `interpreter.rs` | which Python belongs to a task |
//! | `answer.rs` | the description of a function, as data |
//! | `describe.rs` | asking Python's own parser for it |
//! | `program.rs` | programs written with flytekit: importing one to learn its workflows |
//! | `memory.rs` | earlier answers, in the home, which count while every file that was read is as it was |
//! | `question.rs` | whether a question that was asked has the same answer still |
//! | `runtime.rs` | the programs that call functions and fork for that, in the home |
//! | `unused.rs` | what of both goes when nobody has used it for long |
//! | `scripts/` | all programs, in Python |
//!
//! Knows nothing of workflow files and runs.

pub mod answer;
pub mod describe;
pub mod interpreter;
mod memory;
pub mod program;
pub mod question;
pub mod runtime;
#[cfg(test)]
mod tests;
mod unused;

pub use memory::remember_in;
pub use unused::remove_unused;
