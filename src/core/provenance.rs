//! How a result came under its key, where that is not by a run of the task itself: under an
//! alias, accepted by a user, or from a shared cache.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::digest::Digest;

/// A note on the origin of a result, beside the run and node that made it; usually empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The qualified name of the task under which it was stored first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// The address of the shared cache that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// That a user vouched for a result of another cache version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The name of the user.
    pub by: String,
    pub time: Timestamp,
    /// The key that it was stored under.
    pub from: Digest,
    /// The cache version that it had, as shown to people.
    pub version: String,
}

impl Provenance {
    /// As the memo keeps it; nothing for nothing.
    pub fn to_record(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        serde_json::to_string(self).ok()
    }

    /// Reads [`Provenance::to_record`]; what cannot be read is nothing.
    pub fn from_record(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// In a few words.
    pub fn note(&self) -> Option<String> {
        let alias = self.alias.as_ref().map(|task| format!("stored as {task}"));
        let accepted = self.accepted.as_ref().map(|accepted| {
            let Accepted { by, time, version, .. } = accepted;
            format!("accepted by {by}, {}, from version {version}", time.strftime("%Y-%m-%d %H:%M UTC"))
        });
        let remote = self.remote.as_ref().map(|url| format!("from {url}"));
        let parts: Vec<_> = remote.into_iter().chain(alias).chain(accepted).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_nothing_is_nothing() {
        assert_eq!(Provenance::default().to_record(), None);
        assert_eq!(Provenance::from_record(None), Provenance::default());
        let accepted = Accepted {
            by: "ada".into(),
            time: Timestamp::UNIX_EPOCH,
            from: Digest::of("key"),
            version: "1".into(),
        };
        let provenance = Provenance {
            alias: Some("old.t".into()),
            accepted: Some(accepted),
            remote: Some("file:///shared".into()),
        };
        assert_eq!(Provenance::from_record(provenance.to_record().as_deref()), provenance);
        let note =
            "from file:///shared; stored as old.t; accepted by ada, 1970-01-01 00:00 UTC, from version 1";
        assert_eq!(provenance.note().as_deref(), Some(note));
    }
}
