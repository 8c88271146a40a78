//! Values in the text of shell scripts: whatever they hold, they stay data.

use std::path::Path;

use crate::engine::attempt::prepare::PreparedAttempt;

/// Where something stands in a value that is another folder when the script runs, and the variable that names that.
pub struct Moved<'a> {
    /// Longer ones first, where one is the beginning of another.
    pub places: &'a [(Vec<u8>, &'a str)],
}

/// Nothing is moved: the script runs where it was written.
pub const NOWHERE: Moved = Moved { places: &[] };

impl Moved<'_> {
    /// One word of a script that stands for exactly these bytes, but for what was moved.
    pub fn word(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + 2);
        let mut plain = Vec::new();
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            let moved = self.places.iter().find(|(from, _)| rest.starts_with(from));
            match moved {
                Some((from, variable)) => {
                    flush(&mut plain, &mut text);
                    text.extend_from_slice(format!("\"{variable}\"").as_bytes());
                    rest = &rest[from.len()..];
                }
                None => {
                    plain.push(*first);
                    rest = after;
                }
            }
        }
        if !plain.is_empty() || text.is_empty() {
            quote(&plain, &mut text);
        }
        text
    }

    /// A path as a word.
    pub fn path(&self, path: &Path) -> Vec<u8> {
        self.word(path.as_os_str().as_encoded_bytes())
    }

    /// The words of a command. The text of its script is read from the file `script`, where it can be looked at.
    pub fn command(&self, prepared: &PreparedAttempt, script: &Path) -> Vec<u8> {
        let mut text = Vec::new();
        for (i, word) in prepared.program.iter().enumerate() {
            if i > 0 {
                text.push(b' ');
            }
            if prepared.inline == Some(i) {
                text.extend_from_slice(b"\"$(cat -- ");
                text.extend(self.path(script));
                text.extend_from_slice(b")\"");
            } else {
                text.extend(self.word(word.as_bytes()));
            }
        }
        text
    }
}

fn flush(plain: &mut Vec<u8>, text: &mut Vec<u8>) {
    if !plain.is_empty() {
        quote(plain, text);
        plain.clear();
    }
}

/// Between single quotes nothing means anything but their end.
fn quote(plain: &[u8], text: &mut Vec<u8>) {
    text.push(b'\'');
    for byte in plain {
        match byte {
            b'\'' => text.extend_from_slice(b"'\\''"),
            byte => text.push(*byte),
        }
    }
    text.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let moved = Moved { places: &[(b"/far/in/".to_vec(), "$here/inputs/"), (b"/far".to_vec(), "$here")] };
        for (value, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("it's $HOME `id` \"x\" \\ * \n!", "it's $HOME `id` \"x\" \\ * \n!"),
            ("'", "'"),
            ("/far/in/a b", "/a $(b) 'c'/inputs/a b"),
            ("x=/far/out:/far", "x=/a $(b) 'c'/out:/a $(b) 'c'"),
        ] {
            let word = String::from_utf8(moved.word(value.as_bytes())).unwrap();
            for shell in ["sh", "bash"] {
                let script = format!("here='/a $(b) '\\''c'\\'''; printf %s {word}");
                let out = Command::new(shell).args(["-c", &script]).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{word}");
            }
        }
    }
}
