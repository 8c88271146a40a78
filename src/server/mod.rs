//! The daemon: runs what schedules say when they say it, follows the files that they stand in, and shows what goes on.
//!
//! | file | owns |
//! |---|---|
//! | `decide/` | what is done at a moment: pure |
//! | `files.rs` | the workflow files that are served, as they last loaded |
//! | `tick.rs` | one decision, written in one transaction, and what follows from it |
//! | `runs.rs` | runs in this process, each on a thread and a runtime of its own |
//! | `daemon.rs` | what a daemon holds, from its first line to its end |
//! | `wait.rs` | waiting for what comes first: an instant, a change, a signal, the end of a run |
//! | `events.rs` | what a daemon says |
//! | `handle.rs` | what others in this process may ask of it |
//! | `notices.rs` | telling people of what it sees |
//! | `service_manager.rs` | `NOTIFY_SOCKET` |
//! | `web/` | the HTTP interface: who may ask, the API, the pages |
//!
//! Nothing here knows arguments or exit codes, or prints. While nothing runs, neither the store nor the database is open.

mod daemon;
pub mod decide;
pub mod events;
mod files;
mod handle;
mod notices;
mod runs;
mod service_manager;
#[cfg(test)]
mod tests;
mod tick;
mod wait;
pub mod web;

pub use daemon::{OnExit, Options, Served, serve};
pub use files::ServedFile;
pub use handle::{DaemonHandle, ServedState};
