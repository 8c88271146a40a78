//! The shared cache: results of others, and results for others, in a folder or a bucket.
//!
//! | file | owns |
//! |---|---|
//! | `key.rs` | keys that sign, and keys that are trusted |
//! | `entry.rs` | the bytes of an entry, its signature, whether it is what was asked for |
//! | `outgoing.rs` | from a stored result to its entry |
//! | `backend.rs` | the seam: objects by name |
//! | `folder.rs`, `s3/` | the two that there are |
//! | `breaker.rs` | whether a remote that fails is asked at all |
//! | `client.rs` | results in and out, in the order that is safe |
//! | `session.rs`, `workers.rs`, `tally.rs` | the use that one run makes of it, its threads, and what it had of it |
//! | `sweep.rs` | what of a shared cache goes, and what is wrong with it |
//!
//! Nothing here trusts what others wrote: an entry is verified before it is parsed and compared with what was asked for,
//! content is checked while it comes into a temporary of the store, and no name in an entry becomes a path.

pub mod backend;
mod breaker;
mod client;
mod entry;
mod folder;
pub mod key;
mod outgoing;
pub mod s3;
mod session;
mod sweep;
mod tally;
mod workers;

pub use breaker::Breaker;
pub use client::{Fetched, FetchedResult, RemoteCache, UploadError, Uploaded};
pub use entry::{RemoteEntry, RemoteLookup, Trust};
pub use folder::FolderBackend;
pub use outgoing::outgoing;
pub use session::RemoteSession;
pub use sweep::{RemoteFindings, RemoteLimits, RemoteSwept, sweep, verify};
pub use tally::RemoteTally;
pub use workers::RemoteMessage;
