//! Logs of attempts: finding the one that somebody means, and following those of a run that goes on.

pub mod find;
pub mod follow;
