//! The program that calls functions: in the home, written once for each content, and compiled once by Python.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use super::{memory, unused};
use crate::core::digest::Hasher;
use crate::core::lock::lock;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

const FILES: [(&str, &str); 7] = [
    ("runner_call.py", include_str!("scripts/runner_call.py")),
    ("runner_serve.py", include_str!("scripts/runner_serve.py")),
    ("runner_values.py", include_str!("scripts/runner_values.py")),
    ("runner_outputs.py", include_str!("scripts/runner_outputs.py")),
    ("runner_flyte.py", include_str!("scripts/runner_flyte.py")),
    ("runner_literals.py", include_str!("scripts/runner_literals.py")),
    ("runner_trace.py", include_str!("scripts/runner_trace.py")),
];

/// The words behind the interpreter that call what the file `call` describes.
///
/// # Errors
/// The program cannot be written into the home.
pub fn arguments(call: String) -> io::Result<Vec<String>> {
    Ok(vec!["-c".into(), begin("import runner_call; runner_call.main(sys.argv[1])")?, call])
}

/// The words behind the interpreter that make it a fork server.
///
/// # Errors
/// The program cannot be written into the home.
pub fn server_arguments() -> io::Result<Vec<String>> {
    Ok(vec!["-c".into(), begin("import runner_serve; runner_serve.main()")?])
}

fn begin(rest: &str) -> io::Result<String> {
    let folder = serde_json::Value::from(folder()?.display().to_string());
    // The empty entry of the path would be the working folder.
    Ok(format!("import sys; sys.path[0:1] = [{folder}]; {rest}"))
}

/// The folder of the program; it is written if it is not there.
fn folder() -> io::Result<PathBuf> {
    // Held while it is written: two attempts may begin at once.
    static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut known = lock(&FOLDER);
    if let Some(folder) = &*known {
        return Ok(folder.clone());
    }
    let parent = memory::folder().ok_or_else(|| io::Error::other("there is no home folder"))?;
    own_folder::make(&parent)?;
    memory::keep_early();
    let mut hasher = Hasher::default();
    for (name, text) in FILES {
        hasher.frame(name.as_bytes());
        hasher.frame(text.as_bytes());
    }
    let folder = parent.join(format!("call-{}", &hasher.finish().hex()[..16]));
    own_folder::make(&folder)?;
    unused::note_use(&folder);
    for (name, text) in FILES {
        let path = folder.join(name);
        if own_file::read(&path, 1 << 20).is_ok_and(|bytes| bytes == text.as_bytes()) {
            continue;
        }
        let new = folder.join(format!(".{name}.{}", std::process::id()));
        own_file::open(&new, Access::Replace)?.write_all(text.as_bytes())?;
        fs::rename(&new, &path)?;
    }
    Ok(known.insert(folder).clone())
}
