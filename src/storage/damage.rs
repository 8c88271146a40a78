//! What an error of SQLite says: that the file is damaged, or that it could not be read, which says nothing of its content.
//!
//! Knows nothing of what becomes of a damaged database: see `db`.

use std::path::Path;

use rusqlite::ErrorCode;

use super::own_file::{self, Access};

/// Left behind by whoever met damage, so that the next opening looks closely.
pub(super) const SUSPECT: &str = "runner.db.suspect";

/// Notes that the database seems damaged: the next [`super::db::open`] checks all of it.
pub fn suspect(home: &Path, error: &rusqlite::Error) {
    if is_corrupt(error) {
        distrust(home);
    }
}

/// Lets the next [`super::db::open`] check all of the database.
pub fn distrust(home: &Path) {
    // If even this cannot be written, the next run meets the damage again and tries again.
    let _ = own_file::open(&home.join(SUSPECT), Access::Replace);
}

/// Whether SQLite says that the file is damaged.
pub fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether an error means that a file could not be read or opened, which says nothing of its content.
pub fn is_read_trouble(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen))
}

/// Whether SQLite rejects a statement as such: tables or columns are not as the statement says.
pub(super) fn is_rejected(error: &rusqlite::Error) -> bool {
    let code = match error {
        // What is wrong at a place of the statement.
        rusqlite::Error::SqlInputError { error, .. } => Some(error.extended_code),
        other => other.sqlite_extended_error_code(),
    };
    code == Some(rusqlite::ffi::SQLITE_ERROR)
}

pub(super) fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}
