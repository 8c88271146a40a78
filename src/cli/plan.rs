//! `runner plan`: what would run and what would hit, and why. No side effects at all.

use std::path::Path;

use super::config::tell_warnings;
use super::screen::{ColorChoice, print, print_text};
use super::{Failure, Outcome, args, code};
use crate::engine::plan::planned::{Expectation, Planned};
use crate::ops::estimate::Estimate;
use crate::ops::plan::plan;
use crate::ops::prepare::{PreparedRun, prepare};
use crate::view::text::style::{BAD, CACHED, CAUTION, Cell, FAINT, Ink, PLAIN, columns};
use crate::view::text::{duration, inert};
use crate::workflow::graph::outline::Outline;

/// Show what would run and what is cached, and why; runs and writes nothing
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner plan workflow.toml
  runner plan workflow.toml --exit-code >/dev/null || echo 'there is work to do'")]
pub struct Args {
    #[command(flatten)]
    target: args::Target,
    #[command(flatten)]
    one: args::OneTask,
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

/// Maximum nodes of the critical path that are named.
const MAX_PATH_NODES: usize = 8;

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let request = args.one.of(args::request(&args.target, &args.resources, &args.cache, &args.nodes)?);
    let runs = show(&prepare(request)?, home, color, args.json)?;
    if args.exit_code && runs {
        return Err(Failure::silent(code::WORK_TO_DO));
    }
    Ok(())
}

/// Prints the plan; whether anything would run.
///
/// # Errors
/// The plan cannot be made.
pub fn show(
    prepared: &PreparedRun,
    home: Option<&Path>,
    color: ColorChoice,
    json: bool,
) -> Result<bool, Failure> {
    let plan = plan(prepared, home)?;
    tell_warnings(&prepared.config.warnings);
    let outline = &prepared.opened.outline;
    match json {
        true => print(&plan.lines(outline).map(|line| format!("{line}\n")).collect::<String>()),
        false => {
            let mut text = table(outline, &plan.nodes, &plan.estimate, Ink(color.on_stdout()));
            if let Some(url) = &plan.unasked {
                text.push_str(&format!(
                    "the shared cache {} was not asked: a run may have results from there\n",
                    inert(url)
                ));
            }
            print_text(text);
        }
    }
    Ok(plan.nodes.iter().any(|node| node.runs))
}

/// Whether a node may make others when it runs.
fn makes_nodes(outline: &Outline, number: usize) -> bool {
    outline.place(number).node().task().is_some_and(|task| task.dynamic)
}

/// Whether a node is yet to be spread over elements, or to make nodes.
fn is_open(outline: &Outline, planned: &Planned) -> bool {
    let mut next = Some(planned.number);
    while let Some(number) = next {
        let place = outline.place(number);
        if planned.runs && makes_nodes(outline, number) {
            return true;
        }
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

/// Time, what is saved, and the critical path, a line each; nothing where nothing is known.
fn outlook(outline: &Outline, estimate: &Estimate, ink: Ink) -> String {
    let mut text = String::new();
    let Estimate { wall_ms, critical_path: (longest, path), saved_ms, unknown, .. } = estimate;
    if let Some(ms) = wall_ms {
        let but = match unknown {
            0 => String::new(),
            1 => ", without 1 node that never ran".into(),
            n => format!(", without {n} nodes that never ran"),
        };
        text.push_str(&format!("estimated {} from earlier runs{but}\n", duration(*ms)));
        if path.len() > 1 {
            let mut names: Vec<String> = path.iter().take(MAX_PATH_NODES).map(|n| outline.name(*n)).collect();
            if path.len() > MAX_PATH_NODES {
                names.push(format!("... {} more", path.len() - MAX_PATH_NODES));
            }
            let path = ink.paint(FAINT, names.join(" > "));
            text.push_str(&format!("critical path {}: {path}\n", duration(*longest)));
        }
    }
    if *saved_ms > 0 {
        text.push_str(&format!("the cache saves {} of work\n", duration(*saved_ms)));
    }
    text
}

fn table(outline: &Outline, planned: &[Planned], estimate: &Estimate, ink: Ink) -> String {
    let timed = !estimate.wall_of.is_empty();
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
            let time = estimate.wall_of.get(&node.number).map(|ms| format!("~{}", duration(*ms)));
            let name = outline.name(node.number);
            let mut row = vec![Cell::new(PLAIN, name), Cell::new(style, node.cache.name())];
            if timed {
                row.push(Cell::new(PLAIN, time.unwrap_or_default()));
            }
            let makes = node.runs && makes_nodes(outline, node.number);
            let mut remarks = vec![node.reason.as_str()];
            remarks.extend(makes.then_some("makes its nodes when it runs"));
            remarks.retain(|remark| !remark.is_empty());
            row.push(Cell::new(FAINT, inert(&remarks.join("; "))));
            row
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
    let warnings = planned.iter().filter_map(|node| Some((outline.name(node.number), node.edited.as_ref()?)));
    let warnings: String = warnings
        .map(|(node, edited)| format!("{} {node}: {}\n", ink.paint(CAUTION, "!"), inert(&edited.to_string())))
        .collect();
    let outlook = outlook(outline, estimate, ink);
    format!("{}\n{warnings}{summary}\n{outlook}", columns(&rows, ink).trim_end())
}
