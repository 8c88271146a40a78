//! `[[notify]]` of a workflow or settings file: each entry is checked, and those of several files are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::variables::{Dialect, check};
use crate::core::notify::{DOCUMENT_FIELDS, NotifyChannel, NotifyEvent, NotifyRule};
use crate::workflow::binder::inner_span;
use crate::workflow::diagnostic::{Diagnostic, SourceSpan, Span};
use crate::workflow::is_name;
use crate::workflow::keys::NOTIFY;
use crate::workflow::names::did_you_mean;
use crate::workflow::policy::duration;
use crate::workflow::reader::Reader;
use crate::workflow::syntax::{Table, TomlItem, TomlKind};
use crate::workflow::template::Template;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Words that name the ways a message may take, for messages.
const CHANNELS: &str = "webhook, command, email";

/// An entry, and where it stands.
#[derive(Clone, Debug)]
pub struct PlacedNotify {
    /// `None` for one that only silences others of its name.
    pub rule: Option<NotifyRule>,
    pub name: Option<String>,
    pub place: SourceSpan,
}

/// Reads the entries of a file. One with an error is left out, and the error reported.
pub fn read_notify(reader: &mut Reader, tree: &Table, in_settings: bool) -> Vec<PlacedNotify> {
    const EXPECTED: &str = "an array of tables, [[notify]]";
    let Some(item) = tree.get("notify") else { return Vec::new() };
    let TomlKind::Array(items) = &item.kind else {
        reader.wrong_type(item, "notify", EXPECTED);
        return Vec::new();
    };
    let mut entries: Vec<PlacedNotify> = Vec::new();
    for item in items {
        let TomlKind::Table(table) = &item.kind else {
            reader.wrong_type(item, "notify", EXPECTED);
            continue;
        };
        let before = reader.diagnostics.len();
        let entry = Entry { reader, item, table, in_settings }.read();
        if reader.diagnostics.len() > before {
            continue;
        }
        if let Some(name) = &entry.name
            && entries.iter().any(|other| other.name.as_ref() == Some(name))
        {
            reader.error(
                item.span,
                format!("two entries of [[notify]] are called `{name}`"),
                "the second one",
            );
            continue;
        }
        entries.push(entry);
    }
    entries
}

/// The entries that hold, each with its number among `entries`, of which the nearest come first: of several with one name the
/// nearest, unless it is disabled.
pub fn rules_in_force<'a>(entries: impl Iterator<Item = &'a PlacedNotify>) -> Vec<(usize, &'a PlacedNotify)> {
    let mut names = BTreeSet::new();
    let nearest = entries.enumerate().filter(|(_, entry)| match &entry.name {
        Some(name) => names.insert(name.clone()),
        None => true,
    });
    nearest.filter(|(_, entry)| entry.rule.is_some()).collect()
}

struct Entry<'r, 't, 's> {
    reader: &'r mut Reader,
    item: &'t TomlItem<'s>,
    table: &'t Table<'s>,
    in_settings: bool,
}

impl<'t> Entry<'_, 't, '_> {
    fn read(mut self) -> PlacedNotify {
        let table = self.table;
        self.reader.check_keys(table, NOTIFY, "[[notify]]");
        let name = self.name();
        let disabled = self.reader.bool(table, "disabled").unwrap_or(false);
        let place = self.reader.place(self.item.span);
        if disabled {
            if name.is_none() && table.get("name").is_none() {
                self.reader.error(
                    self.item.span,
                    "a disabled entry silences one by its name",
                    "add name = \"...\"",
                );
            }
            return PlacedNotify { rule: None, name, place };
        }
        let on = self.events();
        let channel = self.channel();
        let body = self.body();
        let schedules = table.get("schedules").map(|_| self.reader.owned_texts(table, "schedules"));
        let after = self.after();
        let repeat = duration(self.reader, table, "repeat", false);
        let timeout = duration(self.reader, table, "timeout", false).unwrap_or(DEFAULT_TIMEOUT);
        let in_settings = self.in_settings;
        let rule = channel.map(|channel| NotifyRule {
            name: name.clone(),
            on,
            channel,
            body,
            schedules,
            after,
            repeat,
            timeout,
            in_settings,
        });
        PlacedNotify { rule, name, place }
    }

    fn name(&mut self) -> Option<String> {
        let (name, span) = self.reader.text_item(self.table, "name")?;
        if !is_name(name, true) {
            let message = format!("`{name}` cannot be the name of an entry of [[notify]]");
            let help = "use lower-case letters, digits, `_` and `-`, beginning with a letter";
            self.reader.report(Diagnostic::at(self.reader.place(span), message, "not allowed").help(help));
            return None;
        }
        Some(name.to_owned())
    }

    fn events(&mut self) -> Vec<NotifyEvent> {
        let Some(names) = self.reader.texts(self.table, "on") else {
            return vec![NotifyEvent::Failure, NotifyEvent::Recovery];
        };
        let mut events = Vec::new();
        for (name, span) in names {
            match NotifyEvent::parse(name) {
                Some(event) if events.contains(&event) => {}
                Some(event) => events.push(event),
                None => {
                    let message = format!("`on` knows no event `{name}`");
                    let label = did_you_mean(name, NotifyEvent::NAMES.into_iter(), "events");
                    self.reader.error(span, message, label);
                }
            }
        }
        if events.is_empty()
            && let Some(item) = self.table.get("on")
        {
            self.reader.error(item.span, "`on` names no event: nothing would be sent", "empty");
        }
        events
    }

    fn channel(&mut self) -> Option<NotifyChannel> {
        let table = self.table;
        let given: Vec<&str> =
            ["webhook", "command", "email"].into_iter().filter(|name| table.get(name).is_some()).collect();
        let [one] = given[..] else {
            let message = match given.is_empty() {
                true => "an entry of [[notify]] says nowhere to send to".to_owned(),
                false => {
                    format!("an entry of [[notify]] has one way, and this one has {}", given.join(" and "))
                }
            };
            self.reader.error(self.item.span, message, format!("give one of {CHANNELS}"));
            return None;
        };
        let headers = self.headers(one);
        match one {
            "webhook" => {
                let (url, span) = self.reader.text_item(table, "webhook")?;
                self.check(url, span)?;
                if !["http://", "https://", "$"].iter().any(|start| url.starts_with(start)) {
                    let label = "expected http://, https:// or ${NAME}";
                    self.reader.error(span, "`webhook` is no address of the web", label);
                    return None;
                }
                Some(NotifyChannel::Webhook { url: url.to_owned(), headers })
            }
            "command" => {
                let words = self.texts("command")?;
                // A shell among them has its own `$NAME`: they are left alone.
                Some(NotifyChannel::Command(words.into_iter().map(|(word, _)| word.to_owned()).collect()))
            }
            _ => {
                let addresses = self.texts("email")?;
                for (address, span) in &addresses {
                    self.check(address, *span);
                    if !address.contains('@') && !address.starts_with('$') {
                        self.reader.error(*span, format!("`{address}` is no address"), "expected NAME@HOST");
                    }
                }
                Some(NotifyChannel::Email(
                    addresses.into_iter().map(|(address, _)| address.to_owned()).collect(),
                ))
            }
        }
    }

    /// Texts of which there must be one at least, each with its place.
    fn texts(&mut self, name: &str) -> Option<Vec<(&'t str, Span)>> {
        let texts = self.reader.texts(self.table, name)?;
        if texts.is_empty()
            && let Some(item) = self.table.get(name)
        {
            self.reader.error(item.span, format!("`{name}` is empty"), "empty");
        }
        Some(texts)
    }

    fn headers(&mut self, channel: &str) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        let Some(table) = self.reader.table(self.table, "headers") else { return headers };
        if channel != "webhook"
            && let Some(item) = self.table.get("headers")
        {
            self.reader.error(item.span, "`headers` are for a webhook", "without effect");
        }
        for (key, item) in table.iter() {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if key.name.is_empty() || !key.name.chars().all(is_token) {
                self.reader.error(key.span, format!("`{}` is no name of a header", key.name), "not allowed");
                continue;
            }
            match &item.kind {
                TomlKind::String(text) if text.chars().any(char::is_control) => {
                    self.reader.error(item.span, "a header holds no control characters", "not allowed");
                }
                TomlKind::String(text) => {
                    self.check(text, item.span);
                    headers.insert(key.name.to_string(), text.to_string());
                }
                _ => self.reader.wrong_type(item, &key.name, "a string"),
            }
        }
        headers
    }

    /// Checks the references of a text.
    fn check(&mut self, text: &str, span: Span) -> Option<()> {
        let dialect = if self.in_settings { Dialect::SettingsLater } else { Dialect::Workflow };
        check(text, dialect)
            .map_err(|bad| {
                let place = self.reader.place(inner_span(span, text, bad.range));
                self.reader.report(Diagnostic::at(place, bad.message, "here"));
            })
            .ok()
    }

    fn body(&mut self) -> Option<String> {
        let (text, span) = self.reader.text_item(self.table, "body")?;
        match Template::parse(text) {
            Ok(template) => {
                for variable in template.variables() {
                    let name = &variable.path[0];
                    if !DOCUMENT_FIELDS.contains(&name.as_str()) {
                        let place = inner_span(span, text, variable.range.clone());
                        let label = did_you_mean(name, DOCUMENT_FIELDS.into_iter(), "fields");
                        let message = format!("the message has no field `{name}`");
                        self.reader.error(place, message, label);
                    }
                }
                Some(text.to_owned())
            }
            Err(error) => {
                let place = inner_span(span, text, error.range);
                self.reader.error(place, format!("`body`: {}", error.message), "here");
                None
            }
        }
    }

    fn after(&mut self) -> u32 {
        let Some(item) = self.table.get("after") else { return 1 };
        match item.kind {
            TomlKind::Integer(after) if after >= 1 => u32::try_from(after).unwrap_or(u32::MAX),
            _ => {
                self.reader.wrong_type(item, "after", "a whole number, at least 1");
                1
            }
        }
    }
}
