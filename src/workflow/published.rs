//! `[outputs]` of a workflow, and bindings whose type is not declared.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::Published;
use super::binder::Binder;
use super::binding::Binding;
use super::budget::Resource;
use super::diagnostic::Diagnostic;
use super::keys;
use super::names::NodeNames;
use super::reader::Reader;
use super::syntax::{Table, TomlItem, TomlKind};
use crate::core::time_text::parse_date;
use crate::core::types::Type;

/// Reads `[outputs]`; `may_be_null` says whether a node that a binding refers to may be skipped.
pub fn read_outputs(
    reader: &mut Reader,
    file: &Table,
    dir: &Path,
    names: &NodeNames,
    may_be_null: &dyn Fn(&Binding) -> bool,
) -> Vec<Published> {
    let Some(table) = reader.table(file, "outputs") else { return Vec::new() };
    let span = file.get("outputs").map_or_else(Default::default, |item| item.span);
    if !reader.spend(Resource::Declarations, table.len(), span) {
        return Vec::new();
    }
    let mut outputs: Vec<Published> = Vec::with_capacity(table.len());
    let mut published = HashMap::new();
    for (key, item) in table.iter() {
        if !reader.check_name(key, "an output", false) {
            continue;
        }
        let what = format!("output `{}`", key.name);
        let (value, long) = match &item.kind {
            TomlKind::Table(long) => {
                reader.check_keys(long, keys::PUBLISHED, &what);
                let Some(value) = long.get("value") else {
                    reader.error(
                        item.span,
                        format!("{what} has no value"),
                        "add value = \"{{ NODE.OUTPUT }}\"",
                    );
                    continue;
                };
                (value, Some(long))
            }
            _ => (item, None),
        };
        let Some((binding, ty)) = infer(&mut Binder { reader, scope: Some(names), dir }, value) else {
            continue;
        };
        binding.for_each_glob(&mut |glob| {
            let message = format!("{what} looks for files instead of an output of a node");
            let diagnostic = Diagnostic::at(glob.place, message, "not in [outputs]");
            reader.report(diagnostic.help("bind them to the input of a node"));
        });
        let path = long.and_then(|long| reader.text_item(long, "path"));
        if let (Some((_, span)), Some(ty)) = (path, &ty)
            && !is_publishable(ty.required())
        {
            let message = format!(
                "{what} is {ty}, and only files and directories, or a list or map of them, can be published"
            );
            reader.error(span, message, "drop the path");
        }
        if let Some((path, span)) = path
            && path.is_empty()
        {
            reader.error(span, format!("the path of {what} is empty"), "name a file or folder");
        }
        let path = path.map(|(path, span)| (plain(&dir.join(path)), span));
        if let Some((path, span)) = &path
            && let Some(other) = published.insert(path.clone(), &key.name)
        {
            let message = format!("{what} is published at the same path as `{other}`");
            reader.error(*span, message, "one would overwrite the other");
        }
        let ty = ty.map(|ty| match ty.is_optional() || !may_be_null(&binding) {
            true => ty,
            false => Type::Optional(Box::new(ty)),
        });
        outputs.push(Published {
            name: (*key.name).into(),
            ty,
            value: binding,
            path_place: path.as_ref().map(|(_, span)| reader.place(*span)),
            path: path.map(|(path, _)| path),
        });
    }
    outputs
}

/// Whether values of a type can be put at a path: as a file, a directory, or a folder of files.
fn is_publishable(ty: &Type) -> bool {
    match ty {
        Type::File | Type::Dir => true,
        Type::List(element) | Type::Map(element) => matches!(element.required(), Type::File | Type::Dir),
        _ => false,
    }
}

/// A path without `.` and `..`. No link is followed: of two paths that differ only in links, the publication says so.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// A binding without a declared type, and the type it turns out to have if that is known.
pub fn infer(binder: &mut Binder, item: &TomlItem) -> Option<(Binding, Option<Type>)> {
    match &item.kind {
        TomlKind::String(text) if super::template::is_template(text) => binder.open_template(text, item.span),
        TomlKind::Array(items) => {
            let inferred: Option<Vec<_>> = items.iter().map(|item| infer(binder, item)).collect();
            let (bindings, types): (Vec<_>, Vec<_>) = inferred?.into_iter().unzip();
            let element = match types.split_first() {
                Some((Some(first), rest)) if rest.iter().all(|ty| ty.as_ref() == Some(first)) => {
                    first.clone()
                }
                _ => Type::Json,
            };
            Some((Binding::List(bindings.into()), Some(Type::List(Box::new(element)))))
        }
        kind => {
            let ty = match kind {
                TomlKind::String(_) => Type::String,
                TomlKind::Integer(_) => Type::Int,
                TomlKind::Float(_) => Type::Float,
                TomlKind::Bool(_) => Type::Bool,
                TomlKind::Datetime(text) if parse_date(text).is_some() => Type::Date,
                TomlKind::Datetime(_) => Type::Datetime,
                TomlKind::Array(_) | TomlKind::Table(_) => Type::Json,
            };
            binder.bind(&"value", &ty, item).map(|binding| (binding, Some(ty)))
        }
    }
}
