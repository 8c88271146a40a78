//! When what was done: bars in per cent of the run's length. A node with very many elements has one bar that shows how
//! many of them worked at a time.

use crate::view::model::run::{NodeState, RunState};
use crate::view::model::timeline::{Activity, ActivitySpan};
use crate::view::text::duration;

/// Maximum spans that are drawn one by one; more are drawn as a density.
const MAX_SPANS: usize = 40;
/// Number of parts that the time is cut into then.
const PARTS: usize = 200;

pub struct Bar {
    pub class: &'static str,
    /// From the left, in per cent.
    pub left: String,
    pub width: String,
    /// From the top, in per cent of the row's height.
    pub top: u64,
    pub height: u64,
    pub title: String,
}

/// A mark of the axis.
pub struct AxisTick {
    pub left: String,
    pub label: String,
    /// Where its text stands to it: at the end of the axis there is no room behind.
    pub anchor: &'static str,
}

/// The bars of a node.
pub fn bars(run: &RunState, unit: &NodeState) -> Vec<Bar> {
    let length = run.length_ms().max(1);
    let mut spans = unit.spans.clone();
    spans.extend(unit.activity(run));
    if spans.len() > MAX_SPANS {
        return crowd(&spans, length);
    }
    // What waited is behind what worked.
    spans.sort_by_key(|span| (span.activity != Activity::Waited, span.from));
    spans.iter().map(|span| bar(span, length)).collect()
}

fn bar(span: &ActivitySpan, length: u64) -> Bar {
    let took = span.to.saturating_sub(span.from);
    let title = match span.activity {
        Activity::Cached => format!("from the cache at {}", duration(span.from)),
        what => format!("{} for {}, from {}", what.name(), duration(took), duration(span.from)),
    };
    let thin = span.activity == Activity::Waited;
    Bar {
        class: span.activity.name(),
        left: percent(span.from, length),
        width: percent(took, length),
        top: if thin { 35 } else { 10 },
        height: if thin { 30 } else { 80 },
        title,
    }
}

/// How many worked at a time.
fn crowd(spans: &[ActivitySpan], length: u64) -> Vec<Bar> {
    const KINDS: [Activity; 5] =
        [Activity::Failed, Activity::Executed, Activity::Cached, Activity::Cancelled, Activity::Running];
    let part = length.div_ceil(PARTS as u64).max(1);
    let mut sums = vec![[0u64; KINDS.len()]; PARTS];
    for span in spans {
        let Some(kind) = KINDS.iter().position(|kind| *kind == span.activity) else { continue };
        let first = (span.from / part) as usize;
        let last = (span.to / part) as usize;
        for (at, kinds) in sums.iter_mut().enumerate().take(last.min(PARTS - 1) + 1).skip(first) {
            let (begin, end) = (at as u64 * part, (at as u64 + 1) * part);
            // Even what took no time is to be seen.
            kinds[kind] += span.to.min(end).saturating_sub(span.from.max(begin)).max(1);
        }
    }
    let most = sums.iter().map(|kinds| kinds.iter().sum::<u64>()).max().unwrap_or(1).max(1);
    let mut bars = Vec::new();
    for (at, kinds) in sums.iter().enumerate() {
        let mut bottom = 100;
        for (kind, sum) in KINDS.iter().zip(kinds).filter(|(_, sum)| **sum > 0) {
            let height = (sum * 100).div_ceil(most).min(bottom);
            bottom -= height;
            bars.push(Bar {
                class: kind.name(),
                left: percent(at as u64 * part, length),
                width: percent(part, length),
                top: bottom,
                height,
                title: format!("{} around {}", kind.name(), duration(at as u64 * part)),
            });
        }
    }
    bars
}

/// Marks at round times, four to eight of them.
pub fn ticks(length: u64) -> Vec<AxisTick> {
    const STEPS: [u64; 24] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000,
        300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
    ];
    let longest = STEPS[STEPS.len() - 1];
    let step =
        STEPS.into_iter().find(|step| length / step <= 7).unwrap_or(longest * (length / longest / 7 + 1));
    let label = |ms: u64| match ms {
        0 => "0".to_owned(),
        ms if ms < 1000 => format!("{ms}ms"),
        ms if ms < 60_000 && ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => duration(ms),
    };
    let marks = (0..=length / step).map(|i| i * step);
    let anchor = |ms: u64| if ms.saturating_mul(10) > length.saturating_mul(9) { "end" } else { "start" };
    marks.map(|ms| AxisTick { left: percent(ms, length), label: label(ms), anchor: anchor(ms) }).collect()
}

fn percent(ms: u64, length: u64) -> String {
    format!("{:.2}%", ms as f64 * 100.0 / length.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_round() {
        let labels = |length| ticks(length).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(12), ["0", "2ms", "4ms", "6ms", "8ms", "10ms", "12ms"]);
        assert_eq!(labels(3500), ["0", "500ms", "1s", "1.5s", "2s", "2.5s", "3s", "3.5s"]);
        assert_eq!(labels(0), ["0"]);
        for length in [1, 61_000, 3_600_000, 10_000_000_000] {
            assert!(ticks(length).len() <= 8, "{length}");
        }
    }

    #[test]
    fn a_crowd_is_one_row_of_bounded_size() {
        let span = |i: u64| ActivitySpan {
            from: i,
            to: i + 50,
            activity: if i.is_multiple_of(10) { Activity::Failed } else { Activity::Executed },
        };
        let spans: Vec<_> = (0..10_000).map(span).collect();
        let bars = crowd(&spans, 10_050);
        assert!(bars.len() <= 2 * PARTS && bars.len() >= PARTS, "{}", bars.len());
        assert!(bars.iter().all(|bar| bar.top + bar.height <= 100));
    }
}
