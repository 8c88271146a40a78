//! What a run would do, and why: plans, explanations of misses, upstream causes. Changes nothing.
//!
//! | file | owns |
//! |---|---|
//! | `planned.rs` | a plan, as data |
//! | `explainer.rs` | earlier results, and what differs between one of them and a key that missed |
//! | `upstream.rs` | which node upstream a change comes from |
//! | `explain.rs` | why a lookup missed |
//! | `walk.rs` | the walk over all nodes that makes a plan |

pub mod explain;
pub mod explainer;
pub mod planned;
mod upstream;
mod walk;

use crate::engine::lookup::cache::Cache;
use crate::engine::options::RunOptions;
use crate::engine::scope::values::UserFiles;
use crate::storage::memo::explain::Detail;
use crate::workflow::graph::outline::Outline;

use explainer::{ExplainMemory, Explainer};
pub use walk::plan;

/// Explains what misses in `cache`.
pub fn explainer<'e>(
    outline: &'e Outline,
    options: &'e RunOptions,
    cache: &'e Cache,
    files: &'e UserFiles,
    memory: &'e ExplainMemory,
    detail: Detail,
) -> Explainer<'e> {
    Explainer { outline, options, cache, files, memory, detail, fill: walk::fill }
}
