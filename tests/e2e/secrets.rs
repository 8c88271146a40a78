//! The value of a secret stands nowhere in clear, in whatever form a task prints it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::common::{Done, Lab, finish};

/// With quotes, a slash, a percent sign, letters outside of ASCII and two lines.
const TOKEN: &str = "Tr0ub4dor & \"3\"/größe%\nsecond-line-Zq9";
/// Fit for the name of a file.
const NAME: &str = "canary-7f3a9c";
/// What must not be found anywhere: parts of both, in the forms that tasks print.
const CANARIES: [&str; 11] = [
    "Tr0ub4dor",
    "second-line-Zq9",
    NAME,
    "VHIwdWI0ZG9y",
    "RyMHViNGRvc",
    "UcjB1YjRkb3",
    "c2Vjb25kLWxpbmUtWnE5",
    "Y2FuYXJ5LTdmM2E5Y",
    "jYW5hcnktN2YzYTlj",
    "Tr0ub4dor+%26",
    "Tr0ub4dor%20%26",
];

fn exec(lab: &Lab, workflow: &str, args: &[&str]) -> Done {
    let args = [&["exec", workflow], args].concat();
    finish(lab.command(&args).env("TOKEN", TOKEN).env("NAME", NAME).env("LANG", "C.UTF-8"))
}

/// The files below `folder` that hold one of the canaries, or have it in their path.
fn leaks(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for canary in CANARIES {
        let grep = Command::new("grep").args(["-rlaF", "--", canary]).arg(folder).output().unwrap();
        let names =
            Command::new("find").arg(folder).args(["-name", &format!("*{canary}*")]).output().unwrap();
        let both = [grep.stdout, names.stdout].concat();
        let both = String::from_utf8_lossy(&both).into_owned();
        found.extend(both.lines().map(|path| format!("{canary}: {path}")));
    }
    found
}

#[test]
fn no_form_of_a_secret_stands_anywhere_in_clear() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        r#"[workflow]
name = "w"
[tasks.loud]
secrets = ["TOKEN", "NAME"]
cache = true
outputs = { text = "file", said = "string", any = "json" }
run = '''
printf '%s\n' "$TOKEN" "$NAME" > text.tmp
for before in "" x xy xyz; do
  printf '%s' "$before$TOKEN" | base64; printf '%s' "$before$TOKEN" | base64 -w 20
  printf '%s' "$before$TOKEN" | basenc --base64url; printf '%s' "$before$NAME" | base64 -w 3
done
python3 - <<'END'
import json, os, urllib.parse, sys, glob
token = os.environ["TOKEN"]
print(json.dumps(token), json.dumps(token, ensure_ascii=False), json.dumps(json.dumps([token])))
for quote in (urllib.parse.quote, urllib.parse.quote_plus):
    print(quote(token), quote(token, safe=""), quote(token).lower())
for letter in token:
    sys.stdout.write(letter); sys.stdout.flush()
print("\r\n".join(token.split("\n")), file=sys.stderr)
for path in glob.glob("/proc/*/cmdline"):
    try:
        line = open(path, "rb").read()
    except OSError:
        continue
    assert os.environ["NAME"].encode() not in line, line
out = os.environ["OUT"]
json.dump({"token": [token]}, open(out + "/any", "w"))
open(out + "/said", "w").write("it is " + token)
open(out + "/text", "w").write("kept by the user: " + os.environ["NAME"][::-1])
END
'''
[tasks.failing]
secrets = ["TOKEN", "NAME"]
run = 'echo "$NAME"; echo "$TOKEN" >&2; exit 3'
[tasks.named]
secrets = ["NAME"]
outputs = { all = "list<file>" }
run = 'mkdir $OUT/all; echo 1 > "$OUT/all/$NAME.txt"'
[tasks.keyed]
secrets = ["NAME"]
outputs = { all = "map<file>" }
run = 'echo 1 > $OUT/x; printf "{\"%s\": \"x\"}" "$NAME" > $OUT/all'
[tasks.inside]
secrets = ["NAME"]
outputs = { all = "dir" }
run = 'mkdir -p $OUT/all/a; echo 1 > "$OUT/all/a/$NAME"'
[tasks.linked]
secrets = ["NAME"]
outputs = { all = "dir" }
run = 'mkdir $OUT/all; ln -s "/nowhere/$NAME" $OUT/all/link'
[tasks.stray]
secrets = ["NAME"]
outputs = { all = "file" }
run = 'echo 1 > "$OUT/$NAME"; echo 1 > "$OUT/other-$NAME"'
[tasks.badly]
secrets = ["NAME"]
outputs = { n = "int", l = "list<file>" }
run = 'echo "$NAME" > $OUT/n; printf "[3, \"$NAME\"]" > $OUT/l'
[nodes.loud]
[nodes.failing]
[nodes.named]
[nodes.keyed]
[nodes.inside]
[nodes.linked]
[nodes.stray]
[nodes.badly]
"#,
    );
    let json = exec(&lab, "w.toml", &["--json", "-k"]).expect_code(1);
    assert_eq!(json.node("loud")["status"], "succeeded", "{}", json.out);
    assert_eq!(json.node("loud")["outputs"]["said"], "it is ***");
    assert_eq!(json.node("loud")["outputs"]["any"], json!({ "token": ["***"] }));
    assert_eq!(json.node("failing")["error"]["tail"], json!(["***", "***"]));
    for (node, said) in [
        ("named", "the name \"***.txt\" holds the value of a secret"),
        ("keyed", "a key holds the value of a secret"),
        ("inside", "the name \"a/***\" holds the value of a secret"),
        ("linked", "the link to \"/nowhere/***\" holds the value of a secret"),
        ("stray", "in $OUT there is ***, other-***"),
        ("badly", "***"),
    ] {
        let message = json.node(node)["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(said), "{message}");
    }
    let mut shown = json.out + &json.err;
    for args in [&["exec", "w.toml", "-k", "-v"][..], &["plan", "w.toml"], &["why", "w.toml", "loud"]] {
        let done = finish(lab.command(args).env("TOKEN", TOKEN).env("NAME", NAME));
        shown += &(done.out + &done.err);
    }
    for args in [
        &["show", "@last", "--json"][..],
        &["show", "@last", "stray"],
        &["show", "@-2", "loud"],
        &["logs", "@-2", "loud"],
        &["logs", "@last", "failing"],
        &["cache", "ls", "--json"],
        &["report", "@last", "-o", "report.html"],
        &["diff", "@-2", "@last"],
    ] {
        let done = lab.run(args);
        shown += &(done.out + &done.err);
    }
    shown += &lab.read("report.html");
    for canary in CANARIES {
        let around = shown
            .find(canary)
            .map(|at| String::from_utf8_lossy(&shown.as_bytes()[at.saturating_sub(200)..at + 50]));
        assert_eq!(around, None, "{canary}");
    }
    assert_eq!(leaks(&lab.home()), [""; 0]);
}

#[test]
fn what_a_task_hands_on_in_a_file_is_masked_in_the_logs_of_others() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[defaults]\ncache = true\n\
         [tasks.write]\nsecrets = [\"NAME\"]\noutputs = { f = \"file\" }\nrun = 'echo \"$NAME\" > $OUT/f'\n\
         [tasks.read]\ninputs = { f = \"file\" }\n\
         outputs = { copy = \"file\", text = \"string\", out = { type = \"file\", from = \"stdout\" } }\n\
         run = 'cat $f; cat $f >&2; cp $f $OUT/copy; cat $f > $OUT/text'\n\
         [nodes.write]\n[nodes.read]\ninputs = { f = \"{{ write.f }}\" }\n[outputs]\ncopy = \"{{ read.copy }}\"\n",
    );
    let done = exec(&lab, "w.toml", &["--json"]).expect_code(0);
    assert_eq!(done.node("read")["outputs"]["text"], "***");
    assert_eq!(lab.run(&["logs", "@last", "read"]).out, "***\n── standard output ──\n***\n");
    // Files are what tasks made them: here, and in the store.
    let copy = done.outputs()["copy"]["path"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(copy).unwrap().trim(), NAME);
    let elsewhere: Vec<_> = leaks(&lab.home())
        .into_iter()
        .filter(|leak| !leak.contains("/store/blobs/") && !leak.contains("/outputs/"))
        .collect();
    assert_eq!(elsewhere, [""; 0]);
}

#[test]
fn a_short_secret_is_not_masked_and_said_to_be_in_clear() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nx = { type = \"string\", default = \"\" }\n\
         [tasks.t]\nsecrets = [\"PIN\", \"EMPTY\", \"NAME\"]\nrun = 'echo \"abc: $PIN\"'\n[nodes.t]\n",
    );
    let run = |args: &[&str]| {
        let args = [&["exec", "w.toml", "--json"], args].concat();
        finish(lab.command(&args).env("PIN", "abc").env("EMPTY", "").env("NAME", NAME)).expect_code(0)
    };
    let done = run(&[]);
    assert_eq!(
        done.warnings(),
        "the secret `PIN` is shorter than 4 characters and is not masked: in logs and records it stands in clear\n"
    );
    assert_eq!(lab.run(&["logs", "@last", "t"]).out, "abc: abc\n");
    let input = run(&["-i", &format!("x=is {NAME}")]);
    assert!(input.warnings().contains("the input `x` holds the value of a secret"), "{}", input.warnings());
}
