//! The memo: results of tasks by cache key, shared by every workflow, process and working directory.
//!
//! | file | owns |
//! |---|---|
//! | `key.rs` | what a result is filed under |
//! | `entry.rs` | a stored result and its checksum |
//! | `interface.rs` | what it kept of its task's interface |
//! | `sqlite.rs` | the table: one result looked up or recorded |
//! | `listing.rs` | the table as a whole: listed, and results removed |
//! | `past.rs`, `explain.rs` | earlier results, and what differs between one and a key that missed |

pub mod earlier;
pub mod entry;
pub mod explain;
pub mod interface;
pub mod key;
pub mod listing;
pub mod sqlite;

pub use earlier::EarlierResult;
pub use entry::{FoundResult, MemoEntry, UNKNOWN_DEFINITION};
pub use interface::Interface;
pub use key::{KeyMaker, Scope, Version};
