//! The memo: results of tasks by cache key, shared by every workflow, process and working directory.
//!
//! | file | owns |
//! |---|---|
//! | `key.rs` | what a result is filed under |
//! | `entry.rs` | a stored result and its checksum |
//! | `sqlite.rs` | the table |

pub mod entry;
pub mod key;
pub mod sqlite;

pub use entry::{Entry, Found};
pub use key::{KeyMaker, Scope, Version};
