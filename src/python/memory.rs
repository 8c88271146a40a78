//! Descriptions that were made before, in the home: each counts while every file that was read for it is as it was. A home
//! that cannot be read or written only means that Python is asked again.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::PythonAnswer;
use super::unused;
use crate::core::digest::Digest;
use crate::core::json;
use crate::core::lock::lock;
use crate::storage::home::Home;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// The home that this process was started with: the flag, if one was given.
static FLAG: OnceLock<Option<PathBuf>> = OnceLock::new();
/// Maximum bytes of an answer that is read again.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Maximum bytes of a source file that is compared.
const MAX_SOURCE_BYTES: u64 = 64 << 20;

/// Says which home holds descriptions, by the flag; without a call it is the one that the environment names.
pub fn remember_in(home: Option<&Path>) {
    // A process has one home.
    let _ = FLAG.set(home.map(Path::to_owned));
}

/// The folder for Python in the home, if there is a home.
pub(super) fn folder() -> Option<PathBuf> {
    let home = Home::locate(FLAG.get().and_then(Option::as_deref)).ok()?;
    home.path().is_dir().then(|| home.path().join("python"))
}

/// An answer that counts as long as what was read for it is as it was.
pub(super) trait KeptAnswer: Serialize + DeserializeOwned {
    /// Every file that was read, with the SHA-256 of its content; `None` for one that was not there.
    fn reads(&self) -> &BTreeMap<PathBuf, Option<String>>;
    /// Folders of installed packages, with their times of change in nanoseconds.
    fn folders(&self) -> &[(PathBuf, u64)];
}

impl KeptAnswer for PythonAnswer {
    fn reads(&self) -> &BTreeMap<PathBuf, Option<String>> {
        &self.reads
    }

    fn folders(&self) -> &[(PathBuf, u64)] {
        &self.folders
    }
}

/// The answer to a request, if there is one that still holds.
pub(super) fn recall<A: KeptAnswer>(request: &Digest) -> Option<A> {
    let path = path(request)?;
    own_folder::open(path.parent()?).ok()?;
    let bytes = own_file::read(&path, MAX_ANSWER_BYTES).ok()?;
    let answer: A = serde_json::from_value(json::parse(std::str::from_utf8(&bytes).ok()?).ok()?).ok()?;
    let holds = holds(&answer);
    if holds {
        unused::note_use(&path);
    }
    holds.then_some(answer)
}

/// Answers that came before there was a home.
static EARLY: Mutex<Vec<(Digest, String)>> = Mutex::new(Vec::new());

/// Keeps the answer to a request; without a home, until a run has made one.
pub(super) fn keep(request: &Digest, answer: &impl KeptAnswer) {
    let Ok(text) = serde_json::to_string(answer) else { return };
    match folder() {
        Some(_) => write(request, &text),
        None => lock(&EARLY).push((*request, text)),
    }
}

/// Writes what came before there was a home.
pub(super) fn keep_early() {
    for (request, text) in std::mem::take(&mut *lock(&EARLY)) {
        write(&request, &text);
    }
}

fn write(request: &Digest, text: &str) {
    let write = || -> Option<()> {
        let path = path(request)?;
        own_folder::make(path.parent()?.parent()?).ok()?;
        own_folder::make(path.parent()?).ok()?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = own_file::open(&new, Access::Replace).ok()?;
        file.write_all(text.as_bytes()).ok()?;
        std::fs::rename(&new, &path).ok()
    };
    // Python is asked again.
    let _ = write();
}

fn path(request: &Digest) -> Option<PathBuf> {
    Some(folder()?.join("described").join(format!("{}.json", request.hex())))
}

fn holds(answer: &impl KeptAnswer) -> bool {
    let same_file = |(path, digest): (&PathBuf, &Option<String>)| match digest {
        Some(digest) => content(path).as_ref() == Some(digest),
        None => !path.exists(),
    };
    let same_folder = |(path, changed): &(PathBuf, u64)| {
        let time = path.metadata().ok().and_then(|metadata| metadata.modified().ok());
        let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        time.is_some_and(|time| time.as_nanos() == u128::from(*changed))
    };
    answer.folders().iter().all(same_folder) && answer.reads().iter().all(same_file)
}

/// The SHA-256 of a file's content; `None` for one that cannot be read.
pub(super) fn content(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MAX_SOURCE_BYTES {
        return None;
    }
    Some(Digest::of(std::fs::read(path).ok()?).hex())
}
