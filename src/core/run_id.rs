//! The id of a run, and the ways to name a run: made, parsed and checked here and nowhere else.
//!
//! Knows nothing of which runs there are: `storage::history` looks them up.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Number of characters of an id.
const LENGTH: usize = 8;
/// The first character of a new id. Letters and digits that look alike are left out.
const FIRST: &[u8; 22] = b"abcdefghjkmnpqrstvwxyz";
/// The other characters of a new id.
const OTHER: &[u8; 30] = b"abcdefghjkmnpqrstvwxyz23456789";

/// The id of a run: eight lowercase letters and digits, the first a letter. Easy to type, safe as the name of a
/// folder, and never mistaken for a flag or a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; LENGTH]);

/// The text is not the id of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotARunId(String);

/// How a user names a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunName {
    /// `@last`
    Last,
    /// `@last-failed`
    LastFailed,
    /// `@-2` is the run before the last: the number of runs to count back, 1 or more.
    Back(u64),
    /// An id or the beginning of one.
    Prefix(String),
}

/// The text starts with `@` and names no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotARunName(String);

impl RunId {
    /// Stands for an id that cannot be read any more; no run is given it.
    pub const UNKNOWN: Self = Self(*b"unknown0");

    /// A new random id.
    #[must_use]
    pub fn make() -> Self {
        // The operating system seeds the state; each one differs, in every thread.
        let mut random = RandomState::new().hash_one(std::process::id());
        let mut id = [0; LENGTH];
        for (i, byte) in id.iter_mut().enumerate() {
            let letters: &[u8] = if i == 0 { FIRST } else { OTHER };
            *byte = letters[(random % letters.len() as u64) as usize];
            random /= letters.len() as u64;
        }
        Self(id)
    }

    /// Reads an id.
    ///
    /// # Errors
    /// The text is not an id.
    pub fn parse(text: &str) -> Result<Self, NotARunId> {
        let wrong = || NotARunId(text.chars().take(40).collect());
        let id: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| wrong())?;
        let plain = id.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if plain && id[0].is_ascii_lowercase() { Ok(Self(id)) } else { Err(wrong()) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        // Both ways to make an id admit ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl RunName {
    /// Reads what a user calls a run: its id, the beginning of it, `@last`, `@last-failed`, `@-2`.
    ///
    /// # Errors
    /// The text starts with `@` and continues otherwise.
    pub fn parse(text: &str) -> Result<Self, NotARunName> {
        match text.strip_prefix('@') {
            None => Ok(Self::Prefix(text.to_owned())),
            Some("last") => Ok(Self::Last),
            Some("last-failed") => Ok(Self::LastFailed),
            Some(back) => back
                .strip_prefix('-')
                .and_then(|digits| digits.parse().ok())
                .filter(|count| *count > 0)
                .map(Self::Back)
                .ok_or_else(|| NotARunName(text.to_owned())),
        }
    }
}

impl Deref for RunId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for RunId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        Self::parse(text)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.as_str().to_owned()
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for NotARunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not the id of a run: it has 8 lowercase letters and digits", self.0)
    }
}

impl std::error::Error for NotARunId {}

impl fmt::Display for NotARunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` names no run: use @last, @last-failed, or @-2 for the run before the last", self.0)
    }
}

impl std::error::Error for NotARunName {}

/// The short names that tests give to runs, filled up with `x`.
#[cfg(test)]
impl From<&str> for RunId {
    fn from(name: &str) -> Self {
        Self::parse(&format!("{name:x<8}")).unwrap()
    }
}

#[cfg(test)]
impl PartialEq<&str> for RunId {
    fn eq(&self, name: &&str) -> bool {
        *self == Self::from(*name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn new_ids_differ_and_are_read_back() {
        let ids: Vec<RunId> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..500).map(|_| RunId::make()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        for id in ids {
            assert_eq!(RunId::parse(id.as_str()), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!((json.len(), serde_json::from_str::<RunId>(&json).unwrap()), (10, id));
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in
            ["", "abc", "abcdefghj", "1bcdefgh", "Abcdefgh", "abcd/fgh", "../../..", "abcdéfg", "@last"]
        {
            assert!(RunId::parse(text).is_err(), "{text}");
            assert!(serde_json::from_value::<RunId>(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn users_name_runs_in_four_ways() {
        assert_eq!(RunName::parse("@last"), Ok(RunName::Last));
        assert_eq!(RunName::parse("@last-failed"), Ok(RunName::LastFailed));
        assert_eq!(RunName::parse("@-2"), Ok(RunName::Back(2)));
        assert_eq!(RunName::parse("abc"), Ok(RunName::Prefix("abc".into())));
        for text in ["@", "@-0", "@-x", "@2", "@first", "@-"] {
            assert!(RunName::parse(text).is_err(), "{text}");
        }
    }
}
