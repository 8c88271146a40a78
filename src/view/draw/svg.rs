//! The drawing as SVG: complete in itself, for a file or to stand inside a page.

use std::fmt::Write;

use super::fold::folded;
use super::layout::Stretch;
use super::sheet::{Direction, Drawn, HEAD, MAX_LABEL_CHARS, MAX_NOTE_CHARS, Placed, STACK, Sheet, sheet};
use super::style::STYLE;
use super::{Edge, Picture};

/// Maximum nodes that are drawn: a larger picture is unreadable.
pub const MAX_NODES: usize = 2000;

/// Maximum edges that are drawn.
const MAX_EDGES: usize = 20_000;

/// Around everything, in pixels.
const MARGIN: f64 = 20.0;

/// The tip of an edge, in pixels.
const TIP: f64 = 7.0;

/// Draws `picture`, which is called `title`; `None` if it has more nodes than can be drawn. If only what is inside
/// nodes makes them too many, it is drawn without that.
pub fn svg(picture: &Picture, title: &str) -> Option<String> {
    drawing(picture, title, &format!("<style>{STYLE}</style>"))
}

/// The same to stand in a page whose sheet has [`STYLE`].
pub fn svg_for_page(picture: &Picture, title: &str) -> Option<String> {
    drawing(picture, title, "")
}

fn drawing(picture: &Picture, title: &str, style: &str) -> Option<String> {
    if picture.size() > MAX_NODES {
        return (picture.nodes.len() <= MAX_NODES && picture.nodes.iter().any(|node| node.inside.is_some()))
            .then(|| drawing(&picture.closed(), title, style))?;
    }
    let picture = folded(picture);
    (edges(&picture) <= MAX_EDGES).then(|| write(&sheet(&picture), title, style))
}

fn edges(picture: &Picture) -> usize {
    let inside: usize = picture.nodes.iter().filter_map(|node| node.inside.as_ref()).map(edges).sum();
    picture.edges.len() + inside
}

fn write(sheet: &Sheet, title: &str, style: &str) -> String {
    let (width, height) =
        (sheet.width + STACK * 2.0 + MARGIN * 2.0, sheet.height + STACK * 2.0 + MARGIN * 2.0);
    let title = escape(title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"dag\" role=\"img\" aria-label=\"{title}\" \
         width=\"{w}\" height=\"{h}\" viewBox=\"{x} {x} {w} {h}\">\n<title>{title}</title>\n{style}\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"{TIP}\" \
         markerHeight=\"{TIP}\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
         <path class=\"arrow\" d=\"M0 0.5L8 4L0 7.5z\"/></marker></defs>\n\
         <rect class=\"paper\" x=\"{x}\" y=\"{x}\" width=\"{w}\" height=\"{h}\"/>\n",
        w = number(width),
        h = number(height),
        x = number(-MARGIN),
    );
    // What is inside a box, edges as well, comes after it.
    let (groups, nodes): (Vec<_>, Vec<_>) =
        sheet.boxes.iter().partition(|placed| placed.node.inside.is_some());
    groups.iter().for_each(|placed| node(&mut svg, placed));
    sheet.edges.iter().for_each(|drawn| edge(&mut svg, drawn, sheet.direction));
    nodes.iter().for_each(|placed| node(&mut svg, placed));
    svg.push_str("</svg>\n");
    svg
}

// Writing to text cannot fail, here and below.

fn node(svg: &mut String, placed: &Placed) {
    let node = placed.node;
    let mut classes = vec![if node.inside.is_some() { "node group" } else { "node" }];
    classes.extend(node.condition.is_some().then_some("conditional"));
    classes.extend(node.role.is_hook().then_some("hook"));
    classes.extend(node.state.map(super::State::name));
    if let Some(link) = &node.link {
        let _ = write!(svg, "<a href=\"{}\">", escape(link));
    }
    let mut lines = node.lines();
    lines.extend(node.state.map(|state| state.name().to_owned()));
    let _ = write!(svg, "<g class=\"{}\"><title>{}</title>", classes.join(" "), escape(&lines.join("\n")));
    let (left, top) = (placed.left(), placed.top());
    // The one behind first.
    for step in if node.spread.is_some() { 0..3 } else { 2..3 } {
        let by = STACK * f64::from(2 - step);
        rect(svg, left + by, top + by, placed.width, placed.height);
    }
    if node.condition.is_some() {
        let (x, y) = (number(left + 14.0), number(top - 6.0));
        let _ = write!(svg, "<path class=\"if\" d=\"M{x} {y}l6 6l-6 6l-6 -6z\"/>");
    }
    match &node.inside {
        Some(_) => head(svg, placed),
        None => {
            let label = escape(&cut(&node.label, MAX_LABEL_CHARS));
            let note = node.note();
            let y = placed.y + if note.is_some() { -2.5 } else { 4.5 };
            let _ = write!(
                svg,
                "<text class=\"label\" x=\"{}\" y=\"{}\">{label}</text>",
                number(placed.x),
                number(y)
            );
            if let Some(note) = note {
                let note = escape(&cut(&note, MAX_NOTE_CHARS));
                let y = number(placed.y + 12.5);
                let _ =
                    write!(svg, "<text class=\"note\" x=\"{}\" y=\"{y}\">{note}</text>", number(placed.x));
            }
        }
    }
    svg.push_str(if node.link.is_some() { "</g></a>\n" } else { "</g>\n" });
}

fn rect(svg: &mut String, x: f64, y: f64, width: f64, height: f64) {
    let [x, y, width, height] = [x, y, width, height].map(number);
    let _ = write!(
        svg,
        "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>"
    );
}

/// The head of a box that holds others.
fn head(svg: &mut String, placed: &Placed) {
    let (x, y) = (number(placed.left() + 14.0), number(placed.top() + HEAD / 2.0 + 5.0));
    let label = escape(&cut(&placed.node.label, MAX_LABEL_CHARS));
    let _ = write!(svg, "<text class=\"head\" x=\"{x}\" y=\"{y}\">{label}");
    if let Some(note) = placed.node.note() {
        let _ =
            write!(svg, " <tspan class=\"more\" dx=\"4\">{}</tspan>", escape(&cut(&note, MAX_NOTE_CHARS)));
    }
    svg.push_str("</text>");
}

fn edge(svg: &mut String, drawn: &Drawn, direction: Direction) {
    let kind = if drawn.edge.is_order_only() { "edge order" } else { "edge" };
    let path = path(&drawn.way, direction);
    let title = escape(&told(drawn.edge, &drawn.from.label, &drawn.to.label));
    let _ = writeln!(
        svg,
        "<g class=\"{kind}\"><title>{title}</title><path class=\"reach\" d=\"{path}\"/>\
         <path class=\"line\" marker-end=\"url(#tip)\" d=\"{path}\"/></g>"
    );
}

/// An edge in words, a line for each thing that it hands over.
fn told(edge: &Edge, from: &str, to: &str) -> String {
    if edge.is_order_only() {
        return format!("{to} after {from}");
    }
    let lines = edge.carries.iter().map(|(output, input)| format!("{from}.{output} → {to}.{input}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn path(way: &[Stretch], direction: Direction) -> String {
    let point = |x: f64, y: f64| match direction {
        Direction::Down => format!("{} {}", number(x), number(y)),
        Direction::Right => format!("{} {}", number(y), number(x)),
    };
    let mut path = String::new();
    for (at, stretch) in way.iter().enumerate() {
        match at.checked_sub(1).map(|before| way[before]) {
            None => path.push_str(&format!("M{}", point(stretch.x, stretch.top))),
            Some(before) => {
                let middle = (before.bottom + stretch.top) / 2.0;
                let (a, b) = (point(before.x, middle), point(stretch.x, middle));
                path.push_str(&format!("C{a} {b} {}", point(stretch.x, stretch.top)));
            }
        }
        if stretch.bottom - stretch.top > 0.05 {
            path.push_str(&format!("L{}", point(stretch.x, stretch.bottom)));
        }
    }
    path
}

/// A number with at most one digit behind the point.
fn number(n: f64) -> String {
    let text = format!("{n:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    if short == "-0" { "0".into() } else { short.to_owned() }
}

fn cut(text: &str, longest: usize) -> String {
    match text.chars().count() > longest {
        true => text.chars().take(longest - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// `text` for XML; what may not stand in XML at all, or could deceive, is left out.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            // Marks that reorder text: it could pass for another.
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}
