//! Entries that are what they seem, and all others.

use super::super::key::{Algorithm, make};
use super::*;

fn key() -> SigningKey {
    SigningKey::parse(&make(Algorithm::HmacSha256).unwrap()).unwrap()
}

fn trust(keys: &[&SigningKey]) -> Trust {
    Trust { keys: keys.iter().map(|key| key.trusted()).collect(), unsigned: false }
}

fn entry() -> RemoteEntry {
    let file = Digest::of("content");
    RemoteEntry {
        v: VERSION,
        key: Digest::of("key"),
        project: "p".into(),
        domain: "d".into(),
        task: "wf.t".into(),
        interface: Digest::of("interface"),
        outputs: serde_json::from_str(&format!(
            r#"{{"n":1,"f":{{"digest":"{file}","size":7,"name":"f"}},"big":1e400}}"#
        ))
        .unwrap(),
        blobs: vec![RemoteBlob { digest: file, size: 7 }],
        duration_ms: 42,
        created: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
        source: EntrySource { run: "k3v9x2qm".into(), node: "n".into() },
    }
}

fn wanted() -> RemoteLookup {
    let RemoteEntry { key, project, domain, task, interface, .. } = entry();
    RemoteLookup { key, project, domain, task, interface, max_age: None }
}

fn refusal(bytes: &[u8], trust: &Trust) -> String {
    RemoteEntry::open(bytes, trust).unwrap_err().0
}

#[test]
fn what_is_sealed_opens_and_is_what_was_asked_for() {
    let ed25519 = SigningKey::parse(&make(Algorithm::Ed25519).unwrap()).unwrap();
    for key in [&key(), &ed25519] {
        let bytes = entry().seal(Some(key));
        let opened = RemoteEntry::open(&bytes, &trust(&[key])).unwrap();
        assert_eq!(opened, entry());
        assert_eq!(opened.expect(&wanted()), Ok(()));
        let head = format!("runner-entry 1 {} {} ", key.algorithm().name(), key.id());
        assert!(bytes.starts_with(head.as_bytes()));
    }
}

#[test]
fn several_keys_may_be_trusted() {
    let (old, new) = (key(), key());
    for key in [&old, &new] {
        assert!(RemoteEntry::open(&entry().seal(Some(key)), &trust(&[&old, &new])).is_ok());
    }
    let foreign = refusal(&entry().seal(Some(&key())), &trust(&[&old, &new]));
    assert!(foreign.contains("not trusted"), "{foreign}");
}

#[test]
fn without_a_signature_only_where_that_is_wanted() {
    let bytes = entry().seal(None);
    assert!(bytes.starts_with(b"runner-entry 1 none - -\n"));
    assert_eq!(refusal(&bytes, &trust(&[&key()])), "nobody has signed it");
    assert!(RemoteEntry::open(&bytes, &Trust { keys: Vec::new(), unsigned: true }).is_ok());
}

#[test]
fn text_that_nobody_vouches_for_is_not_parsed() {
    let deep = format!("runner-entry 1 none - -\n{}", "[".repeat(200_000));
    assert_eq!(refusal(deep.as_bytes(), &trust(&[&key()])), "nobody has signed it");
    let unsigned = Trust { keys: Vec::new(), unsigned: true };
    assert!(refusal(deep.as_bytes(), &unsigned).contains("no entry"), "and the parser has a limit");
    let own = key();
    let body = b"[".repeat(200_000);
    let line = format!("runner-entry 1 hmac-sha256 {} {}\n", own.id(), "00".repeat(32));
    assert_eq!(refusal(&[line.as_bytes(), &body].concat(), &trust(&[&own])), "its signature does not fit");
}

#[test]
fn an_entry_of_anything_else_is_refused() {
    let differs = |change: &dyn Fn(&mut RemoteLookup)| {
        let mut wanted = wanted();
        change(&mut wanted);
        entry().expect(&wanted).unwrap_err().0
    };
    assert!(differs(&|w| w.key = Digest::of("other")).contains("another key"));
    assert!(differs(&|w| w.project = "x".into()).contains("another project"));
    assert!(differs(&|w| w.domain = "x".into()).contains("another domain"));
    assert!(differs(&|w| w.task = "x".into()).contains("another task"));
    assert!(differs(&|w| w.interface = Digest::of("x")).contains("another interface"));
}

#[test]
fn files_are_blobs_and_lie_at_no_path() {
    let own = key();
    let open = |entry: &RemoteEntry| RemoteEntry::open(&entry.seal(Some(&own)), &trust(&[&own]));
    let mut missing = entry();
    missing.blobs.clear();
    assert!(open(&missing).unwrap_err().0.contains("does not name"));
    let mut twice = entry();
    twice.blobs.push(twice.blobs[0]);
    assert!(open(&twice).unwrap_err().0.contains("twice"));
    let mut planted = entry();
    planted.outputs["f"]["origin"] = "/etc/passwd".into();
    assert!(open(&planted).unwrap_err().0.contains("path"));
    let mut named = entry();
    named.outputs["f"]["name"] = "../up".into();
    // No file, but a value that is not of the type of any file.
    assert!(open(&named).is_ok());
    let mut newer = entry();
    newer.v = 2;
    assert!(open(&newer).unwrap_err().0.contains("version"));
}

#[test]
fn age_counts_from_the_signed_time() {
    let mut wanted = wanted();
    let at = |seconds: i64| entry().created + SignedDuration::from_secs(seconds);
    assert!(!entry().is_aged(&wanted, at(1_000_000)));
    wanted.max_age = Some(SignedDuration::from_secs(60));
    assert!(!entry().is_aged(&wanted, at(60)) && entry().is_aged(&wanted, at(61)));
    assert!(entry().is_aged(&wanted, at(-1)), "the future");
}

/// Every single change of a signed entry is refused. The number of random ones comes from RUNNER_FUZZ_ENTRIES.
#[test]
fn no_change_of_the_bytes_is_accepted() {
    let own = key();
    let ed25519 = SigningKey::parse(&make(Algorithm::Ed25519).unwrap()).unwrap();
    let trust = trust(&[&own, &ed25519]);
    let sealed = [entry().seal(Some(&own)), entry().seal(Some(&ed25519))];
    let count =
        std::env::var("RUNNER_FUZZ_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_u64);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for round in 0..count {
        let original = &sealed[round as usize % sealed.len()];
        let mut bytes = original.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(7) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = random(256) as u8,
                2 => bytes.truncate(at),
                3 => bytes.insert(at, random(256) as u8),
                4 => drop(bytes.remove(at)),
                5 => {
                    let from = random(bytes.len());
                    let piece = bytes[from..(from + random(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let word: &[u8] =
                        [&b"none"[..], b" - -", b"hmac-sha256", b"ed25519", b"\n", b"\0"][random(6)];
                    let end = (at + word.len()).min(bytes.len());
                    bytes.splice(at..end, word.iter().copied());
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        if bytes != *original {
            assert!(RemoteEntry::open(&bytes, &trust).is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
