//! Words of a shell command: whatever a text holds, it stays one word.

use std::borrow::Cow;

/// `text` as one word: as it is where that is safe, else between single quotes.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into(),
        false => quoted(text).into(),
    }
}

/// `text` between single quotes, in which nothing has a meaning but their end.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        for (text, word) in [
            ("/srv/etl.toml", "/srv/etl.toml"),
            ("100%", "100%"),
            ("", "''"),
            ("my etl.toml", "'my etl.toml'"),
            ("prep[3]/clean", "'prep[3]/clean'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
