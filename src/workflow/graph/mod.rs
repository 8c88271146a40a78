//! The graph of a workflow's nodes: who waits for whom, cycles, and an order to run in.

pub mod outline;
pub mod remaining;
pub mod select;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::workflow::Workflow;
use crate::workflow::diagnostic::Diagnostic;

/// Nodes by their index in the workflow; an edge leads from a node to one that waits for it, and says whether that
/// one can do without it.
pub struct Graph(DiGraph<(), bool, u32>);

impl Graph {
    /// The graph of `workflow`. Edges come from references and from `needs`.
    pub fn of(workflow: &Workflow) -> Self {
        let mut graph = DiGraph::with_capacity(workflow.nodes.len(), workflow.nodes.len());
        for _ in &workflow.nodes {
            graph.add_node(());
        }
        let mut sources: Vec<(u32, bool)> = Vec::new();
        // Backwards, because petgraph hands neighbours out in the opposite order of insertion.
        for (i, node) in workflow.nodes.iter().enumerate().rev() {
            sources.clear();
            node.for_each_dependency(&mut |source, tolerant| sources.push((source, tolerant)));
            // False sorts first: what needs a node in one place cannot do without it.
            sources.sort_unstable();
            sources.dedup_by_key(|(source, _)| *source);
            for (source, tolerant) in &sources {
                graph.add_edge(NodeIndex::from(*source), NodeIndex::from(i as u32), *tolerant);
            }
        }
        Self(graph)
    }

    /// A graph of `n` nodes; of each edge the source, the target, and whether that can do without the source.
    #[cfg(test)]
    pub fn from_edges(n: usize, edges: &[(u32, u32, bool)]) -> Self {
        let mut graph = DiGraph::new();
        for _ in 0..n {
            graph.add_node(());
        }
        for (from, to, tolerant) in edges.iter().rev() {
            graph.add_edge(NodeIndex::from(*from), NodeIndex::from(*to), *tolerant);
        }
        Self(graph)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.0.node_count()
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nodes that wait for `node`.
    pub fn dependents(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.0.neighbors_directed(NodeIndex::new(node), Direction::Outgoing).map(NodeIndex::index)
    }

    /// The nodes that wait for `node`, and whether they can do without it.
    pub fn edges(&self, node: usize) -> impl Iterator<Item = (usize, bool)> + '_ {
        use petgraph::visit::EdgeRef;
        let edges = self.0.edges_directed(NodeIndex::new(node), Direction::Outgoing);
        edges.map(|edge| (edge.target().index(), *edge.weight()))
    }

    /// The nodes that `node` waits for.
    pub fn dependencies(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.0.neighbors_directed(NodeIndex::new(node), Direction::Incoming).map(NodeIndex::index)
    }

    /// An order in which each node comes after those it waits for, as near to the file's as can be; `None` if
    /// there is a cycle.
    pub fn order(&self) -> Option<Vec<usize>> {
        let mut waits: Vec<usize> = (0..self.len()).map(|node| self.dependencies(node).count()).collect();
        let mut ready: BinaryHeap<_> =
            (0..self.len()).filter(|node| waits[*node] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            for dependent in self.dependents(node) {
                waits[dependent] -= 1;
                if waits[dependent] == 0 {
                    ready.push(Reverse(dependent));
                }
            }
        }
        (order.len() == self.len()).then_some(order)
    }

    /// One cycle for each knot of nodes that wait for each other, each in order: every node waits for the
    /// one before it, and the first for the last.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        // Tarjan's way to find them is a recursion there, which a long chain ends by a stack overflow.
        for knot in kosaraju_scc(&self.0) {
            let first = knot.iter().map(|n| n.index()).min().unwrap_or(0);
            if knot.len() > 1 || self.dependents(first).any(|n| n == first) {
                cycles.push(self.shortest_cycle(first, &knot));
            }
        }
        cycles.sort();
        cycles
    }

    /// The shortest way from `start` back to itself inside of `knot`.
    fn shortest_cycle(&self, start: usize, knot: &[NodeIndex]) -> Vec<usize> {
        let inside: std::collections::HashSet<usize> = knot.iter().map(|n| n.index()).collect();
        let mut came_from = std::collections::HashMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for next in self.dependents(node).filter(|n| inside.contains(n)) {
                if next == start {
                    let mut cycle = vec![node];
                    while let Some(before) = came_from.get(&cycle[cycle.len() - 1]) {
                        cycle.push(*before);
                    }
                    cycle.reverse();
                    return cycle;
                }
                if next != start && !came_from.contains_key(&next) {
                    came_from.insert(next, node);
                    queue.push_back(next);
                }
            }
        }
        vec![start]
    }

    /// A diagnostic for each cycle.
    pub fn diagnose_cycles(&self, workflow: &Workflow) -> Vec<Diagnostic> {
        let place = |node: usize| workflow.nodes[node].place;
        let name = |node: usize| &*workflow.nodes[node].name;
        let describe = |cycle: Vec<usize>| {
            let mut names: Vec<_> = cycle.iter().map(|n| name(*n)).collect();
            names.push(name(cycle[0]));
            let message = format!("the nodes form a cycle: {}", names.join(" -> "));
            let label = match &cycle[..] {
                [only] => format!("`{}` waits for itself", name(*only)),
                _ => format!("`{}` waits for `{}`", name(cycle[0]), name(cycle[cycle.len() - 1])),
            };
            let mut diagnostic = Diagnostic::at(place(cycle[0]), message, label);
            for pair in cycle.windows(2).take(8) {
                let label = format!("`{}` waits for `{}`", name(pair[1]), name(pair[0]));
                diagnostic = diagnostic.also(place(pair[1]), label);
            }
            diagnostic.help("take one of these references or `needs` away")
        };
        self.cycles().into_iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(n: usize, edges: &[(u32, u32)]) -> Graph {
        let edges: Vec<_> = edges.iter().rev().map(|(from, to)| (*from, *to, false)).collect();
        Graph::from_edges(n, &edges)
    }

    #[test]
    fn an_order_exists_without_cycles() {
        assert_eq!(graph(4, &[(3, 0), (0, 1), (3, 2), (2, 1)]).order(), Some(vec![3, 0, 2, 1]));
        assert_eq!(graph(3, &[]).order(), Some(vec![0, 1, 2]));
    }

    #[test]
    fn cycles_are_named_in_order() {
        let knotted = graph(6, &[(0, 1), (1, 2), (2, 0), (2, 3), (4, 4), (1, 0)]);
        assert_eq!(knotted.order(), None);
        assert_eq!(knotted.cycles(), [vec![0, 1], vec![4]]);
    }

    #[test]
    fn a_long_chain_is_walked_without_recursion() {
        // Seen to fail: 60,000 nodes in a chain overflowed the stack of the program.
        let mut edges: Vec<(u32, u32)> = (1..150_000).map(|node| (node - 1, node)).collect();
        let chain = graph(150_000, &edges);
        assert_eq!((chain.cycles().len(), chain.order().map(|order| order.len())), (0, Some(150_000)));
        edges.push((149_999, 0));
        assert_eq!(graph(150_000, &edges).cycles()[0].len(), 150_000);
    }
}
