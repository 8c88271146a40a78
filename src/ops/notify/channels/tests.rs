//! What is filled in, masked and rendered; the receivers themselves are tested with the tries.

use std::ffi::OsString;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::core::notify::NotifyEvent;
use crate::ops::notify::BrokenNotifyFile;
use crate::ops::notify::document::{finished, of_broken};

fn rule(body: Option<&str>, in_settings: bool) -> NotifyRule {
    NotifyRule {
        name: None,
        on: vec![NotifyEvent::Broken],
        channel: NotifyChannel::Command(vec!["tell".into()]),
        body: body.map(str::to_owned),
        schedules: None,
        after: 1,
        repeat: None,
        timeout: Duration::from_secs(1),
        in_settings,
    }
}

fn with<T>(rule: &NotifyRule, ask: impl FnOnce(&mut Filler) -> T) -> T {
    let file = BrokenNotifyFile {
        path: "/w.toml".into(),
        workflow: Some("w".into()),
        errors: vec!["a \"b\"".into()],
    };
    let document = finished(of_broken(&file, Timestamp::UNIX_EPOCH), NotifyEvent::Broken);
    let document = serde_json::to_string(&document).unwrap();
    let environment = |name: &str| match name {
        "HOOK" => Some(OsString::from("s3cret")),
        _ => None,
    };
    let outgoing =
        Outgoing { rule, document: &document, workflow: Path::new("/dir/w.toml"), environment: &environment };
    ask(&mut Filler { outgoing: &outgoing, secrets: Vec::new() })
}

#[test]
fn secrets_are_put_in_and_masked_in_faults() {
    with(&rule(None, false), |filler| {
        assert_eq!(filler.fill("http://x/${HOOK}").unwrap(), "http://x/s3cret");
        assert_eq!(filler.fill("$HOOK").unwrap(), "$HOOK");
        assert_eq!(masked("no route to http://x/s3cret", &filler.secrets), "no route to http://x/***");
        assert!(filler.fill("${file:gone}").unwrap_err().contains("/dir/gone cannot be read"));
        assert!(filler.fill("${file:/dev/zero}").unwrap_err().contains("no regular file"));
    });
    with(&rule(None, true), |filler| assert_eq!(filler.fill("$HOOK").unwrap(), "s3cret"));
}

#[test]
fn a_body_is_a_template_over_the_document() {
    let body = |text: &str| with(&rule(Some(text), false), |filler| filler.body(String::new).unwrap());
    assert_eq!(body("{{ event }} {{ status }} {{ run }}|"), "broken broken |");
    let json = body("{\"text\": {{ text | tojson }}, \"n\": {{ consecutive + 1 }}}");
    let json: Json = serde_json::from_str(&json).unwrap();
    assert!(json["text"].as_str().unwrap().contains("a \"b\"") && json["n"] == 1, "{json}");
    assert_eq!(with(&rule(None, false), |filler| filler.body(|| "plain".into()).unwrap()), "plain");
    let bad = with(&rule(Some("{{ failures[3].node }}"), false), |filler| filler.body(String::new));
    assert!(bad.unwrap_err().starts_with("`body`: "));
}
