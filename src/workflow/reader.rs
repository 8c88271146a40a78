//! Typed access to the TOML tree of one file: what is wrong is noted, and reading goes on.

use std::borrow::Cow;
use std::rc::Rc;

use super::budget::{Budget, Resource, Spent};
use super::diagnostic::{Diagnostic, FileId, SourceSpan, Span};
use super::elsewhere::{own_name, right_table};
use super::keys::{self, Key, KeyState, SETTINGS_ONLY};
use super::program_ref::ProgramFacts;
use super::syntax::{Table, TomlItem, TomlKey, TomlKind};
use crate::core::closest::closest;

/// Maximum number of errors of one file that are described; the others are counted.
const MAX_ERRORS: usize = 100;

/// Reads one file's tree and collects diagnostics.
pub struct Reader {
    pub file: FileId,
    pub diagnostics: Vec<Diagnostic>,
    /// Errors that were found and not described.
    omitted: usize,
    budget: Rc<Budget>,
    /// Set where the document was made from a program written with flytekit: names are that one's.
    pub program: Option<ProgramFacts>,
}

impl Reader {
    pub fn new(file: FileId) -> Self {
        Self::within(file, Rc::default())
    }

    /// For one of several files that share a budget.
    pub fn within(file: FileId, budget: Rc<Budget>) -> Self {
        Self { file, diagnostics: Vec::new(), omitted: 0, budget, program: None }
    }

    /// Everything that was found.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics;
        diagnostics.extend(Diagnostic::omitted(self.omitted));
        diagnostics
    }

    /// Counts `count` more of what is limited. False where the files of the workflow hold too many; the first time that
    /// is an error at `span`.
    pub fn spend(&mut self, resource: Resource, count: usize, span: Span) -> bool {
        let spent = self.budget.spend(resource, count);
        if spent == Spent::First {
            self.error(span, self.budget.complaint(resource), "too many from here on");
        }
        spent == Spent::Within
    }

    pub fn place(&self, span: Span) -> SourceSpan {
        SourceSpan { file: self.file, span }
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        match self.is_full() {
            false => self.diagnostics.push(diagnostic),
            true => self.omitted += 1,
        }
    }

    /// Whether further errors are only counted, so that callers need not describe them.
    pub fn is_full(&self) -> bool {
        self.diagnostics.len() >= MAX_ERRORS
    }

    /// Counts an error that the caller did not describe because the reader is full.
    pub fn omit(&mut self) {
        self.omitted += 1;
    }

    /// Notes an error at `span`.
    pub fn error(&mut self, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.report(Diagnostic::at(self.place(span), message, label));
    }

    /// Checks that a table holds only `known` keys, and none that is reserved. `owner` names the table: "task `t`".
    pub fn check_keys(&mut self, table: &Table, known: &[Key], owner: &str) {
        for (key, _) in table.iter() {
            match known.iter().find(|k| k.name == key.name) {
                Some(Key { state: KeyState::Ready, .. }) => {}
                Some(Key { state: KeyState::Reserved, .. }) => {
                    let message = format!("`{}` is reserved for a later version", key.name);
                    self.error(key.span, message, "cannot be used");
                }
                None if self.program.is_some()
                    && matches!(&*key.name, "program" | "flytekit" | "failure_policy") => {}
                None if self.is_full() => self.omit(),
                None => self.unknown_key(key, known, owner),
            }
        }
    }

    fn unknown_key(&mut self, key: &TomlKey, known: &[Key], owner: &str) {
        let name = &*key.name;
        let usable = || known.iter().filter(|k| k.state != KeyState::Reserved).map(|k| k.name);
        let misplaced = |message: String, help: &str| {
            Diagnostic::at(self.place(key.span), message, "does not belong here").help(help)
        };
        let message = format!("unknown key `{name}` in {owner}");
        let diagnostic = if name == "import" && known.iter().all(|k| k.name != "import") {
            misplaced(message, "`import` stands at the top of the file, before the first table")
        } else if known.iter().any(|k| k.name == "nodes") && SETTINGS_ONLY.contains(&name) {
            misplaced(
                format!("[{name}] belongs in a settings file, not in a workflow file"),
                "write it in runner.toml beside the workflow file, or in ~/.config/runner/config.toml",
            )
        } else if let Some(help) = right_table(name, known) {
            misplaced(message, &help)
        } else if let Some(meant) = own_name(name, known).or_else(|| closest(name, usable())) {
            Diagnostic::at(self.place(key.span), message, format!("did you mean `{meant}`?"))
        } else {
            let all: Vec<_> = usable().collect();
            Diagnostic::at(self.place(key.span), message, "unknown")
                .help(format!("the keys there are: {}", all.join(", ")))
        };
        self.report(diagnostic);
    }

    /// Notes that `item` is not what was expected.
    pub fn wrong_type(&mut self, item: &TomlItem, name: &str, expected: &str) {
        let message = format!("`{name}` must be {expected}");
        self.error(item.span, message, format!("found {}", item.type_name()));
    }

    pub fn text<'t>(&mut self, table: &'t Table, name: &str) -> Option<&'t str> {
        self.text_item(table, name).map(|(text, _)| text)
    }

    /// Text that must not be empty, with its place.
    pub fn text_item<'t>(&mut self, table: &'t Table, name: &str) -> Option<(&'t str, Span)> {
        let item = table.get(name)?;
        match &item.kind {
            TomlKind::String(text) if text.is_empty() => {
                self.error(item.span, format!("`{name}` must not be empty"), "empty");
                None
            }
            TomlKind::String(text) => Some((text, item.span)),
            _ => {
                self.wrong_type(item, name, "a string");
                None
            }
        }
    }

    pub fn bool(&mut self, table: &Table, name: &str) -> Option<bool> {
        let item = table.get(name)?;
        match item.kind {
            TomlKind::Bool(value) => Some(value),
            _ => {
                self.wrong_type(item, name, "true or false");
                None
            }
        }
    }

    /// One of the texts `allowed`.
    pub fn choice<'t>(&mut self, table: &'t Table, name: &str, allowed: &[&str]) -> Option<&'t str> {
        let (text, span) = self.text_item(table, name)?;
        if allowed.contains(&text) {
            return Some(text);
        }
        let label = match closest(text, allowed.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "not one of them".into(),
        };
        let all: Vec<_> = allowed.iter().map(|a| format!("\"{a}\"")).collect();
        self.error(span, format!("`{name}` must be {}", all.join(" or ")), label);
        None
    }

    /// A list of texts, each with its place.
    pub fn texts<'t>(&mut self, table: &'t Table, name: &str) -> Option<Vec<(&'t str, Span)>> {
        let item = table.get(name)?;
        let TomlKind::Array(items) = &item.kind else {
            self.wrong_type(item, name, "a list of strings");
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.kind {
                TomlKind::String(text) => texts.push((&**text, item.span)),
                _ => self.wrong_type(item, name, "a list of strings"),
            }
        }
        Some(texts)
    }

    /// Like [`Reader::texts`] without the places; missing is empty.
    pub fn owned_texts(&mut self, table: &Table, name: &str) -> Vec<String> {
        let texts = self.texts(table, name).unwrap_or_default();
        texts.into_iter().map(|(text, _)| text.to_owned()).collect()
    }

    pub fn table<'t, 's>(&mut self, table: &'t Table<'s>, name: &str) -> Option<&'t Table<'s>> {
        let item = table.get(name)?;
        match &item.kind {
            TomlKind::Table(inner) => Some(inner),
            _ => {
                self.wrong_type(item, name, "a table");
                None
            }
        }
    }

    /// The entries of a table of tables, as `[tasks.NAME]`.
    pub fn tables<'t, 's>(&mut self, table: &'t Table<'s>, name: &str) -> Vec<TableEntry<'t, 's>> {
        let Some(inner) = self.table(table, name) else { return Vec::new() };
        let mut entries = Vec::with_capacity(inner.len());
        for (key, item) in inner.iter() {
            match &item.kind {
                TomlKind::Table(table) => entries.push(TableEntry { key, span: item.span, table }),
                _ => self.wrong_type(item, &key.name, "a table"),
            }
        }
        entries
    }

    /// Checks a name that is used as an identifier. `what` says what it names: "a node".
    pub fn check_name(&mut self, key: &TomlKey, what: &str, hyphens: bool) -> bool {
        let name = &*key.name;
        if self.program.is_some() {
            return true;
        }
        let problem = if !super::is_name(name, hyphens) {
            let extra = if hyphens { ", and `-`" } else { "" };
            Some(format!(
                "use lower-case letters, digits and `_`{extra}, beginning with a letter, at most 128 in all"
            ))
        } else if keys::FOREIGN_VARIABLES.contains(&name) {
            Some("this variable means something to other programs; choose another name".into())
        } else if !hyphens && keys::TEMPLATE_WORDS.contains(&name) {
            Some("this word has a meaning in templates; choose another name".into())
        } else {
            None
        };
        match problem {
            Some(help) => {
                let message = format!("`{name}` cannot be the name of {what}");
                let label = suggestion(name, hyphens).map_or("not allowed".into(), Cow::Owned);
                self.report(Diagnostic::at(self.place(key.span), message, label).help(help));
                false
            }
            None => true,
        }
    }
}

/// One entry of a table of tables.
#[derive(Clone, Copy)]
pub struct TableEntry<'t, 's> {
    pub key: &'t TomlKey<'s>,
    /// Of the table's header, or of the inline table.
    pub span: Span,
    pub table: &'t Table<'s>,
}

/// A Python name as a name of the format: `learningRate` as `learning_rate`; `None` where there is none near it.
pub fn snake_case(name: &str) -> Option<String> {
    let mut fixed = String::with_capacity(name.len() + 4);
    let letters: Vec<char> = name.chars().collect();
    for (i, c) in letters.iter().enumerate() {
        // A word begins in `learningRate` and `XTrain`, but not in the middle of `CSV`.
        let is_capital =
            |at: Option<usize>| at.and_then(|at| letters.get(at)).is_none_or(char::is_ascii_uppercase);
        if i > 0 && c.is_ascii_uppercase() && !(is_capital(i.checked_sub(1)) && is_capital(Some(i + 1))) {
            fixed.push('_');
        }
        fixed.push(c.to_ascii_lowercase());
    }
    let fixed = fixed.replace("__", "_");
    let fixed = fixed.trim_start_matches('_').to_owned();
    (fixed != name && super::is_name(&fixed, false)).then_some(fixed)
}

/// A usable name near `name`.
fn suggestion(name: &str, hyphens: bool) -> Option<String> {
    let fixed: String = name
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || (hyphens && c == '-') => c,
            _ => '_',
        })
        .collect();
    (fixed != name && super::is_name(&fixed, hyphens)).then(|| format!("`{fixed}` would do"))
}
