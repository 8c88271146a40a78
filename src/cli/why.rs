//! `runner why`: the parts of a node's key, and where its result came from or what differs from the nearest one.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Zoned;
use serde_json::{Value as Json, json};

use super::config::tell_warnings;
use super::screen::{ColorChoice, print, print_text};
use super::{Failure, Outcome, args};
use crate::core::event::VERSION;
use crate::core::node_path::NodeRef;
use crate::core::why::Why;
use crate::core::zone::local_now;
use crate::engine::plan::planned::{Expectation, PlannedUnit};
use crate::ops::plan::{NOT_ASKED, may_be_shared};
use crate::ops::prepare::prepare;
use crate::ops::why::Version;
use crate::ops::why::why;
use crate::view::text::style::Ink;
use crate::view::text::why::{WhyAnswer, render};

/// Show why a node would run, or where its cached result comes from
///
/// Shows the parts of the node's key; on a miss, the nearest earlier result and the parts that differ.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner why workflow.toml train
  runner why workflow.toml 'fit[3]' --domain production -i rounds=5
  runner why workflow.toml 'prep/*' --json | jq .why.changes")]
pub struct Args {
    #[command(flatten)]
    target: args::Target,
    #[command(flatten)]
    one: args::OneTask,
    /// The nodes, by name or glob; an element as fit[3], a node of a sub-workflow as prep/clean
    #[arg(value_name = "NODE", required = true)]
    nodes: Vec<String>,
    /// Which element of a `foreach` or `matrix` node, counted from 0; with one node
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Print one JSON document; with several nodes, one line of JSON for each
    #[arg(long, help_heading = "What is printed")]
    json: bool,
}

/// Maximum elements of one node explained in full; misses come first.
const IN_FULL: usize = 2;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let nodes: Vec<String> = match (&args.nodes[..], args.index) {
        ([node], Some(index)) => vec![NodeRef::new(node, Some(index)).to_string()],
        (_, Some(_)) => return Err(Failure::usage("--index goes with one node")),
        (nodes, None) => nodes.to_vec(),
    };
    let prepared = prepare(args::with_remote(args.one.of(args.target.request()?))?)?;
    tell_warnings(&prepared.config.warnings);
    let mut listing = Listing::default();
    let remote = prepared.asked_remote();
    why(&prepared, home, &nodes, &mut |told| {
        let outline = &prepared.opened.outline;
        let remote = remote.as_deref().filter(|_| may_be_shared(outline, told.number, told.cache));
        match args.json {
            true => print(&format!("{}\n", document(told, remote))),
            false => listing.add(told.number, answer(told, remote)),
        }
    })?;
    print_text(listing.render(Ink(color.on_stdout()), &local_now()));
    Ok(())
}

/// Answers in their order, of each node the number that is shown.
#[derive(Default)]
struct Listing {
    /// By number in the outline.
    nodes: BTreeMap<usize, Answers>,
}

#[derive(Default)]
struct Answers {
    shown: Vec<WhyAnswer>,
    counts: BTreeMap<&'static str, usize>,
    all: usize,
}

impl Listing {
    fn add(&mut self, number: usize, answer: WhyAnswer) {
        let answers = self.nodes.entry(number).or_default();
        *answers.counts.entry(answer.cache).or_default() += 1;
        answers.all += 1;
        let is_hit = |answer: &WhyAnswer| answer.cache == Expectation::Hit.name();
        if answers.shown.len() < IN_FULL {
            answers.shown.push(answer);
        } else if !is_hit(&answer)
            && let Some(hit) = answers.shown.iter().rposition(is_hit)
        {
            answers.shown.remove(hit);
            answers.shown.push(answer);
        }
    }

    fn render(&self, ink: Ink, now: &Zoned) -> String {
        let mut text = String::new();
        for answers in self.nodes.values() {
            for answer in &answers.shown {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&render(answer, ink, now));
            }
            if answers.all > answers.shown.len() {
                let counts: Vec<String> =
                    answers.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
                let example = answers.shown.last().map_or("", |answer| &answer.label);
                text.push_str(&format!(
                    "\n{} elements: {}; name one to see it, as in '{example}'\n",
                    answers.all,
                    counts.join(", ")
                ));
            }
        }
        text
    }
}

/// `remote` is the shared cache that was not asked.
fn answer(told: &PlannedUnit, remote: Option<&str>) -> WhyAnswer {
    WhyAnswer {
        unasked: remote.map(str::to_owned),
        label: told.label.to_owned(),
        cache: told.cache.name(),
        runs: told.runs,
        reason: told.reason.to_owned(),
        why: told.why.cloned(),
        source: told.hit.map(|hit| (hit.source.clone(), hit.duration_ms)),
        warning: told.hit.and_then(|hit| hit.edited.as_ref().map(ToString::to_string)),
        key: told.parts.as_ref().and_then(|parts| parts.key),
        parts: told.parts.as_ref().map_or_else(Vec::new, |parts| {
            let mut rows = vec![
                ("project".to_owned(), Json::from(parts.scope.project.as_str())),
                ("domain".to_owned(), parts.scope.domain.as_str().into()),
                ("cache_version".to_owned(), version(parts.version).into()),
                ("task".to_owned(), parts.task.into()),
            ];
            let types = |pairs: &[(String, String)]| {
                pairs.iter().map(|(name, ty)| format!("{name}: {ty}")).collect::<Vec<_>>().join(", ")
            };
            rows.push(("input types".into(), types(&parts.interface.inputs).into()));
            rows.push(("output types".into(), types(&parts.interface.outputs).into()));
            rows.extend(parts.inputs.iter().map(|(name, value)| (format!("input {name}"), value.clone())));
            if !parts.interface.ignored.is_empty() {
                rows.push(("not in the key".into(), parts.interface.ignored.join(", ").into()));
            }
            rows
        }),
    }
}

fn version(version: &Version) -> String {
    match version {
        Version::Pinned(version) => version.clone(),
        Version::Automatic(digest) => format!("automatic ({}..)", &digest.hex()[..12]),
    }
}

fn document(told: &PlannedUnit, remote: Option<&str>) -> Json {
    let parts = told.parts.as_ref().map(|parts| {
        let object = |pairs: &[(String, String)]| -> Json {
            pairs.iter().map(|(name, ty)| (name.clone(), Json::from(ty.as_str()))).collect()
        };
        let automatic = matches!(parts.version, Version::Automatic(_));
        json!({
            "project": parts.scope.project,
            "domain": parts.scope.domain,
            "cache_version": parts.version.to_string(),
            "automatic": automatic,
            "task": parts.task,
            "input_types": object(&parts.interface.inputs),
            "output_types": object(&parts.interface.outputs),
            "inputs": parts.inputs,
            "ignored": parts.interface.ignored,
            "definition": parts.definition.parts,
        })
    });
    json!({
        "v": VERSION,
        "node": told.label,
        "cache": told.cache.name(),
        "runs": told.runs,
        "reason": told.reason,
        "key": told.parts.as_ref().and_then(|parts| parts.key),
        "parts": parts,
        "why": told.why.map(Why::with_text),
        "source": told.hit.map(|hit| &hit.source),
        "saved_ms": told.hit.map_or(0, |hit| hit.duration_ms),
        "remote": remote.map(|_| NOT_ASKED),
        "warning": told.hit.and_then(|hit| hit.edited.as_ref().map(ToString::to_string)),
    })
}
