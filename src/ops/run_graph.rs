//! The graph of a run's workflow, coloured by how its nodes stand.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Error;
use super::home::HomeReader;
use super::picture::picture;
use super::recorded::as_it_was;
use crate::core::event::VERSION;
use crate::view::draw::{Picture, State};
use crate::view::html::colour_by_state;
use crate::view::model::run::{Keep, RunState};

/// With more nodes than these only what failed, runs or is chosen is shown, and what is around it.
pub const MAX_WHOLE: usize = 300;
/// How many edges around it.
pub const USUAL_HOPS: usize = 2;

/// A part of a graph, or all of it.
#[derive(Clone, Debug, Default)]
pub struct GraphQuery {
    /// This node and what is around it.
    pub focus: Option<String>,
    /// How many edges around what is chosen.
    pub hops: Option<usize>,
    /// All of it, however large.
    pub is_whole: bool,
}

/// A graph with the number of nodes that it would have as a whole.
pub struct RunGraph {
    pub picture: Picture,
    pub size: usize,
    pub title: String,
}

impl RunGraph {
    /// Whether something was left out.
    pub fn is_part(&self) -> bool {
        self.picture.size() < self.size
    }

    /// One document: nodes, and edges by number of node.
    pub fn to_json(&self) -> Json {
        let nodes = self.picture.nodes.iter().map(|node| {
            json!({
                "name": node.name,
                "task": node.runs,
                "state": node.state.map(State::name),
                "over": node.spread,
                "condition": node.condition,
                "nodes_inside": node.inside.as_ref().map_or(0, Picture::size),
            })
        });
        let edges = self.picture.edges.iter().map(|edge| {
            let carries: Vec<_> = edge
                .carries
                .iter()
                .map(|(output, input)| json!({"output": output, "input": input}))
                .collect();
            json!({"from": edge.from, "to": edge.to, "carries": carries})
        });
        json!({
            "v": VERSION,
            "size": self.size,
            "nodes": nodes.collect::<Vec<_>>(),
            "edges": edges.collect::<Vec<_>>(),
        })
    }
}

/// The graph of the run that a person means by `name`; `link` says where each node leads.
///
/// # Errors
/// The run or the node is not known, what it ran is not on record any more, or the history cannot be read.
pub fn graph(
    home: Option<&Path>,
    name: &str,
    query: &GraphQuery,
    link: &dyn Fn(&str) -> Option<String>,
) -> Result<RunGraph, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(name)?;
    let again = as_it_was(&view, &run)?;
    let mut whole = picture(&again.opened.workflow);
    let state = RunState::from_events(run.id, view.events(run.id)?, &run.status, Keep::PAGE);
    colour_by_state(&mut whole, &state, link);
    let size = whole.size();
    let hops = query.hops.unwrap_or(USUAL_HOPS);
    let picture = match &query.focus {
        Some(focus) => {
            let part = whole.around(|node| node.name == *focus, hops);
            if part.nodes.is_empty() {
                return Err(Error::not_found(format!("the graph of run {} has no node `{focus}`", run.id)));
            }
            part
        }
        None if query.is_whole || size <= MAX_WHOLE => whole,
        None => {
            let stands_out = |state: Option<State>| matches!(state, Some(State::Failed | State::Running));
            let part = whole.around(|node| stands_out(node.state), hops);
            // Very many can fail at once.
            if part.size() > MAX_WHOLE {
                whole.around(|node| stands_out(node.state), 0).first(MAX_WHOLE)
            } else {
                part
            }
        }
    };
    Ok(RunGraph { picture, size, title: run.workflow })
}
