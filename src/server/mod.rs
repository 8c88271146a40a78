//! The daemon: runs what schedules say when they say it.

pub mod decide;
