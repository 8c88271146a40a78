//! The text about results that were recomputed.

use serde_json::{Value as Json, json};

use crate::core::event::VERSION;
use crate::ops::recompute::{Recomputed, RecomputedResult, Verdict};
use crate::ops::results::{KEY_DIGITS, StoredResult};
use crate::view::text::style::{BAD, CAUTION, FAINT, GOOD, Ink, STRONG};
use crate::view::text::{count, inert};

/// How many came out the same, differ, and could not be checked.
fn counts(done: &Recomputed) -> [usize; 3] {
    let of =
        |test: fn(&Verdict) -> bool| done.checked.iter().filter(|checked| test(&checked.verdict)).count();
    [
        of(|verdict| matches!(verdict, Verdict::Same)),
        of(Verdict::is_wrong),
        of(|verdict| matches!(verdict, Verdict::Unchecked { .. })),
    ]
}

pub fn document(done: &Recomputed, seed: Option<u64>) -> Json {
    let [same, differ, unchecked] = counts(done);
    json!({
        "v": VERSION,
        "sound": done.is_sound(),
        "results": done.of,
        "seed": seed,
        "same": same,
        "differ": differ,
        "unchecked": unchecked,
        "checked": done.checked.iter().map(checked).collect::<Vec<_>>(),
    })
}

fn checked(RecomputedResult { entry, verdict }: &RecomputedResult) -> Json {
    let mut document = StoredResult::new(entry).json();
    if let (Json::Object(row), Ok(Json::Object(verdict))) = (&mut document, serde_json::to_value(verdict)) {
        row.extend(verdict);
    }
    document
}

pub fn text(done: &Recomputed, seed: Option<u64>, ink: Ink) -> String {
    let mut text = String::new();
    for RecomputedResult { entry, verdict } in &done.checked {
        let key = &entry.key.hex()[..KEY_DIGITS];
        let whose =
            inert(&format!("{} ({} of run {})", entry.task, entry.found.node, entry.found.run)).into_owned();
        let mut line = |mark: String, what: &str| text.push_str(&format!("{mark} {key} {whose}: {what}\n"));
        let bad = || ink.paint(BAD, "✗");
        let notes = match verdict {
            Verdict::Same => continue,
            Verdict::Unchecked { reason } => {
                line(ink.paint(CAUTION, "○"), &format!("could not be checked: {}", inert(reason)));
                continue;
            }
            Verdict::Fails { error, notes } => {
                line(bad(), &format!("fails now: {}", inert(error)));
                notes
            }
            Verdict::Differs { outputs, notes } => {
                let names: Vec<_> = outputs.iter().map(|output| format!("`{}`", output.output)).collect();
                line(bad(), &format!("{} came out differently", names.join(", ")));
                for output in outputs {
                    for line in &output.diff {
                        let bar = ink.paint(FAINT, "│");
                        text.push_str(&format!("  {} {bar} {}\n", output.output, inert(line)));
                    }
                }
                notes
            }
        };
        notes.iter().for_each(|note| text.push_str(&format!("  {}\n", inert(note))));
    }
    text.push_str(&summary(done, seed, ink));
    text
}

fn summary(done: &Recomputed, seed: Option<u64>, ink: Ink) -> String {
    let [same, differ, unchecked] = counts(done);
    let mark = match (differ, unchecked) {
        (0, 0) => ink.paint(GOOD, "✓ "),
        _ => String::new(),
    };
    let seed = seed.map_or(String::new(), |seed| format!("the sample of --seed {seed}\n"));
    let mut text = format!(
        "{mark}{} of {} results run again: {} the same, {} different, {} could not be checked\n{seed}",
        count((same + differ) as u64),
        count(done.of as u64),
        count(same as u64),
        count(differ as u64),
        count(unchecked as u64),
    );
    if differ > 0 {
        let command = ink.paint(STRONG, "runner cache evict");
        text.push_str(&format!(
            "These were wrongly cached: they depend on something that is not in their key,\n\
             such as the time, chance, the network, or a file that is no input. {command}\n\
             forgets them; an input, `sources`, `cache_env` or `cache = false` helps for good.\n"
        ));
    }
    text
}
