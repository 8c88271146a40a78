//! Logs of attempts: a list of a run's logs, finding the one that a name refers to, and following a run that goes on.

mod find;
mod follow;
mod window;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::find::{find_log, log_of};
use self::follow::Follower;
pub use self::window::{LogLine, LogSearch, LogWindow, WindowStart};
use super::Error;
use super::home::HomeReader;
use super::node_arg::ends;
use super::recorded::as_it_was;
use crate::core::closest::closest;
use crate::core::event::{Event, NodeFinished, NodeKind, Status};
use crate::core::node_path::NodeRef;
use crate::storage::history::Run;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;
use crate::view::text::logs::Logged;

/// Opens a log: a regular file of this user, in a folder of this user.
///
/// # Errors
/// What the system says, or a sentence that names what is there instead.
pub fn open_log(path: &Path) -> io::Result<File> {
    own_folder::open(path.parent().unwrap_or(path))?;
    own_file::open(path, Access::Read)
}

/// The logs of one run.
pub struct RunLogs {
    view: HomeReader,
    run: Run,
}

impl RunLogs {
    /// The logs of the run that a person means by `name`.
    ///
    /// # Errors
    /// The run is not known, or the history cannot be read.
    pub fn open(home: Option<&Path>, name: &str) -> Result<Self, Error> {
        let view = HomeReader::open(home)?;
        let run = view.find(name)?;
        Ok(Self { view, run })
    }

    /// The id of the run.
    pub fn run(&self) -> &str {
        &self.run.id
    }

    fn events(&self) -> Result<Vec<Event>, Error> {
        Ok(self.view.events(self.run.id)?.collect())
    }

    /// The log of a node or element: of the attempt given, else of the last one.
    ///
    /// # Errors
    /// There is no such log, the name fits more than one node, or the history cannot be read.
    pub fn find(&self, wanted: NodeRef, attempt: Option<u32>) -> Result<PathBuf, Error> {
        find_log(&self.events()?, wanted, attempt, &self.run.id).map_err(Error::not_found)
    }

    /// Everything that has a log, in the order in which it began; elements of a node together.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn list(&self) -> Result<Vec<Logged>, Error> {
        Ok(logged(self.view.events(self.run.id)?))
    }

    /// The tasks that ran and failed, each with the log of its last attempt.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn failed(&self) -> Result<Vec<(NodeFinished, Option<PathBuf>)>, Error> {
        let events = self.events()?;
        let failed = ends(&events)
            .filter(|node| node.status == Status::Failed && node.kind == NodeKind::Task && node.attempts > 0);
        Ok(failed.map(|node| (node.clone(), log_of(&events, node.path(), None).map(PathBuf::from))).collect())
    }

    /// Prints the logs of `wanted`, by default of all nodes, until it or the run has ended. Whether there was any log.
    /// `is_terminal` says whether what is printed has to be harmless for a terminal.
    ///
    /// # Errors
    /// The workflow has no such node, or the history cannot be read.
    pub fn follow(
        &self,
        wanted: Option<NodeRef>,
        is_terminal: bool,
        out: &mut impl Write,
    ) -> Result<bool, Error> {
        let label = wanted.map(|node| node.to_string());
        if let Some(label) = &label {
            self.check_name(label)?;
        }
        Follower::new(label, is_terminal).follow(&self.view, &self.run, out)
    }

    /// Refuses a name that the workflow does not have: it would be waited for in vain.
    fn check_name(&self, label: &str) -> Result<(), Error> {
        let Ok(again) = as_it_was(&self.view, &self.run) else { return Ok(()) };
        let outline = &again.opened.outline;
        let names: Vec<String> = (0..outline.len()).map(|number| outline.name(number)).collect();
        let name = NodeRef::parse(label).family().into_owned();
        if names.contains(&name) {
            return Ok(());
        }
        let near = closest(&name, names.iter().map(String::as_str));
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Err(Error::not_found(format!("run {} has no node `{name}`{hint}", self.run.id)))
    }
}

fn logged(events: impl Iterator<Item = Event>) -> Vec<Logged> {
    let mut all: Vec<Logged> = Vec::new();
    let mut places = HashMap::new();
    for event in events {
        match event {
            Event::NodeStarted(node) => {
                let Some(path) = &node.log else { continue };
                let name = node.path().family().into_owned();
                let place = *places.entry(name.clone()).or_insert(all.len());
                if place == all.len() {
                    all.push(Logged {
                        name,
                        path: String::new(),
                        units: 0,
                        attempts: 0,
                        failed: 0,
                        example: None,
                    });
                }
                let entry = &mut all[place];
                entry.units += u64::from(node.attempt == 1);
                entry.attempts = entry.attempts.max(node.attempt);
                entry.path.clone_from(path);
                if node.path().is_in_element() {
                    entry.example.get_or_insert_with(|| (node.node.clone(), node.index));
                }
            }
            Event::NodeFinished(node) if node.status == Status::Failed && node.kind == NodeKind::Task => {
                if let Some(place) = places.get(&*node.path().family()) {
                    all[*place].failed += 1;
                    if node.path().is_in_element() {
                        all[*place].example = Some((node.node.clone(), node.index));
                    }
                }
            }
            _ => {}
        }
    }
    all
}
