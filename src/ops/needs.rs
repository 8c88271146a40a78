//! What a run needs and does not have: secrets that are not set, resources without a provider, files that are not
//! there. Found before anything runs, all at once, each with its place.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open::Opened;
use crate::core::types::Type;
use crate::core::value::{Artifact, Value};
use crate::engine::reservation;
use crate::engine::schedule::pools::Pools;
use crate::storage::store::check_there;
use crate::workflow::binding::{self, Binding, Reference, ValueError};
use crate::workflow::diagnostic::{Diagnostic, FileId, Severity, SourceSpan};
use crate::workflow::graph::outline::OutlineNode;
use crate::workflow::graph::select::Role;
use crate::workflow::lint::{Lint, expansion};
use crate::workflow::places::Places;
use crate::workflow::{Body, Input, Task};

/// The name of a warning about a secret.
const UNSET: &str = "unset-secret";
/// The name of a warning about a resource that no node can get.
pub const UNPROVIDED: &str = "unprovided-resource";
/// The name of a warning about an input file.
const MISSING: &str = "missing-file";

/// The executors of nodes that do not run on this machine; may be empty.
type Executors<'e> = &'e [Option<Arc<str>>];

/// What is lacking of what a run of `opened` needs, as errors. `roles` says which nodes take part, and `inputs` has the
/// binding of each of the workflow's inputs that has one.
pub fn lacking(
    opened: &Opened,
    roles: &[Role],
    executors: Executors,
    inputs: &[Option<Binding>],
    pools: &Pools,
) -> Vec<Lint> {
    let mut survey = Survey {
        opened,
        places: RefCell::default(),
        checked: HashMap::new(),
        seen: HashSet::new(),
        lacking: Vec::new(),
    };
    survey.given_files(inputs);
    let idle = idle(opened, inputs);
    for (number, place) in opened.outline.places().enumerate() {
        let runs = roles[number] == Role::Run || place.is_hook() && place.parent.is_none();
        if runs && roles[number] != Role::Skip && !idle.contains(&number) {
            let executor = executors.get(number).and_then(Option::as_ref);
            survey.resources(&place, executor, pools);
            survey.files(&place);
            if let Some(task) = place.node().task() {
                survey.secrets(task);
            }
        }
    }
    survey.lacking
}

/// The nodes that will be skipped, because a condition over nothing but given inputs is false, and what depends on them.
fn idle(opened: &Opened, inputs: &[Option<Binding>]) -> BTreeSet<usize> {
    let outline = &opened.outline;
    let known = Known { inputs };
    let is_false = |place: &OutlineNode| {
        let condition = place.node().condition.as_deref().filter(|_| place.parent.is_none());
        condition.is_some_and(|condition| {
            matches!(condition.evaluate(&Type::Bool, &known), Ok(Value::Bool(false)))
        })
    };
    let mut next: Vec<usize> =
        outline.places().enumerate().filter(|(_, place)| is_false(place)).map(|(number, _)| number).collect();
    let mut idle = BTreeSet::new();
    while let Some(number) = next.pop() {
        if !idle.insert(number) {
            continue;
        }
        idle.extend(outline.inside(number));
        let node = outline.place(number).node as u32;
        next.extend(outline.dependents(number).into_iter().filter(|dependent| {
            let mut needs_it = false;
            outline.place(*dependent).node().for_each_dependency(&mut |other, tolerant| {
                needs_it |= other == node && !tolerant;
            });
            needs_it
        }));
    }
    idle
}

/// Values that were given as they are; nothing else is known before the run.
struct Known<'a> {
    inputs: &'a [Option<Binding>],
}

impl binding::Values for Known<'_> {
    fn get(&self, reference: Reference) -> Result<Value, ValueError> {
        match reference {
            Reference::Input(i) => match self.inputs.get(i as usize) {
                Some(Some(Binding::Literal(value))) => Ok(value.clone()),
                _ => Err(later()),
            },
            Reference::Output { .. } | Reference::Failure(_) => Err(later()),
        }
    }

    fn fingerprint(&self, _: &Path, _: bool) -> Result<Arc<Artifact>, ValueError> {
        Err(later())
    }

    fn glob(&self, _: &Path, _: &str) -> Result<Value, ValueError> {
        Err(later())
    }
}

fn later() -> ValueError {
    ValueError::Unknown("not known before the run".into())
}

struct Survey<'o> {
    opened: &'o Opened,
    places: RefCell<HashMap<FileId, Arc<Places<'o>>>>,
    /// What is wrong with a path, by path and kind.
    checked: HashMap<(PathBuf, bool), Option<String>>,
    /// What has been reported.
    seen: HashSet<(SourceSpan, String)>,
    lacking: Vec<Lint>,
}

impl<'o> Survey<'o> {
    fn places(&self, file: FileId) -> Arc<Places<'o>> {
        let mut places = self.places.borrow_mut();
        places.entry(file).or_insert_with(|| Arc::new(Places::of(&self.opened.sources, file))).clone()
    }

    fn report(&mut self, name: &'static str, diagnostic: Diagnostic) {
        let place = diagnostic.primary.as_ref().map(|(place, _)| *place).unwrap_or_default();
        if self.seen.insert((place, diagnostic.message.clone())) {
            self.lacking.push(Lint { name, diagnostic });
        }
    }

    fn secrets(&mut self, task: &Task) {
        for secret in task.secrets.iter().filter(|secret| std::env::var_os(secret).is_none()) {
            let short = short(task);
            let keys = ["tasks", short, "secrets"];
            let place = self.places(task.place.file).text(&keys, &|text| text == secret);
            let message = format!("the secret `{secret}` of task `{short}` is not set in the environment");
            let diagnostic = Diagnostic::at(place.unwrap_or(task.place), message, "not set")
                .help(format!("set it and start again: export {secret}=..."));
            self.report(UNSET, diagnostic);
        }
    }

    fn resources(&mut self, place: &OutlineNode, executor: Option<&Arc<str>>, pools: &Pools) {
        let node = place.node();
        let Some(execution) = node.execution() else { return };
        for unmet in pools.unmet(&reservation(executor, &execution.resources)) {
            let resource = unmet.resource.as_str();
            let at = self
                .places(node.place.file)
                .place(&["nodes", &node.name, "resources", resource])
                .or_else(|| {
                    let task = node.task()?;
                    let places = self.places(task.place.file);
                    places
                        .place(&["tasks", short(task), "resources", resource])
                        .or_else(|| places.place(&["defaults", "resources", resource]))
                });
            let message = format!("node `{}` can never run: {}", place.name(), unmet.message);
            let diagnostic =
                Diagnostic::at(at.unwrap_or(node.place), message, "asked for here").help(unmet.help);
            self.report(UNPROVIDED, diagnostic);
        }
    }

    /// The files that a node is bound to.
    fn files(&mut self, place: &OutlineNode) {
        let node = place.node();
        for (i, binding) in node.inputs.iter().enumerate() {
            let input = &node.body.inputs()[i];
            let mut paths = Vec::new();
            binding.for_each_path(&node.bound_type(i), &mut |path, is_dir| {
                paths.push((path.to_owned(), is_dir));
            });
            for (path, is_dir) in paths {
                let Some(problem) = self.problem(&path, is_dir) else { continue };
                let at = self.bound_at(place, &input.name, &path);
                let dir = at.1;
                let message = format!("input `{}` of node `{}`: {problem}", input.name, place.name());
                let diagnostic = Diagnostic::at(at.0, message, "not there");
                let help = literal_help(&path, &dir).unwrap_or_else(|| {
                    format!("a path in a workflow file is relative to the file's folder, {}", dir.display())
                });
                self.report(MISSING, diagnostic.help(help));
            }
        }
    }

    /// Where the path of an input is written, at a node or as a default of what it runs, and the folder of that file.
    fn bound_at(&self, place: &OutlineNode, input: &str, path: &Path) -> (SourceSpan, PathBuf) {
        let node = place.node();
        let dir = place.workflow.dir();
        let own = self.places(node.place.file).path(&["nodes", &node.name, "inputs", input], dir, path);
        if let Some(own) = own {
            return (own, dir.to_owned());
        }
        let default = match &node.body {
            Body::Task(task) => {
                let keys = ["tasks", short(task), "inputs", input];
                (self.places(task.place.file).path(&keys, &task.dir, path), task.dir.clone())
            }
            Body::Workflow(inner) => {
                let first = inner.nodes.first().map(|node| self.places(node.place.file));
                (
                    first.and_then(|first| first.path(&["inputs", input], inner.dir(), path)),
                    inner.dir().to_owned(),
                )
            }
        };
        (default.0.unwrap_or(node.place), default.1)
    }

    /// The files among the workflow's own inputs.
    fn given_files(&mut self, inputs: &[Option<Binding>]) {
        let workflow = self.opened.workflow.clone();
        for (input, binding) in workflow.inputs.iter().zip(inputs) {
            let mut paths = Vec::new();
            if let Some(binding) = binding {
                binding.for_each_path(&input.ty, &mut |path, is_dir| paths.push((path.to_owned(), is_dir)));
            }
            for (path, is_dir) in paths {
                let Some(problem) = self.problem(&path, is_dir) else { continue };
                let message = format!("workflow input `{}`: {problem}", input.name);
                let default = workflow.nodes.first().filter(|_| is_default(input, &path)).and_then(|node| {
                    let places = self.places(node.place.file);
                    places.path(&["inputs", &input.name], workflow.dir(), &path)
                });
                let diagnostic = match default {
                    Some(place) => Diagnostic::at(place, message, "not there").help(
                        literal_help(&path, workflow.dir()).unwrap_or_else(|| {
                            format!("this is the default; give another one with -i {}=PATH", input.name)
                        }),
                    ),
                    None => Diagnostic::new(message).help(literal_help(&path, &std::env::current_dir().unwrap_or_default()).unwrap_or_else(|| {
                        "a path given by -i is relative to the current folder, one in --inputs FILE to that file".into()
                    })),
                };
                self.report(MISSING, diagnostic);
            }
        }
    }

    fn problem(&mut self, path: &Path, is_dir: bool) -> Option<String> {
        let check = || check_there(path, is_dir).err().map(|error| error.to_string());
        self.checked.entry((path.to_owned(), is_dir)).or_insert_with(check).clone()
    }
}

fn is_default(input: &Input, path: &Path) -> bool {
    let mut found = false;
    if let Some(default) = &input.default {
        default.for_each_path(&input.ty, &mut |default, _| found |= default == path);
    }
    found
}

/// What to write in place of `~` and variables, which mean nothing in a path.
fn literal_help(path: &Path, dir: &Path) -> Option<String> {
    let written = path.strip_prefix(dir).unwrap_or(path);
    let literal = expansion(written.to_str()?)?;
    Some(format!(
        "`{literal}` is taken literally: nothing is filled in here; write the whole path, or give it with \
         -i NAME=\"$HOME/...\", where your shell fills it in"
    ))
}

/// The name that its file gives a task.
fn short(task: &Task) -> &str {
    task.name.rsplit('.').next().unwrap_or_default()
}

/// The same as warnings.
pub fn as_warnings(mut lints: Vec<Lint>) -> Vec<Lint> {
    lints.iter_mut().for_each(|lint| lint.diagnostic.severity = Severity::Warning);
    lints
}
