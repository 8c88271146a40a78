//! One attempt of a node: staged into a fresh scratch folder, run, its outputs collected.

mod apart;
pub mod collect;
pub mod environment;
pub mod error;
pub mod failing_line;
mod function;
pub mod hints;
pub mod job_script;
pub mod large;
pub mod ledger;
mod made;
mod on_batch;
pub mod perform;
pub mod placement;
pub mod prepare;
pub mod scratch;
pub mod source;

#[cfg(test)]
mod tests;
