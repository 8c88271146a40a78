//! The names that the home knows, for completion on the command line: runs, tasks, keys, schedules, projects, domains.
//!
//! Looks for a moment only, changes nothing, and has no names where there is nothing to be read.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::home::HomeReader;
use super::open::Opened;
use super::recorded::as_it_was;
use super::results::KEY_DIGITS;
use crate::storage::history::filter::{RunFilter, labels, select, workflows};
use crate::storage::memo::listing;
use crate::storage::schedules::known;
use crate::view::model::run_row::RunRow;

/// A home that is only looked at.
pub struct Names(HomeReader);

impl Names {
    /// The names of a home; `None` where there is nothing to be read.
    pub fn peek(home: Option<&Path>) -> Option<Self> {
        HomeReader::peek(home).map(Self)
    }

    fn ask<T: Default>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        self.0.db.as_ref().and_then(|db| ask(db).ok()).unwrap_or_default()
    }

    /// The latest runs, the newest first.
    pub fn runs(&self, limit: usize) -> Vec<RunRow> {
        let runs = self.ask(|db| select(db, &RunFilter::default(), limit, &self.0));
        runs.into_iter().map(RunRow::from).collect()
    }

    /// The workflow of the run that a person means by `name`, as it was.
    pub fn workflow_of_run(&self, name: &str) -> Option<Opened> {
        let run = self.0.find(name).ok()?;
        as_it_was(&self.0, &run).ok().map(|again| again.opened)
    }

    /// The workflow file of the run that a person means by `name`.
    pub fn path_of_run(&self, name: &str) -> Option<PathBuf> {
        self.0.find(name).ok().map(|run| run.path.into())
    }

    /// Qualified names of tasks with results.
    pub fn tasks(&self) -> Vec<String> {
        self.ask(listing::tasks)
    }

    /// Names of workflows that were run.
    pub fn workflows(&self) -> Vec<String> {
        self.ask(workflows).into_iter().collect()
    }

    /// Projects in which something was run.
    pub fn projects(&self) -> Vec<String> {
        self.ask(|db| labels(db, "project"))
    }

    /// Domains in which something was run.
    pub fn domains(&self) -> Vec<String> {
        self.ask(|db| labels(db, "domain"))
    }

    /// Whole names of the schedules that the home knows.
    pub fn schedules(&self) -> Vec<String> {
        let known = self.0.db.as_ref().and_then(|db| known::all(db, &self.0.home).ok());
        known.unwrap_or_default().into_iter().map(|known| known.name).collect()
    }

    /// Keys of results that begin with `prefix`, the latest first, each with its task and node. They are cut to the usual
    /// number of digits, or whole where `prefix` has as many.
    pub fn keys(&self, prefix: &str, limit: usize) -> Vec<(String, String)> {
        let digits = if prefix.len() < KEY_DIGITS { KEY_DIGITS } else { 64 };
        let found = self.ask(|db| listing::latest_keys(db, prefix, limit)).into_iter();
        found
            .map(|(key, task, node)| (key[..digits.min(key.len())].to_owned(), format!("{task} ({node})")))
            .collect()
    }
}
