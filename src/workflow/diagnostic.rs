//! Diagnostics: what is wrong in a workflow file, where, what was expected, and how to mend it.
//!
//! Collected, never thrown: a reader of files reports every error at once. Owns how they are shown, too:
//! only the lines that matter are cut out of a text, whatever its size, and nothing that came from a file
//! reaches the terminal as a control character. Knows nothing of TOML or workflows.

mod lines;

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use self::lines::{File, MAX_LINE_CHARS};
use crate::core::counted::counted;
use crate::core::inert::{PLACEHOLDER, inert_in_place, inert_message};

/// A stretch of a source text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// One of the files of [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId(pub u32);

/// A stretch of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceSpan {
    pub file: FileId,
    pub span: Span,
}

/// The texts that diagnostics point into.
#[derive(Clone, Default)]
pub struct Sources {
    files: Vec<File>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// It looks wrong, and can be run.
    Warning,
}

/// One error, or something that looks like one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The error in one line, without a full stop.
    pub message: String,
    /// What to underline, and the words beside it; `None` for an error that is nowhere in a file.
    pub primary: Option<(SourceSpan, String)>,
    /// Other places that explain it.
    pub secondary: Vec<(SourceSpan, String)>,
    /// How to mend it.
    pub help: Vec<String>,
    /// Greater than 0 where it stands for further errors of a file, which are counted and not described.
    pub omitted: u32,
}

/// Maximum number of diagnostics that are shown; the others are counted.
const MAX_SHOWN: usize = 100;
/// Places of one file that are at most this many lines apart share an excerpt.
const NEAR: usize = 40;
/// Columns beside a line of a file, for its number and marks of a cut.
const GUTTER: usize = 10;
/// Minimum characters of a line that are shown, on any screen.
const MIN_LINE_CHARS: usize = 28;

impl Sources {
    /// Adds a file under the path that messages show.
    pub fn add(&mut self, path: &Path, text: Arc<str>) -> FileId {
        self.files.push(File::new(path.to_owned(), text));
        FileId((self.files.len() - 1) as u32)
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> &Arc<str> {
        &self.files[file.0 as usize].text
    }

    /// The path of a file, as given.
    pub fn path(&self, file: FileId) -> &Path {
        &self.files[file.0 as usize].path
    }

    /// The line and column where `place` starts; both count from 1, columns in characters.
    pub fn line_column(&self, place: SourceSpan) -> (usize, usize) {
        let file = &self.files[place.file.0 as usize];
        let line = file.line_of(place.span.start);
        let range = file.line_range(line);
        let start = file.boundary(place.span.start).clamp(range.start, range.end);
        (line + 1, file.text[range.start..start].chars().count() + 1)
    }

    /// The diagnostics as text for people, in the order of files and positions, exact duplicates dropped, at
    /// most 100 of them; with escape sequences for colour if asked for. Empty for none, else ends in a newline.
    pub fn render(&self, diagnostics: &[Diagnostic], color: bool) -> String {
        self.render_within(diagnostics, color, None)
    }

    /// The same, with lines of the files cut to this many columns.
    pub fn render_within(&self, diagnostics: &[Diagnostic], color: bool, columns: Option<usize>) -> String {
        let room = columns.map_or(MAX_LINE_CHARS, |columns| columns.saturating_sub(GUTTER));
        let max_chars = room.clamp(MIN_LINE_CHARS, MAX_LINE_CHARS);
        let mut seen = HashSet::new();
        let mut shown: Vec<&Diagnostic> =
            diagnostics.iter().filter(|d| d.omitted == 0 && seen.insert(*d)).collect();
        shown.sort_by_key(|d| d.primary.as_ref().map(|(place, _)| (place.file.0, place.span.start)));

        let renderer = if color { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
        // Long lines are cut here, so the renderer must not cut again.
        let renderer = renderer.term_width(usize::from(u16::MAX));
        let mut out = String::new();
        for diagnostic in shown.iter().take(MAX_SHOWN) {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&self.render_one(diagnostic, &renderer, max_chars));
            out.push('\n');
        }
        let omitted: usize = diagnostics.iter().map(|d| d.omitted as usize).sum();
        match omitted + shown.len().saturating_sub(MAX_SHOWN) {
            0 => {}
            more => out.push_str(&format!("\n... and {}\n", further(more, omitted > 0))),
        }
        out
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer, max_chars: usize) -> String {
        let excerpts = self.excerpts(diagnostic, max_chars);
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(inert_message(&diagnostic.message)).elements(
            excerpts.iter().map(|excerpt| {
                Snippet::source(excerpt.text.as_str())
                    .path(PLACEHOLDER.to_string())
                    .line_start(excerpt.first_line + 1)
                    .annotations(excerpt.marks.iter().map(|(range, mark)| {
                        let kind =
                            if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                        let label = Some(inert_message(mark.label)).filter(|label| !label.is_empty());
                        kind.span(range.clone()).label(label)
                    }))
            }),
        );
        for help in &diagnostic.help {
            group = group.element(Level::HELP.message(inert_message(help)));
        }
        // The renderer only knows the columns of what it was handed, so the places are put in afterwards.
        let drawn = renderer.render(&[group]);
        let mut pieces = drawn.split(PLACEHOLDER);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for (piece, excerpt) in pieces.zip(&excerpts) {
            out.push_str(&excerpt.origin);
            out.push_str(piece.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()));
        }
        out
    }

    /// What is shown of the files: the places of a diagnostic, gathered into excerpts.
    fn excerpts<'d>(&self, diagnostic: &'d Diagnostic, max_chars: usize) -> Vec<Excerpt<'d>> {
        let primary = diagnostic.primary.iter().map(|(place, label)| (place, label, true));
        let secondary = diagnostic.secondary.iter().map(|(place, label)| (place, label, false));
        let mut groups: Vec<Vec<Mark>> = Vec::new();
        for (place, label, primary) in primary.chain(secondary) {
            let file = &self.files[place.file.0 as usize];
            let line = file.line_of(place.span.start);
            let long = file.is_long(file.line_range(line), max_chars);
            let mark = Mark { place: *place, label, primary, line, long };
            let near = groups.iter_mut().find(|group| {
                let first = &group[0];
                let same_file = first.place.file == place.file;
                same_file && !first.long && !long && first.line.abs_diff(line) <= NEAR
            });
            match near {
                Some(group) => group.push(mark),
                None => groups.push(vec![mark]),
            }
        }
        groups.into_iter().map(|marks| self.excerpt(marks, max_chars)).collect()
    }

    fn excerpt<'d>(&self, marks: Vec<Mark<'d>>, max_chars: usize) -> Excerpt<'d> {
        let place = marks[0].place;
        let file = &self.files[place.file.0 as usize];
        let (line, column) = self.line_column(place);
        let origin = format!("{}:{line}:{column}", inert_in_place(&file.path.to_string_lossy()));
        let (first, last) =
            marks.iter().fold((line - 1, line - 1), |(a, b), m| (a.min(m.line), b.max(m.line)));
        let mut excerpt = Excerpt { origin, first_line: first, text: String::new(), marks: Vec::new() };
        for number in first..=last {
            let line = file.line_range(number);
            let here = || marks.iter().filter(|mark| mark.line == number);
            let start = here().next().map_or(0, |mark| mark.place.span.start);
            let window = file.window(line.clone(), start, max_chars);
            if window.start > line.start {
                excerpt.text.push('…');
            }
            let base = excerpt.text.len();
            let offset = |position: u32| {
                let position = file.boundary(position).clamp(window.start, window.end);
                base + inert_in_place(&file.text[window.start..position]).len()
            };
            for mark in here() {
                excerpt.marks.push((offset(mark.place.span.start)..offset(mark.place.span.end), *mark));
            }
            excerpt.text.push_str(&inert_in_place(&file.text[window.clone()]));
            if window.end < line.end {
                excerpt.text.push('…');
            }
            excerpt.text.push('\n');
        }
        excerpt
    }
}

/// A place to underline. A span of several lines is underlined in its first one.
#[derive(Clone, Copy)]
struct Mark<'d> {
    place: SourceSpan,
    label: &'d str,
    primary: bool,
    /// Counts from 0.
    line: usize,
    long: bool,
}

/// Neighbouring lines of a file, fit to be shown.
struct Excerpt<'d> {
    /// `path:line:column`
    origin: String,
    /// Counts from 0.
    first_line: usize,
    text: String,
    /// Where the marks are in `text`.
    marks: Vec<(Range<usize>, Mark<'d>)>,
}

impl Diagnostic {
    pub fn new(message: impl Into<String>) -> Self {
        let (message, severity) = (message.into(), Severity::Error);
        Self { severity, message, primary: None, secondary: Vec::new(), help: Vec::new(), omitted: 0 }
    }

    /// Something at `place` that looks wrong.
    pub fn warning(place: SourceSpan, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::at(place, message, label) }
    }

    /// An error at `place`; `label` stands beside the underlined text.
    pub fn at(place: SourceSpan, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { primary: Some((place, label.into())), ..Self::new(message) }
    }

    /// Stands for `count` errors that are not described; `None` for none.
    pub fn omitted(count: usize) -> Option<Self> {
        let message = format!("and {}", further(count, true));
        (count > 0).then(|| Self { omitted: u32::try_from(count).unwrap_or(u32::MAX), ..Self::new(message) })
    }

    pub fn also(mut self, place: SourceSpan, label: impl Into<String>) -> Self {
        self.secondary.push((place, label.into()));
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// A number of errors that are not shown. Where a file has very many, not all are looked for.
fn further(count: usize, at_least: bool) -> String {
    let least = if at_least { "at least " } else { "" };
    format!("{least}{}", counted(count as u64, "more error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::inert::inert_char;

    const TEXT: &str = "[tasks.train]\nrun = 'x'\n\ninputs = {}\n\nretrys = 3\n";

    fn sources(text: &str) -> (Sources, FileId) {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("bad.toml"), text.into());
        (sources, file)
    }

    /// Where `word` is in `text` for the first time.
    fn place(file: FileId, text: &str, word: &str) -> SourceSpan {
        let start = text.find(word).unwrap() as u32;
        SourceSpan { file, span: Span { start, end: start + word.len() as u32 } }
    }

    #[test]
    fn an_error_is_shown_with_its_line() {
        let (sources, file) = sources(TEXT);
        let error =
            Diagnostic::at(place(file, TEXT, "retrys"), "unknown key `retrys`", "did you mean `retries`?");
        let expected = "\
error: unknown key `retrys`
 --> bad.toml:6:1
  |
6 | retrys = 3
  | ^^^^^^ did you mean `retries`?
";
        assert_eq!(sources.render(std::slice::from_ref(&error), false), expected);
        let colored = sources.render(&[error], true);
        assert!(colored.contains("\u{1b}[") && colored.contains("bad.toml:6:1"), "{colored}");
        assert_eq!(sources.render(&[], false), "");
        assert_eq!(sources.render(&[Diagnostic::new("no such file")], false), "error: no such file\n");
    }

    #[test]
    fn other_places_and_help_follow() {
        let (mut sources, file) = sources(TEXT);
        let text = "\n".repeat(500) + "[tasks.train]\n";
        let far = sources.add(Path::new("lib/far.toml"), text.as_str().into());
        let error = Diagnostic::at(place(file, TEXT, "inputs"), "no", "here")
            .also(place(file, TEXT, "tasks"), "there")
            .also(place(far, &text, "train"), "far away")
            .help("try again");
        let expected = "\
error: no
   --> bad.toml:4:1
    |
  1 | [tasks.train]
    |  ----- there
...
  4 | inputs = {}
    | ^^^^^^ here
    |
   ::: lib/far.toml:501:8
    |
501 | [tasks.train]
    |        ----- far away
    |
    = help: try again
";
        assert_eq!(sources.render(&[error], false), expected);
    }

    #[test]
    fn order_is_that_of_files_and_positions_without_duplicates() {
        let (mut sources, one) = sources(TEXT);
        let two = sources.add(Path::new("two.toml"), TEXT.into());
        let at = |file, word| Diagnostic::at(place(file, TEXT, word), word, "");
        let errors =
            [at(two, "run"), at(one, "retrys"), at(one, "run"), at(one, "retrys"), Diagnostic::new("no")];
        let shown = sources.render(&errors, false);
        let places: Vec<_> =
            shown.lines().filter_map(|line| line.split_once("--> ")).map(|(_, at)| at).collect();
        assert_eq!(places, ["bad.toml:2:1", "bad.toml:6:1", "two.toml:2:1"]);
        assert!(shown.starts_with("error: no\n\nerror: run\n"), "{shown}");
    }

    #[test]
    fn at_most_a_hundred_are_shown_and_the_rest_is_counted() {
        let (sources, _) = sources("");
        let many = |n: usize| (0..n).map(|i| Diagnostic::new(format!("number {i}"))).collect::<Vec<_>>();
        assert!(!sources.render(&many(100), false).contains("more"));
        assert!(sources.render(&many(101), false).ends_with("number 99\n\n... and 1 more error\n"));
        assert!(sources.render(&many(149), false).ends_with("\n... and 49 more errors\n"));
        let with_omitted = [many(101), Diagnostic::omitted(7).into_iter().collect()].concat();
        assert!(
            sources.render(&with_omitted, false).ends_with("number 99\n\n... and at least 8 more errors\n")
        );
        assert_eq!(Diagnostic::omitted(0), None);
    }

    #[test]
    fn nothing_reaches_the_terminal_alive() {
        let text = "a = \"\u{1b}[31m\u{9b}1m\u{202e}\" \u{fdd0}:7 x\u{1b}]0;title\u{7}";
        let (mut sources, file) = sources(text);
        let odd = sources.add(Path::new("\u{1b}[2J.toml"), text.into());
        let evil = |file| {
            Diagnostic::at(place(file, text, "x"), "bad \u{1b}[31m\u{fdd0}", "label \u{9b}\u{7f}\u{fdd0}\0")
                .help("help \u{1b}]0;x\u{7}\u{2028}")
        };
        let shown = sources.render(&[evil(file), evil(odd)], false);
        assert!(!shown.chars().any(|c| inert_char(c) != c && c != '\n'), "{shown:?}");
        assert!(shown.contains("bad.toml:1:21\n") && shown.contains("␛[2J.toml:1:21\n"), "{shown}");
        let lines: Vec<_> = shown.lines().collect();
        let marked = lines[4].find('^').unwrap();
        assert_eq!(lines[3].chars().nth(marked), Some('x'), "{shown}");
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("first\na = [{} oops, {}]\n", "é, ".repeat(1000), "1, ".repeat(1_000_000));
        let (sources, file) = sources(&text);
        let error =
            Diagnostic::at(place(file, &text, "oops"), "no", "here").also(place(file, &text, "a ="), "there");
        let shown = sources.render(&[error], false);
        assert!(shown.contains("bad.toml:2:3007\n") && shown.contains("bad.toml:2:1\n"), "{shown}");
        assert!(
            shown.contains("é,  oops, 1,") && shown.lines().all(|line| line.chars().count() < 200),
            "{shown}"
        );
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "\u{feff}aé\r\nb";
        let (sources, file) = sources(text);
        let at = |start| sources.line_column(SourceSpan { file, span: Span { start, end: start } });
        assert_eq!([at(0), at(3), at(4), at(5), at(6)], [(1, 1), (1, 1), (1, 2), (1, 2), (1, 3)]);
        assert_eq!([at(8), at(9), at(900)], [(2, 1), (2, 2), (2, 2)]);
    }
}
