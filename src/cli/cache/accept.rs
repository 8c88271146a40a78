//! `runner cache accept`: the user vouches for earlier results.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Failure, Outcome};
use crate::cli::args::{OneTask, Target};
use crate::cli::code;
use crate::cli::config::tell_warnings;
use crate::cli::screen::{ColorChoice, note, print};
use crate::cli::user::user_name;
use crate::core::event::VERSION;
use crate::ops::accept::{AcceptVerdict, Acceptance, Judged, accept};
use crate::ops::prepare::prepare;
use crate::view::text::inert;
use crate::view::text::style::{BAD, CACHED, FAINT, GOOD, Ink, STRONG};

/// Vouch that earlier results stand, although the definition or the cache version changed
///
/// Takes for each node the newest earlier result whose project, domain, signature and input values equal the present
/// ones, and records it under the present key. Refused where anything else differs. Later hits say who accepted it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner cache accept workflow.toml train
  runner cache accept workflow.toml 'prep/*' train --dry-run
  runner cache accept workflow.toml train --domain production -i rounds=5")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    one: OneTask,
    /// The nodes, by name or glob; an element as fit[3], a node of a sub-workflow as prep/clean
    #[arg(value_name = "NODE", required = true)]
    nodes: Vec<String>,
    /// Only say what would be accepted
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print one line of JSON for each node and element
    #[arg(long)]
    json: bool,
}

/// Number of digits of a key that are shown.
const DIGITS: usize = 12;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let prepared = prepare(args.one.of(args.target.request()?))?;
    tell_warnings(&prepared.config.warnings);
    let by = user_name();
    let done = accept(&prepared, home, &Acceptance { nodes: &args.nodes, by: &by, dry_run: args.dry_run })?;
    done.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let ink = Ink(color.on_stdout());
    for judged in &done.judged {
        print(&match args.json {
            true => format!("{}\n", document(judged, args.dry_run)),
            false => line(judged, args.dry_run, ink),
        });
    }
    match done.judged.iter().any(|judged| matches!(judged.verdict, AcceptVerdict::Refused(_))) {
        true => Err(Failure::silent(code::FAILED)),
        false => Ok(()),
    }
}

fn line(judged: &Judged, dry_run: bool, ink: Ink) -> String {
    let label = ink.paint(STRONG, inert(&judged.label));
    match &judged.verdict {
        AcceptVerdict::Accepted { key, version, from } => {
            let words = if dry_run { "would be accepted" } else { "accepted" };
            let from = format!(
                "from run {}, node {} (version {version}), as key {}",
                from.run,
                from.node,
                &key.hex()[..DIGITS]
            );
            format!("{label}  {}  {}\n", ink.paint(GOOD, words), ink.paint(FAINT, inert(&from)))
        }
        AcceptVerdict::Stored { .. } => format!("{label}  {}\n", ink.paint(CACHED, "has a result already")),
        AcceptVerdict::Refused(why) => format!("{label}  {}  {}\n", ink.paint(BAD, "refused"), inert(why)),
    }
}

fn document(judged: &Judged, dry_run: bool) -> Json {
    let (verdict, key, source, reason) = match &judged.verdict {
        AcceptVerdict::Accepted { key, from, .. } => ("accepted", Some(key), Some(from), None),
        AcceptVerdict::Stored { key } => ("stored", key.as_ref(), None, None),
        AcceptVerdict::Refused(why) => ("refused", None, None, Some(why)),
    };
    json!({
        "v": VERSION,
        "node": judged.label,
        "verdict": verdict,
        "dry_run": dry_run,
        "key": key,
        "source": source,
        "reason": reason,
    })
}
