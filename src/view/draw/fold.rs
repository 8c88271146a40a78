//! Wide ranks of siblings, folded: nodes with the same neighbours go into one box, in rows, with one edge for all.
//!
//! A fan over forty nodes would otherwise be a picture forty boxes high. Nothing is left out but edges that repeat.

use std::collections::BTreeMap;

use super::{Edge, Node, Picture};

/// Minimum number of siblings that are folded.
const MIN_SIBLINGS: usize = 9;

/// A neighbour: the other end of an edge, and whether the edge carries nothing.
type Neighbours = Vec<(usize, bool)>;

/// The picture with its wide ranks folded, at each level.
pub fn folded(picture: &Picture) -> Picture {
    let siblings = siblings(picture);
    // By node: its place in the new picture.
    let mut place = vec![usize::MAX; picture.nodes.len()];
    let mut nodes: Vec<Node> = Vec::new();
    for (index, node) in picture.nodes.iter().enumerate() {
        if place[index] != usize::MAX {
            continue;
        }
        let members = siblings.iter().find(|members| members.first() == Some(&index));
        members.unwrap_or(&vec![index]).iter().for_each(|member| place[*member] = nodes.len());
        nodes.push(match members {
            Some(members) => group(members.iter().map(|member| inner(&picture.nodes[*member])).collect()),
            None => inner(node),
        });
    }
    let mut joined: BTreeMap<(usize, usize, bool), Vec<(String, String)>> = BTreeMap::new();
    for edge in &picture.edges {
        let carries = joined.entry((place[edge.from], place[edge.to], edge.is_order_only())).or_default();
        for carried in &edge.carries {
            // Edges that are no repetition carry a handful of values.
            if !carries.contains(carried) {
                carries.push(carried.clone());
            }
        }
    }
    let edges = joined.into_iter().map(|((from, to, _), carries)| Edge { from, to, carries }).collect();
    Picture { nodes, edges }
}

fn inner(node: &Node) -> Node {
    Node { inside: node.inside.as_ref().map(folded), ..node.clone() }
}

/// The box around siblings.
fn group(nodes: Vec<Node>) -> Node {
    let name = |node: Option<&Node>| node.map_or("", |node| &*node.name).to_owned();
    Node {
        name: format!("{} … {}", name(nodes.first()), name(nodes.last())),
        label: format!("{} nodes", nodes.len()),
        inside: Some(Picture { nodes, edges: Vec::new() }),
        ..Node::default()
    }
}

/// Nodes with the same neighbours, by index in ascending order, where there are enough of them.
fn siblings(picture: &Picture) -> Vec<Vec<usize>> {
    let mut neighbours: Vec<(Neighbours, Neighbours)> = vec![Default::default(); picture.nodes.len()];
    for edge in &picture.edges {
        let kind = edge.is_order_only();
        neighbours[edge.from].1.push((edge.to, kind));
        neighbours[edge.to].0.push((edge.from, kind));
    }
    let mut found: BTreeMap<(Neighbours, Neighbours), Vec<usize>> = BTreeMap::new();
    for (index, (mut above, mut below)) in neighbours.into_iter().enumerate() {
        above.sort_unstable();
        below.sort_unstable();
        let is_alone = above.is_empty() && below.is_empty();
        if !is_alone && !picture.nodes[index].role.is_hook() {
            found.entry((above, below)).or_default().push(index);
        }
    }
    found.into_values().filter(|members| members.len() >= MIN_SIBLINGS).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::picture;
    use super::*;

    #[test]
    fn siblings_share_a_box_and_its_edges() {
        // 0 feeds 1 to 9, which feed 10; 11 hangs on 0 alone.
        let mut edges: Vec<_> = (1..10).flat_map(|node| [(0, node), (node, 10)]).collect();
        edges.push((0, 11));
        let fan = folded(&picture(12, &edges));
        let labels: Vec<_> = fan.nodes.iter().map(|node| &*node.label).collect();
        assert_eq!(labels, ["n0", "9 nodes", "n10", "n11"]);
        assert_eq!(fan.nodes[1].name, "n1 … n9");
        assert_eq!(fan.nodes[1].inside.as_ref().map(|inside| inside.nodes.len()), Some(9));
        let ends: Vec<_> = fan.edges.iter().map(|edge| (edge.from, edge.to, edge.carries.len())).collect();
        assert_eq!(ends, [(0, 1, 1), (0, 3, 1), (1, 2, 1)]);
        assert_eq!(fan.size(), 13);
    }

    #[test]
    fn few_siblings_other_kinds_and_lone_nodes_stay_as_they_are() {
        let edges: Vec<_> = (1..9).map(|node| (0, node)).collect();
        assert_eq!(folded(&picture(9, &edges)).nodes.len(), 9);
        assert_eq!(folded(&picture(40, &[])).nodes.len(), 40);
        let edges: Vec<_> = (1..17).map(|node| (0, node)).collect();
        let mut mixed = picture(17, &edges);
        mixed.edges.iter_mut().step_by(2).for_each(|edge| edge.carries.clear());
        assert_eq!(folded(&mixed).nodes.len(), 17);
    }

    #[test]
    fn two_wide_ranks_have_one_edge() {
        let edges: Vec<_> = (0..20).flat_map(|from| (20..40).map(move |to| (from, to))).collect();
        let folded = folded(&picture(40, &edges));
        assert_eq!((folded.nodes.len(), folded.edges.len()), (2, 1));
    }
}
