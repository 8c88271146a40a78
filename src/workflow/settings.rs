//! Policies that the command line sets: `--set tasks.train.timeout=2h`, over what the file says.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, FileId, SourceSpan, Sources, Span};
use super::keys;
use super::policy::{AttemptPolicy, CachePolicy};
use super::reader::Reader;
use super::syntax;

/// The object of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingTarget {
    /// Every task of the workflow file that does not say otherwise.
    Defaults,
    /// A task of the workflow file, or any by its qualified name.
    Task(String),
    /// A node of the workflow file.
    Node(String),
}

/// One `--set`.
#[derive(Debug)]
pub struct Setting {
    pub target: SettingTarget,
    /// As a line of TOML.
    line: Arc<str>,
    file: FileId,
    pub used: bool,
}

impl Setting {
    /// Reads what stands behind `--set`.
    ///
    /// # Errors
    /// The expected form.
    pub fn parse(text: &str, sources: &mut Sources) -> Result<Self, Diagnostic> {
        let wrong = |problem: &str| {
            Diagnostic::new(format!("--set {text}: {problem}")).help(
                "write it as in --set tasks.train.timeout=2h, nodes.train.retries=3 or defaults.cache=true",
            )
        };
        let (path, value) = text.split_once('=').ok_or_else(|| wrong("expected PATH=VALUE"))?;
        let (kind, rest) = path.split_once('.').ok_or_else(|| wrong("the path is too short"))?;
        // Amounts are set one by one: `tasks.train.resources.memory`.
        let (rest, resource) = match rest.rsplit_once('.') {
            Some((before, name)) if before == "resources" || before.ends_with(".resources") => {
                (before, Some(name))
            }
            _ => (rest, None),
        };
        let (name, key) = match (kind, rest.rsplit_once('.')) {
            ("defaults", None) => ("", rest),
            ("tasks" | "nodes", Some((name, key))) => (name, key),
            _ => return Err(wrong("the path names no policy of a task, a node or the defaults")),
        };
        let target = match kind {
            "tasks" => SettingTarget::Task(name.into()),
            "nodes" => SettingTarget::Node(name.into()),
            _ => SettingTarget::Defaults,
        };
        let key = resource.map_or(key.to_owned(), |resource| format!("{key}.{resource}"));
        let line = |value: &str| -> Arc<str> { format!("{key} = {value}").into() };
        // A value that is not TOML by itself is text: `2h`.
        let file = FileId::default();
        let plain = line(value);
        let line = match syntax::parse(&plain, file).1.is_empty() {
            true => plain,
            false => line(&toml::Value::String(value.into()).to_string()),
        };
        let file = sources.add(std::path::Path::new(&format!("--set {text}")), line.clone());
        Ok(Self { target, line, file, used: false })
    }

    /// Changes the policies of a task or of the defaults.
    pub fn apply(
        &mut self,
        execution: &mut AttemptPolicy,
        cache: &mut CachePolicy,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        self.used = true;
        let (tree, errors) = syntax::parse(&self.line, self.file);
        let mut reader = Reader::new(self.file);
        reader.diagnostics.extend(errors);
        reader.check_keys(&tree, keys::POLICIES, "what --set can change");
        *execution = execution.overridden(&mut reader, &tree);
        *cache = cache.overridden(&mut reader, &tree);
        diagnostics.extend(reader.into_diagnostics());
    }

    /// Changes the policies of a node, which has none about the cache.
    pub fn apply_to_node(
        &mut self,
        execution: &AttemptPolicy,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> AttemptPolicy {
        self.used = true;
        let (tree, errors) = syntax::parse(&self.line, self.file);
        let mut reader = Reader::new(self.file);
        reader.diagnostics.extend(errors);
        reader.check_keys(&tree, keys::NODE_POLICIES, "what --set can change of a node");
        let execution = execution.overridden(&mut reader, &tree);
        diagnostics.extend(reader.into_diagnostics());
        execution
    }

    /// The error if nothing has that name.
    pub fn unused(&self) -> Option<Diagnostic> {
        let message = match &self.target {
            _ if self.used => return None,
            SettingTarget::Task(name) => format!("--set: there is no task `{name}`"),
            SettingTarget::Node(name) => format!("--set: there is no node `{name}` that runs a task"),
            SettingTarget::Defaults => "--set: there is no task".to_owned(),
        };
        let span = Span { start: 0, end: self.line.len() as u32 };
        let help = "tasks are named as in the file or by their qualified name, nodes as in the file";
        Some(Diagnostic::at(SourceSpan { file: self.file, span }, message, "for nothing").help(help))
    }
}
