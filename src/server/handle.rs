//! The interface of a daemon for the rest of this process: the pages and the API.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{broadcast, oneshot};

use super::events::ServerEvent;
use super::files::ServedFile;
use crate::core::run_id::RunId;
use crate::ops::Error;
use crate::ops::prepare::PreparedRun;
use crate::ops::schedules::LoadedSchedule;
use crate::ops::schedules::backfill::Backfill;

/// How many events a slow reader may be behind before it misses some.
const MAX_EVENTS_BEHIND: usize = 1024;

/// A daemon, for whoever asks it.
#[derive(Clone)]
pub struct DaemonHandle {
    commands: UnboundedSender<DaemonCommand>,
    snapshot: Arc<RwLock<Arc<ServedState>>>,
    events: broadcast::Sender<Arc<ServerEvent>>,
}

/// What a daemon has at a moment.
#[derive(Default)]
pub struct ServedState {
    pub files: Vec<ServedFile>,
    /// By whole name.
    pub schedules: BTreeMap<String, LoadedSchedule>,
}

/// Something that a daemon is asked for.
pub(super) enum DaemonCommand {
    Start {
        run: RunId,
        prepared: Box<PreparedRun>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Cancel {
        run: RunId,
        reply: oneshot::Sender<bool>,
    },
    /// The answer is whether the run waits for a place.
    Waits {
        run: RunId,
        reply: oneshot::Sender<bool>,
    },
    /// The answer is whether it begins.
    Backfill {
        backfill: Box<Backfill>,
        reply: oneshot::Sender<bool>,
    },
}

impl DaemonHandle {
    pub(super) fn new(commands: UnboundedSender<DaemonCommand>) -> Self {
        let (events, _) = broadcast::channel(MAX_EVENTS_BEHIND);
        Self { commands, snapshot: Arc::default(), events }
    }

    /// What is served now.
    pub fn snapshot(&self) -> Arc<ServedState> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<ServerEvent>> {
        self.events.subscribe()
    }

    /// Runs what was prepared, now or when there is a place for it, under the id that is returned.
    ///
    /// # Errors
    /// The daemon ends.
    pub async fn start(&self, prepared: PreparedRun) -> Result<RunId, Error> {
        let run = RunId::make();
        let (reply, answer) = oneshot::channel();
        let ends = || Error::conflict("the daemon ends: nothing new begins");
        let command = DaemonCommand::Start { run, prepared: Box::new(prepared), reply };
        self.commands.send(command).map_err(|_| ends())?;
        answer.await.map_err(|_| ends())??;
        Ok(run)
    }

    /// Ends a run as Ctrl-C does; false if it is none of this daemon.
    pub async fn cancel(&self, run: RunId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.commands.send(DaemonCommand::Cancel { run, reply }).is_ok() && answer.await.unwrap_or(false)
    }

    /// Whether a run that was asked for waits for a place: as many go on as may.
    pub async fn waits(&self, run: RunId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.commands.send(DaemonCommand::Waits { run, reply }).is_ok() && answer.await.unwrap_or(false)
    }

    /// Begins a backfill; false if the daemon ends.
    pub async fn backfill(&self, backfill: Backfill) -> bool {
        let (reply, answer) = oneshot::channel();
        let command = DaemonCommand::Backfill { backfill: Box::new(backfill), reply };
        self.commands.send(command).is_ok() && answer.await.unwrap_or(false)
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, event: &ServerEvent) {
        // Without a reader nobody misses it.
        let _ = self.events.send(Arc::new(event.clone()));
    }

    pub(super) fn set_snapshot(&self, snapshot: ServedState) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
