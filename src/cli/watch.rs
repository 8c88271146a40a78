//! `exec --watch`: runs again when a file changes that the run depends on.

use std::path::{Path, PathBuf};

use super::screen::{ColorChoice, note, tell_failure};
use super::start::{Flags, start};
use super::{Failure, Outcome, signals};
use crate::core::counted::counted;
use crate::core::run_request::RunRequest;
use crate::core::zone::local_now;
use crate::ops::prepare::prepare;
use crate::ops::watch::{Waiter, Watched, dependencies};
use crate::view::text::inert;
use crate::view::text::style::{FAINT, Ink};

/// Runs, waits for a change, runs again; ends by a signal only.
pub fn run(flags: &Flags, request: &RunRequest, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let clock = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let clock = clock.map_err(|error| Failure::store(format!("there is no clock to wait by: {error}")))?;
    let mut waiter = Waiter::new(clock.block_on(async { signals::listen() }));
    let ink = Ink(color.on_stderr());
    let mut watched = Watched::default();
    loop {
        // Looked at before the run reads anything: a change from here on is another one.
        watched = dependencies(request, home, watched)?;
        let before = watched.looks();
        waiter.watch(&watched.folders(&before));
        let outcome = prepare(request.clone()).map_err(Failure::from);
        match outcome.and_then(|prepared| start(flags, prepared, home, color)) {
            Err(failure) if failure.code > 128 || failure.code == super::code::STORE => return Err(failure),
            Err(failure) => tell_failure(color, &failure),
            Ok(()) => {}
        }
        if !flags.printed.quiet {
            // Others may come: settings files, and what a workflow names that is not there.
            let files = counted(before.values().flatten().count() as u64, "file");
            note(&ink.paint(FAINT, format!("watching {files}; Ctrl-C ends")));
        }
        let waited = clock.block_on(waiter.wait(&watched, &before));
        let changed = waited.map_err(|interrupt| Failure::silent(128 + interrupt.signal() as u8))?;
        if !flags.printed.quiet {
            let time = local_now().strftime("%H:%M:%S").to_string();
            note(&ink.paint(FAINT, format!("\n── {time} {} changed: run again ──", named(&changed))));
        }
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
