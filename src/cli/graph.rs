//! `runner graph`: a workflow as a picture.

use std::path::{Path, PathBuf};

use super::screen::{ColorChoice, print};
use super::{Failure, Outcome};
use crate::ops::open::open;
use crate::ops::picture::picture;
use crate::ops::user_file::write_user_file;
use crate::view::draw::dot::dot;
use crate::view::draw::mermaid::mermaid;
use crate::view::draw::svg::{MAX_NODES, svg};
use crate::view::text::graph;
use crate::view::text::style::Ink;

/// Draw the graph of a workflow
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner graph workflow.toml                 for the terminal
  runner graph workflow.toml -o graph.svg    for a browser, light or dark
  runner graph workflow.toml -o graph.mmd    for Markdown; .dot is for Graphviz")]
pub struct Args {
    /// The workflow file
    #[arg(value_name = "WORKFLOW")]
    workflow: PathBuf,
    /// The format [default: by the file name given to -o, else text]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Svg,
    Dot,
    Mermaid,
    Text,
}

impl Format {
    /// The format that a file's name asks for.
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Self::Svg),
            "dot" | "gv" => Some(Self::Dot),
            "mmd" | "mermaid" => Some(Self::Mermaid),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

pub fn run(args: Args, color: ColorChoice) -> Outcome {
    let format = match (args.format, &args.output) {
        (Some(format), _) => format,
        (None, None) => Format::Text,
        (None, Some(path)) => Format::of(path).ok_or_else(|| {
            let path = path.display();
            Failure::usage(format!(
                "-o {path}: what is to be written there? name it .svg, .dot, .mmd or .txt, or give --format"
            ))
        })?,
    };
    let workflow = open(&args.workflow, &[])?.workflow;
    let (picture, title) = (picture(&workflow), &workflow.name);
    let text = match format {
        Format::Text => graph::render(&picture, title, Ink(args.output.is_none() && color.on_stdout())),
        Format::Dot => dot(&picture, title),
        Format::Mermaid => mermaid(&picture, title),
        Format::Svg => svg(&picture, title).ok_or_else(|| {
            Failure::usage(format!(
                "{}: it has {} nodes, and a drawing of more than {MAX_NODES} cannot be read; use --format text or dot",
                args.workflow.display(),
                picture.size()
            ))
        })?,
    };
    match &args.output {
        None => print(&text),
        Some(path) => write_user_file(path, |file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?,
    }
    Ok(())
}
