//! The daemon: runs schedules when they are due, watches their files, and serves the pages and the API.
//!
//! | file | owns |
//! |---|---|
//! | `decide/` | which instants begin, which are missed, which runs end: pure |
//! | `files.rs` | the workflow files that are served, as they last loaded |
//! | `tick.rs` | one decision, written in one transaction, and what follows from it |
//! | `runs.rs` | runs in this process, each on a thread and a runtime of its own |
//! | `daemon.rs`, `serve.rs` | the state of a daemon, and its life cycle |
//! | `wait.rs` | waits for an instant, a change, a signal or the end of a run |
//! | `events.rs` | the events of a daemon |
//! | `handle.rs` | its interface for the pages and the API |
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
mod serve;
mod service_manager;
#[cfg(test)]
mod tests;
mod tick;
mod wait;
pub mod web;

pub use daemon::{OnExit, Options, Served};
pub use files::ServedFile;
pub use handle::{DaemonHandle, ServedState};
pub use serve::serve;
