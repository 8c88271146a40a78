//! Programs written with flytekit: which one a path means, the documents that are made from it, and its tasks.
//!
//! The documents are kept like files, under names that no file has, so that a run can be shown and retried when its program
//! is gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::diagnostic::{Diagnostic, Severity, SourceSpan, Span};
use super::functions::{FunctionCall, PythonStart};
use super::import::Reading;
use super::interface::read_outputs;
use super::reader::Reader;
use super::syntax::{Table, TomlItem};
use super::{Capture, Output, TaskCommand};
use crate::python::answer::{PythonFunction, PythonMistake, PythonResult, ResultKind};
use crate::python::interpreter::PythonChoice;
use crate::python::program::{ProgramAnswer, read_program};

/// Ends the name of a document that was made from a program.
const MADE: &str = "#python";
/// Ends what stands before that, for a launch plan.
const PLAN: &str = "@plan";
/// What flytekit uses in every call, imported before processes are forked.
const PRELOAD: [&str; 10] = [
    "flytekit",
    "msgpack",
    "cloudpickle",
    "mashumaro.codecs.msgpack",
    "mashumaro.codecs.json",
    "flytekit.core.checkpointer",
    "flytekit.core.mock_stats",
    "flytekit.core.array_node_map_task",
    "flytekit.types.file",
    "flytekit.types.directory",
];

/// A program as a path names it: `FILE.py` or `FILE.py:NAME`.
pub struct ProgramRef<'p> {
    folder: &'p Path,
    base: &'p str,
    name: Option<&'p str>,
}

impl<'p> ProgramRef<'p> {
    /// `None` for the path of a workflow file.
    pub fn of(path: &'p Path) -> Option<Self> {
        let last = path.file_name()?.to_str()?;
        let (base, name) = match last.split_once(".py:") {
            Some((stem, name)) if !name.is_empty() => (&last[..stem.len() + 3], Some(name)),
            _ => (last.strip_suffix(':').unwrap_or(last), None),
        };
        base.ends_with(".py").then(|| Self { folder: path.parent().unwrap_or(Path::new("")), base, name })
    }

    /// The file of the program.
    pub fn file(&self) -> PathBuf {
        self.folder.join(self.base)
    }
}

/// The path that a person writes for what a document was made from: `FILE.py:NAME`.
pub fn path_of(document: &Path) -> Option<PathBuf> {
    let made = document.file_name()?.to_str()?.strip_suffix(MADE)?;
    made.contains(".py:").then(|| document.with_file_name(made.strip_suffix(PLAN).unwrap_or(made)))
}

/// What all tasks of a program have in common.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProgramFacts {
    interpreter: PathBuf,
    root: PathBuf,
    python: String,
    /// The files of the project with the SHA-256 of what was read.
    files: Vec<(PathBuf, String)>,
    /// What has no effect; said once.
    notes: RefCell<Vec<String>>,
}

impl ProgramFacts {
    /// Those of a document, if it was made from a program.
    pub fn of(document: &Path, tree: &Table) -> Option<Self> {
        path_of(document)?;
        serde_json::from_value(tree.get("program")?.kind.to_json()).ok()
    }
}

/// What a document says of a task of flytekit.
#[derive(Deserialize)]
struct FlyteTask {
    module: String,
    function: Option<String>,
    #[serde(default)]
    code: BTreeMap<String, String>,
    #[serde(default)]
    preload: Vec<String>,
}

impl Reading {
    /// Learns what workflows a program holds; the path of the document of the one that is meant.
    pub fn read_program(&mut self, program: &ProgramRef) -> Option<PathBuf> {
        let asked = program.file();
        let index = |file: &Path| {
            file.with_file_name(format!("{}:{}@asked{MADE}", program.base, program.name.unwrap_or_default()))
        };
        let (file, _) = match self.texts.read(&asked) {
            Ok(read) => read,
            Err(problem) => {
                self.diagnostics.push(Diagnostic::new(problem));
                return None;
            }
        };
        if self.texts.is_recorded() {
            if let Ok((_, main)) = self.texts.read(&index(&file)) {
                return Some(PathBuf::from(&*main));
            }
            // By the name that runs and messages have for it.
            let named = |end: &str| {
                let name = program.name.unwrap_or_default();
                file.with_file_name(format!("{}:{name}{end}{MADE}", program.base))
            };
            return [PLAN, ""].into_iter().map(named).find(|path| self.texts.read(path).is_ok());
        }
        let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
        let choice =
            PythonChoice { flag: self.python_env.as_deref(), named: None, dir: &dir, script: Some(&file) };
        let answer = choice.find().and_then(|python| read_program(&python, &file, program.name));
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                self.diagnostics.push(Diagnostic::new(problem));
                return None;
            }
        };
        for path in &answer.files {
            // Later changes are noticed, and messages can show it.
            let _ = self.texts.read(path);
        }
        for mistake in &answer.mistakes {
            self.report_mistake(mistake, &file, &asked);
        }
        let main = dir.join(answer.main.as_ref()?);
        self.add_documents(answer, &dir);
        self.texts.add(index(&file), main.display().to_string());
        Some(main)
    }

    fn add_documents(&mut self, answer: ProgramAnswer, dir: &Path) {
        let known = |path: &PathBuf| Some((path.clone(), answer.reads.get(path)?.clone()?));
        let facts = ProgramFacts {
            interpreter: answer.executable.clone(),
            root: answer.root.clone(),
            python: answer.python.clone(),
            files: answer.files.iter().filter_map(known).collect(),
            notes: RefCell::default(),
        };
        for (name, mut document) in answer.documents {
            let mut facts = json!(facts);
            if Some(&name) == answer.main.as_ref() {
                facts["notes"] = json!(answer.notes);
            }
            document["program"] = facts;
            self.texts.add(dir.join(name), document.to_string());
        }
    }

    fn report_mistake(&mut self, mistake: &PythonMistake, program: &Path, asked: &Path) {
        let label = Some(mistake.label.as_str()).filter(|label| label.starts_with("did you mean"));
        let message = label.map_or(mistake.message.clone(), |label| format!("{}: {label}", mistake.message));
        let mut diagnostic = Diagnostic::new(message);
        if let Some((file, [line, column, last, end])) = mistake.file.as_ref().zip(mistake.place)
            && let Ok((path, text)) = self.texts.read(file)
        {
            let shown = if path == program { asked.to_owned() } else { path };
            let mut starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
            let start = starts.nth((line as usize).saturating_sub(1)).unwrap_or(0);
            let width = text[start..].lines().next().map_or(0, str::len);
            let within =
                |column: u32| u32::try_from(start + (column as usize).min(width)).unwrap_or(u32::MAX);
            // The line as a whole, without what stands before its first word.
            let indent = text[start..].lines().next().map_or(0, |line| line.len() - line.trim_start().len());
            let stop = if last == line && end > 1 { within(end) } else { within(u32::MAX) };
            let span = Span { start: within(column.max(indent as u32)), end: stop };
            let file = self.sources.add(&shown, text);
            diagnostic =
                Diagnostic::at(SourceSpan { file, span }, mistake.message.as_str(), mistake.label.as_str());
        }
        if !mistake.help.is_empty() {
            diagnostic = diagnostic.help(mistake.help.as_str());
        }
        self.diagnostics.push(diagnostic);
    }
}

/// Reads the outputs and the command of a task of flytekit.
pub fn read_flyte_task(
    reader: &mut Reader,
    table: &Table,
    item: &TomlItem,
    owner: &str,
) -> (Vec<Output>, TaskCommand) {
    let mut outputs = read_outputs(reader, table, owner);
    outputs.iter_mut().for_each(|output| output.capture = Capture::Returned);
    let about = item.kind.to_json();
    let task: Result<FlyteTask, _> = serde_json::from_value(about.clone());
    let (Ok(task), Some(facts)) = (task, &reader.program) else {
        reader.error(item.span, format!("{owner} cannot be read"), "of another version");
        return (outputs, TaskCommand::Program(Vec::new()));
    };
    let file = facts.root.join(format!("{}.py", task.module.replace('.', "/")));
    let mut preload: Vec<String> = PRELOAD.iter().map(|name| (*name).to_owned()).collect();
    preload.extend(task.preload);
    let function = PythonFunction {
        root: facts.root.clone(),
        module: task.module,
        function: task.function.unwrap_or_default(),
        file: file.clone(),
        place: [1, 0, 1, 0],
        parameters: Vec::new(),
        result: PythonResult { kind: ResultKind::None, items: Vec::new(), file, place: [1, 0, 1, 0] },
        code: task.code,
        files: facts.files.iter().map(|(path, _)| path.clone()).collect(),
        packages: BTreeMap::new(),
        preload,
        warnings: Vec::new(),
        python: facts.python.clone(),
    };
    let notes = facts.notes.take();
    let call = FunctionCall {
        interpreter: facts.interpreter.clone(),
        function: Box::new(function),
        returns: ResultKind::None,
        output_hints: outputs.iter().map(|_| None).collect(),
        read: facts.files.clone(),
        warnings: notes.iter().map(|note| ("no-effect", without_effect(note))).collect(),
        start: PythonStart::Fork,
        flytekit: Some(without_code(about)),
        question: None,
    };
    (outputs, TaskCommand::Function(Box::new(call)))
}

fn without_effect(note: &str) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(format!("no effect here: {note}"));
    diagnostic.severity = Severity::Warning;
    diagnostic
}

/// What the program that calls a task needs to know of it.
fn without_code(mut about: Json) -> Json {
    if let Some(about) = about.as_object_mut() {
        about.remove("code");
        about.remove("preload");
    }
    about
}
