//! Which layer a node is in, and the waypoints of edges that pass other layers.
//!
//! Waypoints of edges from one node are shared as far as these go together: a node that feeds twenty others
//! far away has one line to them that branches off, not twenty.

use std::collections::BTreeMap;

/// An edge as layouts see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    /// Edges of different kinds never share waypoints.
    pub kind: u8,
}

/// Nodes and waypoints, called items, in layers. The first items are the nodes.
#[derive(Debug, Default)]
pub struct Layers {
    /// How many items are nodes.
    pub nodes: usize,
    /// By item.
    pub layer: Vec<usize>,
    /// By item: the items of the layer before that lead to it.
    pub above: Vec<Vec<usize>>,
    /// By item: the items of the next layer that it leads to.
    pub below: Vec<Vec<usize>>,
    /// By item: for a waypoint the one that it goes on to, if there is one.
    pub goes_on: Vec<Option<usize>>,
    /// By layer: the items in it, in the order of the drawing.
    pub rows: Vec<Vec<usize>>,
    /// By link: the items on its way, ends included; empty for one that would close a cycle.
    pub ways: Vec<Vec<usize>>,
}

impl Layers {
    pub fn of(nodes: usize, links: &[Link]) -> Self {
        let (order, forward) = sort(nodes, links);
        let layer = rank(nodes, &order, &forward);
        let mut layers = Self {
            nodes,
            above: vec![Vec::new(); nodes],
            below: vec![Vec::new(); nodes],
            goes_on: vec![None; nodes],
            layer,
            ..Self::default()
        };
        layers.lay(links, &order);
        layers.fill_rows();
        layers
    }

    pub fn is_waypoint(&self, item: usize) -> bool {
        item >= self.nodes
    }

    /// Lays the way of each link.
    fn lay(&mut self, links: &[Link], order: &[usize]) {
        let mut position = vec![0; self.nodes];
        order.iter().enumerate().for_each(|(at, node)| position[*node] = at);
        // The last waypoint so far of the edges of one kind from one node, by layer.
        let mut trunks: BTreeMap<(usize, u8), Vec<usize>> = BTreeMap::new();
        for link in links {
            if position[link.from] >= position[link.to] {
                self.ways.push(Vec::new());
                continue;
            }
            let passed = self.layer[link.to] - self.layer[link.from] - 1;
            let trunk = trunks.entry((link.from, link.kind)).or_default();
            while trunk.len() < passed {
                let last = trunk.last().copied().unwrap_or(link.from);
                let item = self.layer.len();
                self.layer.push(self.layer[last] + 1);
                self.above.push(Vec::new());
                self.below.push(Vec::new());
                self.goes_on.push(None);
                self.join(last, item);
                if last >= self.nodes {
                    self.goes_on[last] = Some(item);
                }
                trunk.push(item);
            }
            let mut way = vec![link.from];
            way.extend(&trunk[..passed]);
            let last = way[way.len() - 1];
            if !self.below[last].contains(&link.to) {
                self.join(last, link.to);
            }
            way.push(link.to);
            self.ways.push(way);
        }
    }

    fn join(&mut self, above: usize, below: usize) {
        self.below[above].push(below);
        self.above[below].push(above);
    }

    /// A first order: what hangs together is side by side.
    fn fill_rows(&mut self) {
        self.rows = vec![Vec::new(); self.layer.iter().max().map_or(0, |last| last + 1)];
        let mut seen = vec![false; self.layer.len()];
        for start in 0..self.nodes {
            let mut stack = if self.above[start].is_empty() { vec![start] } else { Vec::new() };
            while let Some(item) = stack.pop() {
                if std::mem::replace(&mut seen[item], true) {
                    continue;
                }
                self.rows[self.layer[item]].push(item);
                stack.extend(self.below[item].iter().rev());
            }
        }
    }
}

/// The nodes in an order in which each comes after those that lead to it, as far as there is one; and by node those
/// that it leads to and that come later.
fn sort(nodes: usize, links: &[Link]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut below = vec![Vec::new(); nodes];
    let mut waits = vec![0usize; nodes];
    for link in links {
        below[link.from].push(link.to);
        waits[link.to] += 1;
    }
    let mut order: Vec<usize> = (0..nodes).filter(|node| waits[*node] == 0).collect();
    let mut at = 0;
    while at < order.len() {
        for next in &below[order[at]] {
            waits[*next] -= 1;
            if waits[*next] == 0 {
                order.push(*next);
            }
        }
        at += 1;
    }
    // What is in a cycle, or behind one.
    order.extend((0..nodes).filter(|node| waits[*node] > 0));
    let mut position = vec![0; nodes];
    order.iter().enumerate().for_each(|(at, node)| position[*node] = at);
    for (node, next) in below.iter_mut().enumerate() {
        next.retain(|other| position[*other] > position[node]);
    }
    (order, below)
}

/// The layer of each node: as early as can be, but close to what it feeds where that makes edges shorter.
fn rank(nodes: usize, order: &[usize], below: &[Vec<usize>]) -> Vec<usize> {
    let mut above = vec![Vec::new(); nodes];
    for (node, next) in below.iter().enumerate() {
        next.iter().for_each(|other| above[*other].push(node));
    }
    let mut rank = vec![0; nodes];
    let earliest =
        |node: usize, rank: &[usize]| above[node].iter().map(|other| rank[*other] + 1).max().unwrap_or(0);
    for node in order {
        rank[*node] = earliest(*node, &rank);
    }
    for node in order.iter().rev() {
        let latest = below[*node].iter().map(|other| rank[*other] - 1).min();
        if let (Some(latest), true) = (latest, below[*node].len() >= above[*node].len()) {
            rank[*node] = latest;
        }
    }
    // What might as well be early is early.
    for node in order {
        if !above[*node].is_empty() && above[*node].len() >= below[*node].len() {
            rank[*node] = earliest(*node, &rank);
        }
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(edges: &[(usize, usize)]) -> Vec<Link> {
        edges.iter().map(|(from, to)| Link { from: *from, to: *to, kind: 0 }).collect()
    }

    #[test]
    fn nodes_are_as_early_as_short_edges_allow() {
        // A chain of four; 4 feeds only its end, by way of 5; 6 hangs on its beginning.
        let layers = Layers::of(7, &links(&[(0, 1), (1, 2), (2, 3), (4, 5), (5, 3), (0, 6)]));
        assert_eq!(layers.layer, [0, 1, 2, 3, 1, 2, 1]);
        assert_eq!(layers.rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 2, 1]);
    }

    #[test]
    fn long_edges_from_one_node_share_their_way() {
        let layers = Layers::of(6, &links(&[(0, 1), (1, 2), (2, 3), (0, 3), (2, 4), (0, 4), (3, 5), (0, 5)]));
        assert_eq!(&layers.layer[..6], [0, 1, 2, 3, 3, 4]);
        assert_eq!(layers.layer.len(), 6 + 3);
        assert_eq!(layers.ways[3], [0, 6, 7, 3]);
        assert_eq!(layers.ways[5], [0, 6, 7, 4]);
        assert_eq!(layers.ways[7], [0, 6, 7, 8, 5]);
        assert_eq!(layers.goes_on[6..], [Some(7), Some(8), None]);
    }

    #[test]
    fn what_closes_a_cycle_is_left_out() {
        let layers = Layers::of(3, &links(&[(0, 1), (1, 2), (2, 1)]));
        assert_eq!(layers.ways, [vec![0, 1], vec![1, 2], vec![]]);
    }
}
