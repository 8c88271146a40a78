//! Patterns of files that match nothing.

use std::collections::BTreeSet;

use super::Lint;
use crate::workflow::Workflow;
use crate::workflow::binding::BoundGlob;
use crate::workflow::diagnostic::Diagnostic;
use crate::workflow::paths::find_files;

/// Patterns in bindings, conditions and defaults that match no file.
pub fn of_workflow(workflow: &Workflow) -> Vec<Lint> {
    let mut lints = Vec::new();
    let mut seen = BTreeSet::new();
    let mut visit = |glob: BoundGlob| {
        // A default is the binding of each node that says nothing else.
        let place = (glob.place.span.start, glob.place.span.end, glob.dir.to_owned());
        if !seen.insert(place) {
            return;
        }
        let found = match find_files(glob.dir, glob.pattern) {
            Ok(found) if found.is_empty() => format!("no file matches `{}`", glob.pattern),
            Ok(_) => return,
            Err(problem) => problem,
        };
        let help = format!("it is relative to {}; the list is empty", glob.dir.display());
        let diagnostic = Diagnostic::warning(glob.place, found, "nothing there").help(help);
        lints.push(Lint { name: "empty-glob", diagnostic });
    };
    let bound = workflow.nodes.iter().flat_map(|node| node.inputs.iter().chain(node.condition.as_deref()));
    let defaults = workflow.inputs.iter().filter_map(|input| input.default.as_ref());
    bound.chain(defaults).for_each(|binding| binding.for_each_glob(&mut visit));
    lints
}
