//! Warnings about Python functions: values that are pickled, packages that are missing, code that does not count.

use super::Lint;
use crate::workflow::{Task, TaskCommand};

/// What is wrong only for a result that is kept.
const OF_CACHED: [&str; 2] = ["unseen-code", "undeclared-file"];

/// The warnings about a task's function.
pub fn of_task(task: &Task) -> Vec<Lint> {
    let TaskCommand::Function(call) = &task.command else { return Vec::new() };
    let follows_code = task.cache.enabled && task.cache.version.is_none();
    let warnings = call.warnings.iter().filter(|(name, _)| follows_code || !OF_CACHED.contains(name));
    warnings.map(|(name, diagnostic)| Lint { name, diagnostic: diagnostic.clone() }).collect()
}
