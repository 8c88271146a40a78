//! Composes what the live display shows at one moment: pure text, no terminal and no clock.

use crate::core::event::Counts;
use crate::view::text::style::{BAD, CACHED, CAUTION, FAINT, GOOD, Ink, PLAIN, STRONG};
use crate::view::text::{count, cut, duration, width};

/// Maximum running nodes in a frame.
pub(super) const SHOWN: usize = 8;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The moment.
pub(super) struct Moment {
    /// What is under way, the longest-running first, and then what waits.
    pub lines: Vec<Line>,
    /// How many more lines there would be.
    pub more: usize,
    /// How many attempts are under way.
    pub running: usize,
    pub queued: u64,
    /// Results that the end of the run waits for, until others can have them.
    pub uploads: u64,
    pub counts: Counts,
    pub total: u64,
    pub saved_ms: u64,
    pub elapsed_ms: u64,
    /// How long it still takes; 0 where that is not known.
    pub left_ms: u64,
    /// Counts the frames: turns the spinner.
    pub turn: usize,
}

/// A node under way, or all elements of one.
pub(super) struct Line {
    pub label: String,
    /// None if nothing has begun.
    pub elapsed_ms: Option<u64>,
    pub state: LineState,
    /// Of a node with elements.
    pub progress: Option<Progress>,
    /// The last line of its log, or what it waits for; inert.
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineState {
    Runs,
    /// Until its next attempt.
    Rests,
    /// For something that others have.
    Waits,
}

/// How far the elements of a node are.
pub(super) struct Progress {
    pub done: u64,
    pub elements: u64,
    pub running: u64,
    pub failed: u64,
}

impl Moment {
    /// The lines, none wider than `columns`, and fewer than `rows` where that leaves more than one.
    pub fn lines(&self, columns: usize, rows: usize, ink: Ink) -> Vec<String> {
        let room = rows.saturating_sub(3).min(SHOWN);
        let shown = &self.lines[..self.lines.len().min(room)];
        let widest = shown.iter().map(|line| width(&line.label)).max().unwrap_or(0);
        let label_width = widest.min(columns * 2 / 3);
        let spinner = SPINNER[self.turn % SPINNER.len()];
        let mut lines: Vec<_> =
            shown.iter().map(|line| line.paint(label_width, columns, spinner, ink)).collect();
        let hidden = self.more + self.lines.len() - shown.len();
        if hidden > 0 && room > 0 {
            lines.push(ink.paint(FAINT, cut(&format!("  and {} more", count(hidden as u64)), columns)));
        }
        lines.push(self.bar(columns, ink));
        lines
    }

    /// The counts in one line. Where not all fits, what matters least is left out: the time saved, the drawn bar...
    fn bar(&self, columns: usize, ink: Ink) -> String {
        let counts = &self.counts;
        let saved = match self.saved_ms {
            0 => String::new(),
            ms => format!("saved {}", duration(ms)),
        };
        // Whole seconds, rounded up: an estimate has no tenths.
        let left = match self.left_ms.div_ceil(1000) {
            0 => String::new(),
            seconds => format!("~{} left", duration(seconds * 1000).replace(".0s", "s")),
        };
        let mut parts = vec![
            Part { rank: DRAWN, style: PLAIN, text: "━".repeat(BAR) },
            Part {
                rank: 10,
                style: STRONG,
                text: format!("{}/{}", count(counts.finished()), count(self.total)),
            },
            Part { rank: 8, style: PLAIN, text: duration(self.elapsed_ms) },
            Part { rank: 6, style: PLAIN, text: left },
            Part::number(9, counts.failed, "failed", BAD),
            Part::number(7, self.running as u64, "running", PLAIN),
            Part::number(4, self.queued, "queued", PLAIN),
            Part::number(8, self.uploads, "to upload", PLAIN),
            Part::number(6, counts.executed, "executed", GOOD),
            Part::number(5, counts.cached, "cached", CACHED),
            Part::number(3, counts.skipped, "skipped", FAINT),
            Part::number(3, counts.cancelled, "cancelled", CAUTION),
            Part { rank: 1, style: FAINT, text: saved },
        ];
        Part::fit(&mut parts, columns, 1);
        let painted: Vec<_> = parts
            .iter()
            .map(|part| match part.rank {
                DRAWN => self.drawn_bar(ink),
                _ => ink.paint(part.style, cut(&part.text, columns)),
            })
            .collect();
        painted.join(SEPARATOR)
    }

    fn drawn_bar(&self, ink: Ink) -> String {
        let done = self.counts.finished().min(self.total) as usize;
        let full = (done * BAR).checked_div(self.total as usize).unwrap_or(0);
        let style = if self.counts.failed > 0 { BAD } else { GOOD };
        format!("{}{}", ink.paint(style, "━".repeat(full)), ink.paint(FAINT, "─".repeat(BAR - full)))
    }
}

/// The width of the drawn bar, and its rank among the parts.
const BAR: usize = 10;
const DRAWN: u8 = 2;
const SEPARATOR: &str = "  ";
/// Words in fewer columns would say nothing.
const LEAST_WORDS: usize = 4;

/// A part of a line; the lowest rank is the first to go.
struct Part {
    rank: u8,
    style: anstyle::Style,
    text: String,
}

impl Part {
    /// A number of things; without text if there are none.
    fn number(rank: u8, n: u64, word: &str, style: anstyle::Style) -> Self {
        Self { rank, style, text: if n > 0 { format!("{} {word}", count(n)) } else { String::new() } }
    }

    fn total(parts: &[Self]) -> usize {
        parts.iter().map(|part| width(&part.text)).sum::<usize>()
            + SEPARATOR.len() * parts.len().saturating_sub(1)
    }

    /// Leaves out parts without text, and then others until the rest fits or only `least` are left.
    fn fit(parts: &mut Vec<Self>, columns: usize, least: usize) {
        parts.retain(|part| !part.text.is_empty());
        while parts.len() > least && Self::total(parts) > columns {
            let lowest = parts.iter().map(|part| part.rank).min();
            parts.retain(|part| Some(part.rank) != lowest);
        }
    }
}

impl Line {
    fn paint(&self, label_width: usize, columns: usize, spinner: &str, ink: Ink) -> String {
        let (mark, mark_style, head_style) = match self.state {
            LineState::Runs => (spinner, CACHED, PLAIN),
            LineState::Rests => ("↻", CAUTION, PLAIN),
            LineState::Waits => ("⋯", FAINT, FAINT),
        };
        let label = cut(&self.label, label_width);
        let padding = label_width - width(&label);
        let time = self.elapsed_ms.map_or_else(String::new, |ms| format!("  {:>7}", duration(ms)));
        let head = format!(" {label}{:padding$}{time}", "");
        let head = cut(&head, columns.saturating_sub(width(mark)));
        let mut left = columns.saturating_sub(width(mark) + width(&head));
        let mut line = format!("{}{}", ink.paint(mark_style, mark), ink.paint(head_style, head));
        for part in self.progress.as_ref().map_or_else(Vec::new, |progress| progress.parts(left)) {
            left -= width(&part.text) + SEPARATOR.len();
            line.push_str(&format!("{SEPARATOR}{}", ink.paint(part.style, part.text)));
        }
        let left = left.saturating_sub(SEPARATOR.len());
        if left >= LEAST_WORDS && !self.words.is_empty() {
            line.push_str(&format!("{SEPARATOR}{}", ink.paint(FAINT, cut(&self.words, left))));
        }
        line
    }
}

impl Progress {
    /// What of it fits, with a separator before each part.
    fn parts(&self, columns: usize) -> Vec<Part> {
        let done = format!("{}/{}", count(self.done), count(self.elements));
        let mut parts = vec![
            Part { rank: 3, style: PLAIN, text: done },
            Part::number(1, self.running, "running", PLAIN),
            Part::number(2, self.failed, "failed", BAD),
        ];
        Part::fit(&mut parts, columns.saturating_sub(SEPARATOR.len()), 0);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::text::inert;

    fn moment(nodes: usize) -> Moment {
        let line = |i: usize| Line {
            label: if i == 0 { "train_the_very_large_model".into() } else { format!("part{i}") },
            elapsed_ms: Some(1200 * i as u64),
            state: if i == 0 { LineState::Rests } else { LineState::Runs },
            progress: None,
            words: "損失 loss 0.22 and a line that goes on and on and on, further than any terminal".into(),
        };
        Moment {
            lines: (0..nodes.min(SHOWN)).map(line).collect(),
            more: nodes.saturating_sub(SHOWN),
            running: nodes,
            queued: 9992,
            uploads: 0,
            counts: Counts { executed: 3, cached: 9990, failed: 1, skipped: 2, cancelled: 5, nodes: 10_001 },
            total: 10_020,
            saved_ms: 250_000,
            elapsed_ms: 12_300,
            left_ms: 0,
            turn: 0,
        }
    }

    fn with_elements() -> Moment {
        let progress = Progress { done: 412, elements: 100_000, running: 4, failed: 3 };
        let each = Line {
            label: "each".into(),
            elapsed_ms: Some(12_300),
            state: LineState::Runs,
            progress: Some(progress),
            words: "[17] loss 0.22 and so on".into(),
        };
        let train = Line {
            label: "train".into(),
            elapsed_ms: None,
            state: LineState::Waits,
            progress: None,
            words: "waiting for gpu (in use)".into(),
        };
        Moment { lines: vec![each, train], ..moment(0) }
    }

    #[test]
    fn no_line_is_ever_too_wide_or_too_low() {
        for columns in 1..150 {
            for rows in [1, 5, 24] {
                for moment in [moment(20), with_elements()] {
                    let lines = moment.lines(columns, rows, Ink(true));
                    assert!(lines.len() < rows.max(2), "{columns}x{rows}: {lines:?}");
                    for line in &lines {
                        assert!(width(&inert(line)) <= columns, "{columns}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_matters_most_stays() {
        let bar = |columns| moment(2).lines(columns, 24, Ink(false)).pop().unwrap();
        assert_eq!(
            bar(120),
            "━━━━━━━━━─  10,001/10,020  12.3s  1 failed  2 running  9,992 queued  3 executed  9,990 cached  \
             2 skipped  5 cancelled"
        );
        assert_eq!(bar(80), "10,001/10,020  12.3s  1 failed  2 running  3 executed  9,990 cached");
        assert_eq!(bar(40), "10,001/10,020  12.3s  1 failed");
        assert_eq!(bar(10), "10,001/10…");
        let bar = |left_ms| Moment { left_ms, ..moment(2) }.lines(70, 24, Ink(false)).pop().unwrap();
        assert_eq!(bar(39_100), "10,001/10,020  12.3s  ~40s left  1 failed  2 running  3 executed");
        assert_eq!(bar(9000), "10,001/10,020  12.3s  ~9s left  1 failed  2 running  3 executed");
    }

    #[test]
    fn uploads_that_the_end_waits_for_are_counted() {
        let moment = Moment { running: 0, queued: 0, uploads: 37, ..moment(0) };
        let bar = moment.lines(80, 24, Ink(false)).pop().unwrap();
        assert!(bar.contains("  37 to upload  "), "{bar}");
    }

    #[test]
    fn running_nodes_align() {
        assert_eq!(
            moment(12).lines(50, 6, Ink(false))[..4],
            [
                "↻ train_the_very_large_model      0ms  損失 loss …",
                "⠋ part1                          1.2s  損失 loss …",
                "⠋ part2                          2.4s  損失 loss …",
                "  and 9 more",
            ]
        );
    }

    #[test]
    fn elements_are_one_line_that_gives_up_its_words_first() {
        let lines = |columns| with_elements().lines(columns, 24, Ink(false));
        assert_eq!(
            lines(80)[..2],
            [
                "⠋ each     12.3s  412/100,000  4 running  3 failed  [17] loss 0.22 and so on",
                "⋯ train  waiting for gpu (in use)",
            ]
        );
        assert_eq!(lines(60)[0], "⠋ each     12.3s  412/100,000  4 running  3 failed  [17] lo…");
        assert_eq!(
            lines(40)[..2],
            ["⠋ each     12.3s  412/100,000  3 failed", "⋯ train  waiting for gpu (in use)"]
        );
        assert_eq!(lines(30)[..2], ["⠋ each     12.3s  412/100,000", "⋯ train  waiting for gpu (in …"]);
        assert_eq!(lines(20)[0], "⠋ each     12.3s");
    }
}
