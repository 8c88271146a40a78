//! Where things stand in a file that was read: found again by key, for messages about what only a run can know.

use std::path::Path;

use super::diagnostic::{FileId, SourceSpan, Sources};
use super::syntax::{self, Table, TomlItem, TomlKind};

/// One file's tree.
pub struct Places<'s> {
    file: FileId,
    source: &'s str,
    tree: Table<'s>,
}

impl<'s> Places<'s> {
    pub fn of(sources: &'s Sources, file: FileId) -> Self {
        let source = sources.text(file);
        Self { file, source, tree: syntax::parse(source, file).0 }
    }

    /// The item under some keys, each inside the one before.
    pub fn item(&self, keys: &[&str]) -> Option<&TomlItem<'s>> {
        let (last, tables) = keys.split_last()?;
        let mut table = &self.tree;
        for key in tables {
            let TomlKind::Table(inner) = &table.get(key)?.kind else { return None };
            table = inner;
        }
        table.get(last)
    }

    /// Where the item under some keys stands.
    pub fn place(&self, keys: &[&str]) -> Option<SourceSpan> {
        self.item(keys).map(|item| self.span(item))
    }

    /// Where under some keys a text stands that `is_it`.
    pub fn text(&self, keys: &[&str], is_it: &dyn Fn(&str) -> bool) -> Option<SourceSpan> {
        let mut found = None;
        for_each_text(self.item(keys)?, &mut |text, item| {
            if found.is_none() && is_it(text) {
                found = Some(self.span(item));
            }
        });
        found
    }

    /// Calls `visit` for each text under some keys, with its place.
    pub fn for_each_text(&self, keys: &[&str], visit: &mut dyn FnMut(&str, SourceSpan)) {
        if let Some(item) = self.item(keys) {
            for_each_text(item, &mut |text, item| visit(text, self.span(item)));
        }
    }

    /// Where in the item under some keys `words` stand as they are.
    pub fn part(&self, keys: &[&str], words: &str) -> Option<SourceSpan> {
        let mut place = self.place(keys)?;
        let all = self.source.get(place.span.start as usize..place.span.end as usize)?;
        place.span.start += all.find(words)? as u32;
        place.span.end = place.span.start + words.len() as u32;
        Some(place)
    }

    /// Where under some keys a path stands that, from `dir` on, is `path`.
    pub fn path(&self, keys: &[&str], dir: &Path, path: &Path) -> Option<SourceSpan> {
        self.text(keys, &|text| dir.join(text) == path)
    }

    fn span(&self, item: &TomlItem) -> SourceSpan {
        SourceSpan { file: self.file, span: item.span }
    }
}

/// Calls `visit` for each text in `item`.
fn for_each_text<'i, 's>(item: &'i TomlItem<'s>, visit: &mut dyn FnMut(&'i str, &'i TomlItem<'s>)) {
    match &item.kind {
        TomlKind::String(text) => visit(text, item),
        TomlKind::Array(items) => items.iter().for_each(|item| for_each_text(item, visit)),
        TomlKind::Table(table) => table.iter().for_each(|(_, item)| for_each_text(item, visit)),
        TomlKind::Integer(_) | TomlKind::Float(_) | TomlKind::Bool(_) | TomlKind::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_texts_and_paths_are_found_by_key() {
        let text =
            "[nodes.a]\ninputs = { f = [\"./x.csv\", \"y.csv\"], n = 1 }\n[nodes.b.inputs]\nf = \"z\"\n";
        let mut sources = Sources::default();
        let file = sources.add(Path::new("w.toml"), text.into());
        let places = Places::of(&sources, file);
        let shown = |place: Option<SourceSpan>| {
            place.map(|place| &text[place.span.start as usize..place.span.end as usize])
        };
        let keys = ["nodes", "a", "inputs", "f"];
        assert_eq!(shown(places.path(&keys, Path::new("/d"), Path::new("/d/x.csv"))), Some("\"./x.csv\""));
        assert_eq!(shown(places.text(&keys, &|text| text == "y.csv")), Some("\"y.csv\""));
        assert_eq!(shown(places.place(&["nodes", "a", "inputs", "n"])), Some("1"));
        assert_eq!(shown(places.place(&["nodes", "b", "inputs", "f"])), Some("\"z\""));
        assert_eq!(shown(places.part(&["nodes", "a", "inputs"], "y.c")), Some("y.c"));
        assert_eq!(places.part(&["nodes", "a", "inputs"], "[nodes"), None);
        assert_eq!(places.place(&["nodes", "a", "inputs", "f", "g"]), None);
        assert_eq!(places.place(&["nodes", "c", "inputs"]), None);
    }
}
