//! From a path to a [`Workflow`]: reads the file and its imports, and reports every mistake at once.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, FileId, Place, Sources, Span};
use super::keys;
use super::link::{Linked, Tasks, link};
use super::policy::amounts;
use super::reader::Reader;
use super::spec::{TaskContext, read_defaults, read_inputs, read_task};
use super::syntax::{self, Table};
use super::{Workflow, is_name};

/// The largest file that is read, in bytes: 64 MiB, some 500,000 nodes.
const LARGEST: u64 = 64 << 20;

/// A workflow with what was found wrong in it. With diagnostics it is incomplete and must not be run.
pub struct Loaded {
    /// `None` if the file could not be read at all.
    pub workflow: Option<Workflow>,
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
    /// Where each node stands.
    pub places: Vec<Place>,
}

/// Reads the workflow file at `path` and everything it imports.
pub fn load(path: &Path) -> Loaded {
    let mut loader = Loader::default();
    let read = loader.workflow(path);
    let (workflow, places) = read.map_or((None, Vec::new()), |(workflow, places)| (Some(workflow), places));
    Loaded { workflow, places, sources: loader.sources, diagnostics: loader.diagnostics }
}

#[derive(Default)]
struct Loader {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    tasks: Tasks,
    /// Libraries that have been read: canonical path to name.
    libraries: BTreeMap<PathBuf, String>,
}

impl Loader {
    fn workflow(&mut self, path: &Path) -> Option<(Workflow, Vec<Place>)> {
        let text = match read_text(path) {
            Ok(text) => text,
            Err(problem) => {
                self.diagnostics.push(Diagnostic::new(problem));
                return None;
            }
        };
        let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dir = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let file = self.sources.add(path, text.clone());
        let (tree, errors) = syntax::parse(&text, file);
        if !errors.is_empty() {
            // What follows from broken syntax would be noise: a task that seems to be missing, and the like.
            self.diagnostics.extend(errors);
            return None;
        }
        let mut reader = Reader::new(file);
        if tree.get("workflow").is_none() && tree.get("library").is_some() {
            let help = "a library holds tasks for workflows that import it; name one of those";
            let span = tree.get("library").map_or(Span::default(), |item| item.span);
            reader.report(
                Diagnostic::at(reader.place(span), "this file is a library, not a workflow", "").help(help),
            );
            self.diagnostics.extend(reader.diagnostics);
            return None;
        }
        reader.check_keys(&tree, keys::FILE, "the workflow file");
        let header = reader.table(&tree, "workflow");
        if let Some(table) = header {
            reader.check_keys(table, keys::WORKFLOW, "[workflow]");
        }
        let name = read_own_name(&mut reader, &tree, header, "workflow");
        let imports = import_paths(&mut reader, &tree);
        let label = |reader: &mut Reader, key| header.and_then(|t| read_label(reader, t, key));
        let (project, domain) = (label(&mut reader, "project"), label(&mut reader, "domain"));
        let description = header.and_then(|t| reader.text(t, "description")).map(str::to_owned);
        let inputs = read_inputs(&mut reader, &tree, &dir, "the workflow");
        let resources = amounts(&mut reader, &tree, "resources").into_iter().collect();
        self.read_tasks(&mut reader, &tree, &dir, &name, None);
        self.import(imports, file, &dir, &mut vec![absolute.clone()]);
        if let Some((library, _)) = self.libraries.iter().find(|(_, library)| **library == name) {
            let message =
                format!("the workflow and the library {} are both called `{name}`", library.display());
            let span = header.and_then(|t| t.get("name")).map_or(Span::default(), |item| item.span);
            reader.error(span, message, "their tasks would share one name");
        }
        let Linked { nodes, places, outputs } = link(&mut reader, &tree, &dir, &inputs, &self.tasks);
        if nodes.is_empty() && reader.diagnostics.is_empty() {
            reader.report(
                Diagnostic::new(format!("{} has no nodes: there is nothing to run", path.display()))
                    .help("add [nodes.NAME] with task = \"...\""),
            );
        }
        self.diagnostics.extend(reader.diagnostics);
        let tasks = std::mem::take(&mut self.tasks.all);
        let workflow = Workflow {
            path: absolute,
            name,
            description,
            project,
            domain,
            inputs,
            tasks,
            nodes,
            outputs,
            resources,
        };
        Some((workflow, places))
    }

    /// Reads `[tasks]`; those of a library are used by their qualified name.
    fn read_tasks(
        &mut self,
        reader: &mut Reader,
        tree: &Table,
        dir: &Path,
        owner: &str,
        library: Option<&str>,
    ) {
        let (execution, cache) = read_defaults(reader, tree);
        let context = TaskContext { owner, dir, execution, cache };
        for entry in reader.tables(tree, "tasks") {
            if let Some(task) = read_task(reader, &context, entry) {
                let used_as = match library {
                    Some(library) => format!("{library}.{}", entry.key.name),
                    None => entry.key.name.to_string(),
                };
                self.tasks.by_name.insert(used_as, self.tasks.all.len() as u32);
                self.tasks.all.push(Arc::new(task));
            }
        }
    }

    /// Reads libraries that `from` imports; `chain` holds the files that are being read.
    fn import(&mut self, imports: Vec<(String, Span)>, from: FileId, dir: &Path, chain: &mut Vec<PathBuf>) {
        for (name, span) in imports {
            let path = dir.join(&name);
            let place = Place { file: from, span };
            let text = match read_text(&path) {
                Ok(text) => text,
                Err(problem) => {
                    let help = format!("imports are relative to {}", dir.display());
                    self.diagnostics.push(
                        Diagnostic::at(
                            place,
                            format!("the import cannot be read: {problem}"),
                            "imported here",
                        )
                        .help(help),
                    );
                    continue;
                }
            };
            let absolute = std::fs::canonicalize(&path).unwrap_or(path.clone());
            if let Some(start) = chain.iter().position(|file| *file == absolute) {
                let files: Vec<_> = chain[start..].iter().chain([&absolute]).map(|f| base_name(f)).collect();
                let message = format!("an import cycle: {}", files.join(" imports "));
                self.diagnostics.push(Diagnostic::at(place, message, "leads back"));
                continue;
            }
            if self.libraries.contains_key(&absolute) {
                continue;
            }
            let shown = self.sources.path(from).parent().unwrap_or(Path::new("")).join(&name);
            self.library(&shown, absolute, text, place, chain);
        }
    }

    fn library(
        &mut self,
        shown: &Path,
        path: PathBuf,
        text: Arc<str>,
        place: Place,
        chain: &mut Vec<PathBuf>,
    ) {
        let file = self.sources.add(shown, text.clone());
        let (tree, errors) = syntax::parse(&text, file);
        if !errors.is_empty() {
            self.diagnostics.extend(errors);
            return;
        }
        let mut reader = Reader::new(file);
        if tree.get("library").is_none() {
            let (message, help) = match tree.get("workflow") {
                Some(_) => (
                    "the import is a workflow, not a library",
                    "move the shared tasks into a file with [library]",
                ),
                None => ("the imported file has no [library]", "add [library] with name = \"...\" to it"),
            };
            self.diagnostics.push(Diagnostic::at(place, message, "imported here").help(help));
            return;
        }
        reader.check_keys(&tree, keys::LIBRARY_FILE, "the library file");
        let header = reader.table(&tree, "library");
        if let Some(table) = header {
            reader.check_keys(table, keys::LIBRARY, "[library]");
        }
        let name = read_own_name(&mut reader, &tree, header, "library");
        if let Some((other, _)) = self.libraries.iter().find(|(_, library)| **library == name) {
            let message = format!("two imported libraries are called `{name}`");
            self.diagnostics.push(
                Diagnostic::at(place, message, "the second one")
                    .help(format!("the first is {}", other.display())),
            );
            return;
        }
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.libraries.insert(path.clone(), name.clone());
        self.read_tasks(&mut reader, &tree, &dir, &name, Some(&name));
        let imports = import_paths(&mut reader, &tree);
        self.diagnostics.extend(reader.diagnostics);
        chain.push(path);
        self.import(imports, file, &dir, chain);
        chain.pop();
    }
}

fn import_paths(reader: &mut Reader, tree: &Table) -> Vec<(String, Span)> {
    let paths = reader.texts(tree, "import").unwrap_or_default();
    paths.into_iter().map(|(path, span)| (path.to_owned(), span)).collect()
}

/// `name` of `[workflow]` or `[library]`; empty if there is none that can be used.
fn read_own_name(reader: &mut Reader, tree: &Table, header: Option<&Table>, section: &str) -> String {
    let Some(table) = header else {
        if tree.get(section).is_none() {
            let diagnostic =
                Diagnostic::at(reader.place(Span::default()), format!("there is no [{section}]"), "");
            reader.report(
                diagnostic.help(format!("begin the file with\n\n    [{section}]\n    name = \"...\"")),
            );
        }
        return String::new();
    };
    if table.get("name").is_none() {
        let span = tree.get(section).map_or(Span::default(), |item| item.span);
        reader.error(span, format!("[{section}] has no name"), "add name = \"...\"");
        return String::new();
    }
    let Some((name, span)) = reader.text_item(table, "name") else { return String::new() };
    if !is_name(name, true) {
        let message = format!("`{name}` cannot be the name of a {section}");
        let diagnostic = Diagnostic::at(reader.place(span), message, "not allowed")
            .help("use lower-case letters, digits, `_` and `-`, beginning with a letter");
        reader.report(diagnostic);
    }
    name.to_owned()
}

fn read_label(reader: &mut Reader, table: &Table, key: &str) -> Option<String> {
    let (text, span) = reader.text_item(table, key)?;
    if let Err(problem) = check_label(text) {
        reader.error(span, format!("`{key}` {problem}"), "not usable");
    }
    Some(text.to_owned())
}

/// Whether `text` can be the name of a project or domain.
pub fn check_label(text: &str) -> Result<(), String> {
    match text {
        "" => Err("must not be empty".into()),
        text if text.len() > 200 => Err("must not be longer than 200 bytes".into()),
        text if text.chars().any(char::is_control) => Err("must not hold control characters".into()),
        _ => Ok(()),
    }
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Reads a text file; the error is a sentence that names the path.
fn read_text(path: &Path) -> Result<Arc<str>, String> {
    let shown = path.display();
    let describe = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {shown}"),
        std::io::ErrorKind::PermissionDenied => format!("no permission to read {shown}"),
        _ => format!("cannot read {shown}: {error}"),
    };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(describe)?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory; a workflow file was expected"));
    }
    if !metadata.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    if metadata.len() > LARGEST {
        let mebibytes = metadata.len() >> 20;
        return Err(format!("{shown} has {mebibytes} MiB; at most {} MiB are read", LARGEST >> 20));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    let file = std::fs::File::open(path).map_err(describe)?;
    file.take(LARGEST).read_to_end(&mut bytes).map_err(describe)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{shown} is not UTF-8: line {line} has a byte that is no text")
    })?;
    Ok(text.into())
}
