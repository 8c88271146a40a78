//! Composes what the live display shows at one moment: pure text, no terminal and no clock.

use super::style::{BAD, CACHED, CAUTION, FAINT, GOOD, Ink, PLAIN, STRONG};
use super::text::{count, cut, duration, width};
use crate::event::Counts;

/// At most so many running nodes are shown.
pub(super) const SHOWN: usize = 8;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The moment.
pub(super) struct Moment {
    /// The longest-running nodes.
    pub nodes: Vec<Running>,
    /// How many lines there would be if all were shown.
    pub lines: usize,
    pub running: usize,
    /// How many are ready and wait for a slot.
    pub queued: u64,
    pub counts: Counts,
    pub nodes_total: u64,
    pub saved_ms: u64,
    pub elapsed_ms: u64,
    /// Counts the frames: turns the spinner.
    pub turn: usize,
}

/// A node with an attempt under way, or waiting for its next one.
pub(super) struct Running {
    pub label: String,
    pub elapsed_ms: u64,
    pub state: RunningState,
    /// The last line of its log, or what it waits for; inert.
    pub words: String,
}

/// What a node that is shown is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunningState {
    Runs,
    /// Until its next attempt.
    Rests,
    /// For a resource, or for somebody who does the same work.
    Waits,
}

impl Moment {
    /// The lines, none wider than `columns`, and fewer than `rows` where that leaves more than one.
    pub fn lines(&self, columns: usize, rows: usize, ink: Ink) -> Vec<String> {
        let room = rows.saturating_sub(3).min(SHOWN);
        let shown = &self.nodes[..self.nodes.len().min(room)];
        let widest = shown.iter().map(|node| width(&node.label)).max().unwrap_or(0);
        let label_width = widest.min(columns * 2 / 3);
        let mut lines: Vec<_> =
            shown.iter().map(|node| node.line(label_width, columns, SPINNER[self.turn % 10], ink)).collect();
        let hidden = self.lines.saturating_sub(shown.len());
        if hidden > 0 && room > 0 {
            lines.push(ink.paint(FAINT, cut(&format!("  and {} more", count(hidden as u64)), columns)));
        }
        lines.push(self.bar(columns, ink));
        lines
    }

    /// The counts in one line. Where not all fits, what matters least is left out: the time saved, the drawn bar...
    fn bar(&self, columns: usize, ink: Ink) -> String {
        let part = |rank: u8, n: u64, word: &str, style| Part {
            rank,
            style,
            text: if n > 0 { format!("{} {word}", count(n)) } else { String::new() },
        };
        let saved =
            if self.saved_ms > 0 { format!("saved {}", duration(self.saved_ms)) } else { String::new() };
        let counts = &self.counts;
        let mut parts = vec![
            Part { rank: DRAWN, style: PLAIN, text: "━".repeat(BAR) },
            Part {
                rank: 9,
                style: STRONG,
                text: format!("{}/{}", count(self.counts.finished()), count(self.nodes_total)),
            },
            Part { rank: 7, style: PLAIN, text: duration(self.elapsed_ms) },
            part(8, counts.failed, "failed", BAD),
            part(6, self.running as u64, "running", PLAIN),
            part(3, self.queued, "queued", FAINT),
            part(5, counts.executed, "executed", GOOD),
            part(4, counts.cached, "cached", CACHED),
            part(3, counts.skipped, "skipped", FAINT),
            part(3, counts.cancelled, "cancelled", CAUTION),
            Part { rank: 1, style: FAINT, text: saved },
        ];
        parts.retain(|part| !part.text.is_empty());
        while parts.len() > 1 && Part::total(&parts) > columns {
            let least = parts.iter().map(|part| part.rank).min();
            parts.retain(|part| Some(part.rank) != least);
        }
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
        let done = self.counts.finished().min(self.nodes_total) as usize;
        let full = (done * BAR).checked_div(self.nodes_total as usize).unwrap_or(0);
        let style = if self.counts.failed > 0 { BAD } else { GOOD };
        format!("{}{}", ink.paint(style, "━".repeat(full)), ink.paint(FAINT, "─".repeat(BAR - full)))
    }
}

/// The width of the drawn bar, and its rank among the parts.
const BAR: usize = 10;
const DRAWN: u8 = 2;
const SEPARATOR: &str = "  ";

/// A part of the line of counts; the lowest rank is the first to go.
struct Part {
    rank: u8,
    style: anstyle::Style,
    text: String,
}

impl Part {
    fn total(parts: &[Self]) -> usize {
        parts.iter().map(|part| width(&part.text)).sum::<usize>() + SEPARATOR.len() * (parts.len() - 1)
    }
}

impl Running {
    fn line(&self, label_width: usize, columns: usize, spinner: &str, ink: Ink) -> String {
        let (mark, style) = match self.state {
            RunningState::Runs => (spinner, CACHED),
            RunningState::Rests => ("↻", CAUTION),
            RunningState::Waits => ("⋯", FAINT),
        };
        let label = cut(&self.label, label_width);
        let padding = label_width - width(&label);
        let head = format!(" {label}{:padding$}  {:>7}", "", duration(self.elapsed_ms));
        let left = columns.saturating_sub(width(mark) + width(&head) + 2);
        let words = if left < 4 { "".into() } else { cut(&self.words, left) };
        let head = cut(&head, columns.saturating_sub(width(mark)));
        if words.is_empty() {
            return format!("{}{head}", ink.paint(style, mark));
        }
        format!("{}{head}  {}", ink.paint(style, mark), ink.paint(FAINT, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::inert;

    fn moment(nodes: usize) -> Moment {
        let node = |i: usize| Running {
            label: if i == 0 { "train_the_very_large_model".into() } else { format!("part[{i}]") },
            elapsed_ms: 1200 * i as u64,
            state: if i == 0 { RunningState::Rests } else { RunningState::Runs },
            words: "損失 loss 0.22 and a line that goes on and on and on, further than any terminal".into(),
        };
        Moment {
            nodes: (0..nodes.min(SHOWN)).map(node).collect(),
            lines: nodes,
            running: nodes,
            counts: Counts { executed: 3, cached: 9990, failed: 1, skipped: 2, cancelled: 5, nodes: 10_001 },
            queued: 0,
            nodes_total: 10_020,
            saved_ms: 250_000,
            elapsed_ms: 12_300,
            turn: 0,
        }
    }

    #[test]
    fn no_line_is_ever_too_wide_or_too_low() {
        for columns in 1..150 {
            for rows in [1, 5, 24] {
                let lines = moment(20).lines(columns, rows, Ink(true));
                assert!(lines.len() < rows.max(2), "{columns}x{rows}: {lines:?}");
                for line in &lines {
                    assert!(width(&inert(line)) <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn what_matters_most_stays() {
        let bar = |columns| moment(2).lines(columns, 24, Ink(false)).pop().unwrap();
        assert_eq!(
            bar(120),
            "━━━━━━━━━─  10,001/10,020  12.3s  1 failed  2 running  3 executed  9,990 cached  2 skipped  \
             5 cancelled  saved 4m 10s"
        );
        assert_eq!(bar(80), "10,001/10,020  12.3s  1 failed  2 running  3 executed  9,990 cached");
        assert_eq!(bar(40), "10,001/10,020  12.3s  1 failed");
        assert_eq!(bar(10), "10,001/10…");
    }

    #[test]
    fn running_nodes_align() {
        assert_eq!(
            moment(12).lines(50, 6, Ink(false))[..4],
            [
                "↻ train_the_very_large_model      0ms  損失 loss …",
                "⠋ part[1]                        1.2s  損失 loss …",
                "⠋ part[2]                        2.4s  損失 loss …",
                "  and 9 more",
            ]
        );
    }
}
