//! The values in scope of a unit: uses of workflows (frames), elements of nodes, the user's files.

pub mod content;
pub mod error;
pub mod frames;
pub mod interface;
pub mod scatter;
pub mod site;
pub mod values;
