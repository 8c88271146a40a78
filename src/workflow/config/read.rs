//! One settings file: its values by their dotted names, each checked by the shape of its key.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value as Json};

use super::keys::SETTINGS;
use super::variables::{BadReference, Dialect, Environment, check, fill};
use super::{ConfigValue, LATER};
use crate::core::chunk::ChunkSize;
use crate::workflow::binder::inner_span;
use crate::workflow::diagnostic::{Diagnostic, Span};
use crate::workflow::keys::{Key, Shape};
use crate::workflow::label::check_label;
use crate::workflow::policy::duration;
use crate::workflow::reader::Reader;
use crate::workflow::syntax::{Table, TomlItem, TomlKind};

/// Maximum nodes that may run at once.
pub const MAX_JOBS: u32 = 100_000;

/// Reads the values of a settings file.
pub fn read_values(
    reader: &mut Reader,
    tree: &Table,
    environment: Environment,
) -> BTreeMap<String, ConfigValue> {
    let mut values = BTreeMap::new();
    for section in ["workflow", "library"] {
        if let Some((key, _)) = tree.get_key_item(section) {
            let message = format!("this is a settings file, and it holds a {section}");
            let help =
                format!("files called runner.toml hold settings: give the {section} a file of another name");
            reader.report(Diagnostic::at(reader.place(key.span), message, "does not belong here").help(help));
            return values;
        }
    }
    let mut walk = Walk { reader, environment, values: &mut values };
    walk.table(tree, SETTINGS, "", "the settings");
    values
}

struct Walk<'a> {
    reader: &'a mut Reader,
    environment: Environment<'a>,
    values: &'a mut BTreeMap<String, ConfigValue>,
}

impl Walk<'_> {
    /// Reads the keys of a table, whose own dotted name is `prefix`.
    fn table(&mut self, table: &Table, keys: &[Key], prefix: &str, owner: &str) {
        self.reader.check_keys(table, keys, owner);
        for key in keys {
            let Some(item) = table.get(key.name) else { continue };
            let path = if prefix.is_empty() { key.name.to_owned() } else { format!("{prefix}.{}", key.name) };
            match key.shape {
                Shape::Table(inner) => {
                    if let Some(table) = self.reader.table(table, key.name) {
                        self.table(table, inner, &path, &format!("[{path}]"));
                    }
                }
                Shape::Tables(inner) => self.executors(table, key.name, inner),
                // Read by itself.
                Shape::Array(..) => {}
                _ => {
                    let value = self.value(table, key, item, &path);
                    if let Some(value) = value {
                        let place = self.reader.place(item.span);
                        self.values.insert(path, ConfigValue { value, place });
                    }
                }
            }
        }
    }

    fn executors(&mut self, table: &Table, name: &str, keys: &[Key]) {
        for entry in self.reader.tables(table, name) {
            if self.reader.check_name(entry.key, "an executor", true) {
                let path = format!("{name}.{}", entry.key.name);
                if entry.table.get("kind").is_none() {
                    self.reader.error(entry.span, format!("[{path}] has no `kind`"), "add kind = \"slurm\"");
                }
                self.table(entry.table, keys, &path, &format!("[{path}]"));
            }
        }
    }

    fn value(&mut self, table: &Table, key: &Key, item: &TomlItem, path: &str) -> Option<Json> {
        let name = key.name;
        match key.shape {
            Shape::Bool => self.reader.bool(table, name).map(Json::Bool),
            Shape::Whole(least) => self.whole(item, name, least, path),
            Shape::Choice(all) => self.reader.choice(table, name, all).map(Json::from),
            Shape::Duration => {
                duration(self.reader, table, name, false)?;
                self.reader.text(table, name).map(Json::from)
            }
            Shape::Texts => {
                let texts = self.reader.texts(table, name)?;
                let filled = texts.into_iter().filter_map(|(text, span)| self.fill(text, span, path));
                Some(filled.collect())
            }
            Shape::TextTable => {
                let table = self.reader.table(table, name)?;
                let mut filled = JsonMap::new();
                for (key, item) in table.iter() {
                    match &item.kind {
                        TomlKind::String(text) => {
                            let text = self.fill(text, item.span, path)?;
                            filled.insert(key.name.to_string(), text.into());
                        }
                        _ => self.reader.wrong_type(item, &key.name, "a string"),
                    }
                }
                Some(Json::Object(filled))
            }
            Shape::Any if name == "chunk" => {
                let json = item.kind.to_json();
                match ChunkSize::from_json(&json) {
                    Ok(_) => Some(json),
                    Err(problem) => {
                        self.reader.error(item.span, format!("`{name}` {problem}"), "no size of a chunk");
                        None
                    }
                }
            }
            Shape::Any => Some(item.kind.to_json()),
            _ => {
                let (text, span) = self.reader.text_item(table, name)?;
                let text = self.fill(text, span, path)?;
                self.check_text(&text, span, path).then(|| text.into())
            }
        }
    }

    fn whole(&mut self, item: &TomlItem, name: &str, least: i64, path: &str) -> Option<Json> {
        let most = match path {
            "jobs" => i64::from(MAX_JOBS),
            "smtp.port" => i64::from(u16::MAX),
            _ => i64::MAX,
        };
        match item.kind {
            TomlKind::Integer(value) if (least..=most).contains(&value) => Some(value.into()),
            TomlKind::Integer(_) => {
                let expected = match most {
                    i64::MAX => format!("`{name}` must be {least} or more"),
                    most => format!("`{name}` must lie between {least} and {most}"),
                };
                self.reader.error(item.span, expected, "out of range");
                None
            }
            _ => {
                self.reader.wrong_type(item, name, "a whole number");
                None
            }
        }
    }

    /// A text with its references replaced, or only checked where that happens later.
    fn fill(&mut self, text: &str, span: Span, path: &str) -> Option<String> {
        let filled = match path.starts_with(LATER) {
            true => check(text, Dialect::SettingsLater).map(|()| text.to_owned()),
            false => {
                let no_files = |_: &str| Err(String::new());
                fill(text, Dialect::Settings, self.environment, &no_files).map(|filled| filled.text)
            }
        };
        filled.map_err(|bad| self.bad_reference(bad, text, span)).ok()
    }

    fn bad_reference(&mut self, bad: BadReference, text: &str, span: Span) {
        let place = self.reader.place(inner_span(span, text, bad.range));
        let help = "$NAME and ${NAME} stand for variables of the environment, $$ for a dollar sign";
        self.reader.report(Diagnostic::at(place, bad.message, "here").help(help));
    }

    /// Checks a text by the meaning of its key.
    fn check_text(&mut self, text: &str, span: Span, path: &str) -> bool {
        let problem = match path {
            "project" | "domain" => check_label(text).err().map(|problem| format!("`{path}` {problem}")),
            _ => None,
        };
        let Some(message) = problem else { return true };
        let diagnostic = Diagnostic::at(self.reader.place(span), message, "not usable");
        self.reader.report(diagnostic);
        false
    }
}
