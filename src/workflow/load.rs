//! From a path to a [`Workflow`]: reads the file, its imports and its sub-workflows, and reports every error
//! at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::notify::read_notify;
use super::diagnostic::{Diagnostic, FileId, SourceSpan, Sources, Span};
use super::documents::{Document, Texts};
use super::import::{Reading, import_paths};
use super::interface::read_inputs;
use super::label::read_label;
use super::link::{Linked, Scene, Tasks, link};
use super::one_task::TaskFile;
use super::policy::amounts;
use super::program_ref::{ProgramFacts, ProgramRef, path_of};
use super::reader::Reader;
use super::schedules::read_schedules;
use super::settings::{Setting, SettingTarget};
use super::source::{base_name, read_own_name};
use super::syntax::{self, Table};
use super::{Body, Node, Task, Workflow, keys};
use crate::core::run_request::{LockMode, RunRequest};

/// Maximum nesting depth of sub-workflows.
const MAX_SUB_WORKFLOW_DEPTH: usize = 32;
/// Maximum number of nodes of a workflow with those of its sub-workflows.
const MAX_NODES: usize = 1_000_000;

/// A workflow with what was found wrong in it. With diagnostics it is incomplete and must not be run.
pub struct LoadedWorkflow {
    /// `None` if the file could not be read at all.
    pub workflow: Option<Arc<Workflow>>,
    /// It and all of its sub-workflows.
    pub workflows: Vec<Arc<Workflow>>,
    /// Every file that was read.
    pub documents: Vec<Document>,
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the workflow file at `path` and everything it imports or runs; `settings` are policies that hold instead
/// of what it says, as in `tasks.train.timeout=2h`.
pub fn load(path: &Path, settings: &[String]) -> LoadedWorkflow {
    load_from(Texts::default(), path, settings)
}

/// Reads what a run was asked for: a workflow, or one task of a file as a workflow of that one node.
pub fn load_requested(texts: Texts, request: &RunRequest) -> LoadedWorkflow {
    let RunRequest { workflow, settings, task, python_env, .. } = request;
    read(texts, workflow, settings, task.as_deref(), python_env.as_deref())
}

/// Like [`load`], from `texts` instead of the disk.
pub fn load_from(texts: Texts, path: &Path, settings: &[String]) -> LoadedWorkflow {
    read(texts, path, settings, None, None)
}

/// Like [`load`], with the environment of all Python functions.
pub fn load_with(path: &Path, python_env: Option<&str>) -> LoadedWorkflow {
    read(Texts::default(), path, &[], None, python_env)
}

fn read(
    texts: Texts,
    path: &Path,
    settings: &[String],
    task: Option<&str>,
    python_env: Option<&str>,
) -> LoadedWorkflow {
    let mut loader = Loader::default();
    loader.reading.texts = texts;
    loader.reading.python_env = python_env.map(str::to_owned);
    for text in settings {
        match Setting::parse(text, &mut loader.reading.sources) {
            Ok(setting) => loader.reading.settings.push(setting),
            Err(diagnostic) => loader.reading.diagnostics.push(diagnostic),
        }
    }
    let main = match ProgramRef::of(path) {
        // Without one, what is wrong has been reported.
        Some(program) => loader.reading.read_program(&program).map(|main| loader.reading.texts.read(&main)),
        None => Some(loader.reading.texts.read(path)),
    };
    let workflow = match main {
        None => None,
        Some(Ok((absolute, text))) => match task {
            Some(task) => loader.one_task(path, absolute, text, task),
            None => loader.workflow(path, absolute, text),
        },
        Some(Err(problem)) => {
            loader.reading.diagnostics.push(Diagnostic::new(problem));
            None
        }
    };
    if loader.reading.diagnostics.is_empty() {
        loader.reading.diagnostics.extend(loader.reading.settings.iter().filter_map(Setting::unused));
    }
    loader.loaded(workflow)
}

/// Reads a workflow that a task wrote, as a file at `absolute` that messages call `shown`. As a sub-workflow it is not due by
/// itself; unlike others it may have no nodes.
pub(super) fn read_made(
    shown: &Path,
    absolute: PathBuf,
    text: &str,
    python_env: Option<&str>,
) -> LoadedWorkflow {
    let mut loader = Loader { may_be_empty: true, ..Loader::default() };
    loader.reading.python_env = python_env.map(str::to_owned);
    // It has no node of its own in the chain.
    loader.chain.push(PathBuf::new());
    let workflow = loader.workflow(shown, absolute, text.into());
    loader.loaded(workflow)
}

/// A library with what was found wrong in it.
pub struct LoadedLibrary {
    pub tasks: Vec<Arc<Task>>,
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the library file at `path` and everything it imports; `None` if it is none, or cannot be read.
pub fn load_library(path: &Path, python_env: Option<&str>) -> Option<LoadedLibrary> {
    let mut reading = Reading::default();
    reading.python_env = python_env.map(str::to_owned);
    let (absolute, text) = reading.texts.read(path).ok()?;
    if !is_library(&text) {
        return None;
    }
    let file = reading.task_file(path, absolute, text);
    let mut tasks = file.map(|file| file.tasks).unwrap_or_default();
    // Its own file was the first; those of other libraries are checked with their own.
    tasks.retain(|task| task.place.file == FileId(0));
    Some(LoadedLibrary { tasks, sources: reading.sources, diagnostics: reading.diagnostics })
}

#[derive(Default)]
struct Loader {
    reading: Reading,
    /// Workflows that have been read, by canonical path; `None` for one with errors that leave nothing to use.
    workflows: BTreeMap<PathBuf, Option<Arc<Workflow>>>,
    /// The workflows that are being read, from the outermost.
    chain: Vec<PathBuf>,
    /// Whether the outermost one may have no nodes.
    may_be_empty: bool,
}

impl Loader {
    /// What was read.
    fn loaded(self, workflow: Option<Arc<Workflow>>) -> LoadedWorkflow {
        let Reading { texts, sources, diagnostics, .. } = self.reading;
        let workflows = self.workflows.into_values().flatten().collect();
        LoadedWorkflow { workflow, workflows, documents: texts.into_documents(), sources, diagnostics }
    }

    /// `shown` is the path that messages show.
    fn workflow(&mut self, shown: &Path, absolute: PathBuf, text: Arc<str>) -> Option<Arc<Workflow>> {
        self.chain.push(absolute.clone());
        let workflow = self.read_workflow(shown, &absolute, &text).map(Arc::new);
        self.chain.pop();
        self.workflows.insert(absolute, workflow.clone());
        workflow
    }

    /// One task of a workflow or library file; the rest of the file has to be sound as well.
    fn one_task(
        &mut self,
        shown: &Path,
        absolute: PathBuf,
        text: Arc<str>,
        name: &str,
    ) -> Option<Arc<Workflow>> {
        let mut found = None;
        let file = match is_library(&text) {
            true => self.reading.task_file(shown, absolute.clone(), text)?,
            false => {
                let workflow = self.workflow(shown, absolute.clone(), text)?;
                let file = TaskFile {
                    path: workflow.path.clone(),
                    name: workflow.name.clone(),
                    tasks: workflow.tasks.clone(),
                };
                found = Some(workflow);
                file
            }
        };
        let one = match file.find(name) {
            Ok(task) => file.workflow_of(task),
            Err(diagnostic) => {
                self.reading.diagnostics.push(*diagnostic);
                return None;
            }
        };
        let one = Arc::new(match found {
            Some(around) => Workflow {
                project: around.project.clone(),
                domain: around.domain.clone(),
                resources: around.resources.clone(),
                ..one
            },
            None => one,
        });
        // What else the file would run takes no part.
        self.workflows = BTreeMap::from([(absolute, Some(one.clone()))]);
        Some(one)
    }

    fn read_workflow(&mut self, path: &Path, absolute: &Path, text: &Arc<str>) -> Option<Workflow> {
        let dir = absolute.parent().unwrap_or(Path::new("/"));
        let file = self.reading.sources.add(path, text.clone());
        let (tree, errors) = syntax::parse_within(text, file, &self.reading.budget);
        if !errors.is_empty() {
            // Errors that follow from broken syntax would be noise: a task that seems to be missing, and the like.
            self.reading.diagnostics.extend(errors);
            return None;
        }
        let mut reader = Reader::within(file, self.reading.budget.clone());
        reader.program = ProgramFacts::of(absolute, &tree);
        if tree.get("workflow").is_none() && tree.get("library").is_some() {
            let help = "a library holds tasks for workflows that import it: name one of those, or one task with --task; \
                        runner check FILE checks it";
            let span = tree.get("library").map_or(Span::default(), |item| item.span);
            reader.report(
                Diagnostic::at(reader.place(span), "this file is a library, not a workflow", "").help(help),
            );
            self.reading.diagnostics.extend(reader.into_diagnostics());
            return None;
        }
        reader.check_keys(&tree, keys::FILE, "the workflow file");
        let header = reader.table(&tree, "workflow");
        if let Some(table) = header {
            reader.check_keys(table, keys::WORKFLOW, "[workflow]");
        }
        let name = read_own_name(&mut reader, &tree, header, "workflow");
        if let Err(other) = self.reading.claim(&name, absolute) {
            let message = format!("this workflow and {} are both called `{name}`", other.display());
            let span = header.and_then(|t| t.get("name")).map_or(Span::default(), |item| item.span);
            reader.error(span, message, "their tasks would share one name");
        }
        let imports = import_paths(&mut reader, &tree);
        let label = |reader: &mut Reader, key| header.and_then(|t| read_label(reader, t, key));
        let (project, domain) = (label(&mut reader, "project"), label(&mut reader, "domain"));
        let exclusive = header.and_then(|t| match reader.choice(t, "exclusive", &["skip", "wait"])? {
            "wait" => Some(LockMode::Wait),
            _ => Some(LockMode::Skip),
        });
        let keeps_going = reader.program.is_some()
            && header.is_some_and(|t| reader.text(t, "failure_policy") == Some("continue"));
        let description = header.and_then(|t| reader.text(t, "description")).map(str::to_owned);
        let inputs = read_inputs(&mut reader, &tree, dir, "the workflow", keys::WORKFLOW_INPUT);
        let mut resources: BTreeMap<_, _> = amounts(&mut reader, &tree, "resources").into_iter().collect();
        let mut tasks = Tasks::default();
        for (own, task) in self.reading.read_tasks(&mut reader, &tree, dir, &name, self.chain.len() == 1) {
            tasks.add(own, task);
        }
        // A workflow that is run by another one is not due by itself.
        let schedules = match self.chain.len() {
            1 => read_schedules(&mut reader, &tree, dir, &inputs),
            _ => Vec::new(),
        };
        let notify = match self.chain.len() {
            1 => read_notify(&mut reader, &tree, false),
            _ => Vec::new(),
        };
        let imports = self.reading.import(imports, file, dir, &mut vec![absolute.to_owned()]);
        self.reading.add_imported(&imports, &mut tasks);
        let workflows = self.sub_workflows(&mut reader, &tree, file, dir);
        let scene = Scene { dir, inputs: &inputs, tasks: &tasks, workflows: &workflows };
        let Linked { mut nodes, outputs, on_failure, on_success } = link(&mut reader, &tree, header, &scene);
        if self.chain.len() == 1 {
            self.set_in_nodes(&mut nodes);
        }
        if nodes.is_empty() && !self.may_be_empty && reader.diagnostics.is_empty() {
            reader.report(
                Diagnostic::new(format!("{} has no nodes: there is nothing to run", path.display()))
                    .help("add [nodes.NAME] with task = \"...\""),
            );
        }
        let hooks = [on_failure, on_success].into_iter().flatten().collect::<BTreeSet<_>>().len();
        if hooks == nodes.len() && hooks > 0 && reader.diagnostics.is_empty() {
            let message =
                format!("{} has no nodes but those that run last: there is nothing to run", path.display());
            reader.report(Diagnostic::new(message));
        }
        for node in &nodes {
            if let Body::Workflow(inner) = &node.body {
                for (resource, amount) in &inner.resources {
                    // The outer file wins.
                    resources.entry(resource.clone()).or_insert(*amount);
                }
            }
        }
        let all = nodes.iter().map(Node::size).fold(0, usize::saturating_add);
        if all > MAX_NODES {
            let message = format!(
                "{} has {all} nodes with its sub-workflows, and at most {MAX_NODES} can be run",
                path.display()
            );
            reader.report(Diagnostic::new(message));
        }
        self.reading.diagnostics.extend(reader.into_diagnostics());
        Some(Workflow {
            path: path_of(absolute).unwrap_or_else(|| absolute.to_owned()),
            name,
            description,
            project,
            domain,
            inputs,
            tasks: tasks.all,
            size: all,
            nodes,
            outputs,
            resources,
            exclusive,
            keeps_going,
            schedules,
            notify,
            on_failure,
            on_success,
        })
    }

    fn set_in_nodes(&mut self, nodes: &mut [Node]) {
        for setting in &mut self.reading.settings {
            let SettingTarget::Node(name) = &setting.target else { continue };
            let Some(node) = nodes.iter_mut().find(|node| *node.name == **name) else { continue };
            let Some(execution) = node.execution().cloned() else { continue };
            node.execution = Some(Box::new(setting.apply_to_node(&execution, &mut self.reading.diagnostics)));
        }
    }

    /// Reads the workflows that nodes of this file run. By node; `None` for one that cannot be used, which is
    /// reported.
    fn sub_workflows(
        &mut self,
        reader: &mut Reader,
        tree: &Table,
        file: FileId,
        dir: &Path,
    ) -> HashMap<String, Option<Arc<Workflow>>> {
        let mut found = HashMap::new();
        for entry in reader.tables(tree, "nodes") {
            if entry.table.get("workflow").is_none() {
                continue;
            }
            let named = reader.text_item(entry.table, "workflow").map(|(name, span)| (name.to_owned(), span));
            let workflow = named.and_then(|(name, span)| {
                self.sub_workflow(&name, SourceSpan { file, span }, dir)
                    .map_err(|diagnostic| diagnostic.into_iter().for_each(|d| reader.report(*d)))
                    .ok()
            });
            found.insert(entry.key.name.to_string(), workflow);
        }
        found
    }

    /// One sub-workflow; the error is what is wrong with naming it here, if its own file does not say.
    fn sub_workflow(
        &mut self,
        name: &str,
        place: SourceSpan,
        dir: &Path,
    ) -> Result<Arc<Workflow>, Option<Box<Diagnostic>>> {
        let path = dir.join(name);
        let wrong = |message: String, label: &str, help: String| {
            let diagnostic = Diagnostic::at(place, message, label);
            Some(Box::new(if help.is_empty() { diagnostic } else { diagnostic.help(help) }))
        };
        let (absolute, text) = self.reading.texts.read(&path).map_err(|problem| {
            let help = format!("sub-workflows are relative to {}", dir.display());
            wrong(format!("the sub-workflow cannot be read: {problem}"), "run here", help)
        })?;
        if let Some(start) = self.chain.iter().position(|file| *file == absolute) {
            let files: Vec<_> = self.chain[start..].iter().chain([&absolute]).map(|f| base_name(f)).collect();
            let message = format!("a workflow cannot run itself: {}", files.join(" runs "));
            return Err(wrong(message, "leads back", String::new()));
        }
        if let Some(known) = self.workflows.get(&absolute) {
            return known.clone().ok_or(None);
        }
        if self.chain.len() >= MAX_SUB_WORKFLOW_DEPTH {
            let message = format!("sub-workflows nest more than {MAX_SUB_WORKFLOW_DEPTH} deep");
            return Err(wrong(message, "too deep", String::new()));
        }
        let shown = self.reading.sources.path(place.file).parent().unwrap_or(Path::new("")).join(name);
        self.workflow(&shown, absolute, text).ok_or(None)
    }
}

/// Whether a file is a library, as far as it can be read.
fn is_library(text: &Arc<str>) -> bool {
    let mut scratch = Sources::default();
    let file = scratch.add(Path::new(""), text.clone());
    let (tree, errors) = syntax::parse(text, file);
    errors.is_empty() && tree.get("workflow").is_none() && tree.get("library").is_some()
}
