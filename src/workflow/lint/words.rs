//! The words of a script, as far as they can be split without running it.
//!
//! No shell is imitated: quotes and operators end a word, comments are left out, and what a word comes to when
//! variables are filled in is not known.

/// One word of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'s> {
    pub text: &'s str,
    /// Whether a command's name can stand here.
    pub is_command: bool,
    /// The line it stands in, without what is before it.
    pub rest: &'s str,
    /// Where it begins in the script, in bytes.
    pub at: usize,
}

/// The characters that end a word, besides white space.
const ENDS: &[char] = &['"', '\'', '`', ';', '|', '&', '<', '>', '(', ')', '=', ',', '[', ']'];

pub fn words(script: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut begin = 0;
    for line in script.split_inclusive('\n') {
        let base = begin;
        begin += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        let (mut is_command, mut assigned) = (true, false);
        let mut at = 0;
        while let Some(letter) = line[at..].chars().next() {
            let rest = &line[at..];
            // A comment; `$#` is none.
            if letter == '#' && (at == 0 || line[..at].ends_with(char::is_whitespace)) {
                break;
            }
            if letter.is_whitespace() || ENDS.contains(&letter) {
                is_command |= matches!(letter, ';' | '|' | '&' | '(' | '`');
                // The command comes after the value.
                assigned = letter == '=' && is_command || assigned && matches!(letter, '"' | '\'');
                at += letter.len_utf8();
                continue;
            }
            let length = rest.find(|c: char| c.is_whitespace() || ENDS.contains(&c)).unwrap_or(rest.len());
            let text = &rest[..length];
            words.push(Word { text, is_command, rest, at: base + at });
            at += length;
            let before_command = line[at..].starts_with('=') || KEYWORDS.contains(&text);
            is_command = is_command && (assigned || before_command);
        }
    }
    words
}

/// The words that may precede a command.
const KEYWORDS: [&str; 12] =
    ["if", "then", "else", "elif", "do", "while", "until", "!", "time", "exec", "{", "env"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_arguments() {
        let script = "TZ=UTC date +%s > \"$OUT/y\" # date\ncat a.txt | sort; x=$(curl -s http://h/p)\nif ! test -e b; then wc; fi";
        let commands: Vec<_> = words(script).into_iter().filter(|w| w.is_command).map(|w| w.text).collect();
        assert_eq!(
            commands,
            ["TZ", "UTC", "date", "cat", "sort", "x", "$", "curl", "if", "!", "test", "then", "wc", "fi"]
        );
        let all: Vec<_> =
            words("python3 scripts/a.py --in=data/b.csv # c.txt").iter().map(|w| w.text).collect();
        assert_eq!(all, ["python3", "scripts/a.py", "--in", "data/b.csv"]);
    }
}
