//! A home folder that lies inside a folder that tasks read: what a run writes there changes its own input, so that nothing
//! that depends on it is ever stored.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::open::Opened;
use crate::workflow::binding::Binding;
use crate::workflow::definition::sources_of;
use crate::workflow::lint::tasks;

/// A warning for each folder or set of sources that holds `home`; `inputs` are the bindings of the workflow's inputs.
pub fn home_inside(opened: &Opened, inputs: &[Binding], home: &Path) -> Vec<String> {
    let Ok(home) = fs::canonicalize(home) else { return Vec::new() };
    let holds_home = |path: &Path| {
        let folder = fs::canonicalize(path).ok()?;
        home.starts_with(&folder).then_some(folder)
    };
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    let mut note = |path: &Path, is_dir: bool, what: &dyn Fn() -> String| {
        if is_dir
            && let Some(folder) = holds_home(path)
            && !found.iter().any(|(known, _)| *known == folder)
        {
            found.push((folder, what()));
        }
    };
    for (input, binding) in opened.workflow.inputs.iter().zip(inputs) {
        binding.for_each_path(&input.ty, &mut |path, is_dir| {
            note(path, is_dir, &|| format!("workflow input `{}`", input.name));
        });
    }
    for node in opened.workflows.iter().flat_map(|workflow| &workflow.nodes) {
        for (i, binding) in node.inputs.iter().enumerate() {
            binding.for_each_path(&node.bound_type(i), &mut |path, is_dir| {
                note(path, is_dir, &|| {
                    format!("input `{}` of node `{}`", node.body.inputs()[i].name, node.name)
                });
            });
        }
    }
    for task in tasks(&opened.workflows) {
        let is_near = || {
            task.sources.iter().any(|source| source.staged_as.is_some()) || holds_home(&task.dir).is_some()
        };
        if task.sources.is_empty() || !is_near() {
            continue;
        }
        let sources = sources_of(&task).unwrap_or_default();
        let inside =
            |path: &Path| fs::canonicalize(task.dir.join(path)).is_ok_and(|path| path.starts_with(&home));
        if sources.iter().any(|source| inside(&source.path)) {
            found.push((task.dir.clone(), format!("`sources` of task `{}`", task.name)));
        }
    }
    let warning = |(folder, what): (PathBuf, String)| {
        format!(
            "the home folder {} lies inside {}, which {what} reads: each run changes it, so that no result that depends on it \
             is stored. Keep the home elsewhere (--home or RUNNER_HOME), or name a folder without it",
            home.display(),
            folder.display()
        )
    };
    found.into_iter().map(warning).collect()
}
