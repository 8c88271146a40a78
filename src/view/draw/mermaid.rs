//! The picture in the language of Mermaid, which code hosts draw inside Markdown.

use std::fmt::Write;

use super::{Node, Picture};

/// A flowchart with a subgraph for each node that holds others.
pub fn mermaid(picture: &Picture, title: &str) -> String {
    let title: String = title.chars().filter(|c| !c.is_control()).collect();
    let mut mermaid = format!("---\ntitle: {}\n---\nflowchart TD\n", serde_json::Value::from(title));
    let mut ids = 0;
    level(&mut mermaid, picture, 1, &mut ids);
    mermaid
}

/// Nodes are numbered: names may be words of the language, such as `end`.
fn level(mermaid: &mut String, picture: &Picture, depth: usize, ids: &mut usize) {
    let indent = "  ".repeat(depth);
    let mut names = Vec::with_capacity(picture.nodes.len());
    // Writing to text cannot fail.
    for node in &picture.nodes {
        let id = format!("n{ids}");
        *ids += 1;
        let label = label(node);
        match &node.inside {
            Some(inside) => {
                let _ = writeln!(mermaid, "{indent}subgraph {id}[{label}]");
                level(mermaid, inside, depth + 1, ids);
                let _ = writeln!(mermaid, "{indent}end");
            }
            None => {
                let (open, close) = match (&node.spread, &node.condition) {
                    (Some(_), _) => ("[[", "]]"),
                    (None, Some(_)) => ("{{", "}}"),
                    (None, None) if node.role.is_hook() => ("([", "])"),
                    (None, None) => ("(", ")"),
                };
                let _ = writeln!(mermaid, "{indent}{id}{open}{label}{close}");
            }
        }
        names.push(id);
    }
    for edge in &picture.edges {
        let (from, to) = (&names[edge.from], &names[edge.to]);
        let _ = match edge.is_order_only() {
            true => writeln!(mermaid, "{indent}{from} -.-> {to}"),
            false => {
                let mut outputs: Vec<_> = edge.carries.iter().map(|(output, _)| output.as_str()).collect();
                outputs.dedup();
                writeln!(mermaid, "{indent}{from} -->|{}| {to}", quoted(&outputs.join(", ")))
            }
        };
    }
}

fn label(node: &Node) -> String {
    let note = node.note().map_or_else(String::new, |note| format!("\n{note}"));
    quoted(&format!("{}{note}", node.label))
}

/// Text in quotes; what the language would take for its own is written as an entity.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("<br>"),
            '"' | '&' | '<' | '>' | '#' | '`' | '\\' => {
                let _ = write!(quoted, "#{};", u32::from(c));
            }
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
