//! The tree of a TOML document: items, keys and tables, with their places in the text.
//!
//! Knows nothing of how it is read.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map as JsonMap, Value as Json};

use crate::core::value::Value;
use crate::workflow::diagnostic::Span;

/// A value and where it stands: all of its text, or the header for a table that has one.
#[derive(Debug)]
pub struct TomlItem<'s> {
    pub span: Span,
    pub kind: TomlKind<'s>,
}

/// A value. A string without escapes borrows from the text.
#[derive(Debug)]
pub enum TomlKind<'s> {
    String(Cow<'s, str>),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// As it is written; one of the four forms of TOML.
    Datetime(&'s str),
    Array(Vec<TomlItem<'s>>),
    Table(Table<'s>),
}

/// A key and where it stands: one part of a dotted key, with its quotes.
#[derive(Debug)]
pub struct TomlKey<'s> {
    pub span: Span,
    pub name: Cow<'s, str>,
}

/// Keys and values in the order of the file.
#[derive(Debug, Default)]
pub struct Table<'s> {
    entries: Vec<(TomlKey<'s>, TomlItem<'s>)>,
    /// Where each name is among the entries, if there are many.
    index: Option<Box<Index<'s>>>,
    pub(super) form: TableForm,
}

#[derive(Debug, Default)]
struct Index<'s>(HashMap<Cow<'s, str>, u32>);

/// How a table came to be, which decides what may still be added to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TableForm {
    /// The document, or a table known only from the headers of tables inside it.
    #[default]
    Implicit,
    /// By a header of its own.
    Header,
    /// By a dotted key.
    Dotted,
    /// In braces: complete.
    Inline,
}

/// Maximum entries of a table for which comparing names one by one is faster than hashing.
const INDEXED: usize = 16;

impl TomlKind<'_> {
    /// As JSON, with datetimes as text and numbers that JSON lacks as they are recorded.
    pub fn to_json(&self) -> Json {
        match self {
            Self::String(text) => (&**text).into(),
            Self::Integer(n) => (*n).into(),
            Self::Float(n) => {
                serde_json::Number::from_f64(*n).map_or_else(|| Value::Float(*n).to_record(), Json::Number)
            }
            Self::Bool(b) => (*b).into(),
            Self::Datetime(text) => (*text).into(),
            Self::Array(items) => items.iter().map(|item| item.kind.to_json()).collect(),
            Self::Table(table) => Json::Object(table.to_object()),
        }
    }
}

impl TomlItem<'_> {
    /// What it is, with its article, for messages: "a string", "an integer", ...
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            TomlKind::String(_) => "a string",
            TomlKind::Integer(_) => "an integer",
            TomlKind::Float(_) => "a float",
            TomlKind::Bool(_) => "a boolean",
            TomlKind::Datetime(_) => "a datetime",
            TomlKind::Array(_) => "an array",
            TomlKind::Table(_) => "a table",
        }
    }
}

impl<'s> Table<'s> {
    pub(super) fn new(form: TableForm) -> Self {
        Self { form, ..Self::default() }
    }

    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&TomlItem<'s>> {
        self.get_key_item(name).map(|(_, item)| item)
    }

    /// A key as it is written, and its value.
    pub fn get_key_item(&self, name: &str) -> Option<(&TomlKey<'s>, &TomlItem<'s>)> {
        let (key, item) = self.entries.get(self.find(name)?)?;
        Some((key, item))
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&TomlKey<'s>, &TomlItem<'s>)> {
        self.entries.iter().map(|(key, item)| (key, item))
    }

    /// As a JSON object.
    pub fn to_object(&self) -> JsonMap<String, Json> {
        self.iter().map(|(key, item)| (key.name.to_string(), item.kind.to_json())).collect()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where a key is among the entries.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.0.get(name).map(|position| *position as usize),
            None => self.entries.iter().position(|(key, _)| key.name == name),
        }
    }

    /// Adds an entry whose key is not there yet; where it is.
    pub(super) fn push(&mut self, key: TomlKey<'s>, item: TomlItem<'s>) -> usize {
        let position = self.entries.len();
        if let Some(index) = &mut self.index {
            index.0.insert(key.name.clone(), position as u32);
        }
        self.entries.push((key, item));
        if self.index.is_none() && self.entries.len() > INDEXED {
            let names = self.entries.iter().enumerate().map(|(i, (key, _))| (key.name.clone(), i as u32));
            self.index = Some(Box::new(Index(names.collect())));
        }
        position
    }

    pub(super) fn entry_mut(&mut self, position: usize) -> Option<(&mut TomlKey<'s>, &mut TomlItem<'s>)> {
        self.entries.get_mut(position).map(|(key, item)| (key, item))
    }

    /// Gives back memory that was kept for more entries, here only.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// The same, in all tables that are not complete since they were read.
    pub(super) fn shrink_all(&mut self) {
        self.shrink();
        for (_, item) in &mut self.entries {
            match &mut item.kind {
                TomlKind::Table(table) if table.form != TableForm::Inline => table.shrink_all(),
                TomlKind::Array(items) => {
                    items.shrink_to_fit();
                    for item in items {
                        match &mut item.kind {
                            TomlKind::Table(table) if table.form != TableForm::Inline => table.shrink_all(),
                            // The elements of an array are either all of this form or none.
                            _ => break,
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
