//! Lines of text for people: live plain progress, and `show`, `runs`, `diff`, `why`, `logs` and `graph` of what is kept.
//!
//! A node with many elements reads as one node: an element has lines of its own only if it failed, or in a verbose run.
//!
//! | file | owns |
//! |---|---|
//! | `format.rs` | durations, ages, sizes and counts as text |
//! | `wrap.rs` | lines broken at words |
//! | `style.rs` | colours and columns |
//! | `value.rs` | a value in one line |
//! | `phrases.rs` | the parts of lines that several views share |
//! | `commands.rs` | commands that the lines suggest |
//! | `narrator.rs` | events as lines, for the terminal and for `plain.rs` |
//! | `plain.rs` | the listener that writes the lines where there is no terminal |
//! | `run.rs`, `request.rs`, `node.rs`, `runs.rs` | `show RUN`, what was asked for, `show RUN NODE`, `runs` |
//! | `schedules.rs` | `schedule list`, `schedule show`, runs of instants |
//! | `diff.rs`, `why.rs`, `graph.rs`, `logs.rs` | the verb of that name |
//! | `log_file.rs`, `log_end.rs`, `log_lines.rs`, `task_output.rs` | a log opened, its last line, its lines as it grows, those of all tasks |

pub mod commands;
mod diff;
mod format;
pub mod graph;
pub(in crate::view) mod log_end;
mod log_file;
pub mod log_lines;
pub mod logs;
pub(in crate::view) mod narrator;
pub mod node;
pub mod phrases;
pub mod plain;
mod request;
pub mod run;
pub mod runs;
pub mod schedules;
pub mod style;
pub mod task_output;
mod value;
pub mod why;
pub mod wrap;

pub use crate::core::inert::inert;
pub use format::{age, ahead, count, cut, duration, named, size, width};
