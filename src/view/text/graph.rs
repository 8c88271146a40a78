//! A picture of nodes as text for a terminal: one line a node.
//!
//! Each node whose result is still to be used has a rail below it; a line leads from the rails of what a node takes to
//! the node. `○` is a node that waits for nothing, `●` one that does, `◌` one that runs when all else has ended. Where
//! there would be too many rails, nodes are listed in stages instead: those of a stage wait for earlier ones only.

use crate::view::draw::{Node, Picture, Role};
use crate::view::text::style::{CACHED, CAUTION, Cell, FAINT, Ink, PLAIN, STRONG, columns};
use crate::view::text::{cut, named, width};

/// The columns that a line may take.
const WIDTH: usize = 80;
/// Maximum rails side by side that can still be followed by eye.
const MAX_RAILS: usize = 10;

/// The picture of what is called `title`.
pub fn render(picture: &Picture, title: &str, ink: Ink) -> String {
    let nodes = picture.size();
    let edges = edges(picture);
    let mut text = format!(
        "{}  {}, {}\n\n",
        ink.paint(STRONG, title),
        named(nodes as u64, "node"),
        named(edges as u64, "edge")
    );
    let mut lines = Vec::new();
    level(picture, "", &mut lines);
    text.push_str(&table(&lines, ink));
    text
}

fn edges(picture: &Picture) -> usize {
    let inside: usize = picture.nodes.iter().filter_map(|node| node.inside.as_ref()).map(edges).sum();
    picture.edges.len() + inside
}

/// A line for a node, or between nodes.
struct Line<'p> {
    rails: String,
    node: Option<&'p Node>,
    /// What it takes: `split.parts`, or `after split`.
    takes: Vec<String>,
    /// Where there is no node.
    words: String,
}

/// The lines of one workflow, each behind `before`.
fn level<'p>(picture: &'p Picture, before: &str, lines: &mut Vec<Line<'p>>) {
    let members: Vec<usize> =
        (0..picture.nodes.len()).filter(|node| !picture.nodes[*node].role.is_hook()).collect();
    let waits = Waits::of(picture);
    match rails(&waits, &members) {
        Some(rows) => {
            for Row { node, rails, below } in rows {
                add(picture, &waits, node, [before, &rails], &below, lines);
            }
        }
        None => {
            for (number, stage) in stages(&waits, &members).into_iter().enumerate() {
                let words = format!("stage {}, {}", number + 1, named(stage.len() as u64, "node"));
                lines.push(Line { rails: before.to_owned(), node: None, takes: Vec::new(), words });
                for node in stage {
                    add(picture, &waits, node, [before, mark(&waits, node)], "", lines);
                }
            }
        }
    }
    let hooks: Vec<usize> =
        (0..picture.nodes.len()).filter(|node| picture.nodes[*node].role.is_hook()).collect();
    if !hooks.is_empty() && !members.is_empty() {
        lines.push(Line { rails: String::new(), node: None, takes: Vec::new(), words: String::new() });
    }
    for node in hooks {
        add(picture, &waits, node, [before, "◌"], "", lines);
    }
}

/// The mark of a node.
fn mark(waits: &Waits, node: usize) -> &'static str {
    if waits.above[node].is_empty() { "○" } else { "●" }
}

/// A node's line, and the lines of everything inside it.
fn add<'p>(
    picture: &'p Picture,
    waits: &Waits,
    node: usize,
    [before, rails]: [&str; 2],
    below: &str,
    lines: &mut Vec<Line<'p>>,
) {
    let mut takes = Vec::new();
    for edge in &waits.edges[node] {
        let edge = &picture.edges[*edge];
        let from = &picture.nodes[edge.from].label;
        match edge.is_order_only() {
            true => takes.push(format!("after {from}")),
            false => {
                let outputs = edge.carries.iter().map(|(output, _)| format!("{from}.{output}"));
                takes.extend(outputs);
                takes.dedup();
            }
        }
    }
    let shown = &picture.nodes[node];
    let rails = format!("{before}{rails}");
    lines.push(Line { rails, node: Some(shown), takes, words: String::new() });
    if let Some(inside) = &shown.inside {
        level(inside, &format!("{before}{below}┊ "), lines);
    }
}

/// Who waits for whom, by node.
struct Waits {
    /// The edges that end at it.
    edges: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

impl Waits {
    fn of(picture: &Picture) -> Self {
        let nodes = picture.nodes.len();
        let none = vec![Vec::new(); nodes];
        let mut waits = Self { edges: none.clone(), above: none.clone(), below: none };
        for (at, edge) in picture.edges.iter().enumerate() {
            waits.edges[edge.to].push(at);
            waits.above[edge.to].push(edge.from);
            waits.below[edge.from].push(edge.to);
        }
        waits
    }
}

/// Nodes by their distance from the beginning.
fn stages(waits: &Waits, members: &[usize]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = waits.above.iter().map(Vec::len).collect();
    let mut stages = Vec::new();
    let mut stage: Vec<usize> = members.iter().copied().filter(|node| left[*node] == 0).collect();
    while !stage.is_empty() {
        let mut next = Vec::new();
        for node in &stage {
            for other in &waits.below[*node] {
                left[*other] -= 1;
                if left[*other] == 0 {
                    next.push(*other);
                }
            }
        }
        next.sort_unstable();
        stages.push(std::mem::replace(&mut stage, next));
    }
    stages
}

/// A node's place among the rails.
struct Row {
    node: usize,
    /// The rails of its line, with the node.
    rails: String,
    /// The rails that go on below it.
    below: String,
}

/// The rails of all nodes; `None` if there are too many at once.
fn rails(waits: &Waits, members: &[usize]) -> Option<Vec<Row>> {
    let mut uses: Vec<usize> = waits.below.iter().map(Vec::len).collect();
    let mut rails: Vec<Option<usize>> = Vec::new();
    let mut rows = Vec::with_capacity(members.len());
    for node in depth_first(waits, members) {
        let joined: Vec<usize> = (0..rails.len())
            .filter(|at| rails[*at].is_some_and(|source| waits.above[node].contains(&source)))
            .collect();
        for source in &waits.above[node] {
            uses[*source] = uses[*source].saturating_sub(1);
        }
        let ends: Vec<usize> =
            joined.iter().copied().filter(|at| rails[*at].is_some_and(|source| uses[source] == 0)).collect();
        // It goes on where the first of those ends that it takes, else where there is room.
        let own = ends.first().copied().or_else(|| {
            // To the right of what it takes, so that rails lead down and to the right.
            let from = joined.first().map_or(0, |first| first + 1);
            (from..rails.len()).find(|at| rails[*at].is_none())
        });
        let own = own.unwrap_or(rails.len());
        if own == rails.len() {
            rails.push(None);
        }
        if rails.len() > MAX_RAILS {
            return None;
        }
        let drawn = draw(&rails, mark(waits, node), own, &joined, &ends);
        ends.iter().for_each(|at| rails[*at] = None);
        rails[own] = (uses[node] > 0).then_some(node);
        while rails.last().is_some_and(Option::is_none) {
            rails.pop();
        }
        let below = rails.iter().map(|rail| if rail.is_some() { "│ " } else { "  " }).collect();
        rows.push(Row { node, rails: drawn, below });
    }
    Some(rows)
}

/// One line of rails: the node at `own`, joined with others of which some end here.
fn draw(rails: &[Option<usize>], mark: &str, own: usize, joined: &[usize], ends: &[usize]) -> String {
    let first = joined.first().map_or(own, |first| own.min(*first));
    let last = joined.last().map_or(own, |last| own.max(*last));
    let mut line = String::new();
    for (at, rail) in rails.iter().enumerate() {
        let across = first < at && at < last;
        line.push_str(match (at == own, joined.contains(&at), ends.contains(&at)) {
            (true, ..) => mark,
            (_, true, true) if at == first => "╰",
            (_, true, true) if at == last => "╯",
            (_, true, true) => "┴",
            (_, true, false) if at == first => "├",
            (_, true, false) if at == last => "┤",
            (_, true, false) => "┼",
            // A rail of others is passed below.
            _ if rail.is_some() => "│",
            _ if across => "─",
            _ => " ",
        });
        line.push(if first <= at && at < last { '─' } else { ' ' });
    }
    line.trim_end().to_owned()
}

/// An order in which each node comes after what it waits for, and as close to it as can be.
fn depth_first(waits: &Waits, members: &[usize]) -> Vec<usize> {
    let mut left: Vec<usize> = waits.above.iter().map(Vec::len).collect();
    let mut order = Vec::with_capacity(members.len());
    for start in members.iter().filter(|node| waits.above[**node].is_empty()) {
        let mut stack = vec![*start];
        while let Some(node) = stack.pop() {
            order.push(node);
            for other in waits.below[node].iter().rev() {
                left[*other] -= 1;
                if left[*other] == 0 {
                    stack.push(*other);
                }
            }
        }
    }
    order
}

fn table(lines: &[Line], ink: Ink) -> String {
    let widest = |cell: &dyn Fn(&Line) -> usize| lines.iter().map(cell).max().unwrap_or(0);
    let rails = widest(&|line| line.node.map_or(0, |_| width(&line.rails)));
    let label = widest(&|line| line.node.map_or(0, |node| width(&node.name))).min(WIDTH / 2);
    let room = WIDTH.saturating_sub(rails + label + 4);
    let row = |line: &Line| {
        let node = line.node?;
        let rails = Cell::new(FAINT, line.rails.clone());
        Some(vec![rails, Cell::new(PLAIN, cut(&node.name, label)), about(node, &line.takes, room)])
    };
    let rows: Vec<Vec<Cell>> = lines.iter().filter_map(row).collect();
    let rows = columns(&rows, ink);
    // Lines without a node have no columns.
    let mut rows = rows.split_inclusive('\n');
    let shown = |line: &Line| match line.node {
        Some(_) => rows.next().unwrap_or_default().to_owned(),
        None => format!("{}\n", ink.paint(FAINT, format!("{}{}", line.rails, line.words))),
    };
    lines.iter().map(shown).collect()
}

/// What is to be said of a node behind its name.
fn about(node: &Node, takes: &[String], room: usize) -> Cell {
    let mut cell = Cell::default();
    let mut left = room;
    let mut say = |style, text: &str| {
        let gap = if left < room { "  " } else { "" };
        let text = format!("{gap}{}", cut(text, left.saturating_sub(gap.len())));
        left = left.saturating_sub(width(&text));
        if text.len() > gap.len() {
            cell = std::mem::take(&mut cell).and(style, text);
        }
        left
    };
    let role = match node.role {
        Role::Member => None,
        Role::OnFailure => Some("on failure"),
        Role::OnSuccess => Some("on success"),
    };
    if let Some(role) = role {
        say(CAUTION, role);
    }
    if let Some(spread) = &node.spread {
        say(CACHED, spread);
    }
    if let Some(condition) = &node.condition {
        say(CAUTION, &format!("if {condition}"));
    }
    if let Some(runs) = &node.runs {
        say(PLAIN, runs);
    }
    if !takes.is_empty() {
        let left = say(FAINT, "");
        say(FAINT, &format!("← {}", listed(takes, left.saturating_sub(4))));
    }
    cell
}

/// As many names as fit, and how many more there are.
fn listed(names: &[String], room: usize) -> String {
    let all = names.join(", ");
    if width(&all) <= room {
        return all;
    }
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let more = format!("… {} more", names.len() - i);
        if width(&text) + width(name) + 2 + more.len() > room && i > 0 {
            return text + &more;
        }
        text.push_str(&format!("{name}, "));
    }
    text.trim_end_matches(", ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::draw::Edge;
    use crate::view::draw::tests::picture;

    fn lines(picture: &Picture) -> Vec<String> {
        let text = render(picture, "w", Ink(false));
        text.lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn rails_lead_from_what_a_node_takes() {
        let mut told = picture(6, &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 4), (3, 4)]);
        told.nodes[1].runs = Some("clean".into());
        told.nodes[2].condition = Some("n0.out > 1".into());
        told.nodes[5].spread = Some("foreach x".into());
        told.edges.push(Edge { from: 5, to: 4, carries: Vec::new() });
        assert_eq!(
            lines(&told),
            [
                "○      n0",
                "├─●    n1  clean  ← n0.out",
                "├─│─●  n2  if n0.out > 1  ← n0.out",
                "│ ●─╯  n3  ← n1.out, n2.out",
                "│ │ ○  n5  foreach x",
                "●─┴─╯  n4  ← n0.out, n3.out, after n5",
            ]
        );
    }

    #[test]
    fn what_is_inside_of_a_node_is_below_it() {
        let mut outer = picture(3, &[(0, 1), (0, 2), (1, 2)]);
        outer.nodes[1].inside = Some(picture(2, &[(0, 1)]));
        outer.nodes[2].role = Role::OnSuccess;
        outer.edges.truncate(1);
        assert_eq!(
            lines(&outer),
            ["○    n0", "●    n1  ← n0.out", "┊ ○  n0", "┊ ●  n1  ← n0.out", "", "◌    n2  on success"]
        );
    }

    #[test]
    fn too_many_rails_are_stages() {
        let wide: Vec<_> = (1..41).flat_map(|i| [(0, i), (i, 41)]).collect();
        let lines = lines(&picture(42, &wide));
        assert_eq!(lines[..4], ["stage 1, 1 node", "○  n0", "stage 2, 40 nodes", "●  n1   ← n0.out"]);
        let last = &lines[lines.len() - 1];
        assert!(last.starts_with("●  n41  ← n1.out, n2.out, ") && last.ends_with(" more"), "{last}");
        assert!(lines.iter().all(|line| width(line) <= WIDTH), "{lines:?}");
    }
}
