//! The picture in the language of Graphviz.

use std::fmt::Write;

use super::{Node, Picture};

/// A directed graph with a cluster for each node that holds others.
pub fn dot(picture: &Picture, title: &str) -> String {
    let mut dot = format!("digraph {} {{\n", quoted(title));
    dot.push_str("  compound=true;\n  node [shape=box, style=rounded, fontname=monospace];\n");
    dot.push_str("  edge [fontname=monospace, fontsize=9];\n");
    level(&mut dot, picture, 1);
    dot.push_str("}\n");
    dot
}

fn level(dot: &mut String, picture: &Picture, depth: usize) {
    let indent = "  ".repeat(depth);
    // Writing to text cannot fail.
    for node in &picture.nodes {
        let about = format!("tooltip={}", quoted(&node.lines().join("\n")));
        match &node.inside {
            Some(inside) => {
                let _ = writeln!(dot, "{indent}subgraph {} {{", quoted(&cluster(node)));
                let _ = writeln!(dot, "{indent}  label={}; {about};", quoted(&label(node)));
                if inside.nodes.is_empty() {
                    let _ = writeln!(dot, "{indent}  {} [style=invis];", quoted(&node.name));
                }
                level(dot, inside, depth + 1);
                let _ = writeln!(dot, "{indent}}}");
            }
            None => {
                let mut style = vec!["rounded"];
                style.extend(node.condition.is_some().then_some("dashed"));
                style.extend(node.role.is_hook().then_some("dotted"));
                let stack = if node.spread.is_some() { ", peripheries=2" } else { "" };
                let _ = writeln!(
                    dot,
                    "{indent}{} [label={}, style={}{stack}, {about}];",
                    quoted(&node.name),
                    quoted(&label(node)),
                    quoted(&style.join(","))
                );
            }
        }
    }
    for edge in &picture.edges {
        let (from, to) = (&picture.nodes[edge.from], &picture.nodes[edge.to]);
        // Edges join nodes, so those of a cluster end at one of its nodes and are cut at its rim.
        let mut about: Vec<String> = Vec::new();
        if edge.is_order_only() {
            about.push("style=dashed".into());
        } else {
            let carried: Vec<_> = edge.carries.iter().map(|(output, input)| carries(output, input)).collect();
            about.push(format!("label={}", quoted(&carried.join("\n"))));
        }
        about.extend(from.inside.as_ref().map(|_| format!("ltail={}", quoted(&cluster(from)))));
        about.extend(to.inside.as_ref().map(|_| format!("lhead={}", quoted(&cluster(to)))));
        let (from, to) = (quoted(anchor(from, true)), quoted(anchor(to, false)));
        let _ = writeln!(dot, "{indent}{from} -> {to} [{}];", about.join(", "));
    }
}

fn carries(output: &str, input: &str) -> String {
    if output == input { output.to_owned() } else { format!("{output} → {input}") }
}

fn cluster(node: &Node) -> String {
    format!("cluster {}", node.name)
}

/// The name of the node that stands for a cluster at the ends of edges.
fn anchor(node: &Node, last: bool) -> &str {
    let inside = node.inside.as_ref();
    let end = inside.and_then(|inside| if last { inside.nodes.last() } else { inside.nodes.first() });
    end.map_or(&node.name, |end| anchor(end, last))
}

fn label(node: &Node) -> String {
    let mut label = node.label.clone();
    if let Some(note) = node.note() {
        label.push_str(&format!("\n{note}"));
    }
    label
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
