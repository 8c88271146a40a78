//! What the program can do: every operation as a function over a typed request that returns a typed result. Callers are the
//! command line and whatever else may ask. Nothing here knows arguments or exit codes, prints, or ends the process.
//!
//! | file | owns |
//! |---|---|
//! | `open.rs`, `prepare.rs`, `inputs.rs`, `input_file.rs`, `scheduled.rs`, `needs.rs` | from a file to a workflow, from a request to a run that can begin; what a run lacks |
//! | `config.rs` | settings files, and where each setting in force comes from |
//! | `executors.rs` | which node runs where |
//! | `home.rs` | the home folder, opened for a run or for looking only |
//! | `run/`, `run_lock.rs`, `cancel.rs`, `retry.rs`, `prior.rs`, `watch/` | running, in turn, ended early, running again, waiting for a reason to |
//! | `receipt/` | what a run that only hit leaves behind, so that the same request need not look everything up again |
//! | `plan.rs`, `estimate.rs`, `why.rs`, `check.rs`, `picture.rs` | what would run, how long, why; what looks wrong; the graph |
//! | `inspect.rs`, `overview.rs`, `nodes.rs`, `run_graph.rs`, `event_tail.rs`, `report.rs`, `diff.rs`, `logs/`, `recorded.rs` | past runs |
//! | `notify/` | notifications: rules, messages, their delivery |
//! | `replay.rs`, `shell.rs`, `export/`, `quoting.rs` | an attempt of a past run, by hand or elsewhere |
//! | `results.rs`, `output_file.rs`, `find.rs`, `accept.rs`, `stats.rs`, `collect.rs`, `cap.rs`, `verify.rs`, `recompute.rs`, `output_diff.rs` | the cache |
//! | `remote/` | the shared cache |
//! | `node_arg.rs`, `names.rs`, `user_file.rs` | which node or element a person means; the names that there are; files that a user named |
//! | `web_access.rs` | token, sessions and address of the daemon, and a link to its page |
//! | `error.rs`, `workflow_errors.rs` | why an operation was not done |

pub mod accept;
pub mod attach;
pub mod cancel;
pub mod cap;
pub mod check;
pub mod collect;
pub mod config;
pub mod diff;
mod error;
pub mod estimate;
pub mod event_tail;
pub mod executors;
pub mod export;
pub mod find;
pub mod home;
mod input_file;
mod inputs;
pub mod inspect;
pub mod logs;
pub mod metrics;
pub mod names;
mod needs;
pub mod node_arg;
pub mod nodes;
pub mod notify;
pub mod open;
mod output_diff;
pub mod output_file;
pub mod overview;
pub mod picture;
pub mod plan;
pub mod prepare;
mod prior;
mod quoting;
pub mod receipt;
pub mod recompute;
pub mod recorded;
pub mod remote;
pub mod replay;
pub mod report;
pub mod results;
pub mod retry;
pub mod run;
pub mod run_graph;
pub mod run_lock;
pub mod scheduled;
pub mod schedules;
pub mod shell;
pub mod stats;
pub mod user_file;
pub mod verify;
pub mod watch;
pub mod web_access;
pub mod why;
mod workflow_errors;

pub use error::{Error, ErrorKind, NO_THREAD};
pub use workflow_errors::WorkflowErrors;
