//! What the cache knows of a task with its inputs.
//!
//! | file | owns |
//! |---|---|
//! | `identity.rs` | the identity of a task, and the key that follows for given inputs |
//! | `memo.rs` | the memo seam, and the memo in a home's database |
//! | `decision.rs` | hit, miss with its cause, skipped, disabled, failed: as data |
//! | `cache.rs` | the decision itself, and what one run keeps for it |
//! | `prior_run.rs` | results of the run that this one is a retry of |

pub mod cache;
pub mod decision;
pub mod identity;
pub mod memo;
pub mod prior_run;
