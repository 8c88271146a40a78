//! Builds the tree from the parser's events: what headers, dotted keys and values do to it, and what may
//! not be defined twice.
//!
//! Knows nothing of how values are written (`scalar.rs`) or where statements end (`statement.rs`).

use std::borrow::Cow;
use std::cell::RefCell;

use toml_parser::decoder::Encoding;
use toml_parser::parser::EventReceiver;
use toml_parser::{ErrorSink, ParseError, Raw};

use super::tree::{Table, TableForm, TomlItem, TomlKey, TomlKind};
use super::{Document, MAX_DEPTH, SyntaxErrors, scalar, span, words};
use crate::workflow::budget::{Budget, Resource, Spent};
use crate::workflow::diagnostic::{Diagnostic, Span};

pub(super) struct Builder<'s, 'm> {
    document: Document<'s>,
    errors: &'m RefCell<SyntaxErrors>,
    root: Table<'s>,
    /// The way from the root to the table that the last header named: which entry at each level. `None`
    /// if that header was an error: what follows it goes nowhere.
    current: Option<Vec<usize>>,
    /// The header that is being read: where it starts, and whether it is one of an array of tables.
    header: Option<(Span, bool)>,
    /// The arrays and inline tables that are open.
    open: Vec<Container<'s>>,
    /// The keys that still wait for their values, or the header's.
    keys: Vec<TomlKey<'s>>,
    /// Brackets that nest too deeply: the parser skips to their ends.
    refused: usize,
    /// Whether a key of the statement is broken, so that it is unknown where its value belongs.
    lost: bool,
    /// How much the files may hold; each key and value counts.
    budget: &'m Budget,
    /// Whether there are too many by now: no more is read.
    is_full: bool,
}

struct Container<'s> {
    start: Span,
    /// How many of the waiting keys came before it.
    keys: usize,
    depth: usize,
    content: Content<'s>,
}

enum Content<'s> {
    Array(Vec<TomlItem<'s>>),
    Table(Table<'s>),
}

impl<'s, 'm> Builder<'s, 'm> {
    pub(super) fn new(document: Document<'s>, errors: &'m RefCell<SyntaxErrors>, budget: &'m Budget) -> Self {
        Self {
            document,
            errors,
            root: Table::default(),
            current: Some(Vec::new()),
            header: None,
            open: Vec::new(),
            keys: Vec::new(),
            refused: 0,
            lost: false,
            budget,
            is_full: false,
        }
    }

    /// Leaves nothing open, whatever the statement was.
    pub(super) fn end_statement(&mut self) {
        // An unclosed header still says where the next keys belong.
        if let Some((start, _)) = self.header {
            self.end_header(start);
        }
        self.open.clear();
        self.keys.clear();
        self.refused = 0;
        self.lost = false;
    }

    /// Whether the file holds more than may be kept.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn finish(mut self) -> Table<'s> {
        self.root.shrink_all();
        self.root
    }

    /// Counts a key or value; false once there are too many.
    fn count(&mut self, at: Span) -> bool {
        let spent = self.budget.spend(Resource::Values, 1);
        self.is_full = spent != Spent::Within;
        if spent == Spent::First {
            let complaint = self.budget.complaint(Resource::Values);
            self.breaks(Diagnostic::at(self.document.place(at), complaint, "too many from here on"));
        }
        !self.is_full
    }

    /// How deep the next key or value is, its own keys left aside.
    fn depth(&self) -> usize {
        match (self.open.last(), self.header) {
            (Some(container), _) => container.depth,
            (None, Some(_)) => 0,
            (None, None) => self.current.as_ref().map_or(0, Vec::len),
        }
    }

    /// How many keys wait for the next value.
    fn waiting(&self) -> usize {
        self.keys.len() - self.open.last().map_or(0, |container| container.keys)
    }

    fn too_deep(&self, at: Span) {
        let message = format!("values, keys and headers nest more than {MAX_DEPTH} deep");
        self.breaks(Diagnostic::at(self.document.place(at), message, "too deep from here on"));
    }

    fn breaks(&self, diagnostic: Diagnostic) {
        self.errors.borrow_mut().breaks(|| diagnostic);
    }

    fn add(&self, diagnostic: Diagnostic) {
        self.errors.borrow_mut().add(|| diagnostic);
    }

    fn start_container(&mut self, start: Span, content: Content<'s>) -> bool {
        let depth = self.depth() + self.waiting().max(1);
        if depth > MAX_DEPTH || !self.count(start) {
            if depth > MAX_DEPTH {
                self.too_deep(start);
            }
            self.refused += 1;
            return false;
        }
        self.open.push(Container { start, keys: self.keys.len(), depth, content });
        true
    }

    fn end_container(&mut self, end: Span) {
        if self.refused > 0 {
            self.refused -= 1;
            return;
        }
        let Some(container) = self.open.pop() else { return };
        self.keys.truncate(container.keys);
        let kind = match container.content {
            Content::Array(mut items) => {
                items.shrink_to_fit();
                TomlKind::Array(items)
            }
            Content::Table(mut table) => {
                table.shrink();
                TomlKind::Table(table)
            }
        };
        self.value(TomlItem { span: Span { start: container.start.start, end: end.end }, kind });
    }

    /// Puts a complete value where it belongs.
    fn value(&mut self, item: TomlItem<'s>) {
        let (table, keys) = match self.open.last_mut() {
            Some(Container { content: Content::Array(items), .. }) => {
                items.push(item);
                return;
            }
            Some(Container { content: Content::Table(table), keys, .. }) => (Some(table), *keys),
            None => (self.current.as_ref().and_then(|way| follow(&mut self.root, way)), 0),
        };
        let keys = self.keys.drain(keys..);
        let Some(table) = table.filter(|_| !self.lost) else { return };
        if let Err(diagnostic) = assign(self.document, table, keys, item) {
            self.add(diagnostic);
        }
    }

    fn start_header(&mut self, start: Span, of_array: bool) {
        self.header = Some((start, of_array));
        self.keys.clear();
    }

    fn end_header(&mut self, end: Span) {
        let Some((start, of_array)) = self.header.take() else { return };
        if let Some(table) = self.current.as_ref().and_then(|way| follow(&mut self.root, way)) {
            table.shrink();
        }
        let header = Span { start: start.start, end: end.end };
        let way = self.current.take().unwrap_or_default();
        if self.lost {
            return;
        }
        match open_table(self.document, &mut self.root, self.keys.drain(..), header, of_array, way) {
            Ok(way) => self.current = way,
            Err(diagnostic) => self.add(diagnostic),
        }
    }

    /// The text of a span, ready to be decoded.
    fn raw(&self, span: toml_parser::Span, encoding: Option<Encoding>) -> Raw<'s> {
        Raw::new_unchecked(self.document.text(super::span(span)), encoding, span)
    }
}

impl EventReceiver for Builder<'_, '_> {
    fn std_table_open(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.start_header(span(at), false);
    }

    fn std_table_close(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_header(span(at));
    }

    fn array_table_open(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.start_header(span(at), true);
    }

    fn array_table_close(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_header(span(at));
    }

    fn inline_table_open(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.start_container(span(at), Content::Table(Table::new(TableForm::Inline)))
    }

    fn inline_table_close(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_container(span(at));
    }

    fn array_open(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) -> bool {
        self.start_container(span(at), Content::Array(Vec::new()))
    }

    fn array_close(&mut self, at: toml_parser::Span, _: &mut dyn ErrorSink) {
        self.end_container(span(at));
    }

    fn simple_key(&mut self, at: toml_parser::Span, encoding: Option<Encoding>, _: &mut dyn ErrorSink) {
        if self.refused > 0 || !self.count(span(at)) {
            return;
        }
        if self.depth() + self.waiting() >= MAX_DEPTH {
            self.too_deep(span(at));
            self.lost = true;
            return;
        }
        let raw = self.raw(at, encoding);
        let mut error: Option<ParseError> = None;
        let mut name = Cow::Borrowed("");
        raw.decode_key(&mut name, &mut error);
        if let Some(error) = error {
            self.breaks(words::key(self.document, span(at), encoding, &error));
            self.lost = true;
        }
        self.keys.push(TomlKey { span: span(at), name });
    }

    fn scalar(&mut self, at: toml_parser::Span, encoding: Option<Encoding>, _: &mut dyn ErrorSink) {
        if self.refused > 0 || !self.count(span(at)) {
            return;
        }
        let (kind, fault) = scalar::decode(self.raw(at, encoding));
        if let Some(fault) = fault {
            match words::scalar(self.document, span(at), encoding, &fault) {
                Some((diagnostic, true)) => self.breaks(diagnostic),
                Some((diagnostic, false)) => self.add(diagnostic),
                None => {}
            }
        }
        self.value(TomlItem { span: span(at), kind });
    }

    fn comment(&mut self, at: toml_parser::Span, error: &mut dyn ErrorSink) {
        self.raw(at, None).decode_comment(error);
    }

    fn newline(&mut self, at: toml_parser::Span, error: &mut dyn ErrorSink) {
        self.raw(at, None).decode_newline(error);
    }
}

/// The table at the end of a way; in an array of tables, its last one.
fn follow<'t, 's>(root: &'t mut Table<'s>, way: &[usize]) -> Option<&'t mut Table<'s>> {
    way.iter().try_fold(root, |table, position| inner(table.entry_mut(*position)?.1))
}

/// The table that a part of a header leads into, if it leads into one that is still open.
fn inner<'t, 's>(item: &'t mut TomlItem<'s>) -> Option<&'t mut Table<'s>> {
    match &mut item.kind {
        TomlKind::Table(table) if table.form != TableForm::Inline => Some(table),
        TomlKind::Array(items) => match &mut items.last_mut()?.kind {
            TomlKind::Table(table) if table.form == TableForm::Header => Some(table),
            _ => None,
        },
        _ => None,
    }
}

/// Opens the table of a header, and those that it implies; `way` becomes the way to it.
fn open_table<'s>(
    document: Document<'s>,
    root: &mut Table<'s>,
    mut keys: impl DoubleEndedIterator<Item = TomlKey<'s>>,
    header: Span,
    of_array: bool,
    mut way: Vec<usize>,
) -> Result<Option<Vec<usize>>, Diagnostic> {
    way.clear();
    let Some(last) = keys.next_back() else { return Ok(None) };
    let mut first = None;
    let mut table = &mut *root;
    for key in keys {
        let span = key.span;
        let start = *first.get_or_insert(span.start);
        let position = match table.find(&key.name) {
            Some(position) => position,
            None => {
                table.push(key, TomlItem { span, kind: TomlKind::Table(Table::new(TableForm::Implicit)) })
            }
        };
        way.push(position);
        let Some((known, item)) = table.entry_mut(position) else { return Ok(None) };
        if inner(item).is_none() {
            return Err(words::closed(document, known, item, Span { start, end: span.end }));
        }
        let Some(next) = inner(item) else { return Ok(None) };
        table = next;
    }
    let opened = TomlItem { span: header, kind: TomlKind::Table(Table::new(TableForm::Header)) };
    let Some(position) = table.find(&last.name) else {
        let kind = if of_array { TomlKind::Array(vec![opened]) } else { opened.kind };
        way.push(table.push(last, TomlItem { span: header, kind }));
        return Ok(Some(way));
    };
    way.push(position);
    let Some((known, item)) = table.entry_mut(position) else { return Ok(None) };
    match &mut item.kind {
        TomlKind::Table(table) if !of_array && table.form == TableForm::Implicit => {
            table.form = TableForm::Header;
            (known.span, item.span) = (last.span, header);
        }
        TomlKind::Array(items) if of_array && is_of_headers(items) => items.push(opened),
        _ => {
            let name = Span { start: first.unwrap_or(last.span.start), end: last.span.end };
            return Err(words::twice(document, known, item, name));
        }
    }
    Ok(Some(way))
}

/// Whether an array was made by `[[headers]]`.
fn is_of_headers(items: &[TomlItem]) -> bool {
    matches!(items.last(), Some(TomlItem { kind: TomlKind::Table(table), .. }) if table.form == TableForm::Header)
}

/// Puts a value under a key, which may be dotted.
fn assign<'s>(
    document: Document<'s>,
    root: &mut Table<'s>,
    mut keys: impl DoubleEndedIterator<Item = TomlKey<'s>>,
    item: TomlItem<'s>,
) -> Result<(), Diagnostic> {
    let Some(last) = keys.next_back() else { return Ok(()) };
    let mut first = None;
    let mut table = &mut *root;
    for key in keys {
        let span = key.span;
        let start = *first.get_or_insert(span.start);
        let position = match table.find(&key.name) {
            Some(position) => position,
            None => table.push(key, TomlItem { span, kind: TomlKind::Table(Table::new(TableForm::Dotted)) }),
        };
        let Some((known, next)) = table.entry_mut(position) else { return Ok(()) };
        let takes_dotted = |form| matches!(form, TableForm::Implicit | TableForm::Dotted);
        if !matches!(&next.kind, TomlKind::Table(table) if takes_dotted(table.form)) {
            return Err(words::closed(document, known, next, Span { start, end: span.end }));
        }
        let TomlKind::Table(next) = &mut next.kind else { return Ok(()) };
        table = next;
        table.form = TableForm::Dotted;
    }
    match table.find(&last.name).and_then(|position| table.entry_mut(position)) {
        Some((known, item)) => {
            let name = Span { start: first.unwrap_or(last.span.start), end: last.span.end };
            Err(words::twice(document, known, item, name))
        }
        None => {
            table.push(last, item);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::workflow::diagnostic::FileId;

    /// A second definition is reported with the place of the first.
    #[test]
    fn clashes_name_both_places() {
        for (text, message, again, first) in [
            ("a = 1\n'a' = 2", "`'a'` is defined twice", "'a'", "a"),
            ("a.b = 1\na.b = 2", "`a.b` is defined twice", "a.b", "b"),
            ("[a.b]\n[a.b]", "`a.b` is defined twice", "a.b", "[a.b]"),
            ("[a]\n[[a]]", "`a` is defined twice", "a", "[a]"),
            ("x = { a = 1, a = 2 }", "`a` is defined twice", "a", "a"),
            ("a = {}\na.b = 1", "`a` is complete and takes no more keys", "a", "a"),
            ("a = 1\n[a.b]", "`a` is an integer, not a table", "a", "a"),
            ("a = [1]\na.b = 1", "`a` is an array, not a table", "a", "a"),
            ("[a.b.c]\n[a]\nb.c.d = 1", "`b.c` has a header of its own", "b.c", "[a.b.c]"),
        ] {
            let (_, found) = parse(text, FileId(0));
            let [error] = &found[..] else { panic!("{text}: {found:?}") };
            let place = error.primary.as_ref().unwrap().0.span;
            let other = error.secondary[0].0.span;
            let at = |start, end| &text[start as usize..end as usize];
            assert_eq!(
                (&*error.message, at(place.start, place.end), at(other.start, other.end)),
                (message, again, first)
            );
            assert!(other.end <= place.start, "{text}");
        }
    }

    #[test]
    fn a_refused_header_keeps_its_keys_from_other_tables() {
        let (table, found) = parse("[a]\nx = 1\n[a]\nx = 2\n[]\nx = 3\n[b\ny = 4", FileId(0));
        assert_eq!(found.len(), 3, "{found:?}");
        let names: Vec<_> = table.iter().map(|(key, _)| &*key.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
