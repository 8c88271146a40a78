//! The rows of a run in the history: the one it begins with, what was asked for, and the one it ends with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::super::Error;
use super::super::open::Opened;
use crate::core::digest::Digest;
use crate::core::event::Counts;
use crate::core::run_id::RunId;
use crate::core::run_request::RunRequest;
use crate::core::value::Value;
use crate::engine::attempt::environment;
use crate::engine::lookup::cache::to_record;
use crate::engine::{Recorder, RunOptions, RunVerdict};
use crate::storage::contents::Execution;
use crate::storage::gc;
use crate::storage::history::invocation::{Beginning, Invocation, Text};
use crate::storage::history::{self, RUNNING, times::Times};
use crate::storage::home::Home;
use crate::storage::memo::Scope;
use crate::storage::store::{FileKey, StatEntry, Store};
use crate::storage::writer::{Acknowledged, Closed, Handle, NewResult, Writer};
use crate::workflow::documents::Document;
use crate::workflow::graph::select::leaves;

/// The history of a run that goes on.
pub struct RunRecord {
    recorder: RunRecorder,
    thread: Handle,
}

/// What a run leaves goes to the writer, and its end with its row.
#[derive(Clone)]
pub struct RunRecorder {
    writer: Writer,
    row: history::Run,
}

/// The row of a run that begins now.
pub fn first_row(run: RunId, opened: &Opened, scope: &Scope, options: &RunOptions) -> history::Run {
    let (workflow, outline) = (&opened.workflow, &opened.outline);
    let nodes = leaves(outline, &options.roles, 0..outline.len());
    history::Run {
        id: run,
        workflow: workflow.name.clone(),
        path: workflow.path.display().to_string(),
        project: scope.project.clone(),
        domain: scope.domain.clone(),
        status: RUNNING.into(),
        started: Timestamp::now(),
        finished: None,
        counts: Counts { nodes, ..Counts::default() },
        saved_ms: 0,
    }
}

impl RunRecord {
    /// Starts the writer; what it has stored comes through the channel.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        row: history::Run,
        db: Connection,
        store: Arc<Store>,
        home: &Home,
    ) -> Result<(Self, UnboundedReceiver<Acknowledged>), Error> {
        let (writer, thread, acknowledged) =
            Writer::start(db, store, home.path().to_owned()).map_err(Error::no_thread)?;
        let recorder = RunRecorder { writer, row };
        Ok((Self { recorder, thread }, acknowledged))
    }

    /// Records the run and what it was asked for; the channel says when that is stored.
    pub fn begin(&self, request: RunRequest, opened: &Opened, inputs: &[Value]) -> oneshot::Receiver<()> {
        self.recorder.writer.begin(Beginning {
            run: self.recorder.row.clone(),
            invocation: self.invocation(request, opened, inputs),
            texts: opened.documents.iter().map(text).collect(),
        })
    }

    /// What the engine records with.
    pub fn recorder(&self) -> RunRecorder {
        self.recorder.clone()
    }

    /// Records what the run's folders take, and waits until everything is stored.
    pub fn close(self, home: &Home) -> Closed {
        let RunRecorder { writer, row } = self.recorder;
        writer.size(row.id, gc::of_run(home, row.id));
        drop(writer);
        self.thread.join()
    }

    /// The id of the run.
    pub fn run(&self) -> RunId {
        self.recorder.row.id
    }

    /// The record of the request, with everything that was decided when the run began.
    fn invocation(&self, request: RunRequest, opened: &Opened, inputs: &[Value]) -> Invocation {
        let environment = environment::remember(opened.tasks());
        let request = RunRequest {
            // Records are text, whatever bytes a path holds.
            workflow: self.recorder.row.path.clone().into(),
            project: Some(self.recorder.row.project.clone()),
            domain: Some(self.recorder.row.domain.clone()),
            // The values that came of them are recorded below.
            given: Vec::new(),
            cache: Some(request.cache.unwrap_or_default()),
            ..request
        };
        Invocation {
            runner: env!("CARGO_PKG_VERSION").into(),
            dir: std::env::current_dir().unwrap_or_default().display().to_string(),
            request,
            inputs: to_record(opened.workflow.inputs.iter().map(|input| &*input.name), inputs),
            environment: environment.base,
            passed: environment.passed,
            ..Invocation::default()
        }
    }
}

impl Recorder for RunRecorder {
    fn result(&self, result: NewResult) {
        self.writer.result(result);
    }

    fn files(&self, files: Box<Execution>) {
        self.writer.files(files);
    }

    fn stats(&self, stats: Vec<(FileKey, StatEntry)>) {
        self.writer.stats(stats);
    }

    fn times(&self, times: Times) {
        self.writer.times(times);
    }

    fn used(&self, keys: Vec<Digest>) {
        self.writer.used(keys);
    }

    fn flush_now(&self) {
        self.writer.flush_now();
    }

    fn end(&self, end: RunVerdict) -> oneshot::Receiver<()> {
        self.writer.run(history::Run {
            status: end.status.name().into(),
            // By the time that its events tell as well: a run takes equally long wherever it is shown.
            finished: Some(self.row.started + Duration::from_millis(end.duration_ms)),
            counts: end.counts,
            saved_ms: end.saved_ms,
            ..self.row.clone()
        })
    }
}

fn text(document: &Document) -> Text {
    let shown = |path: &PathBuf| path.display().to_string();
    Text {
        path: shown(&document.path),
        asked: document.asked.iter().map(shown).collect(),
        text: document.text.clone(),
    }
}
