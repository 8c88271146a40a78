//! Cuts a document into statements: a header, a key with its value, or an empty line.
//!
//! The parser wants the tokens of what it parses all at once; a statement at a time keeps them few. And a
//! bracket that is never closed would swallow the rest of the file: here the next line that can only be a
//! new statement ends it. Knows tokens and brackets, and nothing of values.

use toml_parser::Source;
use toml_parser::lexer::{Lexer, Token, TokenKind};

use super::span;
use crate::workflow::diagnostic::Span;

/// Maximum tokens of a statement: as many as an array of half a million numbers. They are held all at once.
pub(super) const MAX_TOKENS: usize = 1_000_000;

pub(super) struct Statements<'s> {
    source: &'s str,
    lexer: Lexer<'s>,
    /// The tokens of the statement.
    tokens: Vec<Token>,
    /// The first tokens of the next statement, if they were read already.
    next: Vec<Token>,
    /// The brackets that are open.
    open: Vec<Token>,
}

/// An error in the brackets of a statement.
#[derive(Clone, Copy)]
pub(super) enum Problem {
    /// An opening bracket, and a closing one of the other kind.
    Mismatch(Span, Span),
    Unclosed(Span),
    /// Too many tokens, beginning here.
    TooLong(Span),
}

impl<'s> Statements<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        let lexer = Source::new(source).lex();
        Self { source, lexer, tokens: Vec::new(), next: Vec::new(), open: Vec::new() }
    }

    /// The tokens of the next statement, up to and with its line break.
    pub(super) fn next(&mut self) -> Option<(&[Token], Option<Problem>)> {
        self.tokens.clear();
        self.open.clear();
        let mut known = std::mem::take(&mut self.next).into_iter();
        // Brackets before the `=` belong to a header or to nothing.
        let mut assigned = false;
        let mut line = 0;
        let mut mismatch = None;
        while let Some(token) = known.next().or_else(|| self.lexer.next()) {
            // An empty line says nothing: a file may consist of millions of them.
            if self.tokens.is_empty() && token.kind() == TokenKind::Newline && self.is_line_feed(token) {
                continue;
            }
            // Inside brackets white space says nothing.
            if token.kind() == TokenKind::Whitespace && !self.open.is_empty() {
                continue;
            }
            if self.tokens.len() == MAX_TOKENS {
                let start = self.tokens[0].span();
                self.tokens.clear();
                self.lexer = Source::new("").lex();
                return Some((&[], Some(Problem::TooLong(span(start)))));
            }
            self.tokens.push(token);
            match token.kind() {
                TokenKind::Newline | TokenKind::Eof => {
                    if self.open.is_empty() {
                        break;
                    }
                    if self.is_header(line) {
                        self.next = self.tokens.split_off(line);
                        break;
                    }
                    line = self.tokens.len();
                }
                TokenKind::Equals => {
                    if self.is_assignment(line) {
                        self.next = self.tokens.split_off(line);
                        break;
                    }
                    assigned = true;
                }
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket if assigned => {
                    self.open.push(token);
                }
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    if let Some(open) = self.open.pop()
                        && closer(open.kind()) != token.kind()
                    {
                        mismatch.get_or_insert(Problem::Mismatch(span(open.span()), span(token.span())));
                    }
                }
                _ => {}
            }
        }
        let problem = mismatch.or_else(|| self.open.last().map(|open| Problem::Unclosed(span(open.span()))));
        if self.tokens.is_empty() { None } else { Some((&self.tokens, problem)) }
    }

    /// Whether the tokens from `line` on, up to a line break, are surely a header: `[name.name]` without
    /// indentation, where a name cannot be a value.
    fn is_header(&self, line: usize) -> bool {
        let mut tokens = self.tokens[line..].iter().map(Token::kind).peekable();
        let brackets = |tokens: &mut std::iter::Peekable<_>, kind| {
            std::iter::from_fn(|| tokens.next_if_eq(&kind)).count()
        };
        let unindented = self.starts_line(line);
        let opened = brackets(&mut tokens, TokenKind::LeftSquareBracket);
        let name = self.tokens.get(line + opened).filter(|token| token.kind() == TokenKind::Atom);
        let is_value = name.is_none_or(|name| {
            let name = self.source.get(name.span().start()..name.span().end()).unwrap_or_default();
            matches!(name, "true" | "false" | "inf" | "nan")
                || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        });
        while tokens.next_if(|kind| is_key(*kind)).is_some() {}
        let closed = brackets(&mut tokens, TokenKind::RightSquareBracket);
        tokens.next_if_eq(&TokenKind::Comment);
        let ended = matches!(tokens.next(), Some(TokenKind::Newline | TokenKind::Eof));
        unindented && !is_value && matches!(opened, 1 | 2) && opened == closed && ended
    }

    /// Whether the tokens from `line` on, up to a `=`, are surely the start of a statement: a key without
    /// indentation inside an array, which holds no keys.
    fn is_assignment(&self, line: usize) -> bool {
        let in_array = self.open.last().is_some_and(|open| open.kind() == TokenKind::LeftSquareBracket);
        let key = &self.tokens[line..self.tokens.len() - 1];
        in_array
            && line > 0
            && !key.is_empty()
            && self.starts_line(line)
            && key.iter().all(|token| is_key(token.kind()))
    }

    fn is_line_feed(&self, token: Token) -> bool {
        let span = token.span();
        span.end() - span.start() == 1 && self.source.as_bytes().get(span.start()) == Some(&b'\n')
    }

    /// Whether nothing stands before a token in its line.
    fn starts_line(&self, token: usize) -> bool {
        let start = self.tokens[token].span().start();
        start == 0 || self.source.as_bytes().get(start - 1) == Some(&b'\n')
    }
}

fn is_key(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Atom
            | TokenKind::Dot
            | TokenKind::BasicString
            | TokenKind::LiteralString
            | TokenKind::Whitespace
    )
}

fn closer(open: TokenKind) -> TokenKind {
    match open {
        TokenKind::LeftSquareBracket => TokenKind::RightSquareBracket,
        _ => TokenKind::RightCurlyBracket,
    }
}
