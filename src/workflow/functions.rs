//! Tasks that are Python functions: what the file names is found and described, in one question for each Python of the file.
//!
//! The answer is kept as a document of the workflow, so that a run can be shown when its files are gone. Knows nothing of how
//! interfaces are merged: that is `signatures.rs`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::diagnostic::{Diagnostic, FileId, Severity, SourceSpan, Sources, Span};
use super::documents::Texts;
use super::reader::{Reader, TableEntry};
use super::syntax::Table;
use crate::python::answer::{FunctionAnswer, PythonFunction, PythonPlace, ResultKind};
use crate::python::describe::{FunctionRef, describe, is_same};
use crate::python::interpreter::PythonChoice;
use crate::python::question::{KeptChoice, PythonQuestion};

/// The call of a Python function.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    pub interpreter: PathBuf,
    pub function: Box<PythonFunction>,
    /// How its result becomes the outputs.
    pub returns: ResultKind,
    /// The types that the hints of the outputs mean, in the order of the outputs.
    pub output_hints: Vec<Option<String>>,
    /// The files of its code with the SHA-256 of what was read.
    pub read: Vec<(PathBuf, String)>,
    /// What looks wrong in the code, by the name of the lint.
    pub warnings: Vec<(&'static str, Diagnostic)>,
    pub start: PythonStart,
    /// What the program that calls it needs to know of a task of flytekit.
    pub flytekit: Option<Json>,
    /// What was asked to find it; `None` where it is had from a record.
    pub question: Option<Arc<PythonQuestion>>,
}

/// How the process of a call begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PythonStart {
    /// Forked from an interpreter that has imported packages.
    #[default]
    Fork,
    /// Forked so, and goes on with other attempts of the task.
    Reuse,
    /// As a new interpreter.
    Cold,
}

impl PythonStart {
    /// Reads `python_start`.
    pub fn read(reader: &mut Reader, table: &Table) -> Self {
        match reader.choice(table, "python_start", &["fork", "reuse", "cold"]) {
            Some("cold") => Self::Cold,
            Some("reuse") => Self::Reuse,
            Some(_) | None => Self::default(),
        }
    }
}

impl FunctionCall {
    /// A file of its code that is not as it was when it was read.
    pub fn changed(&self) -> Option<&Path> {
        self.read.iter().find(|(path, digest)| !is_same(path, digest)).map(|(path, _)| path.as_path())
    }
}

/// The lints about code.
const LINTS: [&str; 5] = ["no-effect", "pickled-value", "unseen-code", "undeclared-file", "missing-package"];
/// Keys of a task that have no meaning for a function.
const OF_COMMANDS: [&str; 5] = ["run", "argv", "args", "shell", "cwd"];

/// Where functions are looked for.
pub struct FunctionSearch<'a> {
    /// The name of the workflow or library.
    pub owner: &'a str,
    /// The folder of its file.
    pub dir: &'a Path,
    /// `--python-env`.
    pub flag: Option<&'a str>,
    /// `python_env` of `[defaults]`.
    pub default: Option<&'a str>,
}

/// The functions of one file, by task.
#[derive(Default)]
pub struct Functions {
    found: BTreeMap<String, FoundFunction>,
    /// The Python files, each with the offsets at which its lines begin.
    files: HashMap<PathBuf, (FileId, Vec<u32>)>,
}

/// One function, as far as it was found.
#[derive(Clone, Serialize, Deserialize)]
pub struct FoundFunction {
    pub interpreter: PathBuf,
    pub answer: FunctionAnswer,
    pub read: Vec<(PathBuf, String)>,
    #[serde(skip)]
    pub question: Option<Arc<PythonQuestion>>,
}

/// What the record of answers is called, after the name of its workflow or library.
const RECORD: &str = "#python";

/// Whether a document is a record of answers, and no file.
pub fn is_record(document: &Path) -> bool {
    document.as_os_str().as_encoded_bytes().ends_with(RECORD.as_bytes())
}

impl Functions {
    /// Finds the functions that the tasks of a file name. What is wrong with them is reported.
    pub fn read(
        reader: &mut Reader,
        entries: &[TableEntry],
        search: &FunctionSearch,
        texts: &mut Texts,
        sources: &mut Sources,
    ) -> Self {
        if entries.iter().all(|entry| entry.table.get("python").is_none()) {
            return Self::default();
        }
        let record = search.dir.join(format!("{}{RECORD}", search.owner));
        let mut functions = Self::default();
        match texts.is_recorded() {
            true => {
                let text = texts.read(&record).map(|(_, text)| text).unwrap_or_default();
                functions.found = serde_json::from_str(&text).unwrap_or_default();
            }
            false => {
                functions.found = ask(reader, entries, search);
                if let Ok(text) = serde_json::to_string(&functions.found) {
                    texts.add(record, text);
                }
            }
        }
        functions.add_files(reader.file, search.dir, texts, sources);
        functions.report(reader, entries);
        functions
    }

    pub fn get(&self, task: &str) -> Option<&FoundFunction> {
        self.found.get(task)
    }

    /// Every Python file that messages may point into, or that the workflow depends on, becomes a document.
    fn add_files(&mut self, file: FileId, dir: &Path, texts: &mut Texts, sources: &mut Sources) {
        let mut paths: Vec<PathBuf> = Vec::new();
        for found in self.found.values() {
            paths.extend(found.read.iter().map(|(path, _)| path.clone()));
            paths.extend(found.answer.mistakes.iter().filter_map(|mistake| mistake.file.clone()));
        }
        paths.sort();
        paths.dedup();
        let beside = sources.path(file).parent().unwrap_or(Path::new("")).to_owned();
        for path in paths {
            // A compiled module is no text.
            let Ok((_, text)) = texts.read(&path) else { continue };
            let shown = path.strip_prefix(dir).map_or_else(|_| path.clone(), |inside| beside.join(inside));
            let breaks = text.match_indices('\n').map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX));
            let lines = std::iter::once(0).chain(breaks).collect();
            self.files.insert(path, (sources.add(&shown, text), lines));
        }
    }

    fn report(&self, reader: &mut Reader, entries: &[TableEntry]) {
        for entry in entries {
            let Some(found) = self.found.get(&*entry.key.name) else { continue };
            let named = entry.table.get("python").map_or(entry.span, |item| item.span);
            for mistake in &found.answer.mistakes {
                let place = mistake.file.as_ref().zip(mistake.place);
                let place = place.and_then(|(file, place)| self.place(file, place));
                let place = place.unwrap_or_else(|| reader.place(named));
                let mut diagnostic = Diagnostic::at(place, mistake.message.as_str(), mistake.label.as_str());
                if !mistake.help.is_empty() {
                    diagnostic = diagnostic.help(mistake.help.as_str());
                }
                reader.report(diagnostic);
            }
        }
    }

    /// A place in a Python file; `None` where its text is not known.
    pub fn place(&self, file: &Path, [line, column, last_line, end]: PythonPlace) -> Option<SourceSpan> {
        let (id, lines) = self.files.get(file)?;
        let offset = |line: u32, column: u32| {
            let start = lines.get((line as usize).saturating_sub(1)).or(lines.last()).copied().unwrap_or(0);
            start.saturating_add(column)
        };
        let start = offset(line, column);
        // Of several lines the first is underlined.
        let stop = if last_line == line { offset(line, end) } else { start.saturating_add(3) };
        Some(SourceSpan { file: *id, span: Span { start, end: stop } })
    }

    /// What looks wrong in the code of a function.
    pub fn warnings(&self, function: &PythonFunction) -> Vec<(&'static str, Diagnostic)> {
        let warnings = function.warnings.iter().filter_map(|warning| {
            let name = LINTS.into_iter().find(|name| *name == warning.name)?;
            let mut diagnostic = Diagnostic::new(warning.message.as_str()).help(warning.help.as_str());
            diagnostic.severity = Severity::Warning;
            let place = self.place(&warning.file, warning.place);
            diagnostic.primary = place.map(|place| (place, String::new()));
            Some((name, diagnostic))
        });
        warnings.collect()
    }
}

/// Asks each Python for the functions that it is to run.
fn ask(
    reader: &mut Reader,
    entries: &[TableEntry],
    search: &FunctionSearch,
) -> BTreeMap<String, FoundFunction> {
    let mut by_interpreter: BTreeMap<PathBuf, Vec<(String, FunctionRef, KeptChoice, Span)>> = BTreeMap::new();
    let mut without = Vec::new();
    for entry in entries {
        let Some((target, span)) = reader.text_item(entry.table, "python") else { continue };
        let is_target = target.rsplit_once(':').is_some_and(|(source, function)| {
            !source.is_empty() && !function.is_empty() && !function.contains(['.', '/', ' '])
        });
        if !is_target {
            let message = format!("`{target}` names no function");
            reader.error(span, message, "expected FILE.py:FUNCTION or package.module:FUNCTION");
            continue;
        }
        let named = reader.text_item(entry.table, "python_env");
        let source = target.rsplit_once(':').map_or("", |(source, _)| source);
        let script = source.ends_with(".py").then(|| search.dir.join(source));
        let choice = PythonChoice {
            flag: search.flag,
            named: named.map(|(name, _)| name).or(search.default),
            dir: search.dir,
            script: script.as_deref(),
        };
        match choice.find() {
            Ok(interpreter) => {
                let function = FunctionRef { target: target.to_owned(), dir: search.dir.to_owned() };
                by_interpreter.entry(interpreter).or_default().push((
                    entry.key.name.to_string(),
                    function,
                    KeptChoice::from(&choice),
                    span,
                ));
            }
            Err(problem) if !without.contains(&problem) => {
                let place = named.map_or(span, |(_, span)| span);
                reader.error(place, problem.clone(), "no Python for this task");
                without.push(problem);
            }
            Err(_) => {}
        }
    }
    let mut found = BTreeMap::new();
    for (interpreter, tasks) in by_interpreter {
        let functions: Vec<FunctionRef> = tasks.iter().map(|(_, function, ..)| function.clone()).collect();
        let answer = match describe(&interpreter, &functions) {
            Ok(answer) => answer,
            Err(problem) => {
                let span = tasks.first().map_or_else(Span::default, |(.., span)| *span);
                reader.error(span, problem, "needs Python");
                continue;
            }
        };
        let choices = tasks.iter().map(|(_, _, choice, _)| choice.clone()).collect();
        let question = Arc::new(PythonQuestion::new(choices, interpreter, functions, &answer));
        for ((name, ..), function) in tasks.into_iter().zip(answer.answers) {
            let files = function.described.iter().flat_map(|described| &described.files);
            let read = files.filter_map(|path| Some((path.clone(), answer.reads.get(path)?.clone()?)));
            let (interpreter, read) = (answer.executable.clone(), read.collect());
            let question = Some(Arc::clone(&question));
            found.insert(name, FoundFunction { interpreter, answer: function, read, question });
        }
    }
    found
}

/// Notes keys of a function in a task that is none.
pub fn check_no_function(reader: &mut Reader, table: &Table) {
    for name in ["python_env", "python_start"] {
        if let Some(item) = table.get(name) {
            reader.error(item.span, format!("`{name}` goes with `python`"), "not used");
        }
    }
}

/// Notes keys of commands in a task that is a function.
pub fn check_no_command(reader: &mut Reader, table: &Table) {
    for name in OF_COMMANDS {
        if let Some(item) = table.get(name) {
            reader.error(item.span, format!("`{name}` does not go with `python`"), "remove this");
        }
    }
}
