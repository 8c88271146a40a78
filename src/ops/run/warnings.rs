//! What the user should know of a run before its work begins. Nothing here keeps a run from beginning.

use std::collections::BTreeMap;
use std::ffi::OsString;

use rusqlite::Connection;

use super::super::open::Opened;
use super::super::prior::Prior;
use crate::core::value::Value;
use crate::exec::{MIN_SECRET_CHARS, Masker, is_maskable};
use crate::storage::history::invocation::has_read;
use crate::workflow::Workflow;
use crate::workflow::diagnostic::Diagnostic;
use crate::workflow::lint;

/// Files among the inputs that have changed since the run that is retried.
pub fn changed_inputs(prior: Option<&Prior>, workflow: &Workflow, inputs: &[Value]) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(prior) = prior else { return warnings };
    for (input, value) in workflow.inputs.iter().zip(inputs) {
        prior.changed_files(&input.name, &value.to_record(), &mut |path| {
            let id = &prior.run;
            warnings.push(format!("{path} has changed since run {id}: what depends on it runs again"));
        });
    }
    warnings
}

/// Files that tasks read without declaring them, and Windows line ends. Once for each text: a user who keeps it has decided.
pub fn of_texts(opened: &Opened, reader: &Connection) -> Vec<String> {
    if opened.documents.iter().all(|document| has_read(reader, &document.text)) {
        return Vec::new();
    }
    let lints = lint::at_run(&opened.workflows, &opened.sources).into_iter();
    let warning = |lint: lint::Lint| {
        let Diagnostic { message, help, .. } = lint.diagnostic;
        format!("{message}: {}. Said once for this workflow", help.join("; "))
    };
    lints.map(warning).collect()
}

/// Secrets that will be seen: those that are too short to be masked, and inputs that hold one.
pub fn unmasked(
    secrets: &BTreeMap<String, OsString>,
    masker: &Masker,
    workflow: &Workflow,
    inputs: &[Value],
) -> Vec<String> {
    let is_short = |value: &OsString| {
        let value = value.as_encoded_bytes();
        !value.trim_ascii().is_empty() && !is_maskable(value)
    };
    let short = secrets.iter().filter(|(_, value)| is_short(value)).map(|(name, _)| {
        format!(
            "the secret `{name}` is shorter than {MIN_SECRET_CHARS} characters and is not masked: in logs and records it \
             stands in clear"
        )
    });
    let shown =
        workflow.inputs.iter().zip(inputs).filter(|(_, value)| masker.is_in(&value.to_record().to_string()));
    let shown = shown.map(|(input, _)| {
        format!("the input `{}` holds the value of a secret, and inputs are recorded in clear", input.name)
    });
    short.chain(shown).collect()
}
