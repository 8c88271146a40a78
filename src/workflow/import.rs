//! Libraries: read once each, however many workflows of a run import them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::budget::{Budget, Resource};
use super::defaults::Defaults;
use super::diagnostic::{Diagnostic, FileId, SourceSpan, Sources, Span};
use super::documents::Texts;
use super::functions::{FunctionSearch, Functions};
use super::link::Tasks;
use super::one_task::TaskFile;
use super::reader::Reader;
use super::settings::{Setting, SettingTarget};
use super::source::{base_name, read_own_name};
use super::spec::{TaskContext, read_task};
use super::syntax::{self, Table};
use super::{Task, keys};

/// A library that has been read.
pub struct Library {
    pub name: String,
    /// By their own names.
    tasks: Vec<(String, Arc<Task>)>,
    /// Libraries that importers of this one get as well.
    imports: Vec<PathBuf>,
}

/// The files read so far, and the errors in them.
#[derive(Default)]
pub struct Reading {
    pub texts: Texts,
    pub sources: Sources,
    /// What all files together may hold.
    pub budget: Rc<Budget>,
    pub diagnostics: Vec<Diagnostic>,
    /// Policies from the command line.
    pub settings: Vec<Setting>,
    /// The environment of all Python functions, from the command line.
    pub python_env: Option<String>,
    /// Libraries, by canonical path.
    libraries: BTreeMap<PathBuf, Library>,
    /// The files that use a name for their tasks.
    owners: BTreeMap<String, PathBuf>,
}

impl Reading {
    /// Reads `[tasks]` of one file.
    pub fn read_tasks(
        &mut self,
        reader: &mut Reader,
        tree: &Table,
        dir: &Path,
        owner: &str,
        is_outermost: bool,
    ) -> Vec<(String, Arc<Task>)> {
        let mut defaults = Defaults::read(reader, tree);
        for setting in
            self.settings.iter_mut().filter(|s| is_outermost && s.target == SettingTarget::Defaults)
        {
            setting.apply(&mut defaults.execution, &mut defaults.cache, &mut self.diagnostics);
        }
        let context = TaskContext { owner, dir, defaults };
        let mut entries = reader.tables(tree, "tasks");
        let span = tree.get("tasks").map_or_else(Default::default, |item| item.span);
        if !reader.spend(Resource::Tasks, entries.len(), span) {
            entries.clear();
        }
        let search = FunctionSearch {
            owner,
            dir,
            flag: self.python_env.as_deref(),
            default: context.defaults.python_env.as_deref(),
        };
        let functions = Functions::read(reader, &entries, &search, &mut self.texts, &mut self.sources);
        let read = |entry: super::reader::TableEntry| {
            let mut task = read_task(reader, &context, entry, &functions)?;
            let own = entry.key.name.to_string();
            for setting in &mut self.settings {
                if let SettingTarget::Task(name) = &setting.target
                    && (*name == task.name || is_outermost && *name == own)
                {
                    setting.apply(&mut task.execution, &mut task.cache, &mut self.diagnostics);
                }
            }
            Some((own, Arc::new(task)))
        };
        entries.into_iter().filter_map(read).collect()
    }

    /// Reads libraries that `from` imports, and theirs; `chain` holds the files that are being read. Returns the
    /// paths of those that could be read.
    pub fn import(
        &mut self,
        imports: Vec<(String, Span)>,
        from: FileId,
        dir: &Path,
        chain: &mut Vec<PathBuf>,
    ) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for (name, span) in imports {
            let path = dir.join(&name);
            let place = SourceSpan { file: from, span };
            let (absolute, text) = match self.texts.read(&path) {
                Ok(read) => read,
                Err(problem) => {
                    let message = format!("the import cannot be read: {problem}");
                    let help = format!("imports are relative to {}", dir.display());
                    self.diagnostics.push(Diagnostic::at(place, message, "imported here").help(help));
                    continue;
                }
            };
            if let Some(start) = chain.iter().position(|file| *file == absolute) {
                let files: Vec<_> = chain[start..].iter().chain([&absolute]).map(|f| base_name(f)).collect();
                let message = format!("an import cycle: {}", files.join(" imports "));
                self.diagnostics.push(Diagnostic::at(place, message, "leads back"));
                continue;
            }
            if !self.libraries.contains_key(&absolute) {
                let shown = self.sources.path(from).parent().unwrap_or(Path::new("")).join(&name);
                self.library(&shown, absolute.clone(), text, place, chain);
            }
            paths.push(absolute);
        }
        paths
    }

    /// Takes a name for the tasks of a file: those of two files of one name would share their results.
    ///
    /// # Errors
    /// The file that has it already.
    pub fn claim(&mut self, name: &str, path: &Path) -> Result<(), PathBuf> {
        let owner = self.owners.entry(name.to_owned()).or_insert_with(|| path.to_owned());
        if owner == path || name.is_empty() { Ok(()) } else { Err(owner.clone()) }
    }

    fn library(
        &mut self,
        shown: &Path,
        path: PathBuf,
        text: Arc<str>,
        place: SourceSpan,
        chain: &mut Vec<PathBuf>,
    ) {
        let file = self.sources.add(shown, text.clone());
        let (tree, errors) = syntax::parse_within(&text, file, &self.budget);
        if !errors.is_empty() {
            self.diagnostics.extend(errors);
            return;
        }
        let mut reader = Reader::within(file, self.budget.clone());
        if tree.get("library").is_none() {
            let (message, help) = match tree.get("workflow") {
                Some(_) => (
                    "the import is a workflow, not a library",
                    "move the shared tasks into a file with [library], or run the workflow as a node: \
                     workflow = \"FILE\"",
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
        if let Err(other) = self.claim(&name, &path) {
            let message = match self.libraries.contains_key(&other) {
                true => format!("two imported libraries are called `{name}`"),
                false => format!("a workflow and the library {} are both called `{name}`", path.display()),
            };
            let help = format!("the first is {}: their tasks would share one name", other.display());
            self.diagnostics.push(Diagnostic::at(place, message, "the second one").help(help));
            return;
        }
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        let tasks = self.read_tasks(&mut reader, &tree, &dir, &name, false);
        let imports = import_paths(&mut reader, &tree);
        self.diagnostics.extend(reader.into_diagnostics());
        // Known before its imports are read, so that the name is taken.
        self.libraries.insert(path.clone(), Library { name, tasks, imports: Vec::new() });
        chain.push(path.clone());
        let imports = self.import(imports, file, &dir, chain);
        chain.pop();
        if let Some(library) = self.libraries.get_mut(&path) {
            library.imports = imports;
        }
    }

    /// A library as a file to take a task from, with what it imports; `None` where it cannot be read, which is reported.
    pub fn task_file(&mut self, shown: &Path, path: PathBuf, text: Arc<str>) -> Option<TaskFile> {
        self.library(shown, path.clone(), text, SourceSpan::default(), &mut Vec::new());
        let library = self.libraries.get(&path)?;
        let mut tasks = Tasks::default();
        self.add_imported(std::slice::from_ref(&path), &mut tasks);
        Some(TaskFile { name: library.name.clone(), tasks: tasks.all, path })
    }

    /// The tasks of libraries and of those that they import, under their qualified names.
    pub fn add_imported(&self, imports: &[PathBuf], tasks: &mut Tasks) {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&PathBuf> = imports.iter().collect();
        while let Some(path) = next.pop() {
            let Some(library) = self.libraries.get(path).filter(|_| seen.insert(path)) else { continue };
            for (name, task) in &library.tasks {
                tasks.add(format!("{}.{name}", library.name), task.clone());
            }
            next.extend(&library.imports);
        }
    }
}

/// The paths that `import` names.
pub fn import_paths(reader: &mut Reader, tree: &Table) -> Vec<(String, Span)> {
    let paths = reader.texts(tree, "import").unwrap_or_default();
    paths.into_iter().map(|(path, span)| (path.to_owned(), span)).collect()
}
