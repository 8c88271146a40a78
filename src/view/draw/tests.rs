//! Pictures for tests, and what must hold of every drawing.

use proptest::prelude::*;

use super::dot::dot;
use super::layout::Stretch;
use super::mermaid::mermaid;
use super::sheet::{Direction, Placed, Sheet, arrange};
use super::svg::{MAX_NODES, svg};
use super::*;

pub fn node(name: &str) -> Node {
    Node { name: name.into(), label: name.into(), ..Node::default() }
}

/// An edge that hands `out` over to `in`.
pub fn edge(from: usize, to: usize) -> Edge {
    Edge { from, to, carries: vec![("out".into(), "in".into())] }
}

/// A picture of `n` nodes.
pub fn picture(n: usize, edges: &[(usize, usize)]) -> Picture {
    Picture {
        nodes: (0..n).map(|i| node(&format!("n{i}"))).collect(),
        edges: edges.iter().map(|(from, to)| edge(*from, *to)).collect(),
    }
}

/// Nested pictures without cycles.
fn any_picture() -> impl Strategy<Value = Picture> {
    let flat = (1usize..14).prop_flat_map(|n| {
        let edges = proptest::collection::vec((0..n, 0..n), 0..24);
        let labels = proptest::collection::vec("[a-z]{1,40}", n);
        (edges, labels).prop_map(|(edges, labels)| {
            let mut edges: Vec<_> = edges.into_iter().filter(|(a, b)| a < b).collect();
            edges.sort_unstable();
            edges.dedup();
            let mut picture = picture(labels.len(), &edges);
            for (i, label) in labels.into_iter().enumerate() {
                picture.nodes[i].label = label;
                picture.nodes[i].spread = (i % 3 == 0).then(|| "foreach x".into());
            }
            for edge in picture.edges.iter_mut().step_by(4) {
                edge.carries.clear();
            }
            picture
        })
    });
    (flat.clone(), proptest::collection::vec(flat, 0..3)).prop_map(|(mut outer, inner)| {
        for (node, inside) in outer.nodes.iter_mut().zip(inner) {
            node.inside = Some(inside);
        }
        outer
    })
}

/// Whether one box is inside of the other.
fn holds(outer: &Placed, inner: &Placed) -> bool {
    outer.left() < inner.left()
        && outer.top() < inner.top()
        && outer.left() + outer.width > inner.left() + inner.width
        && outer.top() + outer.height > inner.top() + inner.height
}

fn overlap(a: &Placed, b: &Placed) -> bool {
    (a.x - b.x).abs() * 2.0 < a.width + b.width && (a.y - b.y).abs() * 2.0 < a.height + b.height
}

/// Points of a way, close together; turned as the sheet is.
fn points(way: &[Stretch], direction: Direction) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for (at, stretch) in way.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).map(|before| way[before]) {
            for step in 0..=20 {
                let t = f64::from(step) / 20.0;
                let smooth = t * t * (3.0 - 2.0 * t);
                // A curve whose ends point straight down; its x is this, its y at least between the ends.
                let y = before.bottom + (stretch.top - before.bottom) * t;
                points.push((before.x + (stretch.x - before.x) * smooth, y));
            }
        }
        for step in 0..=10 {
            let t = f64::from(step) / 10.0;
            points.push((stretch.x, stretch.top + (stretch.bottom - stretch.top) * t));
        }
    }
    match direction {
        Direction::Down => points,
        Direction::Right => points.into_iter().map(|(x, y)| (y, x)).collect(),
    }
}

/// What must hold of a sheet.
fn check(sheet: &Sheet) {
    let sized = |placed: &Placed| placed.left() >= -0.1 && placed.left() + placed.width <= sheet.width + 0.1;
    for (i, a) in sheet.boxes.iter().enumerate() {
        assert!(sized(a), "{} leaves the sheet", a.node.name);
        for b in &sheet.boxes[i + 1..] {
            let nested = std::ptr::eq(a.node, b.node) || holds(a, b);
            assert!(nested || !overlap(a, b), "{} and {} overlap", a.node.label, b.node.label);
        }
    }
    for drawn in &sheet.edges {
        for (x, y) in points(&drawn.way, sheet.direction) {
            for placed in sheet.boxes.iter().filter(|placed| placed.node.inside.is_none()) {
                let own = std::ptr::eq(placed.node, drawn.from) || std::ptr::eq(placed.node, drawn.to);
                let inside = (x - placed.x).abs() * 2.0 < placed.width - 0.1
                    && (y - placed.y).abs() * 2.0 < placed.height - 0.1;
                assert!(
                    own || !inside,
                    "{} -> {} through {}",
                    drawn.from.label,
                    drawn.to.label,
                    placed.node.label
                );
            }
        }
        for pair in drawn.way.windows(2) {
            assert!(pair[0].bottom < pair[1].top + 0.1, "an edge goes back");
        }
    }
}

/// Panics unless `svg` is well-formed; returns all of its text.
pub fn well_formed(svg: &str) -> String {
    let mut open = Vec::new();
    let mut text = String::new();
    let mut rest = svg;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<&str>::new());
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_overlaps_and_no_edge_passes_through_a_node(picture in any_picture()) {
        check(&arrange(&picture, Direction::Down));
        check(&arrange(&picture, Direction::Right));
        let drawn = svg(&picture, "p").unwrap();
        well_formed(&drawn);
        prop_assert_eq!(drawn, svg(&picture, "p").unwrap());
    }

    #[test]
    fn nothing_breaks_out_of_its_quotes(text in "[ -~<>&\"'\\\\`#;\n\u{7}é{}|\\[\\]()]{0,30}") {
        let mut hostile = picture(2, &[(0, 1)]);
        hostile.nodes[0].label.clone_from(&text);
        hostile.nodes[1].remarks.push(text.clone());
        hostile.nodes[1].condition = Some(text.clone());
        hostile.nodes[1].link = Some(format!("#{text}"));
        hostile.edges[0].carries[0].0.clone_from(&text);
        well_formed(&svg(&hostile, &text).unwrap());
        for line in dot(&hostile, &text).lines() {
            let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
            prop_assert!(quotes % 2 == 0, "{line}");
        }
        for line in mermaid(&hostile, &text).lines().filter(|line| line.starts_with("  n")) {
            prop_assert!(line.matches('"').count() == 2, "{line}");
        }
    }
}

#[test]
fn what_feeds_a_node_is_before_it() {
    let diamond = picture(4, &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]);
    let sheet = arrange(&diamond, Direction::Down);
    let y = |i: usize| sheet.boxes[i].y;
    assert!(y(0) < y(1) && y(1) == y(2) && y(2) < y(3));
    // The edges end at the rims of their boxes.
    for drawn in &sheet.edges {
        let (first, last) = (drawn.way[0], drawn.way[drawn.way.len() - 1]);
        let place = |node: &Node| sheet.boxes.iter().find(|placed| placed.node.name == node.name).unwrap();
        let (from, to) = (place(drawn.from), place(drawn.to));
        assert!((first.top - from.top() - from.height).abs() < 0.1 && (last.bottom - to.top()).abs() < 0.1);
    }
}

#[test]
fn a_cycle_is_drawn_without_the_edge_that_closes_it() {
    let drawn = svg(&picture(2, &[(0, 1), (1, 0)]), "p").unwrap();
    assert_eq!(drawn.matches("class=\"edge\"").count(), 1);
}

#[test]
fn too_many_nodes_are_not_drawn_unless_they_are_inside_of_others() {
    assert!(svg(&picture(MAX_NODES, &[]), "p").is_some());
    assert!(svg(&picture(MAX_NODES + 1, &[]), "p").is_none());
    let mut outer = picture(2, &[(0, 1)]);
    outer.nodes[0].inside = Some(picture(MAX_NODES, &[]));
    let drawn = svg(&outer, "p").unwrap();
    assert!(drawn.contains("2000 nodes inside"), "{drawn}");
}

#[test]
fn the_drawing_tells_what_is_where() {
    let mut told = picture(3, &[(0, 1)]);
    told.nodes[0].state = Some(State::Failed);
    told.nodes[1].spread = Some("foreach x".into());
    told.nodes[1].condition = Some("n0.out > 1".into());
    told.nodes[2].role = Role::OnFailure;
    told.edges.push(Edge { from: 0, to: 1, carries: Vec::new() });
    let drawn = svg(&told, "p").unwrap();
    for part in [
        "<g class=\"node failed\">",
        "<title>n1\nforeach x\nif n0.out &gt; 1</title>",
        "<g class=\"node hook\">",
        "<g class=\"edge\"><title>n0.out → n1.in</title>",
        "<g class=\"edge order\"><title>n1 after n0</title>",
        "prefers-color-scheme:dark",
    ] {
        assert!(drawn.contains(part), "{part}\n{drawn}");
    }
}
