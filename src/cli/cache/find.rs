//! Results by the beginnings of their keys, and by what else is known of them.

use rusqlite::Connection;

use super::rows::SHORT;
use super::{Failure, unreadable};
use crate::core::closest::closest;
use crate::storage::memo::listing::{self, Filter, Listed};

/// Which results.
#[derive(clap::Args)]
pub struct Which {
    /// Only those of this task, by its qualified name: workflow.task or library.task
    #[arg(long, value_name = "QUALIFIED")]
    pub task: Option<String>,
    /// Only those of this project
    #[arg(long, value_name = "P")]
    pub project: Option<String>,
    /// Only those of this domain
    #[arg(long, value_name = "D")]
    pub domain: Option<String>,
}

impl Which {
    pub fn filter(&self) -> Filter {
        Filter { task: self.task.clone(), project: self.project.clone(), domain: self.domain.clone() }
    }

    /// What to say if there is none of them.
    pub fn none(&self, db: &Connection) -> Result<String, Failure> {
        let Some(task) = &self.task else { return Ok("no stored result fits".into()) };
        let tasks = listing::tasks(db).map_err(unreadable)?;
        if tasks.contains(task) {
            return Ok(format!("no stored result of task `{task}` fits"));
        }
        let near = closest(task, tasks.iter().map(String::as_str));
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Ok(format!("there is no stored result of a task `{task}`{hint}"))
    }
}

/// The one result whose key begins so.
pub fn by_key(db: &Connection, prefix: &str) -> Result<Listed, Failure> {
    let found = listing::with_prefix(db, prefix).map_err(unreadable)?;
    let mut found = found.ok_or_else(|| {
        Failure::usage(format!("`{prefix}` is no key: expected up to 64 hexadecimal digits"))
    })?;
    match found.len() {
        0 => Err(Failure::usage(format!(
            "no stored result has a key that begins with `{prefix}`; `runner cache ls` lists them"
        ))),
        1 => Ok(found.remove(0)),
        n => {
            let some = found.iter().take(3).map(|listed| {
                let key = listed.entry.key.hex();
                format!("{} ({})", &key[..SHORT.max(prefix.len() + 1).min(key.len())], listed.entry.task)
            });
            let some = some.collect::<Vec<_>>().join(", ");
            let more = if n > 3 { ", ..." } else { "" };
            Err(Failure::usage(format!("{n} keys begin with `{prefix}`: {some}{more}; give more of it")))
        }
    }
}
