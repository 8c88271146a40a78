//! Inputs and outputs as a page shows them: values as text, files with what is in them if that is an image or a
//! little text. Nothing in them can act: images are shown as images only, where no script in an SVG runs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value as Json};

use super::PageSources;
use crate::view::text::{inert, size};

/// Maximum characters of a value.
const MAX_VALUE_CHARS: usize = 600;
/// Maximum sizes of files whose content is shown.
const MAX_IMAGE_BYTES: u64 = 2 << 20;
const MAX_TEXT_BYTES: u64 = 4 << 10;
/// Maximum content of files shown in one page, in bytes.
const ALL_FILES: u64 = 6 << 20;
/// Maximum files in one list.
const MAX_FILES: usize = 20;

pub struct Field {
    pub name: String,
    pub text: String,
    /// An image, as a `data:` URI.
    pub image: Option<String>,
    /// The text in a file.
    pub content: Option<String>,
}

/// Shows values, and counts what of files is shown.
pub struct ShownValues<'s> {
    sources: &'s dyn PageSources,
    left: u64,
}

impl<'s> ShownValues<'s> {
    pub fn new(sources: &'s dyn PageSources) -> Self {
        Self { sources, left: ALL_FILES }
    }

    /// Outputs, with what is in their files.
    pub fn outputs(&mut self, values: &JsonMap<String, Json>) -> Vec<Field> {
        values.iter().flat_map(|(name, value)| self.field(name, value, true)).collect()
    }

    /// Inputs: what is in their files is shown where they come from.
    pub fn inputs(&mut self, values: &JsonMap<String, Json>) -> Vec<Field> {
        values.iter().flat_map(|(name, value)| self.field(name, value, false)).collect()
    }

    fn field(&mut self, name: &str, value: &Json, look: bool) -> Vec<Field> {
        if let Some(file) = File::of(value) {
            return vec![self.file(name, &file, look)];
        }
        match value {
            Json::Array(items) if items.iter().any(|item| File::of(item).is_some()) => {
                let shown = items.iter().take(MAX_FILES).enumerate();
                let mut fields: Vec<Field> =
                    shown.flat_map(|(i, item)| self.field(&format!("{name}[{i}]"), item, look)).collect();
                if items.len() > MAX_FILES {
                    let text = format!("{} more", items.len() - MAX_FILES);
                    fields.push(Field { name: name.into(), text, image: None, content: None });
                }
                fields
            }
            value => {
                let text = match value {
                    Json::String(text) => text.lines().map(inert).collect::<Vec<_>>().join("\n"),
                    value => inert(&value.to_string()).into_owned(),
                };
                vec![Field {
                    name: inert(name).into_owned(),
                    text: shortened(text),
                    image: None,
                    content: None,
                }]
            }
        }
    }

    fn file(&mut self, name: &str, file: &File, look: bool) -> Field {
        let text = format!("{} ({})", inert(file.name), size(file.size));
        let mut field = Field { name: inert(name).into_owned(), text, image: None, content: None };
        if !look || file.size > MAX_IMAGE_BYTES.min(self.left) {
            return field;
        }
        let Some(bytes) = self.sources.blob(file.digest, file.size) else { return field };
        if let Some(kind) = image(&bytes) {
            self.left -= file.size;
            field.image = Some(format!("data:{kind};base64,{}", STANDARD.encode(&bytes)));
        } else if file.size <= MAX_TEXT_BYTES
            && let Ok(text) = String::from_utf8(bytes)
            && !text.contains('\0')
            && !text.trim().is_empty()
        {
            self.left -= file.size;
            field.content = Some(text.lines().map(inert).collect::<Vec<_>>().join("\n"));
        }
        field
    }
}

/// A file as events tell of it.
struct File<'v> {
    digest: &'v str,
    size: u64,
    /// Its path, or its base name.
    name: &'v str,
}

impl<'v> File<'v> {
    fn of(value: &'v Json) -> Option<Self> {
        let digest = value.get("digest")?.as_str()?;
        let name = ["origin", "name", "path"].iter().find_map(|key| value.get(key)?.as_str())?;
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        Some(Self { digest, size: value.get("size")?.as_u64()?, name })
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The media type of an image, by what it begins with.
fn image(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some("image/png");
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some("image/jpeg");
    }
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Some("image/gif");
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some("image/webp");
    }
    let head = std::str::from_utf8(bytes.get(..1024.min(bytes.len()))?);
    let head = head.unwrap_or_else(|error| std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""));
    let head = head.trim_start_matches('\u{feff}').trim_start();
    let is_svg = head.starts_with("<svg") || head.starts_with("<?xml") && head.contains("<svg");
    is_svg.then_some("image/svg+xml")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::Kept;
    use super::*;

    #[test]
    fn images_are_known_by_what_is_in_them() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            ("\u{feff} <svg xmlns=\"\">".as_bytes(), Some("image/svg+xml")),
            (b"<?xml version=\"1.0\"?>\n<svg>", Some("image/svg+xml")),
            (b"<?xml version=\"1.0\"?>\n<html>", None),
            (b"<html><svg>", None),
            (b"", None),
        ] {
            assert_eq!(image(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn files_are_shown_if_they_are_kept_and_small() {
        let kept = Kept::of(&["plain\x1b[2J text", "<svg onload='x()'/>"]);
        let file = |text: &str| {
            json!({"digest": format!("sha256:{}", Kept::digest(text)), "path": "/a/b.txt",
            "size": text.len()})
        };
        let mut values = ShownValues::new(&kept);
        let outputs = json!({"list": [file("plain\x1b[2J text"), file("gone")],
            "svg": file("<svg onload='x()'/>"), "n": 3, "text": "a\x1b[31mb"});
        let fields = values.outputs(outputs.as_object().unwrap());
        let told: Vec<_> =
            fields.iter().map(|f| (f.name.as_str(), f.text.as_str(), f.content.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("list[0]", "/a/b.txt (14 B)", Some("plain text")),
                ("list[1]", "/a/b.txt (4 B)", None),
                ("n", "3", None),
                ("svg", "/a/b.txt (19 B)", None),
                ("text", "ab", None),
            ]
        );
        assert!(fields[3].image.as_ref().unwrap().starts_with("data:image/svg+xml;base64,PHN2"));
        assert!(values.inputs(outputs.as_object().unwrap()).iter().all(|f| f.image.is_none()));
    }
}
