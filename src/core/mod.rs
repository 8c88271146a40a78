//! What every other part speaks of: digests, types and values, artifacts, events, and why a lookup missed.
//!
//! Knows no file, no process and no database.

pub mod background;
pub mod chunk;
pub mod clock;
pub mod closest;
pub mod condition;
pub mod counted;
pub mod cron;
pub mod definition;
pub mod digest;
pub mod event;
pub mod executor_calls;
pub mod inert;
pub mod json;
pub mod lock;
pub mod node_path;
pub mod notify;
pub mod parallel;
pub mod provenance;
pub mod remote_counts;
pub mod reporter;
pub mod run_id;
pub mod run_request;
pub mod schedule;
pub mod shell_word;
pub mod signature;
pub mod staging;
pub mod task_error;
pub mod time_arg;
pub mod time_text;
pub mod tls;
mod type_of;
pub mod types;
pub mod usage;
pub mod value;
pub mod why;
pub mod workflow_made;
pub mod zone;
