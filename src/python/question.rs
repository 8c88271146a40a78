//! A question that was asked of a Python, kept to see later whether it has the same answer. Asks no Python.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::answer::PythonAnswer;
use super::describe::{FunctionRef, known};
use super::interpreter::PythonChoice;
use crate::core::digest::Digest;

/// What was asked, where, and the digest of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonQuestion {
    /// The places at which `interpreter` was found.
    choices: Vec<KeptChoice>,
    interpreter: PathBuf,
    functions: Vec<FunctionRef>,
    answer: Digest,
}

/// A [`PythonChoice`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChoice {
    flag: Option<String>,
    named: Option<String>,
    dir: PathBuf,
    script: Option<PathBuf>,
}

impl From<&PythonChoice<'_>> for KeptChoice {
    fn from(choice: &PythonChoice) -> Self {
        Self {
            flag: choice.flag.map(str::to_owned),
            named: choice.named.map(str::to_owned),
            dir: choice.dir.to_owned(),
            script: choice.script.map(ToOwned::to_owned),
        }
    }
}

impl KeptChoice {
    fn choice(&self) -> PythonChoice<'_> {
        PythonChoice {
            flag: self.flag.as_deref(),
            named: self.named.as_deref(),
            dir: &self.dir,
            script: self.script.as_deref(),
        }
    }
}

impl PythonQuestion {
    /// `choices` all led to `interpreter`.
    pub fn new(
        mut choices: Vec<KeptChoice>,
        interpreter: PathBuf,
        functions: Vec<FunctionRef>,
        answer: &PythonAnswer,
    ) -> Self {
        choices.dedup();
        Self { choices, interpreter, functions, answer: digest(answer) }
    }

    /// Whether the same would be found now: the interpreter, every file that was read or missed, and installed packages.
    pub fn holds(&self) -> bool {
        let is_same = |choice: &KeptChoice| choice.choice().find().as_ref() == Ok(&self.interpreter);
        self.choices.iter().all(is_same)
            && known(&self.interpreter, &self.functions).is_some_and(|answer| digest(&answer) == self.answer)
    }
}

fn digest(answer: &PythonAnswer) -> Digest {
    // Data of this kind can always be written.
    Digest::of(serde_json::to_vec(answer).unwrap_or_default())
}
