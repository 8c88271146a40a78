//! Text that looks as if something were filled in, where nothing is: `~` and variables in paths and in `env`, blocks and
//! comments of templates, templates in paths.

use super::Lint;
use super::commands::short;
use crate::workflow::binding::Binding;
use crate::workflow::diagnostic::{Diagnostic, SourceSpan};
use crate::workflow::places::Places;
use crate::workflow::{Capture, Task, TaskCommand, Workflow};

/// Words that a block of Jinja begins with.
const BLOCKS: [&str; 14] = [
    "if", "elif", "else", "endif", "for", "endfor", "set", "endset", "macro", "block", "include", "raw",
    "with", "filter",
];

/// The warnings about a workflow's nodes and outputs.
pub fn of_workflow(workflow: &Workflow, places: &Places) -> Vec<Lint> {
    let mut lints = Vec::new();
    for node in &workflow.nodes {
        let name = &*node.name;
        for keys in [&["nodes", name, "inputs"][..], &["nodes", name, "if"]] {
            blocks(places, keys, &format!("node `{name}`"), &mut lints);
        }
        for (i, binding) in node.inputs.iter().enumerate() {
            let input = &*node.body.inputs()[i].name;
            if let Binding::Template(template) = binding
                && node.bound_type(i).holds_files()
                && let Some(literal) = expansion(template.source())
            {
                let keys = ["nodes", name, "inputs", input];
                let place = places.place(&keys).unwrap_or(node.place);
                lints.push(literal_path(
                    place,
                    &literal,
                    &format!("the path of input `{input}` of node `{name}`"),
                ));
            }
        }
    }
    for output in &workflow.outputs {
        blocks(places, &["outputs", &output.name], &format!("output `{}`", output.name), &mut lints);
        if let (Some(path), Some(place)) = (&output.path, output.path_place) {
            let written = path.strip_prefix(workflow.dir()).unwrap_or(path).to_string_lossy();
            path_text(&written, place, &format!("the path of output `{}`", output.name), &mut lints);
        }
    }
    lints
}

/// The warnings about a task.
pub fn of_task(task: &Task, places: &Places) -> Vec<Lint> {
    let mut lints = Vec::new();
    let name = short(task);
    for key in ["argv", "args"] {
        blocks(places, &["tasks", name, key], &format!("task `{name}`"), &mut lints);
    }
    if let TaskCommand::Script { script, .. } = &task.command
        && let Some(block) = block(script).filter(|block| block.starts_with("{%"))
    {
        let place = places.part(&["tasks", name, "run"], block).unwrap_or(task.place);
        let message = format!("`{block}` in `run` of task `{name}` stays as it is: scripts are no templates");
        let diagnostic = Diagnostic::warning(place, message, "not filled in")
            .help("use what the shell has: inputs are variables, as in if [ \"$x\" = a ]; then ...");
        lints.push(Lint { name: "template-in-script", diagnostic });
    }
    for (variable, value) in &task.env {
        let Some(literal) = expansion(value) else { continue };
        let place = [&["tasks", name, "env", variable][..], &["defaults", "env", variable]]
            .iter()
            .find_map(|keys| places.place(keys))
            .unwrap_or(task.place);
        let message = format!("`{literal}` in `env.{variable}` of task `{name}` is taken literally");
        let diagnostic = Diagnostic::warning(place, message, "not filled in").help(format!(
            "values of env are plain text: set the variable in `run`, as in export {variable}=\"{value}\", or let it pass \
             with pass_env"
        ));
        lints.push(Lint { name: "literal-env", diagnostic });
    }
    for output in &task.outputs {
        if let Capture::Path(path) = &output.capture {
            let keys = ["tasks", name, "outputs", &*output.name, "path"];
            let place = places.place(&keys).unwrap_or(task.place);
            path_text(
                path,
                place,
                &format!("the path of output `{}` of task `{name}`", output.name),
                &mut lints,
            );
        }
    }
    lints
}

/// Warns of what stays literal in a path.
fn path_text(path: &str, place: SourceSpan, what: &str, lints: &mut Vec<Lint>) {
    if path.contains("{{") {
        let message = format!("{what} holds `{{{{`: a path is no template, and is taken literally");
        let diagnostic = Diagnostic::warning(place, message, "not filled in")
            .help("a path is fixed: publish a dir or list<file> whose entries have the names, or let a task write there");
        lints.push(Lint { name: "template-in-path", diagnostic });
    } else if let Some(literal) = expansion(path) {
        lints.push(literal_path(place, &literal, what));
    }
}

fn literal_path(place: SourceSpan, literal: &str, what: &str) -> Lint {
    let message = format!("`{literal}` in {what} is taken literally");
    let diagnostic = Diagnostic::warning(place, message, "not filled in").help(
        "nothing of a shell is filled in here: write the path out, or make it an input of the workflow",
    );
    Lint { name: "literal-path", diagnostic }
}

/// Warns of blocks and comments of templates in the texts under some keys.
fn blocks(places: &Places, keys: &[&str], what: &str, lints: &mut Vec<Lint>) {
    places.for_each_text(keys, &mut |text, place| {
        let Some(block) = block(text) else { return };
        let message =
            format!("`{block}` in {what} is taken literally: templates have `{{{{ expressions }}}}` only");
        let diagnostic = Diagnostic::warning(place, message, "not filled in")
            .help("write a choice as {{ a if CONDITION else b }}, and comments as # behind the value");
        lints.push(Lint { name: "template-block", diagnostic });
    });
}

/// The first block or comment of a template in `text`.
fn block(text: &str) -> Option<&str> {
    let is_block = |rest: &str| {
        let inside = rest[2..].trim_start_matches(['-', '+']).trim_start();
        let end = inside.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(inside.len());
        BLOCKS.contains(&&inside[..end]) && rest.contains("%}")
    };
    let found = text.match_indices('{').map(|(at, _)| &text[at..]).find_map(|rest| {
        let end = match () {
            () if rest.starts_with("{%") && is_block(rest) => rest.find("%}"),
            () if rest.starts_with("{#") => rest.find("#}"),
            () => None,
        };
        end.map(|end| &rest[..end + 2])
    })?;
    Some(found).filter(|block| !block.contains('\n'))
}

/// What a shell would fill in: `~` at the start of a path or of a part behind a colon, or a variable.
pub fn expansion(text: &str) -> Option<String> {
    if let Some(at) = text.find('$') {
        let name = text[at + 1..].trim_start_matches('{');
        let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Some(match text[at + 1..].starts_with('{') {
                true => format!("${{{}}}", &name[..length]),
                false => format!("${}", &name[..length]),
            });
        }
    }
    let is_home = |part: &str| part == "~" || part.starts_with("~/");
    text.split(':').any(is_home).then(|| "~".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_fill_in() {
        for (text, found) in [
            ("$HOME/bin:$PATH", Some("$HOME")),
            ("${DATA}/x", Some("${DATA}")),
            ("~/x", Some("~")),
            ("/bin:~/bin", Some("~")),
            ("a~/b", None),
            ("cost: 5$", None),
            ("$5", None),
            ("plain", None),
        ] {
            assert_eq!(expansion(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn blocks_and_comments_of_templates() {
        for (text, found) in [
            ("{% if x %}a{% endif %}", Some("{% if x %}")),
            ("a {%- for x in y %}", Some("{%- for x in y %}")),
            ("{# note #}", Some("{# note #}")),
            ("{%s}", None),
            ("{%d} of %}", None),
            ("${#array}", None),
            ("{{ x }}", None),
        ] {
            assert_eq!(block(text), found, "{text}");
        }
    }
}
