//! The memo seam: a result looked up by its key. [`SqliteMemo`] reads the database of a home.

use std::fmt;
use std::path::PathBuf;

use rusqlite::Connection;

use crate::core::definition::Definition;
use crate::core::digest::Digest;
use crate::storage::damage;
use crate::storage::memo::{FoundResult, sqlite};

/// Results by cache key. Results are recorded through [`crate::engine::Recorder`].
pub trait Memo: Send {
    /// The result under a key.
    ///
    /// # Errors
    /// The memo cannot be read.
    fn lookup(&self, key: &Digest) -> Result<Option<FoundResult>, MemoError>;

    /// A definition that results were stored with; `None` if it is not known or cannot be read.
    fn definition(&self, digest: &Digest) -> Option<Definition>;

    /// Begins to read one state of the memo: many lookups in one transaction are cheap.
    fn begin(&self) {}

    /// Ends what [`Memo::begin`] began; later lookups see what others stored.
    fn end(&self) {}

    /// Sees what others stored since [`Memo::begin`].
    fn refresh(&self) {}

    /// The database with earlier results to explain a miss from; `None` for a memo without one.
    fn history(&self) -> Option<&Connection> {
        None
    }
}

/// The memo could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoError(pub String);

impl fmt::Display for MemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cache could not be read: {}", self.0)
    }
}

impl std::error::Error for MemoError {}

/// The memo in the database of a home.
pub struct SqliteMemo {
    db: Connection,
    /// The home in which to note that the database seems damaged; `None` for a plan, which changes nothing.
    home: Option<PathBuf>,
}

impl SqliteMemo {
    /// A memo over an open, read-only connection.
    pub fn new(db: Connection, home: Option<PathBuf>) -> Self {
        Self { db, home }
    }
}

impl Memo for SqliteMemo {
    fn lookup(&self, key: &Digest) -> Result<Option<FoundResult>, MemoError> {
        let found = match sqlite::lookup(&self.db, key) {
            // What could not be read now may be read a moment later.
            Err(error) if damage::is_read_trouble(&error) => sqlite::lookup(&self.db, key),
            found => found,
        };
        found.map_err(|error| {
            if let Some(home) = &self.home {
                damage::suspect(home, &error);
            }
            MemoError(error.to_string())
        })
    }

    fn definition(&self, digest: &Digest) -> Option<Definition> {
        sqlite::definition(&self.db, digest).ok().flatten()
    }

    fn begin(&self) {
        // Without a transaction each lookup is one of its own: slower, not wrong.
        let _ = self.db.execute_batch("BEGIN");
    }

    fn end(&self) {
        let _ = self.db.execute_batch("COMMIT");
    }

    fn refresh(&self) {
        if !self.db.is_autocommit() {
            self.end();
            self.begin();
        }
    }

    fn history(&self) -> Option<&Connection> {
        Some(&self.db)
    }
}
