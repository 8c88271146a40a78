//! Outputs that are published where one would not look for them.

use super::Lint;
use crate::workflow::Workflow;
use crate::workflow::diagnostic::Diagnostic;

/// Outputs whose path lies outside of the workflow's folder.
pub fn outside(workflow: &Workflow) -> Vec<Lint> {
    let placed = workflow
        .outputs
        .iter()
        .filter_map(|output| Some((output, output.path.as_deref()?, output.path_place?)));
    let outside = placed.filter(|(_, path, _)| !path.starts_with(workflow.dir()));
    let lint = |(output, path, place): (&crate::workflow::Published, &std::path::Path, _)| {
        let message = format!(
            "output `{}` is published outside the workflow's folder, at {}",
            output.name,
            path.display()
        );
        let diagnostic = Diagnostic::warning(place, message, "outside")
            .help("a path below the folder of the workflow file moves with it");
        Lint { name: "published-outside", diagnostic }
    };
    outside.map(lint).collect()
}
