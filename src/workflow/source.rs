//! Files on the way in: their text, their own names, and what both kinds of file have in common.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Span};
use super::is_name;
use super::reader::Reader;
use super::syntax::Table;

/// Maximum size of a workflow file, in bytes: 64 MiB. All files of a workflow together have no more.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// `name` of `[workflow]` or `[library]`; empty if there is none that can be used.
pub fn read_own_name(reader: &mut Reader, tree: &Table, header: Option<&Table>, section: &str) -> String {
    let Some(table) = header else {
        if tree.get(section).is_none() {
            let diagnostic =
                Diagnostic::at(reader.place(Span::default()), format!("there is no [{section}]"), "");
            reader.report(
                diagnostic.help(format!("begin the file with\n\n    [{section}]\n    name = \"...\"")),
            );
        }
        return String::new();
    };
    if table.get("name").is_none() {
        let span = tree.get(section).map_or(Span::default(), |item| item.span);
        reader.error(span, format!("[{section}] has no name"), "add name = \"...\"");
        return String::new();
    }
    let Some((name, span)) = reader.text_item(table, "name") else { return String::new() };
    if reader.program.is_none() && !is_name(name, true) {
        let message = format!("`{name}` cannot be the name of a {section}");
        let diagnostic = Diagnostic::at(reader.place(span), message, "not allowed")
            .help("use lower-case letters, digits, `_` and `-`, beginning with a letter");
        reader.report(diagnostic);
    }
    name.to_owned()
}

/// The base name of a path, for messages.
pub fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Reads a text file; the error is a sentence that names the path.
///
/// # Errors
/// A sentence that names the path.
pub fn read_text(path: &Path) -> Result<Arc<str>, String> {
    let shown = path.display();
    let describe = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {shown}"),
        std::io::ErrorKind::PermissionDenied => format!("no permission to read {shown}"),
        _ => format!("cannot read {shown}: {error}"),
    };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(describe)?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory; a workflow file was expected"));
    }
    if !metadata.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        let mebibytes = metadata.len() >> 20;
        return Err(format!("{shown} has {mebibytes} MiB; at most {} MiB are read", MAX_FILE_BYTES >> 20));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    let file = std::fs::File::open(path).map_err(describe)?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(describe)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{shown} is not UTF-8: line {line} has a byte that is no text")
    })?;
    Ok(text.into())
}
