//! `runner plan`: what would run and what would hit, and why. No side effects at all.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::open::{Opened, jobs, open, order, pools, scope};
use super::screen::{ColorChoice, print};
use super::session::View;
use super::{Failure, Outcome, args, code, inputs};
use crate::engine::Order;
use crate::engine::cache::Cache;
use crate::engine::plan::{Expectation, Planned, plan};
use crate::engine::values::{Files, workflow_inputs};
use crate::event::VERSION;
use crate::graph::outline::Outline;
use crate::memo::Scope;
use crate::report::style::{BAD, CACHED, CAUTION, Cell, FAINT, Ink, PLAIN, columns};
use crate::workflow::binding::Binding;

/// Say what would run and what the cache has, and why; nothing is run or written
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner plan workflow.toml
  runner plan workflow.toml --exit-code >/dev/null || echo 'there is work to do'")]
pub struct Args {
    #[command(flatten)]
    target: args::Target,
    #[command(flatten)]
    resources: args::Resources,
    #[command(flatten)]
    cache: args::CacheFlags,
    #[command(flatten)]
    nodes: args::Nodes,
    /// Exit with 3 if anything would run
    #[arg(long, help_heading = "What is printed")]
    exit_code: bool,
    /// Print one line of JSON for each node
    #[arg(long, help_heading = "What is printed")]
    json: bool,
}

/// What is to be planned.
pub struct Request<'a> {
    pub opened: &'a Opened,
    pub scope: Scope,
    pub inputs: &'a [Binding],
    pub order: &'a Order,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let opened = open(&args.target.workflow, &args.target.settings, color)?;
    let scope = scope(&opened.workflow, &args.target)?;
    let inputs = inputs::resolve(&opened.workflow, &args.target)?;
    let order = order(&opened, &args.nodes, &args.cache, false, jobs(&args.resources))?;
    pools(&opened, &order, &args.resources)?;
    let request = Request { opened: &opened, scope, inputs: &inputs, order: &order };
    let runs = show(request, home, color, args.json)?;
    if args.exit_code && runs {
        return Err(Failure::silent(code::WORK_TO_DO));
    }
    Ok(())
}

/// Prints the plan; whether anything would run.
pub fn show(request: Request, home: Option<&Path>, color: ColorChoice, json: bool) -> Result<bool, Failure> {
    let Request { opened: Opened { workflow, outline, .. }, scope, inputs, order } = request;
    let view = View::open(home)?;
    let store = Arc::new(view.store()?);
    let files = Files::new(store.clone());
    let inputs = workflow_inputs(workflow, &files, inputs).map_err(Failure::usage)?;
    let cache = Cache::new(scope, store, view.db, None);
    let planned = plan(outline, order, &cache, &files, inputs);
    print(&if json { lines(outline, &planned) } else { table(outline, &planned, Ink(color.on_stdout())) });
    Ok(planned.iter().any(|node| node.runs))
}

/// Whether a node is yet to be spread over elements.
fn is_open(outline: &Outline, planned: &Planned) -> bool {
    let mut next = Some(planned.number);
    while let Some(number) = next {
        let place = outline.place(number);
        if planned.cache == Expectation::Unknown
            && planned.elements.is_none()
            && place.node().scatter.is_some()
        {
            return true;
        }
        next = place.parent;
    }
    false
}

fn lines(outline: &Outline, planned: &[Planned]) -> String {
    let mut text = String::new();
    for node in planned {
        let line = json!({
            "v": VERSION,
            "event": "node_planned",
            "node": outline.name(node.number),
            "cache": node.cache.name(),
            "reason": node.reason,
        });
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn table(outline: &Outline, planned: &[Planned], ink: Ink) -> String {
    let rows: Vec<Vec<Cell>> = planned
        .iter()
        .map(|node| {
            let style = match node.cache {
                Expectation::Hit => CACHED,
                Expectation::Miss => CAUTION,
                Expectation::Unknown | Expectation::Disabled => PLAIN,
                Expectation::Skipped if node.runs => BAD,
                Expectation::Skipped => FAINT,
            };
            vec![
                Cell::new(PLAIN, outline.name(node.number)),
                Cell::new(style, node.cache.name()),
                Cell::new(FAINT, node.reason.clone()),
            ]
        })
        .collect();
    // Elements count, as they do at the end of a run.
    let runs: usize = planned.iter().map(|n| n.elements.map_or(usize::from(n.runs), |all| all.runs)).sum();
    let hit = |node: &Planned| usize::from(node.cache == Expectation::Hit);
    let hits: usize = planned.iter().map(|n| n.elements.map_or_else(|| hit(n), |all| all.hits)).sum();
    let summary = match (runs, hits) {
        (0, _) => format!("nothing would run: {hits} from the cache"),
        // How many elements a node has that waits for others is not known.
        (runs, hits) if planned.iter().any(|node| is_open(outline, node)) => {
            format!("at least {runs} would run, {hits} from the cache")
        }
        (runs, hits) => format!("{runs} would run, {hits} from the cache"),
    };
    format!("{}\n{summary}\n", columns(&rows, ink).trim_end())
}
