//! Asking Python's own parser what functions are. None of the user's code runs, and nothing is imported but the standard
//! library.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::PythonAnswer;
use super::memory;
use crate::core::digest::{Digest, Hasher};

/// The program that describes, in parts that are read as one file.
const PROGRAM: [&str; 5] = [
    include_str!("scripts/modules.py"),
    include_str!("scripts/closure.py"),
    include_str!("scripts/hints.py"),
    include_str!("scripts/describe.py"),
    include_str!("scripts/main.py"),
];
/// Variables that would change what Python does before the program begins.
const LEFT_OUT: [&str; 3] = ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"];
/// Maximum lines of Python's own message that are shown.
const MAX_LINES: usize = 5;

/// A function that a workflow names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRef {
    /// `FILE.py:FUNCTION` or `package.module:FUNCTION`.
    pub target: String,
    /// The folder of the workflow file.
    pub dir: PathBuf,
}

/// Describes functions, in one call of `interpreter` or without any where nothing changed since the last one.
///
/// # Errors
/// Python cannot be started, or is too old.
pub fn describe(interpreter: &Path, functions: &[FunctionRef]) -> Result<PythonAnswer, String> {
    let request = request(functions);
    let key = key(interpreter, &request);
    if let Some(answer) = memory::recall(&key) {
        return Ok(answer);
    }
    let answer = ask(interpreter, &request)?;
    memory::keep(&key, &answer);
    Ok(answer)
}

/// The answer that was given before, if nothing changed since; no Python is asked.
pub(super) fn known(interpreter: &Path, functions: &[FunctionRef]) -> Option<PythonAnswer> {
    memory::recall(&key(interpreter, &request(functions)))
}

/// A request as the program reads it.
pub(super) fn request(functions: &[FunctionRef]) -> String {
    let tasks: Vec<_> =
        functions.iter().map(|function| json!({"target": function.target, "dir": function.dir})).collect();
    json!({ "tasks": tasks }).to_string()
}

/// Whether a file still has the content that was read, by its SHA-256.
pub fn is_same(path: &Path, digest: &str) -> bool {
    memory::content(path).as_deref() == Some(digest)
}

fn key(interpreter: &Path, request: &str) -> Digest {
    key_of(&PROGRAM, interpreter, request)
}

/// What an answer is remembered by.
pub(super) fn key_of(program: &[&str], interpreter: &Path, request: &str) -> Digest {
    let mut hasher = Hasher::default();
    program.iter().for_each(|part| hasher.frame(part.as_bytes()));
    hasher.frame(interpreter.as_os_str().as_encoded_bytes());
    // A link to another version of Python is another interpreter.
    let real = interpreter.canonicalize().unwrap_or_default();
    hasher.frame(real.as_os_str().as_encoded_bytes());
    let settings = interpreter.parent().and_then(Path::parent).map(|env| env.join("pyvenv.cfg"));
    hasher.frame(settings.and_then(|path| memory::content(&path)).unwrap_or_default().as_bytes());
    hasher.frame(request.as_bytes());
    hasher.finish()
}

pub(super) fn ask(interpreter: &Path, request: &str) -> Result<PythonAnswer, String> {
    // A text of JSON is one of Python.
    let call = format!("main({})\n", serde_json::Value::from(request));
    let failed = |problem: &str, last: &str| {
        format!(
            "Python at {} cannot describe the functions ({problem}); 3.9 or later is needed:\n{last}",
            interpreter.display()
        )
    };
    converse(interpreter, &PROGRAM, &call, Path::new("/"), &failed)
}

/// Runs a program that ends with `call` and reads the JSON of its last line. `failed` makes a message of what went wrong and
/// the last lines that were printed.
pub(super) fn converse<A: serde::de::DeserializeOwned>(
    interpreter: &Path,
    program: &[&str],
    call: &str,
    dir: &Path,
    failed: &dyn Fn(&str, &str) -> String,
) -> Result<A, String> {
    let cannot =
        |error: std::io::Error| format!("Python at {} cannot be started: {error}", interpreter.display());
    let mut command = Command::new(interpreter);
    for name in LEFT_OUT {
        command.env_remove(name);
    }
    // From its standard input, so that no file has to be there.
    let mut child = command
        .args(["-E", "-B", "-"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    if let Some(mut input) = child.stdin.take() {
        // Where it ended before it read all, its own message says why.
        let _ = program.iter().try_for_each(|part| input.write_all(part.as_bytes()));
        let _ = input.write_all(call.as_bytes());
    }
    let output = child.wait_with_output().map_err(cannot)?;
    let failed = |problem: &str| {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        failed(problem, &lines[lines.len().saturating_sub(MAX_LINES)..].join("\n"))
    };
    if !output.status.success() {
        return Err(failed(&output.status.to_string()));
    }
    let last = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    let line = last.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line).map_err(|error| failed(&error.to_string()))
}
