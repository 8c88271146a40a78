//! From a run that has ended to its receipt.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::open::Opened;
use super::listener::{NoOpEvents, NoOpListener};
use super::{Receipt, ReceiptKey, ReceiptOutput, Surroundings};
use crate::core::event::RemoteCounts;
use crate::core::lock::lock;
use crate::core::reporter::Reporter;
use crate::core::run_id::RunId;
use crate::core::run_request::GivenInputs;
use crate::core::value::Value;
use crate::engine::scope::values::Listing;
use crate::engine::{PublishedOutput, Relied, Summary};
use crate::python::question::PythonQuestion;
use crate::storage::db;
use crate::storage::history::invocation::invocation;
use crate::storage::home::Home;
use crate::storage::receipts::{self, KeptReceipt};
use crate::storage::store::{Evidence, Store};
use crate::workflow::config::Config;
use crate::workflow::functions::is_record;
use crate::workflow::paths::find_files;
use crate::workflow::{Task, TaskCommand};

/// Follows a run that may leave a receipt.
pub struct ReceiptKeeper {
    key: ReceiptKey,
    /// Files of inputs that the request names.
    files: Vec<PathBuf>,
    heard: Arc<Mutex<NoOpEvents>>,
    /// As the run found them.
    surroundings: Surroundings,
    /// Of the memo, before the run looked anything up.
    changes: i64,
}

/// Whether all that a task's key follows from is among what a receipt knows.
fn leaves_receipt(task: &Task) -> bool {
    let is_known = match &task.command {
        TaskCommand::Function(call) => call.question.is_some(),
        TaskCommand::Script { .. } | TaskCommand::Program(_) => true,
    };
    task.secrets.is_empty() && is_known
}

/// What Pythons were asked of the functions of a run.
fn questions(opened: &Opened) -> Vec<PythonQuestion> {
    let mut questions: Vec<PythonQuestion> = Vec::new();
    for task in opened.tasks() {
        if let TaskCommand::Function(call) = &task.command
            && let Some(question) = &call.question
            && !questions.contains(question)
        {
            questions.push((**question).clone());
        }
    }
    questions
}

impl ReceiptKeeper {
    /// Begins to listen; `None` if the run leaves no receipt. Comes before the first lookup.
    pub fn begin(
        key: Option<ReceiptKey>,
        given: &[GivenInputs],
        opened: &Opened,
        config: &Config,
        listeners: &mut Vec<Box<dyn Reporter>>,
        store: &Store,
        reader: &Connection,
    ) -> Option<Self> {
        let key = key.filter(|_| opened.tasks().all(leaves_receipt))?;
        let changes = receipts::changes(reader).ok()?;
        let of_file = |given: &GivenInputs| match given {
            GivenInputs::File(path) => Some(path.clone()),
            GivenInputs::Assignments { .. } | GivenInputs::Values { .. } | GivenInputs::Recorded(_) => None,
        };
        let mut patterns: Vec<_> =
            opened.tasks().flat_map(|task| task.pass_env.iter().chain(&task.cache.env).cloned()).collect();
        patterns.sort();
        patterns.dedup();
        let (witness, heard) = NoOpListener::new();
        listeners.push(Box::new(witness));
        store.note_verified();
        let surroundings = Surroundings::now(patterns, config);
        Some(Self { key, files: given.iter().filter_map(of_file).collect(), heard, surroundings, changes })
    }

    /// Keeps the receipt of a run that only hit. What speaks against it, and faults of the database, only mean that the next run
    /// goes the full way.
    pub fn keep(self, run: RunId, summary: &Summary, opened: &Opened, home: &Home, store: &Store) {
        let _ = self.try_keep(run, summary, opened, home, store);
    }

    fn try_keep(
        self,
        run: RunId,
        summary: &Summary,
        opened: &Opened,
        home: &Home,
        store: &Store,
    ) -> Option<()> {
        let relied = summary.relied.as_ref()?;
        let NoOpEvents { lines, started, .. } = std::mem::take(&mut *lock(&self.heard));
        let (lines, started) = (lines?, started?);
        // What was left in the queue, or failed, is the next run's to do.
        if summary.remote.is_some_and(|remote| remote != RemoteCounts::default()) {
            return None;
        }
        let written = Timestamp::now();
        if relied.until <= written {
            return None;
        }
        let mut evidence = Evidence::default();
        if !evidence.add_read(&relied.files) || !evidence.add_verified(store) {
            return None;
        }
        let listings = listings(relied, opened, &evidence)?;
        for path in self.read_otherwise(opened, &evidence) {
            if !evidence.add_unchanged(&path, self.key.asked) {
                return None;
            }
        }
        let mut outputs = Vec::with_capacity(summary.outputs.len());
        for (name, handed) in &summary.outputs {
            outputs.push(self.output(name, handed, &home.outputs(run), &mut evidence)?);
        }
        let db = db::open_writer(home.path()).ok()?;
        let receipt = Receipt {
            started,
            path: opened.workflow.path.display().to_string(),
            invocation: invocation(&db, run).ok()?,
            lines,
            counts: summary.counts,
            saved_ms: summary.saved_ms,
            remote: summary.remote.is_some(),
            outputs,
            surroundings: self.surroundings,
            listings,
            python: questions(opened),
            written,
            until: relied.until,
        };
        let text = serde_json::to_string(&receipt).ok()?;
        let kept = KeptReceipt { changes: self.changes, text, evidence: evidence.encode() };
        receipts::keep(&db, &self.key.request, &kept, written).ok()
    }

    /// Every file that was read otherwise than as a value: documents, under each of their paths, and files of inputs. Files
    /// that the workflow spells out are looked for before each run, also those of nodes whose condition was false.
    fn read_otherwise(&self, opened: &Opened, evidence: &Evidence) -> Vec<PathBuf> {
        let known: HashSet<&Path> = evidence.paths().collect();
        let mut paths: Vec<PathBuf> = self.files.clone();
        for document in opened.documents.iter().filter(|document| !is_record(&document.path)) {
            paths.push(document.path.clone());
            paths.extend(document.asked.iter().cloned());
        }
        for node in opened.workflows.iter().flat_map(|workflow| &workflow.nodes) {
            for (i, binding) in node.inputs.iter().enumerate() {
                binding.for_each_path(&node.bound_type(i), &mut |path, _| {
                    if !known.contains(path) {
                        paths.push(path.to_owned());
                    }
                });
            }
        }
        paths.sort();
        paths.dedup();
        paths
    }

    /// An output, if it can be published again; `folder` is where the run has copies of its own.
    fn output(
        &self,
        name: &str,
        handed: &PublishedOutput,
        folder: &Path,
        evidence: &mut Evidence,
    ) -> Option<ReceiptOutput> {
        let ty = handed.value.type_of()?;
        let value = handed.value.to_record();
        if Value::from_json(&ty, &value).ok()? != handed.value {
            return None;
        }
        let is_own = handed.places.iter().all(|place| place.starts_with(folder));
        if !is_own && !handed.places.iter().all(|place| evidence.add_unchanged(place, self.key.asked)) {
            return None;
        }
        let places = (!is_own).then(|| handed.places.clone());
        Some(ReceiptOutput { name: name.into(), ty: ty.to_string(), value, places })
    }
}

/// The files that patterns named in this run, those of sources as well. `None` if one joined since.
fn listings(relied: &Relied, opened: &Opened, evidence: &Evidence) -> Option<Vec<Listing>> {
    let known: HashSet<&Path> = evidence.paths().collect();
    let used: HashSet<&str> = relied.tasks.iter().map(String::as_str).collect();
    let mut listings = relied.listings.clone();
    let mut seen = HashSet::new();
    for task in opened.tasks().filter(|task| used.contains(&*task.name)) {
        for source in &task.sources {
            if seen.insert((&task.dir, &source.pattern)) {
                let found = find_files(&task.dir, &source.pattern).ok()?;
                listings.push(Listing { dir: task.dir.clone(), pattern: source.pattern.clone(), found });
            }
        }
    }
    listings.iter().flat_map(|listing| &listing.found).all(|path| known.contains(&**path)).then_some(listings)
}
