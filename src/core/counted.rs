//! A number with its noun.

/// `1 error`, `3 errors`: `noun` takes an `s`.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
