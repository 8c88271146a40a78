//! A command line up to the cursor, as bash has it: its words without quotes, and how a candidate is to be written so that
//! bash puts it in the right place.

/// Characters that stand for themselves without a quote.
const PLAIN: &str = "@%+=:,./-_^~";

/// Breaks that belong to the word behind them.
const SPECIAL_PREFIXES: &str = "@$";

pub struct CompletionLine {
    /// The last one is the word at the cursor; empty behind a blank.
    pub words: Vec<String>,
    /// Bytes of the last word that bash takes for words of their own, up to its last `=`, `:` or the like.
    before: usize,
    /// The quote in which the cursor stands.
    quote: Option<char>,
}

impl CompletionLine {
    /// Splits `text`; `breaks` are the characters at which bash begins another word.
    pub fn parse(text: &str, breaks: &str) -> Self {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let (mut before, mut quote) = (0, None);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let blank = quote.is_none() && c.is_whitespace();
            if blank {
                words.extend(word.take());
                before = 0;
                continue;
            }
            let current = word.get_or_insert_default();
            match (c, quote) {
                ('\\', None | Some('"')) => current.extend(chars.next()),
                ('\'' | '"', None) => {
                    quote = Some(c);
                    before = current.len();
                }
                (c, Some(open)) if c == open => quote = None,
                (c, quote) => {
                    current.push(c);
                    if quote.is_none() && breaks.contains(c) {
                        // Where one of these begins a word, bash leaves it there.
                        before = current.len() - usize::from(SPECIAL_PREFIXES.contains(c));
                    }
                }
            }
        }
        words.push(word.unwrap_or_default());
        Self { words, before, quote }
    }

    /// A candidate for the last word as a line for bash; `None` if it begins otherwise.
    pub fn reply(&self, candidate: &str) -> Option<String> {
        let begun = self.words.last()?.get(..self.before)?;
        let rest = candidate.strip_prefix(begun)?;
        if self.quote.is_some() {
            return Some(format!("{rest}\n"));
        }
        let mut reply = String::with_capacity(rest.len() + 1);
        for c in rest.chars() {
            if !c.is_alphanumeric() && !PLAIN.contains(c) {
                reply.push('\\');
            }
            reply.push(c);
        }
        reply.push('\n');
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'@><=;|&(:";

    fn words(text: &str) -> Vec<String> {
        CompletionLine::parse(text, BREAKS).words
    }

    #[test]
    fn words_are_without_quotes_and_the_last_is_at_the_cursor() {
        assert_eq!(words("runner show "), ["runner", "show", ""]);
        assert_eq!(words("runner  show @la"), ["runner", "show", "@la"]);
        assert_eq!(
            words("runner exec my\\ flow.toml -i 'a b=c"),
            ["runner", "exec", "my flow.toml", "-i", "a b=c"]
        );
        assert_eq!(words("r \"x 'y\" z"), ["r", "x 'y", "z"]);
        assert_eq!(words("\\"), [""]);
        assert_eq!(words(""), [""]);
    }

    #[test]
    fn replies_leave_out_what_bash_keeps() {
        let reply = |text: &str, candidate: &str| CompletionLine::parse(text, BREAKS).reply(candidate);
        let line = |text: &str| Some(format!("{text}\n"));
        assert_eq!(reply("r -i na", "name="), line("name="));
        assert_eq!(reply("r -i name=a", "name=ada"), line("ada"));
        assert_eq!(reply("r -i name=", "name=ada"), line("ada"));
        assert_eq!(reply("r show @l", "@last"), line("@last"));
        assert_eq!(reply("r --until=a,b", "--until=a,bc"), line("a,bc"));
        assert_eq!(reply("r x", "my flow[1].toml"), line("my\\ flow\\[1\\].toml"));
        assert_eq!(reply("r 'my", "my flow.toml"), line("my flow.toml"));
        assert_eq!(reply("r name=a", "other"), None);
    }
}
