//! A whole picture on a sheet: pictures inside pictures, parts that hang together side by side, hooks below.
//!
//! Everything is laid out top down and from left to right, and what has to be shrunk less to fit on a screen is
//! taken.

use super::layers::Link;
use super::layout::{Layout, Stretch, layout};
use super::{Node, Picture};

/// The width of a letter of a label and of a note: all letters of the fonts used are about as wide.
pub const LABEL_LETTER: f64 = 7.9;
pub const NOTE_LETTER: f64 = 6.1;
/// Maximum lengths of a label and a note that are written in full, in characters.
pub const MAX_LABEL_CHARS: usize = 28;
pub const MAX_NOTE_CHARS: usize = 36;
/// How far a box that is spread over elements stands out behind itself.
pub const STACK: f64 = 4.0;
/// The height of the head of a box that holds others.
pub const HEAD: f64 = 34.0;

const PADDING: f64 = 14.0;
const ONE_LINE: f64 = 30.0;
const TWO_LINES: f64 = 42.0;
/// Around what is inside a box.
const INSET: f64 = 16.0;
/// Between nodes of one layer that stand side by side, and that stand below each other.
const GAP_BESIDE: f64 = 24.0;
const GAP_BELOW: f64 = 14.0;
/// Between parts that do not hang together.
const PART_GAP: f64 = 28.0;
/// The shape of a screen.
const SCREEN: (f64, f64) = (1600.0, 1000.0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Down,
    Right,
}

/// A box on the sheet, by its middle.
#[derive(Clone, Debug)]
pub struct Placed<'p> {
    pub node: &'p Node,
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Placed<'_> {
    pub fn left(&self) -> f64 {
        self.x - self.width / 2.0
    }

    pub fn top(&self) -> f64 {
        self.y - self.height / 2.0
    }
}

/// An edge on the sheet, with the nodes that it joins.
#[derive(Clone, Debug)]
pub struct Drawn<'p> {
    pub from: &'p Node,
    pub to: &'p Node,
    pub edge: &'p super::Edge,
    /// As [`Layout::ways`]; for a sheet that goes to the right with x and y exchanged.
    pub way: Vec<Stretch>,
}

#[derive(Clone, Debug)]
pub struct Sheet<'p> {
    pub direction: Direction,
    pub width: f64,
    pub height: f64,
    /// A box comes before those inside it.
    pub boxes: Vec<Placed<'p>>,
    pub edges: Vec<Drawn<'p>>,
}

/// Lays out `picture`.
pub fn sheet(picture: &Picture) -> Sheet<'_> {
    let down = arrange(picture, Direction::Down);
    let right = arrange(picture, Direction::Right);
    let shrinks = |sheet: &Sheet| (sheet.width / SCREEN.0).max(sheet.height / SCREEN.1);
    if shrinks(&right) < shrinks(&down) { right } else { down }
}

/// Lays out `picture` in one direction.
pub fn arrange(picture: &Picture, direction: Direction) -> Sheet<'_> {
    let insides: Vec<Option<Sheet>> = picture
        .nodes
        .iter()
        .map(|node| node.inside.as_ref().map(|inside| arrange(inside, direction)))
        .collect();
    let sizes: Vec<(f64, f64)> =
        picture.nodes.iter().zip(&insides).map(|(node, inside)| size(node, inside.as_ref())).collect();
    let parts: Vec<Part> =
        parts(picture).into_iter().map(|nodes| Part::of(picture, nodes, &sizes, direction)).collect();
    let (corners, width, height) = shelve(&parts);
    let mut sheet = Sheet { direction, width, height, boxes: Vec::new(), edges: Vec::new() };
    let mut insides = insides;
    for (part, (dx, dy)) in parts.iter().zip(corners) {
        for (node, middle) in part.nodes.iter().zip(&part.layout.middles) {
            let (x, y) = turn(*middle, direction);
            let (width, height) = sizes[*node];
            let placed = Placed { node: &picture.nodes[*node], x: x + dx, y: y + dy, width, height };
            let (left, top) = (placed.left(), placed.top());
            sheet.boxes.push(placed);
            if let Some(inside) = insides[*node].take() {
                let dx = left + (width - inside.width) / 2.0;
                let dy = top + HEAD + (height - HEAD - INSET / 2.0 - inside.height) / 2.0;
                sheet.take(inside, dx, dy);
            }
        }
        for (edge, way) in part.edges.iter().zip(&part.layout.ways) {
            let edge = &picture.edges[*edge];
            if !way.is_empty() {
                let (from, to) = (&picture.nodes[edge.from], &picture.nodes[edge.to]);
                sheet.edges.push(Drawn { from, to, edge, way: moved(way, dx, dy, direction) });
            }
        }
    }
    sheet
}

impl<'p> Sheet<'p> {
    /// Takes over what is on another sheet, moved.
    fn take(&mut self, other: Sheet<'p>, dx: f64, dy: f64) {
        self.boxes.extend(other.boxes.into_iter().map(|placed| Placed {
            x: placed.x + dx,
            y: placed.y + dy,
            ..placed
        }));
        let direction = self.direction;
        self.edges.extend(other.edges.into_iter().map(|drawn| {
            let way = moved(&drawn.way, dx, dy, direction);
            Drawn { way, ..drawn }
        }));
    }
}

fn turn((x, y): (f64, f64), direction: Direction) -> (f64, f64) {
    match direction {
        Direction::Down => (x, y),
        Direction::Right => (y, x),
    }
}

fn moved(way: &[Stretch], dx: f64, dy: f64, direction: Direction) -> Vec<Stretch> {
    let (dx, dy) = turn((dx, dy), direction);
    way.iter().map(|s| Stretch { x: s.x + dx, top: s.top + dy, bottom: s.bottom + dy }).collect()
}

/// The size of a node's box.
fn size(node: &Node, inside: Option<&Sheet>) -> (f64, f64) {
    let letters = |text: &str, longest: usize| text.chars().count().min(longest) as f64;
    let note = node.note().map(|note| letters(&note, MAX_NOTE_CHARS) * NOTE_LETTER);
    let mark = if node.condition.is_some() { 2.0 * LABEL_LETTER } else { 0.0 };
    let text = (letters(&node.label, MAX_LABEL_CHARS) * LABEL_LETTER + mark).max(note.unwrap_or(0.0));
    match inside {
        Some(inside) => {
            let head = text + note.unwrap_or(0.0);
            let width = (inside.width + 2.0 * INSET).max(head + 2.0 * PADDING);
            (width, inside.height + HEAD + INSET)
        }
        None => (text.max(36.0) + 2.0 * PADDING, if note.is_some() { TWO_LINES } else { ONE_LINE }),
    }
}

/// The nodes that hang together, as lists of indices: the larger ones in the order of the picture, then nodes that
/// stand alone, then each hook.
fn parts(picture: &Picture) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..picture.nodes.len()).collect();
    fn find(root: &mut [usize], node: usize) -> usize {
        let mut top = node;
        while root[top] != top {
            root[top] = root[root[top]];
            top = root[top];
        }
        top
    }
    for edge in &picture.edges {
        let (a, b) = (find(&mut root, edge.from), find(&mut root, edge.to));
        // The first of them stands for all.
        root[a.max(b)] = a.min(b);
    }
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for node in 0..picture.nodes.len() {
        parts[find(&mut root, node)].push(node);
    }
    parts.retain(|part| !part.is_empty());
    let hook = |part: &[usize]| part.iter().any(|node| picture.nodes[*node].role.is_hook());
    parts.sort_by_key(|part| (hook(part), part.len() == 1));
    parts
}

/// Nodes that hang together, laid out.
struct Part {
    nodes: Vec<usize>,
    /// Indices of the picture's edges between them.
    edges: Vec<usize>,
    layout: Layout,
    width: f64,
    height: f64,
    hook: bool,
}

impl Part {
    fn of(picture: &Picture, nodes: Vec<usize>, sizes: &[(f64, f64)], direction: Direction) -> Self {
        let hook = nodes.iter().any(|node| picture.nodes[*node].role.is_hook());
        if let [only] = nodes[..] {
            let (width, height) = sizes[only];
            let middle = turn((width / 2.0, height / 2.0), direction);
            let layout = Layout { middles: vec![middle], ..Layout::default() };
            return Self { nodes, edges: Vec::new(), layout, width, height, hook };
        }
        let inside = |node: usize| nodes.binary_search(&node).ok();
        let mut edges = Vec::new();
        let mut links = Vec::new();
        for (at, edge) in picture.edges.iter().enumerate() {
            if let (Some(from), Some(to)) = (inside(edge.from), inside(edge.to)) {
                edges.push(at);
                links.push(Link { from, to, kind: u8::from(edge.is_order_only()) });
            }
        }
        let sizes: Vec<_> = nodes.iter().map(|node| turn(sizes[*node], direction)).collect();
        let gap = match direction {
            Direction::Down => GAP_BESIDE,
            Direction::Right => GAP_BELOW,
        };
        let layout = layout(&sizes, &links, gap);
        let (width, height) = turn((layout.width, layout.height), direction);
        Self { nodes, edges, layout, width, height, hook }
    }
}

/// Puts parts on shelves: the upper left corner of each, and the size of all.
fn shelve(parts: &[Part]) -> (Vec<(f64, f64)>, f64, f64) {
    let area: f64 = parts.iter().map(|part| (part.width + PART_GAP) * (part.height + PART_GAP)).sum();
    let widest = parts.iter().map(|part| part.width).fold(0.0, f64::max);
    let limit = (area * SCREEN.0 / SCREEN.1).sqrt().max(widest);
    let mut corners = Vec::with_capacity(parts.len());
    let (mut x, mut y, mut shelf, mut width): (f64, f64, f64, f64) = (0.0, 0.0, 0.0, 0.0);
    let mut hook = false;
    for part in parts {
        // Hooks have a shelf of their own.
        if x > 0.0 && (x + part.width > limit || part.hook != hook) {
            y += shelf + PART_GAP * if part.hook != hook { 1.5 } else { 1.0 };
            (x, shelf) = (0.0, 0.0);
        }
        hook = part.hook;
        corners.push((x, y));
        shelf = shelf.max(part.height);
        width = width.max(x + part.width);
        x += part.width + PART_GAP;
    }
    (corners, width, y + shelf)
}
