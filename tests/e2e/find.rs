//! `runner find`: which run and node made a content, and which used it.

use std::fs;

use crate::common::Lab;

const FLOW: &str = r#"
[workflow]
name = "flow"
[inputs]
data = { type = "file", default = "data.csv" }
[tasks.plots]
cache = true
inputs = { data = "file" }
outputs = { dir = "dir", table = "file" }
run = 'mkdir -p "$OUT/dir/deep"; echo plot > "$OUT/dir/deep/a.svg"; sort "$data" > "$OUT/table"'
[tasks.mail]
inputs = { dir = "dir", table = "file" }
outputs = { text = "file" }
run = 'cat "$dir/deep/a.svg" "$table" > "$OUT/text"'
[nodes.plots]
inputs = { data = "{{ inputs.data }}" }
[nodes.mail]
inputs = { dir = "{{ plots.dir }}", table = "{{ plots.table }}" }
[outputs]
dir = { value = "{{ plots.dir }}", path = "out/plots" }
text = { value = "{{ mail.text }}", path = "out/mail.txt" }
"#;

fn lab() -> (Lab, String) {
    let lab = Lab::new();
    lab.write("p/w.toml", FLOW);
    lab.write("p/data.csv", "b\na\n");
    let run = lab.ok("p/w.toml", &[]).finished()["run"].as_str().unwrap().to_owned();
    (lab, run)
}

fn json(lab: &Lab, what: &str) -> serde_json::Value {
    let done = lab.run(&["find", what, "--json"]).expect_code(0);
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn files_are_found_by_content_wherever_they_lie() {
    let (lab, run) = lab();
    let check = |what: &str, made: Option<(&str, &str, &str)>, used: Option<(&str, &str)>| {
        let found = json(&lab, what);
        let of = |field: &str, part: &str| found[field][0][part].as_str().map(str::to_owned);
        if let Some((node, name, path)) = made {
            let expected = [&run, node, name, path].map(|part| Some(part.to_owned()));
            assert_eq!(
                ["run", "node", "name", "path"].map(|part| of("made", part)),
                expected,
                "{what}: {found}"
            );
        }
        if let Some((node, name)) = used {
            assert_eq!(
                (of("used", "node").as_deref(), of("used", "name").as_deref()),
                (Some(node), Some(name)),
                "{what}: {found}"
            );
        }
        found
    };
    // Of a task that is not cached; published.
    let mail = check("p/out/mail.txt", Some(("mail", "text", "")), None);
    assert_eq!(mail["published"][0]["workflow"], "flow");
    // Inside of a published folder; whoever used the folder used it.
    check("p/out/plots/deep/a.svg", Some(("plots", "dir", "deep/a.svg")), Some(("mail", "dir")));
    check("p/out/plots", Some(("plots", "dir", "")), Some(("mail", "dir")));
    // The user's own file, which no node made.
    let data = check("p/data.csv", None, Some(("plots", "data")));
    assert_eq!(data["made"], serde_json::json!([]));
    // By digest, and by the beginning of one.
    let digest = mail["digest"].as_str().unwrap();
    check(digest, Some(("mail", "text", "")), None);
    check(&digest["sha256:".len()..][..10], Some(("mail", "text", "")), None);
    // After the project moved, and under another name.
    fs::rename(lab.path("p"), lab.path("elsewhere")).unwrap();
    fs::rename(lab.path("elsewhere/out/mail.txt"), lab.path("renamed")).unwrap();
    check("renamed", Some(("mail", "text", "")), None);
    check("elsewhere/out/plots/deep/a.svg", Some(("plots", "dir", "deep/a.svg")), None);
    let people = lab.run(&["find", "renamed"]).expect_code(0).out;
    assert!(
        people.contains(&format!("node mail of run {run}")) && people.contains("output text"),
        "{people}"
    );
}

#[test]
fn what_was_edited_or_removed_since_is_known_by_its_path() {
    let (lab, _) = lab();
    lab.write("p/out/mail.txt", "edited");
    let found = json(&lab, "p/out/mail.txt");
    assert!(found["note"].as_str().unwrap().contains("edited since"), "{found}");
    assert_eq!(found["made"][0]["node"], "mail");
    fs::remove_file(lab.path("p/out/mail.txt")).unwrap();
    let found = json(&lab, "p/out/mail.txt");
    assert!(found["note"].as_str().unwrap().contains("gone"), "{found}");
    // A folder with a file of the user's is no folder that a node made.
    lab.write("p/out/plots/own", "mine");
    let found = json(&lab, "p/out/plots");
    assert!(found["note"].as_str().unwrap().contains("its file deep/a.svg"), "{found}");
    // Also after the project moved, when no path is known any more.
    lab.write("p/out/plots/a/empty", "");
    fs::rename(lab.path("p"), lab.path("moved")).unwrap();
    let found = json(&lab, "moved/out/plots");
    assert!(found["note"].as_str().unwrap().contains("its file deep/a.svg"), "{found}");
    assert_eq!(found["made"][0]["node"], "plots");
}

#[test]
fn what_nobody_made_is_an_answer_as_well() {
    let (lab, _) = lab();
    lab.write("strange", "never seen");
    for (what, needle) in [
        ("strange", "no node that is known made or used strange"),
        ("missing.txt", "there is no file missing.txt"),
        ("sha256:xyz", "is no digest"),
        ("abcdef123456", "begins with abcdef123456"),
    ] {
        let done = lab.run(&["find", what]).expect_code(1);
        assert!(done.err.contains(needle), "{what}: {}", done.err);
    }
    let empty = Lab::new();
    let done = empty.run(&["find", "count"]).expect_code(1);
    assert!(done.err.contains("nothing was ever run"), "{}", done.err);
}

#[test]
fn an_older_database_is_indexed_when_it_is_opened() {
    let (lab, run) = lab();
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    // As it was before files were indexed: without that step, and those after it.
    db.execute_batch(
        "DROP TABLE content; DROP TABLE execution; DROP INDEX published_content;
         DROP TRIGGER instant_begins; DROP TRIGGER instant_ends; DROP TABLE instant; DROP TABLE schedule;
         DROP TABLE schedule_pause; DROP TABLE schedule_served; DROP TABLE schedule_request; DROP TABLE claimant;
         DROP TABLE outbox; PRAGMA user_version = 6",
    )
    .unwrap();
    drop(db);
    let found = json(&lab, "p/out/plots/deep/a.svg");
    assert_eq!(
        (found["made"][0]["run"].as_str(), found["made"][0]["path"].as_str()),
        (Some(&*run), Some("deep/a.svg"))
    );
}

#[test]
fn what_is_collected_is_forgotten() {
    let (lab, _) = lab();
    lab.run(&["cache", "gc", "--max-size", "0B", "--keep-runs", "0"]).expect_code(0);
    lab.run(&["find", "p/data.csv"]).expect_code(1);
}
