//! The state of a daemon, and what it does with files, schedules and the ends of runs. Knows neither when it decides (`tick.rs`)
//! nor what it waits for (`wait.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::decide::Queue;
use super::events::{RunEnded, ServerEvent};
use super::files::{FileChange, Files};
use super::handle::{DaemonCommand, DaemonHandle, ServedState};
use super::notices::Notices;
use super::runs::{Job, News, RunEnd, RunEnding, Runs};
use super::service_manager::ServiceManager;
use super::web::{self, Web, WebOptions};
use crate::core::clock::{Clock, millis};
use crate::core::event::{Counts, Status};
use crate::core::run_request::RunRequest;
use crate::ops::Error;
use crate::ops::config::config_for;
use crate::ops::notify::{BrokenNotifyFile, MissedInstants, NotifyRules};
use crate::ops::prepare::scope;
use crate::ops::schedules::{LoadedSchedule, begin_claims, text_of, times_of};
use crate::storage::history::INTERRUPTED;
use crate::storage::home::Home;
use crate::storage::memo::Scope;
use crate::storage::schedules::claimant::Claimant;
use crate::storage::schedules::known::{self, Loaded, Server};
use crate::storage::schedules::retention;
use crate::storage::schedules::tick::Died;
use crate::storage::schedules::untold::{self, UntoldEvent};

/// After how many of its runs what a schedule keeps no longer is removed.
const PRUNE_EVERY: u64 = 20;

/// What is to be served, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workflow files and folders; none for the current folder.
    pub paths: Vec<PathBuf>,
    pub home: Option<PathBuf>,
    /// How many nodes of a run may run at once.
    pub jobs: Option<u32>,
    /// How many runs may go on at once.
    pub max_runs: usize,
    /// Run what is due or missed, and end.
    pub once: bool,
    pub on_exit: OnExit,
    /// Whether instants fire.
    pub schedules: bool,
    /// The HTTP interface, if there is to be one.
    pub web: Option<WebOptions>,
}

/// What becomes of runs when the daemon is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    Finish,
    Cancel,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Runs that failed or were interrupted.
    pub failed: usize,
}

/// Who hears what a daemon says.
pub type Listener = Box<dyn FnMut(&ServerEvent) + Send>;

pub(super) struct Daemon {
    pub options: Options,
    pub home: Home,
    pub clock: Arc<dyn Clock>,
    pub claimant: Claimant,
    started: Timestamp,
    pub files: Files,
    /// What is served, by whole name.
    pub schedules: BTreeMap<String, LoadedSchedule>,
    /// What the database knows to be served; `None` if it has to be told.
    pub registered: Option<Vec<Loaded>>,
    pub queues: BTreeMap<String, Queue>,
    /// When each schedule is due next.
    pub next: BTreeMap<String, Option<Timestamp>>,
    pub runs: Runs,
    /// Runs that somebody asked for and that wait for a place.
    pub asked: VecDeque<Job>,
    /// How many runs of each schedule have begun since its old ones were removed.
    pub begun: BTreeMap<String, u64>,
    /// Files that do not load, of which people were told.
    broken: BTreeSet<PathBuf>,
    pub handle: DaemonHandle,
    listener: Listener,
    pub manager: ServiceManager,
    /// The signal that is to end it.
    pub stopping: Option<i32>,
    /// Once the database is there.
    pub notices: Option<Notices>,
    pub url: Option<String>,
    pub served: Served,
}

impl Daemon {
    /// A daemon that serves nothing yet, with the news of its runs and the commands of its handle.
    ///
    /// # Errors
    /// A path cannot be read, or the home cannot be used.
    pub fn new(
        options: Options,
        clock: Arc<dyn Clock>,
        listener: Listener,
    ) -> Result<(Self, UnboundedReceiver<News>, UnboundedReceiver<DaemonCommand>), Error> {
        let files = Files::new(&options.paths)?;
        let (home, claimant) = begin_claims(options.home.as_deref())?;
        let (runs, news) = Runs::new(options.home.clone());
        let (sender, commands) = unbounded_channel();
        let daemon = Self {
            home,
            started: clock.now(),
            clock,
            claimant,
            files,
            schedules: BTreeMap::new(),
            registered: None,
            queues: BTreeMap::new(),
            next: BTreeMap::new(),
            runs,
            asked: VecDeque::new(),
            begun: BTreeMap::new(),
            broken: BTreeSet::new(),
            handle: DaemonHandle::new(sender),
            listener,
            manager: ServiceManager::from_environment(),
            stopping: None,
            notices: None,
            url: None,
            served: Served::default(),
            options,
        };
        Ok((daemon, news, commands))
    }

    pub fn tell(&mut self, event: ServerEvent) {
        self.handle.tell(&event);
        (self.listener)(&event);
    }

    /// Looks at the files, and takes over what has changed.
    pub fn load(&mut self, force: bool) {
        for change in self.files.refresh(force) {
            self.notice_change(&change);
            self.tell(match change {
                FileChange::Loaded(path) => ServerEvent::Loaded { path },
                FileChange::Broken(path, mistakes) => ServerEvent::Broken { path, mistakes },
                FileChange::Gone(path) => ServerEvent::Gone { path },
            });
        }
        let schedules = self.files.schedules();
        let snapshot =
            ServedState { files: self.files.all().cloned().collect(), schedules: schedules.clone() };
        self.handle.set_snapshot(snapshot);
        if self.options.schedules {
            self.schedules = schedules;
        }
    }

    /// Makes known what is served, if that has changed.
    ///
    /// # Errors
    /// The database refuses.
    pub fn register(&mut self) -> Result<(), Error> {
        let loaded: Vec<Loaded> = self
            .schedules
            .values()
            .map(|served| Loaded {
                name: served.name.clone(),
                path: served.path().to_owned(),
                times: times_of(served.schedule()),
                settings: text_of(served.schedule()),
            })
            .collect();
        if self.registered.as_ref() == Some(&loaded) {
            return Ok(());
        }
        let server = Server {
            claimant: self.claimant.id,
            pid: std::process::id(),
            started: self.started,
            url: self.url.clone(),
        };
        let mut db = self.open_database().map_err(Error::store)?;
        known::serve(&mut db, &self.home, &server, &loaded, self.clock.now())
            .map_err(|error| Error::store(format!("the database refused: {error}")))?;
        let before = self.registered.replace(loaded).unwrap_or_default();
        for now in self.registered.iter().flatten() {
            let before = before.iter().find(|before| before.name == now.name);
            if before == Some(now) {
                continue;
            }
            // Where times have changed, what was taken in belongs to others; what waits and was asked for is kept.
            let has_its_times = before.is_some_and(|before| before.times == now.times);
            if let Some(queue) = self.queues.get_mut(&now.name)
                && !has_its_times
            {
                queue.forget_instants();
            }
            self.next.remove(&now.name);
        }
        self.queues.retain(|name, _| self.schedules.contains_key(name));
        self.next.retain(|name, _| self.schedules.contains_key(name));
        Ok(())
    }

    /// Listens for HTTP if that is wanted; the link logs in once.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn listen(&mut self) -> Result<Option<(Web, Option<String>)>, Error> {
        let Some(options) = &self.options.web else { return Ok(None) };
        let mut web = web::listen(options, self.clock.clone(), self.handle.clone()).await?;
        for message in std::mem::take(&mut web.warnings) {
            self.tell(ServerEvent::Warning { message });
        }
        self.url = Some(web.url());
        let login = web.login_url()?;
        Ok(Some((web, login)))
    }

    /// Starts the notifications, now that the database is there.
    pub fn begin_notices(&mut self) {
        let (flag, once) = (self.options.home.clone(), self.options.once);
        self.notices = Some(Notices::new(flag, self.home.path(), once, self.runs.sender()));
    }

    /// Waits until every notification is written down.
    pub async fn end_notices(&mut self) {
        let Some(notices) = self.notices.take() else { return };
        let settled = notices.end().await;
        if !settled.is_empty() {
            self.note(|db| settled.iter().try_for_each(|event| untold::settle(db, event)));
        }
    }

    /// Announces that it is ready.
    pub fn announce(&mut self, login: Option<String>) {
        let workflows = self.files.all().filter(|file| file.opened.is_some()).count();
        let schedules = self.schedules.len();
        self.manager.ready(&format!("serving {workflows} workflows, {schedules} schedules"));
        let url = self.url.clone();
        self.tell(ServerEvent::Serving { url, login, workflows, schedules, pid: std::process::id() });
    }

    /// Begins runs that were asked for, as far as there are places.
    pub fn start_asked(&mut self) {
        while self.runs.count() < self.options.max_runs
            && let Some(job) = self.asked.pop_front()
        {
            self.runs.start(job);
        }
    }

    /// Counts something that could not be done as a run that failed.
    pub fn fail(&mut self) {
        self.served.failed += 1;
    }

    /// Takes in the end of a run.
    pub fn take_end(&mut self, end: RunEnd) {
        let RunEnd { run, of, outcome, rules, duration } = end;
        self.runs.ended(run);
        let (status, counts, reason) = match outcome {
            RunEnding::Ran { status, counts, warnings } => {
                for warning in warnings {
                    self.tell(ServerEvent::Warning { message: format!("run {run}: {warning}") });
                }
                (status.name(), counts, None)
            }
            RunEnding::NotBegun { status, reason } => {
                self.note_not_begun(run, status, &reason);
                (status.name(), Counts::default(), Some(reason))
            }
            RunEnding::Panicked(fault) => {
                let reason = format!("a fault of runner ended it: {fault}");
                self.note_panicked(run, &reason);
                (INTERRUPTED, Counts::default(), Some(reason))
            }
        };
        if status == Status::Failed.name() || status == INTERRUPTED {
            self.served.failed += 1;
        }
        let duration_ms = millis(duration);
        let (schedule, at) = of.map_or((None, None), |(name, at)| (Some(name), Some(at)));
        let status = status.to_owned();
        if let Some(name) = &schedule {
            // One that could not be prepared knows no rules.
            let rules = if rules.is_empty() { self.rules_of(name) } else { rules };
            if let Some(notices) = &mut self.notices {
                notices.run_ended(rules, name, run, self.url.clone());
            }
        }
        self.tell(ServerEvent::Ended(RunEnded { schedule, at, run, status, counts, duration_ms, reason }));
    }

    /// Tells of instants that passed without a run.
    pub fn tell_missed(&mut self, name: &str, instants: Vec<Timestamp>) {
        let rules = self.rules_of(name);
        let Some(served) = self.schedules.get(name) else { return };
        let (workflow, schedule) = (&served.opened.workflow, served.schedule());
        let config = config_for(&workflow.path).unwrap_or_default();
        let request = RunRequest {
            project: schedule.project.clone(),
            domain: schedule.domain.clone(),
            ..RunRequest::default()
        };
        let Ok(Scope { project, domain }) = scope(workflow, &request, &config) else { return };
        let missed = MissedInstants {
            schedule: name.to_owned(),
            workflow: workflow.name.clone(),
            project,
            domain,
            instants,
        };
        if let Some(notices) = &mut self.notices {
            notices.missed(rules, missed);
        }
    }

    /// The notification rules for the runs of a schedule. If the settings have errors, only those of the workflow file apply.
    fn rules_of(&self, name: &str) -> NotifyRules {
        let Some(served) = self.schedules.get(name) else { return NotifyRules::default() };
        let workflow = &served.opened.workflow;
        NotifyRules::of(workflow, &config_for(&workflow.path).unwrap_or_default())
    }

    /// Tells of a file that stops loading, or loads again.
    fn notice_change(&mut self, change: &FileChange) {
        let (path, mistakes) = match change {
            FileChange::Broken(path, mistakes) => (path, mistakes.clone()),
            FileChange::Loaded(path) if self.broken.contains(path) => (path, Vec::new()),
            FileChange::Loaded(_) | FileChange::Gone(_) => return,
        };
        match mistakes.is_empty() {
            true => drop(self.broken.remove(path)),
            false => drop(self.broken.insert(path.clone())),
        }
        // A file that does not load names nobody; its last text does.
        let opened = self.files.all().find(|file| file.path == *path).and_then(|file| file.opened.clone());
        let rules = match (&opened, config_for(path)) {
            (Some(opened), Ok(config)) => NotifyRules::of(&opened.workflow, &config),
            (None, Ok(config)) => NotifyRules::of_settings(path, &config),
            (_, Err(_)) => NotifyRules::default(),
        };
        let workflow = opened.map(|opened| opened.workflow.name.clone());
        if let Some(notices) = &mut self.notices {
            notices.broken(rules, BrokenNotifyFile { path: path.clone(), workflow, errors: mistakes });
        }
    }

    /// Says that a run died with another process.
    pub fn tell_died(&mut self, died: &Died) {
        if died.begun {
            let message =
                format!("{}: the run {} was interrupted: its process is gone", died.schedule, died.run);
            self.tell(ServerEvent::Warning { message });
        }
    }

    /// Tells of what another daemon died before it told of it.
    pub fn tell_untold(&mut self, event: UntoldEvent) {
        match event {
            UntoldEvent::Ended { schedule, run } => {
                let rules = self.rules_of(&schedule);
                if let Some(notices) = &mut self.notices {
                    notices.run_ended(rules, &schedule, run, self.url.clone());
                }
            }
            UntoldEvent::Missed { schedule, instants } => self.tell_missed(&schedule, instants),
        }
    }

    /// Schedules whose old runs are to be removed, with how many they keep.
    pub fn take_unpruned(&mut self, at_the_end: bool) -> Vec<(String, u64)> {
        // A run that had no row yet when old ones were removed last is one too many: at the end all schedules are looked at.
        let least = if at_the_end { 0 } else { PRUNE_EVERY };
        let due: Vec<String> =
            self.begun.iter().filter(|(_, count)| **count >= least).map(|(name, _)| name.clone()).collect();
        for name in &due {
            self.begun.insert(name.clone(), 0);
        }
        let keep = |name: String| self.schedules.get(&name).map(|served| (name, served.schedule().keep_runs));
        due.into_iter().filter_map(keep).collect()
    }

    /// Releases everything.
    pub fn end(&mut self) {
        for (name, keep) in self.take_unpruned(true) {
            let pruned =
                self.open_database().and_then(|mut db| retention::prune(&mut db, &self.home, &name, keep));
            if let Err(message) = pruned {
                self.tell(ServerEvent::Warning { message });
            }
        }
        let left = self
            .open_database()
            .and_then(|mut db| known::leave(&mut db, self.claimant.id).map_err(|error| error.to_string()));
        if let Err(message) = left {
            self.tell(ServerEvent::Warning { message });
        }
    }
}
