//! `exec --watch`: runs again when a file changes that the run depends on.
//!
//! What counts is how files look, compared with how they looked before the run read them: so nothing that happens
//! during a run is missed, and it does not matter how an editor replaces a file. The system only says when to look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Zoned;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::exec::{Flags, start};
use super::open::check;
use super::screen::{ColorChoice, note};
use super::{Failure, Outcome, inputs, signals};
use crate::engine::Interrupt;
use crate::storage::home::Home;
use crate::view::text::inert;
use crate::view::text::style::{FAINT, Ink};
use crate::workflow::load::load;

mod watched;

use watched::{Looks, Watched};

/// After a change it is waited until nothing has changed for so long: editors and checkouts write several files.
const QUIET: Duration = Duration::from_millis(200);
/// It is looked at least so often, for what the system does not tell.
const AT_LEAST: Duration = Duration::from_secs(5);
/// And so often where the system tells nothing.
const POLL: Duration = Duration::from_millis(500);

/// Runs, waits for a change, runs again; ends by a signal only.
pub fn run(flags: &Flags, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let own = Home::locate(home).map_err(Failure::store)?;
    let clock = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let clock = clock.map_err(|error| Failure::store(format!("there is no clock to wait by: {error}")))?;
    let mut waiter = Waiter::new(&clock);
    let ink = Ink(color.on_stderr());
    let mut watched = Watched::default();
    loop {
        // Looked at before the run reads anything: a change from here on is another one.
        watched = dependencies(flags, own.path(), watched);
        let before = watched.looks();
        waiter.watch(&watched.folders(&before));
        match start(flags, None, home, color) {
            Err(failure) if failure.code > 128 || failure.code == super::code::STORE => return Err(failure),
            Err(failure) if !failure.message.is_empty() => super::screen::error(color, &failure.message),
            _ => {}
        }
        if !flags.quiet {
            let n = before.len();
            let files = if n == 1 { "file" } else { "files" };
            note(&ink.paint(FAINT, format!("watching {n} {files}; Ctrl-C ends")));
        }
        let changed = waiter.wait(&clock, &watched, &before)?;
        if !flags.quiet {
            let time = Zoned::now().strftime("%H:%M:%S").to_string();
            note(&ink.paint(FAINT, format!("\n── {time} {} changed: run again ──", named(&changed))));
        }
    }
}

/// The files that a run depends on. Of a workflow that cannot be run all that is known: what it read, and what counted
/// before.
fn dependencies(flags: &Flags, home: &Path, before: Watched) -> Watched {
    let loaded = load(&flags.target.workflow, &flags.target.settings);
    let mut watched = Watched::new(home);
    watched.file(&flags.target.workflow);
    loaded.documents.iter().for_each(|document| watched.file(&document.path));
    if let Some(file) = &flags.target.inputs_file {
        watched.file(file);
    }
    match check(loaded, false) {
        Ok(opened) => {
            opened.workflows.iter().for_each(|workflow| watched.workflow(workflow));
            // What is wrong with them, the run says.
            let bindings = inputs::resolve(&opened.workflow, &flags.target).unwrap_or_default();
            for (input, binding) in opened.workflow.inputs.iter().zip(&bindings) {
                binding.for_each_path(&input.ty, &mut |path, is_dir| watched.path(path, is_dir));
            }
            watched
        }
        Err(_) => watched.with(before),
    }
}

/// What changed, for people.
fn named(changed: &[PathBuf]) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shown =
        |path: &PathBuf| inert(&path.strip_prefix(&here).unwrap_or(path).display().to_string()).into_owned();
    match changed {
        [] => "nothing".into(),
        [one] => shown(one),
        [first, more @ ..] => format!("{} and {} more", shown(first), more.len()),
    }
}

/// Waits for changes and signals.
struct Waiter {
    /// `None` where the system does not tell of changes.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// That something has changed, whatever it was.
    woken: UnboundedReceiver<()>,
    interrupts: UnboundedReceiver<Interrupt>,
}

impl Waiter {
    fn new(clock: &Runtime) -> Self {
        let (wake, woken): (UnboundedSender<()>, _) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change; and nobody listens any more when the program ends.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = wake.send(());
            }
        });
        // From before the first run: a signal between two runs must not be lost.
        let interrupts = clock.block_on(async { signals::listen() });
        Self { watcher: watcher.ok(), folders: BTreeSet::new(), woken, interrupts }
    }

    /// Watches these folders and no others. Folders, because a file that is replaced is another one.
    fn watch(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(folders) {
            // One that was removed is not watched any more.
            let _ = watcher.unwatch(gone);
        }
        let mut complete = true;
        for new in folders.difference(&self.folders) {
            complete &= watcher.watch(new, RecursiveMode::NonRecursive).is_ok() || !new.exists();
        }
        self.folders.clone_from(folders);
        if !complete {
            self.watcher = None;
        }
    }

    /// Waits until files look otherwise than `before`; which do.
    fn wait(&mut self, clock: &Runtime, watched: &Watched, before: &Looks) -> Result<Vec<PathBuf>, Failure> {
        let most = if self.watcher.is_some() { AT_LEAST } else { POLL };
        clock.block_on(async {
            loop {
                if !differences(before, &watched.looks()).is_empty() {
                    self.settle().await?;
                    // It may be as it was once more.
                    let changed = differences(before, &watched.looks());
                    if !changed.is_empty() {
                        return Ok(changed);
                    }
                }
                tokio::select! {
                    Some(Interrupt(signal)) = self.interrupts.recv() => return Err(ended_by(signal)),
                    Some(()) = self.woken.recv() => self.settle().await?,
                    () = tokio::time::sleep(most) => {}
                }
            }
        })
    }

    /// Waits until nothing more happens, though not for ever.
    async fn settle(&mut self) -> Result<(), Failure> {
        for _ in 0..10 {
            tokio::select! {
                Some(Interrupt(signal)) = self.interrupts.recv() => return Err(ended_by(signal)),
                Some(()) = self.woken.recv() => while self.woken.try_recv().is_ok() {},
                () = tokio::time::sleep(QUIET) => break,
            }
            tokio::time::sleep(QUIET / 4).await;
        }
        Ok(())
    }
}

fn ended_by(signal: i32) -> Failure {
    Failure::silent(128 + signal as u8)
}

/// The files that look otherwise, are gone or are new.
fn differences(before: &Looks, now: &Looks) -> Vec<PathBuf> {
    let all: BTreeSet<&PathBuf> = before.keys().chain(now.keys()).collect();
    all.into_iter().filter(|path| before.get(*path) != now.get(*path)).cloned().collect()
}
