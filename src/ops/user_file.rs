//! Files that a user asked for by name: graphs, pages, manuals.

pub use crate::storage::user_file::{is_stream, write_user_file};
