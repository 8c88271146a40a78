//! Stored results, by the beginnings of their keys and by what else is known of them.

use rusqlite::Connection;

use super::Error;
use crate::core::closest::closest;
use crate::storage::memo::listing::{self, EntryFilter, Listed};

/// Digits of a key that are shown: enough to tell it from all others that anybody will meet.
pub const KEY_DIGITS: usize = 10;

/// The message for a filter that fits no result.
///
/// # Errors
/// The cache cannot be read.
pub fn none(db: &Connection, filter: &EntryFilter) -> Result<String, Error> {
    let Some(task) = &filter.task else { return Ok("no stored result fits".into()) };
    let tasks = listing::tasks(db).map_err(Error::cache)?;
    if tasks.contains(task) {
        return Ok(format!("no stored result of task `{task}` fits"));
    }
    let near = closest(task, tasks.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Ok(format!("there is no stored result of a task `{task}`{hint}"))
}

/// The one result whose key begins so.
///
/// # Errors
/// There is none, or more than one; or the cache cannot be read.
pub fn by_key(db: &Connection, prefix: &str) -> Result<Listed, Error> {
    let found = listing::with_prefix(db, prefix).map_err(Error::cache)?;
    let mut found = found.ok_or_else(|| {
        Error::invalid(format!("`{prefix}` is no key: expected up to 64 hexadecimal digits"))
    })?;
    match found.len() {
        0 => Err(Error::not_found(format!(
            "no stored result has a key that begins with `{prefix}`; `runner cache ls` lists them"
        ))),
        1 => Ok(found.remove(0)),
        n => {
            let some = found.iter().take(3).map(|listed| {
                let key = listed.entry.key.hex();
                format!("{} ({})", &key[..KEY_DIGITS.max(prefix.len() + 1).min(key.len())], listed.entry.task)
            });
            let some = some.collect::<Vec<_>>().join(", ");
            let more = if n > 3 { ", ..." } else { "" };
            Err(Error::not_found(format!("{n} keys begin with `{prefix}`: {some}{more}; give more of it")))
        }
    }
}
