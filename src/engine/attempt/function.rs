//! A Python function as the command of an attempt: the call that is written for it, and what it says of its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::error::AttemptError;
use super::scratch::Folder;
use crate::core::event::TaskErrorKind;
use crate::core::json;
use crate::exec::Fork;
use crate::python::runtime;
use crate::workflow::definition::sources_of;
use crate::workflow::functions::{FunctionCall, PythonStart};
use crate::workflow::{Task, TaskCommand};

/// Maximum bytes of all that a function returns but files.
const MAX_RESULT_BYTES: u64 = 16 << 20;
/// Variables that make two runs of one interpreter alike, and its lines appear as they are printed.
const VARIABLES: [(&str, &str); 2] = [("PYTHONHASHSEED", "0"), ("PYTHONUNBUFFERED", "1")];

/// The call of a task that is a function.
pub fn call_of(task: &Task) -> Option<&FunctionCall> {
    match &task.command {
        TaskCommand::Function(call) => Some(call),
        TaskCommand::Script { .. } | TaskCommand::Program(_) => None,
    }
}

/// How a function is called.
pub struct FunctionStart {
    /// The program that calls it, which reads the call from the scratch folder.
    pub program: Vec<String>,
    /// How a process for the call is forked.
    pub fork: Option<Fork>,
}

/// Writes the call of a function into the scratch folder.
///
/// # Errors
/// The scratch folder or the home cannot be written to.
pub fn start(
    task: &Task,
    call: &FunctionCall,
    folder: &Folder,
    env: &mut BTreeMap<OsString, OsString>,
) -> Result<FunctionStart, AttemptError> {
    let failed = |error: std::io::Error| AttemptError::spawn(format!("the call cannot be written: {error}"));
    let path = folder.call();
    folder.write_private(&path, described(task, call, folder).to_string().as_bytes()).map_err(failed)?;
    for (name, value) in VARIABLES {
        env.entry(name.into()).or_insert_with(|| value.into());
    }
    let words = |arguments: Vec<String>| {
        std::iter::once(call.interpreter.display().to_string()).chain(arguments).collect()
    };
    let program = words(runtime::arguments(path.display().to_string()).map_err(failed)?);
    let fork = match call.start {
        // Libraries of other systems do not outlive a fork.
        PythonStart::Fork | PythonStart::Reuse if cfg!(target_os = "linux") => Some(Fork {
            server: words(runtime::server_arguments().map_err(failed)?),
            preload: call.function.preload.clone(),
            call: path,
            kind: (call.start == PythonStart::Reuse)
                .then(|| format!("{}:{}", call.function.file.display(), call.function.function)),
        }),
        PythonStart::Fork | PythonStart::Reuse | PythonStart::Cold => None,
    };
    Ok(FunctionStart { program, fork })
}

fn described(task: &Task, call: &FunctionCall, folder: &Folder) -> Json {
    let function = &call.function;
    let parameter = |name: &str| function.parameters.iter().find(|parameter| parameter.name == name);
    let parameters = task.inputs.iter().map(|input| {
        let known = parameter(&input.name);
        json!({
            "name": input.name,
            "type": input.ty.to_string(),
            "hint": known.and_then(|known| known.r#type.as_ref()),
            "omit": known.is_some_and(|known| known.optional),
        })
    });
    let outputs = task.outputs.iter().enumerate().map(|(i, output)| {
        json!({
            "name": output.name,
            "type": output.ty.to_string(),
            "hint": call.output_hints.get(i).and_then(Option::as_ref),
        })
    });
    // A file that `sources` names is in the version as well.
    let sources = sources_of(task).unwrap_or_default();
    let files =
        function.files.iter().cloned().chain(sources.iter().map(|source| task.dir.join(&source.path)));
    json!({
        "root": function.root,
        "module": function.module,
        "function": function.function,
        "file": function.file,
        "parameters": parameters.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "returns": call.returns,
        "cached": task.cache.enabled && task.cache.version.is_none(),
        "files": files.collect::<Vec<PathBuf>>(),
        "result": folder.returned(),
        "flytekit": call.flytekit,
    })
}

/// What a function left when it ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FunctionResult {
    /// By name, as JSON; files as paths.
    pub outputs: JsonMap<String, Json>,
    /// Files of the project that were loaded and are not in the version of the result.
    pub unseen: Vec<PathBuf>,
    failed: Option<FunctionFailure>,
}

#[derive(Debug, Deserialize)]
struct FunctionFailure {
    kind: String,
    message: String,
    /// Whether no other attempt may follow.
    #[serde(default)]
    r#final: bool,
}

impl FunctionResult {
    /// Reads it; the error says why there is none.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(path: &std::path::Path) -> Result<Self, String> {
        let is_file = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Err("the function ended its process before it returned".into());
        }
        let mut text = String::new();
        let file = File::open(path).map_err(|error| error.to_string())?;
        file.take(MAX_RESULT_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_RESULT_BYTES {
            let most = MAX_RESULT_BYTES >> 20;
            return Err(format!(
                "the function returned more than {most} MiB as values: return a file, bytes or an array"
            ));
        }
        json::parse(&text)
            .and_then(|json| serde_json::from_value(json).map_err(|error| error.to_string()))
            .map_err(|error| format!("what the function returned cannot be read: {error}"))
    }

    /// Why the function failed, if it said so.
    pub fn error(self) -> Option<AttemptError> {
        let FunctionFailure { kind, message, r#final } = self.failed?;
        let kind = match kind.as_str() {
            "input" => TaskErrorKind::Input,
            "output" => TaskErrorKind::Output,
            _ => TaskErrorKind::Exit,
        };
        Some(AttemptError { is_final: r#final, ..AttemptError::new(kind, message) })
    }
}
