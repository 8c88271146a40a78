//! The memo: results of tasks by cache key, shared by every workflow, process and working directory.
//!
//! | file | owns |
//! |---|---|
//! | `key.rs` | what a result is filed under |
//! | `entry.rs` | a stored result and its checksum |
//! | `sqlite.rs` | the table: one result looked up or recorded |
//! | `listing.rs` | the table as a whole: listed, and results removed |

pub mod entry;
pub mod key;
pub mod listing;
pub mod sqlite;

pub use entry::{Entry, Found};
pub use key::{KeyMaker, Scope, Version};
