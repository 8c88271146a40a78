//! The shared cache: opened by settings, filled and emptied on request, looked through.
//!
//! | file | owns |
//! |---|---|
//! | `settings.rs` | from settings to a shared cache that can be used |
//! | `transfer.rs` | results there and back, as a user asks for them |
//! | `care.rs` | what of it goes, and what is wrong with it |

mod care;
pub mod settings;
pub mod transfer;

pub use self::care::{RemoteFindings, RemoteLimits, RemoteSwept, sweep, verify};
pub use self::settings::{RemoteChoice, open};
pub use crate::storage::remote::RemoteCache;
pub use crate::storage::remote::key;

use std::io::Write;
use std::path::Path;

use crate::ops::Error;
use crate::storage::own_file::{self, Access};
use crate::storage::remote::key::{Algorithm, SigningKey};
use crate::workflow::config::load;

/// A key that was made.
pub struct NewKey {
    pub id: String,
    /// What others need to verify, if that is not the key itself.
    pub public: Option<String>,
}

/// Makes a key and writes it to a new file that only this user can read.
///
/// # Errors
/// The file exists or cannot be written.
pub fn new_key(algorithm: Algorithm, path: &Path) -> Result<NewKey, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::failed(format!("cannot write the key {}: {error}", path.display()))
    };
    let text = key::make(algorithm).map_err(|problem| failed(&problem))?;
    let made = SigningKey::parse(&text).map_err(|problem| failed(&problem))?;
    let mut file = own_file::open(path, Access::New).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::invalid(format!("{} exists: keys are not overwritten, name another file", path.display()))
        }
        _ => failed(&error),
    })?;
    file.write_all(format!("{text}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| failed(&error))?;
    Ok(NewKey { id: made.id(), public: made.trusted().public_text() })
}

/// The shared cache of the current folder's settings, for a verb that needs one.
///
/// # Errors
/// There is none, or its settings cannot be used (kind: invalid).
pub fn here(choice: &RemoteChoice) -> Result<RemoteCache, Error> {
    let folder = std::env::current_dir()
        .map_err(|error| Error::invalid(format!("there is no current folder: {error}")))?;
    let config = load(&folder, None, &|name| std::env::var_os(name)).map_err(super::WorkflowErrors::from)?;
    open(&config, choice)?.ok_or_else(|| {
        Error::invalid("there is no shared cache").hint(
            "name one with --remote, $RUNNER_CACHE_REMOTE, or remote = \"s3://BUCKET/PREFIX\" in [cache] of runner.toml",
        )
    })
}
