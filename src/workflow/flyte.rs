//! Tasks of flytekit, as the document that was made from their program has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::diagnostic::{Diagnostic, Severity};
use super::functions::{FunctionCall, PythonStart};
use super::interface::read_outputs;
use super::reader::Reader;
use super::syntax::{Table, TomlItem};
use super::{Capture, Output, TaskCommand};
use crate::python::answer::{PythonFunction, PythonResult, ResultKind};

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
