//! What a run would do, and why: plans, explanations of misses, upstream causes. Changes nothing.

pub mod explain;
pub mod planned;
pub mod upstream;
mod walk;
