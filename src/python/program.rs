//! Programs written with flytekit: the environment's own flytekit imports one, and says what workflows it holds.
//!
//! The answer is remembered by the content of every file of the project that was loaded, and by the installed packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::answer::PythonMistake;
use super::describe::{converse, key_of};
use super::memory::{self, KeptAnswer};

/// The program that reads programs, in parts that are read as one file.
const PROGRAM: [&str; 8] = [
    include_str!("scripts/modules.py"),
    include_str!("scripts/closure.py"),
    include_str!("scripts/hints.py"),
    include_str!("scripts/describe.py"),
    include_str!("scripts/runner_literals.py"),
    include_str!("scripts/flyte_dump.py"),
    include_str!("scripts/flyte_workflow.py"),
    include_str!("scripts/flyte_task.py"),
];

/// What a program says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramAnswer {
    /// The workflow that is meant, among the documents.
    pub main: Option<String>,
    /// Workflow documents, by the names of files that do not exist, in the folder of the program.
    pub documents: BTreeMap<String, Json>,
    pub mistakes: Vec<PythonMistake>,
    /// What of the program has no effect.
    pub notes: Vec<String>,
    /// The folder that its modules are imported from.
    pub root: PathBuf,
    /// The files of the project that were loaded.
    pub files: Vec<PathBuf>,
    /// The minor version of Python: `3.11`.
    pub python: String,
    /// Every file that was read, with the SHA-256 of its content; `None` for one that was looked for and is not there.
    pub reads: BTreeMap<PathBuf, Option<String>>,
    pub folders: Vec<(PathBuf, u64)>,
    /// The interpreter as it knows itself.
    pub executable: PathBuf,
}

impl KeptAnswer for ProgramAnswer {
    fn reads(&self) -> &BTreeMap<PathBuf, Option<String>> {
        &self.reads
    }

    fn folders(&self) -> &[(PathBuf, u64)] {
        &self.folders
    }
}

/// Reads the program `file`, absolute, for the workflow, task or launch plan `name`; without a call of Python where nothing
/// changed since the last one.
///
/// # Errors
/// Python cannot be started, or did not end well.
pub fn read_program(interpreter: &Path, file: &Path, name: Option<&str>) -> Result<ProgramAnswer, String> {
    let request = json!({ "file": file, "name": name }).to_string();
    let key = key_of(&PROGRAM, interpreter, &request);
    if let Some(answer) = memory::recall(&key) {
        return Ok(answer);
    }
    // A text of JSON is one of Python.
    let call = format!("main_program({})\n", Json::from(request.as_str()));
    let failed = |problem: &str, last: &str| {
        if problem.starts_with("signal: 14") {
            return format!("{} did not end its import within 60 s", file.display());
        }
        format!("Python at {} cannot read the program ({problem}):\n{last}", interpreter.display())
    };
    let dir = file.parent().unwrap_or(Path::new("/"));
    let answer: ProgramAnswer = converse(interpreter, &PROGRAM, &call, dir, &failed)?;
    // What went wrong may go well the next time.
    if answer.mistakes.is_empty() {
        memory::keep(&key, &answer);
    }
    Ok(answer)
}
