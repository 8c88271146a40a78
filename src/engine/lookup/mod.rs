//! What the cache knows of a task with its inputs: its identity, its key, a hit or the cause of a miss.

pub mod cache;
pub mod prior_run;
