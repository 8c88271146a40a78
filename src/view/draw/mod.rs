//! One drawing of a graph of nodes, for `graph`, the report and whatever else shows one.
//!
//! A [`Picture`] says what there is; [`svg`], [`dot`] and [`mermaid`] write it down. Knows nothing of workflows or
//! runs. The same picture always gives the same drawing.
//!
//! | file | owns |
//! |---|---|
//! | `fold.rs` | wide ranks of siblings, in one box |
//! | `layers.rs` | which layer a node is in, and the waypoints of edges that pass others |
//! | `order.rs` | the order inside the layers: few crossings |
//! | `place.rs` | the place inside the layers: edges short and straight, nothing overlaps |
//! | `layout.rs` | from sizes and edges to boxes and curves |
//! | `sheet.rs` | pictures inside pictures, parts that hang together, and the direction of all |
//! | `svg.rs`, `style.rs` | the drawing as SVG, and its colours |
//! | `dot.rs`, `mermaid.rs` | the picture for programs that do their own layout |

pub mod dot;
mod fold;
mod layers;
mod layout;
pub mod mermaid;
mod order;
mod place;
mod sheet;
pub mod style;
pub mod svg;
#[cfg(test)]
pub(crate) mod tests;

/// What is to be drawn. Edges never form a cycle; one that does is left out of drawings.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Full and unique in the whole picture: `prep/clean`.
    pub name: String,
    /// What is written in its box: `clean`.
    pub label: String,
    /// The task or the file that it runs, where that is not its label.
    pub runs: Option<String>,
    /// Over what it is spread: `foreach part`.
    pub spread: Option<String>,
    /// What must be true for it to run.
    pub condition: Option<String>,
    pub role: Role,
    /// How it ended, as a class of the drawing; nothing for a picture that tells no run.
    pub state: Option<State>,
    /// Further lines about it.
    pub remarks: Vec<String>,
    /// Where a click leads.
    pub link: Option<String>,
    /// The nodes of a sub-workflow.
    pub inside: Option<Picture>,
}

/// Whether a node belongs to the graph or runs when all else has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Member,
    OnFailure,
    OnSuccess,
}

/// How a node ended, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Executed,
    Cached,
    Failed,
    Skipped,
    Cancelled,
    /// It had begun and has not ended.
    Running,
    /// It has not begun.
    Waiting,
}

/// Who waits for whom, by index in the same picture.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    /// Which output feeds which input; empty for mere order.
    pub carries: Vec<(String, String)>,
}

impl Picture {
    /// How many nodes there are, with those inside others.
    pub fn size(&self) -> usize {
        self.nodes.iter().map(|node| 1 + node.inside.as_ref().map_or(0, Self::size)).sum()
    }

    /// The nodes that `wants` picks and those that are at most `hops` edges away from them.
    pub fn around(&self, wants: impl Fn(&Node) -> bool, hops: usize) -> Self {
        let mut near: Vec<bool> = self.nodes.iter().map(wants).collect();
        for _ in 0..hops {
            let before = near.clone();
            for edge in &self.edges {
                near[edge.from] |= before[edge.to];
                near[edge.to] |= before[edge.from];
            }
        }
        let mut places = vec![None; near.len()];
        near.iter()
            .enumerate()
            .filter(|(_, near)| **near)
            .enumerate()
            .for_each(|(to, (from, _))| places[from] = Some(to));
        let nodes =
            self.nodes.iter().zip(&near).filter(|(_, near)| **near).map(|(node, _)| node.clone()).collect();
        let edges = self.edges.iter().filter_map(|edge| {
            Some(Edge { from: places[edge.from]?, to: places[edge.to]?, carries: edge.carries.clone() })
        });
        Self { nodes, edges: edges.collect() }
    }

    /// Its first nodes, closed, with the edges between them.
    pub fn first(&self, most: usize) -> Self {
        let closed = self.closed();
        let edges = closed.edges.into_iter().filter(|edge| edge.from < most && edge.to < most);
        Self { edges: edges.collect(), nodes: closed.nodes.into_iter().take(most).collect() }
    }

    /// The same without what is inside its nodes.
    pub fn closed(&self) -> Self {
        let close = |node: &Node| {
            let hidden = node.inside.as_ref().map(|inside| match inside.size() {
                1 => "1 node inside".to_owned(),
                n => format!("{n} nodes inside"),
            });
            let remarks = node.remarks.iter().cloned().chain(hidden).collect();
            Node { inside: None, remarks, ..node.clone() }
        };
        Self { nodes: self.nodes.iter().map(close).collect(), edges: self.edges.clone() }
    }
}

impl Node {
    /// What is written small below the label.
    fn note(&self) -> Option<String> {
        let role = match self.role {
            Role::Member => None,
            Role::OnFailure => Some("on failure"),
            Role::OnSuccess => Some("on success"),
        };
        let parts: Vec<_> =
            role.into_iter().chain(self.spread.as_deref()).chain(self.runs.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }

    /// All that is known of it, a line each.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.name.clone()];
        lines.extend(self.note());
        lines.extend(self.condition.as_ref().map(|condition| format!("if {condition}")));
        lines.extend(self.remarks.iter().cloned());
        lines
    }
}

impl Role {
    pub fn is_hook(self) -> bool {
        self != Self::Member
    }
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::Executed,
        Self::Cached,
        Self::Running,
        Self::Waiting,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The word for it, and its class in drawings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

impl Edge {
    /// Whether it hands nothing over.
    pub fn is_order_only(&self) -> bool {
        self.carries.is_empty()
    }
}
