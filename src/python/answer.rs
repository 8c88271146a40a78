//! What Python's parser says of functions, as data: interface, code, mistakes and warnings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The answer for all functions of one request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonAnswer {
    /// In the order of the request.
    pub answers: Vec<FunctionAnswer>,
    /// Every file that was read, with the SHA-256 of its content; `None` for one that was looked for and is not there.
    pub reads: BTreeMap<PathBuf, Option<String>>,
    /// Folders of installed packages, with their times of change in nanoseconds.
    pub folders: Vec<(PathBuf, u64)>,
    /// The interpreter as it knows itself: what was asked may have been a script that picks one.
    pub executable: PathBuf,
}

/// One function, or what is wrong with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionAnswer {
    pub described: Option<Box<PythonFunction>>,
    pub mistakes: Vec<PythonMistake>,
}

/// A stretch of a Python file: first line, first byte in it, last line, end in bytes; lines count from 1.
pub type PythonPlace = [u32; 4];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonMistake {
    pub message: String,
    pub label: String,
    pub help: String,
    /// `None` where the workflow file names something that is not there.
    #[serde(default)]
    pub file: Option<PathBuf>,
    #[serde(default)]
    pub place: Option<PythonPlace>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonWarning {
    /// The name of the lint.
    pub name: String,
    pub message: String,
    pub help: String,
    pub file: PathBuf,
    pub place: PythonPlace,
}

/// A function without mistakes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonFunction {
    /// The folder that its module is imported from.
    pub root: PathBuf,
    pub module: String,
    pub function: String,
    pub file: PathBuf,
    pub place: PythonPlace,
    pub parameters: Vec<PythonParameter>,
    pub result: PythonResult,
    /// Digests of the definitions that it reaches, by name: `helper in pipeline.py`.
    pub code: BTreeMap<String, String>,
    /// The project's files that these stand in.
    pub files: Vec<PathBuf>,
    /// The versions of installed packages that it reaches.
    pub packages: BTreeMap<String, String>,
    /// What its modules import when they are loaded and is none of the project's: `a.b`, or `a:b` where b may be a module of
    /// a or a name in it.
    #[serde(default)]
    pub preload: Vec<String>,
    pub warnings: Vec<PythonWarning>,
    /// The minor version of Python: `3.11`.
    pub python: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonParameter {
    pub name: String,
    pub file: PathBuf,
    pub place: PythonPlace,
    /// The type that the hint means; `None` without a hint, or with one that means nothing.
    #[serde(default)]
    pub r#type: Option<String>,
    /// Why the hint means nothing.
    #[serde(default)]
    pub problem: Option<String>,
    #[serde(default)]
    pub one_of: Vec<Json>,
    /// Whether it has a default.
    #[serde(default)]
    pub optional: bool,
    /// The default, if it is written out.
    #[serde(default)]
    pub default: Option<Json>,
    /// Whether the default is None.
    #[serde(default)]
    pub none: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonResult {
    pub kind: ResultKind,
    pub items: Vec<PythonItem>,
    pub file: PathBuf,
    pub place: PythonPlace,
}

/// How a result becomes outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultKind {
    /// It has no hint.
    Missing,
    None,
    One,
    /// The items of a tuple, which have no names.
    Tuple,
    /// The fields of a class.
    Fields,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PythonItem {
    pub name: String,
    #[serde(default)]
    pub r#type: Option<String>,
    #[serde(default)]
    pub problem: Option<String>,
}
