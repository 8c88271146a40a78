//! The "did you mean" of every message: the known name that is nearest to a mistyped one.

/// The candidate most like `word`, if one is close enough to be what was meant. `None` for a crowd of
/// candidates: there is always one close by, and finding it takes long.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CROWD: usize = 10_000;
    let candidates: Vec<_> = candidates.into_iter().take(CROWD + 1).collect();
    if candidates.len() > CROWD {
        return None;
    }
    let word = word.to_lowercase();
    let length = word.chars().count();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            // One slip in a short word, one more for every four characters; and of short words, half must stay.
            let most = (1 + length.min(other) / 4).min(length.max(other).saturating_sub(1) / 2);
            if length.abs_diff(other) > most {
                return None;
            }
            let distance = strsim::osa_distance(&word, &candidate.to_lowercase());
            (distance <= most).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_close() {
        let keys = ["task", "retries", "retry_delay", "cache", "cache_version", "env", "if", "int", "float"];
        let slips = "retrys retries, tsk task, taks task, Cache-Version cache_version, retry_dealy retry_delay, it int";
        for (word, meant) in slips.split(", ").filter_map(|slip| slip.split_once(' ')) {
            assert_eq!(closest(word, keys), Some(meant), "{word}");
        }
        for word in ["", "a", "x", "fi", "argv", "node", "description"] {
            assert_eq!(closest(word, keys), None, "{word}");
        }
        assert_eq!(closest("ab", ["cb", "abc"]), Some("abc"));
    }
}
