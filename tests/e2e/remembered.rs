//! What a run remembers of what it was asked for.

use crate::common::Lab;
use rusqlite::Connection;
use serde_json::{Value, json};

/// The record of the only run that there is.
fn invocation(lab: &Lab) -> Value {
    let db = Connection::open(lab.home().join("runner.db")).unwrap();
    let text: String = db.query_row("SELECT invocation FROM run", [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn documents(lab: &Lab) -> Vec<String> {
    let db = Connection::open(lab.home().join("runner.db")).unwrap();
    let mut statement = db.prepare("SELECT text FROM document ORDER BY text").unwrap();
    let texts = statement.query_map([], |row| row.get(0)).unwrap();
    texts.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_run_remembers_what_it_was_given_and_what_it_read() {
    let lab = Lab::new();
    let library =
        "[library]\nname = \"lib\"\n[tasks.t]\ninputs = { n = \"int\", f = \"file\" }\nrun = \"true\"\n";
    let workflow = "import = [\"lib/lib.toml\"]\n[workflow]\nname = \"w\"\n\
                    [inputs]\nn = { type = \"int\", default = 3 }\nf = \"file\"\n\
                    [nodes.a]\ntask = \"lib.t\"\ninputs = { n = \"{{ inputs.n }}\", f = \"{{ inputs.f }}\" }\n\
                    [nodes.b]\ntask = \"lib.t\"\ninputs = { n = 1, f = \"{{ inputs.f }}\" }\n";
    lab.write("lib/lib.toml", library);
    lab.write("w.toml", workflow);
    lab.write("in.txt", "x");
    lab.ok(
        "w.toml",
        &[
            "-i",
            "f=in.txt",
            "--set",
            "tasks.lib.t.retries=1",
            "--only",
            "a",
            "-k",
            "--cache",
            "ro",
            "--project",
            "p",
        ],
    );
    let was = invocation(&lab);
    let path = |name: &str| std::fs::canonicalize(lab.dir()).unwrap().join(name).display().to_string();
    assert_eq!(was["workflow"], json!(path("w.toml")));
    assert_eq!(was["inputs"]["n"], json!(3));
    assert_eq!(was["inputs"]["f"]["origin"], json!(lab.path("in.txt").display().to_string()));
    assert!(was["inputs"]["f"]["digest"].is_string());
    assert_eq!(was["settings"], json!(["tasks.lib.t.retries=1"]));
    assert_eq!((&was["only"], &was["from"], &was["overwrite"]), (&json!(["a"]), &json!([]), &Value::Null));
    assert_eq!((&was["keep_going"], &was["cache"]), (&json!(true), &json!("ro")));
    assert_eq!((&was["project"], &was["domain"]), (&json!("p"), &json!("development")));
    let files: Vec<_> = was["files"].as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
    assert_eq!(files, [json!(path("lib/lib.toml")), json!(path("w.toml"))]);
    assert_eq!(was["environment"]["PATH"], json!(std::env::var("PATH").unwrap()));
    assert_eq!(documents(&lab), [library, workflow].map(ToOwned::to_owned).into_iter().collect::<Vec<_>>());
}

#[test]
fn texts_are_kept_once_and_each_as_it_was() {
    let lab = Lab::new();
    let workflow = |n: u32| format!("[workflow]\nname = \"w\"\n[tasks.t]\nrun = \"true # {n}\"\n[nodes.t]\n");
    for n in [1, 1, 2, 1] {
        lab.write("w.toml", &workflow(n));
        lab.ok("w.toml", &[]);
    }
    assert_eq!(documents(&lab), [workflow(1), workflow(2)]);
}

#[test]
fn no_secret_is_remembered_and_nothing_of_what_was_passed_on() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\nsecrets = [\"LC_TOKEN\"]\npass_env = [\"OURS_*\", \"LC_TOKEN\"]\n\
         run = \"true\"\n[nodes.t]\n",
    );
    let mut command = lab.command(&["exec", "w.toml"]);
    command.env("LC_TOKEN", "hush-hush").env("OURS_A", "quiet-value").env("CONDA_X", "holds hush-hush too");
    crate::common::finish(&mut command).expect_code(0);
    let was = invocation(&lab);
    let passed: Vec<_> = was["passed"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(passed, ["CONDA_X", "OURS_A"]);
    assert!(was["environment"].get("LC_TOKEN").is_none());
    let text = was.to_string();
    assert!(!text.contains("hush") && !text.contains("quiet"), "{text}");
}
