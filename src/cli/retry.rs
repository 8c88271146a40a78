//! `runner retry`: what of a run failed or was not reached, once more.

use std::path::Path;

use clap::ValueEnum;

use super::args::{CacheChoice, Nodes};
use super::exec::{Flags, start};
use super::execute::Retry;
use super::screen::{ColorChoice, note};
use super::session::HomeReader;
use super::{Failure, Outcome};
use crate::engine::RunOptions;
use crate::engine::lookup::prior_run::PriorRun;
use crate::storage::history::invocation::invocation;
use crate::storage::history::{RUNNING, Run};
use crate::view::text::inert;
use crate::workflow::graph::outline::Outline;

/// Run again what of a run failed or was not reached
///
/// The run's workflow file is read as it is now, so that what was wrong can be mended first; inputs, project, domain,
/// selection, --set, --resource, --jobs, --cache and --keep-going are those of the run. What succeeded in it is taken
/// over, whether its task is cached or not, unless its definition or its inputs have changed; of a `foreach` node the
/// elements that succeeded are.
///
/// All flags of `exec` are taken: -i and --inputs replace inputs one by one, --set and --resource are added to those
/// of the run, one of --only, --from, --until and --skip replaces its selection. --overwrite and --cache wo or off
/// take nothing over of what they name.
#[derive(clap::Args)]
#[command(
    mut_arg("workflow", |arg| arg.value_name("RUN").help(RUN)),
    mut_arg("project", |arg| arg.env(None::<&str>).help("Another project than the run's")),
    mut_arg("domain", |arg| arg.env(None::<&str>).help("Another domain than the run's")),
    after_help = "\
Examples:
  runner retry @last-failed
  runner retry k3v9 -i day=2026-01-31 --keep-going
  runner retry @last-failed --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

const RUN: &str =
    "A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last";

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let mut flags = args.flags;
    let view = HomeReader::open(home)?;
    let run = view.find(&flags.target.workflow.to_string_lossy())?;
    if run.status == RUNNING {
        return Err(Failure::usage(format!("run {} is still running: wait for its end, or stop it", run.id)));
    }
    if is_done(&run) {
        note(&format!(
            "run {} succeeded: there is nothing to retry; `runner exec {}` runs the workflow again",
            run.id,
            inert(&run.path)
        ));
        return Ok(());
    }
    let Some(db) = &view.db else { return Err(Failure::usage("there is no history")) };
    let mut was = invocation(db, &run.id)
        .map_err(|why| Failure::usage(format!("{why}: use `runner exec {}`", inert(&run.path))))?;
    let mut earlier = PriorRun::of(&run.id, view.events(&run.id)?);
    if matches!(flags.cache.cache, Some(CacheChoice::Wo | CacheChoice::Off)) {
        earlier = PriorRun::of(&run.id, []);
    }
    let overwrites = flags.cache.overwrite.is_some();

    flags.target.workflow = was.workflow.into();
    flags.target.project.get_or_insert(was.project);
    flags.target.domain.get_or_insert(was.domain);
    was.settings.append(&mut flags.target.settings);
    flags.target.settings = was.settings;
    flags.resources.jobs = flags.resources.jobs.or(was.jobs);
    was.resources.append(&mut flags.resources.resources);
    flags.resources.resources = was.resources;
    flags.keep_going |= was.keep_going;
    flags.cache.cache = flags.cache.cache.or_else(|| CacheChoice::from_str(&was.cache, false).ok());
    flags.cache.overwrite = flags.cache.overwrite.or(was.overwrite);
    let Nodes { only, from, until, skip } = &flags.nodes;
    if [only, from, until, skip].into_iter().all(Vec::is_empty) {
        flags.nodes = Nodes { only: was.only, from: was.from, until: was.until, skip: was.skip };
    }
    let retry = Retry { run: run.id, inputs: was.inputs, earlier, overwrites };
    start(&flags, Some(retry), home, color)
}

/// Whether nothing of a run failed, was cancelled or was not reached.
fn is_done(run: &Run) -> bool {
    run.status == "succeeded" && run.counts.failed == 0 && run.counts.cancelled == 0
}

impl Retry {
    /// Leaves out what is to be done again in any case: what is to be overwritten, and nodes that run last, which
    /// look at how this run ends.
    pub fn exclude(&mut self, outline: &Outline, order: &RunOptions) {
        for (number, place) in outline.places().enumerate() {
            if place.is_hook() {
                self.earlier.forget(&place.name());
                outline.inside(number).for_each(|inside| self.earlier.forget(&outline.name(inside)));
            } else if self.overwrites && order.overwrite[number] {
                self.earlier.forget(&place.name());
            }
        }
    }
}
