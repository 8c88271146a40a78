//! Which requests may have a receipt, and the digest by which it is found.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use rusqlite::Connection;

use crate::core::digest::{Digest, Hasher};
use crate::core::run_request::{CacheMode, RunRequest};

/// The variable that, set to `off`, sends every run the full way.
const SWITCH: &str = "RUNNER_RECEIPTS";

/// Variables of the environment that settings, home and times go by, beside `RUNNER_*` and `XDG_*`.
const VARIABLES: [&str; 3] = ["HOME", "TZ", "TZDIR"];

/// What the receipt of a request is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptKey {
    /// Equal ones were made in the same folder, by the same program, with the same variables in force.
    pub request: Digest,
    /// When it was asked for: before anything was read.
    pub asked: SystemTime,
}

/// A request without a valid receipt, whose run goes the full way.
pub struct PendingReceipt {
    pub key: ReceiptKey,
    /// Kept until the database is opened for writing: the first connection of all has to read its log.
    pub reader: Option<Connection>,
    /// Warnings of the home, which come only once.
    pub warnings: Vec<String>,
}

/// The key of a request, made before anything is read for it; `None` for one that can have no receipt.
pub fn receipt_key(request: &RunRequest) -> Option<ReceiptKey> {
    let asked = SystemTime::now();
    if std::env::var_os(SWITCH).is_some_and(|value| value == "off") {
        return None;
    }
    let reads = matches!(request.cache.unwrap_or_default(), CacheMode::ReadWrite | CacheMode::ReadOnly);
    let is_plain = request.lock.is_none()
        && request.overwrite.is_none()
        && request.scheduled.is_none()
        && request.retry_of.is_none()
        && !request.replace_outputs;
    if !reads || !is_plain {
        return None;
    }
    let mut hasher = Hasher::default();
    hasher.frame(env!("CARGO_PKG_VERSION").as_bytes());
    let program =
        std::fs::metadata("/proc/self/exe").or_else(|_| std::env::current_exe()?.metadata()).ok()?;
    for number in
        [program.dev(), program.ino(), program.size(), program.mtime() as u64, program.mtime_nsec() as u64]
    {
        hasher.update(&number.to_le_bytes());
    }
    hasher.frame(std::env::current_dir().ok()?.as_os_str().as_bytes());
    hasher.frame(serde_json::to_string(request).ok()?.as_bytes());
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| counts(name)).collect();
    variables.sort();
    for (name, value) in variables {
        hasher.frame(name.as_bytes());
        hasher.frame(value.as_bytes());
    }
    Some(ReceiptKey { request: hasher.finish(), asked })
}

fn counts(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b"RUNNER_")
        || bytes.starts_with(b"XDG_")
        || VARIABLES.iter().any(|known| name == *known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::run_request::{GivenInputs, LockRequest};
    use crate::core::schedule::ScheduledRun;

    fn request() -> RunRequest {
        RunRequest { workflow: "w.toml".into(), ..RunRequest::default() }
    }

    #[test]
    fn every_part_of_a_request_counts() {
        let key = |change: &dyn Fn(&mut RunRequest)| {
            let mut request = request();
            change(&mut request);
            receipt_key(&request).unwrap().request
        };
        let values =
            |text: &str| vec![GivenInputs::Assignments { dir: "/".into(), values: vec![text.to_owned()] }];
        let all = [
            key(&|_| ()),
            key(&|r| r.workflow = "v.toml".into()),
            key(&|r| r.task = Some("t".into())),
            key(&|r| r.project = Some("p".into())),
            key(&|r| r.domain = Some("p".into())),
            key(&|r| r.given = values("a=1")),
            key(&|r| r.given = values("a=2")),
            key(&|r| r.selection.until = vec!["a".into()]),
            key(&|r| r.selection.skip = vec!["a".into()]),
            key(&|r| r.settings = vec!["tasks.t.retries=1".into()]),
            key(&|r| r.cache = Some(CacheMode::ReadOnly)),
            key(&|r| r.keep_going = true),
            key(&|r| r.jobs = Some(3)),
            key(&|r| r.resources = vec!["gpu=1".into()]),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(key(&|_| ()), all[0]);
    }

    #[test]
    fn what_does_more_than_look_has_none() {
        let lock = LockRequest { name: "l".into(), busy: Default::default() };
        for request in [
            RunRequest { cache: Some(CacheMode::Off), ..request() },
            RunRequest { cache: Some(CacheMode::WriteOnly), ..request() },
            RunRequest { overwrite: Some(Vec::new()), ..request() },
            RunRequest { lock: Some(lock), ..request() },
            RunRequest { scheduled: Some(ScheduledRun { schedule: "s".into(), at: None }), ..request() },
            RunRequest { retry_of: Some("k3v9x2qm".into()), ..request() },
            RunRequest { replace_outputs: true, ..request() },
        ] {
            assert_eq!(receipt_key(&request), None, "{request:?}");
        }
    }
}
