//! Libraries: read once each, however many workflows of a run import them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, FileId, Place, Span};
use super::link::Tasks;
use super::load::Loader;
use super::reader::Reader;
use super::settings::Target;
use super::source::{base_name, read_own_name};
use super::spec::{TaskContext, read_defaults, read_task};
use super::syntax::{self, Table};
use super::{Task, keys};

/// A library that has been read.
pub struct Library {
    pub name: String,
    /// By their own names.
    tasks: Vec<(String, Arc<Task>)>,
    /// Libraries that whoever imports this one gets as well.
    imports: Vec<PathBuf>,
}

impl Loader {
    /// Reads `[tasks]` of one file.
    pub(super) fn read_tasks(
        &mut self,
        reader: &mut Reader,
        tree: &Table,
        dir: &Path,
        owner: &str,
        is_outermost: bool,
    ) -> Vec<(String, Arc<Task>)> {
        let (mut execution, mut cache) = read_defaults(reader, tree);
        for setting in self.settings.iter_mut().filter(|s| is_outermost && s.target == Target::Defaults) {
            setting.apply(&mut execution, &mut cache, &mut self.diagnostics);
        }
        let context = TaskContext { owner, dir, execution, cache };
        let entries = reader.tables(tree, "tasks");
        let read = |entry: super::reader::Entry| {
            let mut task = read_task(reader, &context, entry)?;
            let own = entry.key.name.to_string();
            for setting in &mut self.settings {
                if let Target::Task(name) = &setting.target
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
    pub(super) fn import(
        &mut self,
        imports: Vec<(String, Span)>,
        from: FileId,
        dir: &Path,
        chain: &mut Vec<PathBuf>,
    ) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for (name, span) in imports {
            let path = dir.join(&name);
            let place = Place { file: from, span };
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
        self.diagnostics.extend(reader.diagnostics);
        // Known before its imports are read, so that the name is taken.
        self.libraries.insert(path.clone(), Library { name, tasks, imports: Vec::new() });
        chain.push(path.clone());
        let imports = self.import(imports, file, &dir, chain);
        chain.pop();
        if let Some(library) = self.libraries.get_mut(&path) {
            library.imports = imports;
        }
    }

    /// The tasks of libraries and of those that they import, under their qualified names.
    pub(super) fn add_imported(&self, imports: &[PathBuf], tasks: &mut Tasks) {
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
