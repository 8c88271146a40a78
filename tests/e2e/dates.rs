//! Calendar days, instants and durations: in by every way, out again, and in the key.

use crate::common::Lab;

const DAYS: &str = "[workflow]\nname = \"w\"\n[inputs]\nday = { type = \"date\", default = 2026-01-31, one_of = [2026-01-31, 2026-02-28] }\n\
    [tasks.t]\ncache = true\ninputs = { day = \"date\", next = \"date\" }\noutputs = { text = \"string\", after = \"date\" }\n\
    run = '''\necho x >> @COUNT@\nprintf %s \"$day $next\" > \"$OUT/text\"\nprintf %s \"$next\" > \"$OUT/after\"\n'''\n\
    [nodes.t.inputs]\nday = \"{{ inputs.day }}\"\nnext = \"{{ inputs.day | plus('1d') }}\"\n\
    [outputs]\ntext = \"{{ t.text }}\"\nafter = \"{{ t.after }}\"\n";

#[test]
fn a_day_goes_in_and_out_as_a_day() {
    let lab = Lab::new();
    lab.write("w.toml", DAYS);
    let first = lab.ok("w.toml", &[]);
    assert_eq!(first.outputs(), serde_json::json!({"text": "2026-01-31 2026-02-01", "after": "2026-02-01"}));
    lab.write("in.toml", "day = 2026-01-31\n");
    lab.write("in.json", "{\"day\": \"2026-01-31\"}");
    for args in [&["-i", "day=2026-01-31"][..], &["--inputs", "in.toml"], &["--inputs", "in.json"]] {
        assert_eq!(lab.ok("w.toml", args).cache("t"), "hit", "{args:?}");
    }
    assert_eq!(lab.ran(), 1);
    let plain = lab.run(&["exec", "w.toml", "-i", "day=2026-02-28"]).expect_code(0);
    assert!(plain.out.contains("after = \"2026-03-01\""), "{}", plain.out);
    let refused = lab.run(&["exec", "w.toml", "-i", "day=2026-03-01"]).expect_code(2);
    assert!(refused.err.contains("must be one of"), "{}", refused.err);
    for wrong in ["2026-02-30", "2026-01-31T08:00:00Z", "today"] {
        let done = lab.run(&["exec", "w.toml", "-i", &format!("day={wrong}")]).expect_code(2);
        assert!(done.err.contains("expected date (as in 2026-01-31)"), "{}", done.err);
    }
}

#[test]
fn an_instant_given_a_bare_day_names_both_ways_out() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &DAYS.replace(
            "type = \"date\", default = 2026-01-31, one_of = [2026-01-31, 2026-02-28]",
            "type = \"datetime\"",
        ),
    );
    // The task takes a date, and the input is an instant.
    let checked = lab.run(&["check", "w.toml"]).expect_code(2);
    assert!(
        checked.err.contains("declare `day` as datetime, or write {{ inputs.day | date('%Y-%m-%d') }}"),
        "{}",
        checked.err
    );
    let instant =
        "[workflow]\nname = \"w\"\n[inputs]\nat = \"datetime\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n";
    lab.write("w.toml", instant);
    let done = lab.run(&["exec", "w.toml", "-i", "at=2026-01-31"]).expect_code(2);
    for way in ["declare it as `date`", "as in 2026-01-31T00:00:00Z"] {
        assert!(done.err.contains(way), "{}", done.err);
    }
    // One error: the input was given, if badly.
    assert!(!done.err.contains("needs the input"), "{}", done.err);
    lab.write("w.toml", &instant.replace("\"datetime\"", "{ type = \"datetime\", default = 2026-01-31 }"));
    let checked = lab.run(&["check", "w.toml"]).expect_code(2);
    assert!(
        checked.err.contains("a day, not an instant") && checked.err.contains("declare it as `date`"),
        "{}",
        checked.err
    );
}

#[test]
fn durations_come_back_as_they_were_exported() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { d = \"duration\", ds = \"list<duration>\" }\n\
         outputs = { d = \"duration\", ds = \"list<duration>\" }\n\
         run = '''\nprintf %s \"$d\" > \"$OUT/d\"\nprintf %s \"$ds\" > \"$OUT/ds\"\n'''\n\
         [nodes.t]\ninputs = { d = \"1m30s\", ds = [\"1500ms\", \"-90s\"] }\n[nodes.again]\ntask = \"t\"\n\
         inputs = { d = \"{{ t.d }}\", ds = \"{{ t.ds }}\" }\n[outputs]\nd = \"{{ again.d }}\"\nds = \"{{ again.ds }}\"\n",
    );
    assert_eq!(
        lab.ok("w.toml", &[]).outputs(),
        serde_json::json!({"d": "1m 30s", "ds": ["1s 500ms", "-90s"]})
    );
}
