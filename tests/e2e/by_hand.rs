//! `shell` and `export`: an attempt of a past run, by hand and elsewhere.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Done, Lab, finish};

const WORKFLOW: &str = r#"
[workflow]
name = "w"
[inputs]
data = { type = "file", default = "data.csv" }
[tasks.gen]
outputs = { rows = "list<int>", text = "file" }
run = 'echo "[1,2,3]" > "$OUT/rows"; echo made > "$OUT/text"'
[nodes.gen]
[tasks.train]
inputs = { data = "file", made = "file", n = "int", text = "string", many = "list<file>", nothing = "string?" }
outputs = { sum = "file", said = { type = "string", from = "stdout" } }
env = { QUOTED = "it's \"x\" $HOME" }
sources = ["lib/*.sh"]
args = ["{{ many }}", "--n={{ n }}"]
run = '''
. lib/a.sh
printf '%s|' "${data##*/}" "$n" "$text" "$QUOTED" "${nothing-unset}" "$sourced" "${1##*/}" "${2##*/}" "$3"
cat "$data" "$made" > "$OUT/sum"
cat "$RUNNER_INPUTS" > inputs-seen
exit 3
'''
[nodes.train]
inputs = { data = "{{ inputs.data }}", made = "{{ gen.text }}", n = 3, text = "a'b\"c $(id) `id` \\ \nnew", many = ["data.csv", "other.csv"] }
[tasks.inc]
inputs = { n = "int" }
outputs = { m = "int" }
shell = ["python3"]
run = '''
import os
open(os.environ["OUT"] + "/m", "w").write(str(int(os.environ["n"]) + 1))
'''
[nodes.each]
task = "inc"
foreach = ["n"]
inputs = { n = "{{ gen.rows }}" }
[tasks.prog]
inputs = { n = "int" }
argv = ["sh", "-c", "printf '%s|' \"$0\" \"$1\"; exit 5", "{{ n }}", "a 'b"]
[nodes.prog]
inputs = { n = 7 }
[nodes.never]
task = "inc"
needs = ["prog"]
inputs = { n = 1 }
"#;

/// What `train` prints.
const SAID: &str =
    "data.csv|3|a'b\"c $(id) `id` \\ \nnew|it's \"x\" $HOME|unset|yes|data.csv|other.csv|--n=3|";

/// A laboratory in which the workflow has run once.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("data.csv", "1,2\n");
    lab.write("other.csv", "3,4\n");
    lab.write("lib/a.sh", "sourced=yes\n");
    lab.exec("w.toml", &["-k"]).expect_code(1);
    lab
}

fn shell(lab: &Lab, args: &[&str], script: &str) -> Done {
    let mut command = lab.command(&[&["shell", "@last"], args].concat());
    with_input(command.env("SHELL", "bash"), script)
}

fn with_input(command: &mut Command, input: &str) -> Done {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Done::new(child.wait_with_output().unwrap())
}

/// How many entries a folder of the home has.
fn entries(lab: &Lab, folder: &str) -> usize {
    fs::read_dir(lab.home().join(folder)).map_or(0, Iterator::count)
}

/// `export`, unpacked in a folder whose name a careless script would stumble over; the folder with `run.sh`.
fn unpack(lab: &Lab, args: &[&str]) -> PathBuf {
    let done = lab.run(&[&["export", "@last"], args].concat()).expect_code(0);
    let folder = lab.path("else where & $x");
    fs::create_dir_all(&folder).unwrap();
    let archive = lab.path(done.out.trim_end());
    finish(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&folder)).expect_code(0);
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz").to_owned();
    folder.join(name)
}

#[test]
fn a_script_sees_what_the_attempt_saw() {
    let lab = lab();
    let done =
        shell(&lab, &["train"], "\"$RUNNER_SCRIPT\"; echo \"code $?\"; cat \"$OUT/sum\"; ls; ls \"$OUT\"");
    let done = done.expect_code(0);
    assert_eq!(done.out, format!("{SAID}code 3\n1,2\nmade\ninputs-seen\nlib\nsum\n"));
    assert_eq!(done.err, "");
    let each = shell(
        &lab,
        &["each", "--index", "1"],
        "\"$RUNNER_SCRIPT\"; echo \"$RUNNER_INDEX $n $(cat \"$OUT/m\")\"",
    );
    assert_eq!(each.expect_code(0).out, "1 2 3\n");
    let prog = shell(&lab, &["prog"], "\"$RUNNER_SCRIPT\"");
    assert_eq!(prog.expect_code(5).out, "7|a 'b|");
    assert_eq!((entries(&lab, "scratch"), entries(&lab, "kept"), entries(&lab, "logs")), (0, 0, 1));
    assert_eq!(lab.run(&["runs", "--json"]).lines().len(), 1);
}

#[test]
fn the_environment_is_that_of_the_run() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\npass_env = [\"OURS_*\"]\nsecrets = [\"TOKEN\"]\nrun = 'env'\n[nodes.t]\n",
    );
    let mut exec = lab.command(&["exec", "w.toml"]);
    exec.env("CONDA_ALL", "C")
        .env("OURS_A", "1")
        .env("OURS_B", "2")
        .env("OURS_GONE", "3")
        .env("TOKEN", "hush");
    finish(&mut exec).expect_code(0);
    let env = |token: bool| {
        let mut command = lab.command(&["shell", "@last", "t"]);
        command.env("SHELL", "bash").env("CONDA_ALL", "D").env("CONDA_NEW", "x").env("OURS_A", "1");
        command.env("OURS_B", "other").env("OURS_NEW", "4").env_remove("OURS_GONE");
        if token {
            command.env("TOKEN", "hush");
        }
        with_input(&mut command, "env | grep -E '^(CONDA|OURS|TOKEN|NOT)' | sort")
    };
    let done = env(true).expect_code(0);
    assert_eq!(done.out, "CONDA_ALL=C\nOURS_A=1\nOURS_B=other\nTOKEN=hush\n");
    for note in
        ["$OURS_B has another value", "$OURS_GONE was set in the run", "$OURS_NEW was not set in the run"]
    {
        assert!(done.err.contains(note), "{}", done.err);
    }
    assert!(!done.err.contains("OURS_A"), "{}", done.err);
    let without = env(false);
    assert!(without.code == Some(1) && without.err.contains("`TOKEN`"), "{}", without.err);
}

#[test]
fn files_are_had_as_they_were_or_it_is_said() {
    let lab = lab();
    lab.write("w.toml", "nonsense");
    lab.write("data.csv", "changed\n");
    let done = shell(&lab, &["train"], "cat \"$data\" \"$made\"").expect_code(0);
    if done.out == "changed\nmade\n" {
        assert!(done.err.contains("data.csv has changed since the run"), "{}", done.err);
    } else {
        assert_eq!((&*done.out, &*done.err), ("1,2\nmade\n", ""));
    }
    for entry in fs::read_dir(lab.home().join("store/blobs")).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    let gone = shell(&lab, &["train"], "true");
    assert!(gone.code == Some(1) && gone.err.contains("input `made`"), "{}", gone.err);
}

#[test]
fn what_cannot_be_repeated_says_why() {
    let lab = lab();
    for (node, why) in [
        ("each", "3 elements"),
        ("each[9]", "there is no 9"),
        ("nope", "no node `nope`"),
        ("never", "never ready to run"),
    ] {
        for verb in ["shell", "export"] {
            let done = lab.run(&[verb, "@last", node]).expect_code(2);
            assert!(done.err.contains(why), "{}", done.err);
        }
    }
    assert_eq!(entries(&lab, "scratch"), 0);
}

#[test]
fn a_kept_folder_stays() {
    let lab = lab();
    let done = shell(&lab, &["train", "--keep"], "pwd; touch mine").expect_code(0);
    assert!(done.err.contains("kept: "), "{}", done.err);
    // The next run sweeps up what dead ones left.
    lab.exec("w.toml", &["-k"]).expect_code(1);
    assert!(PathBuf::from(done.out.trim_end()).join("mine").exists());
}

#[test]
fn an_archive_runs_elsewhere() {
    let lab = lab();
    let folder = unpack(&lab, &["train"]);
    fs::remove_dir_all(lab.home()).unwrap();
    for _ in 0..2 {
        let done = finish(Command::new(folder.join("run.sh")).current_dir("/").env("n", "wrong"));
        assert_eq!(
            (done.expect_code(3).out, fs::read_to_string(folder.join("out/sum")).unwrap()),
            (SAID.to_owned(), "1,2\nmade\n".to_owned())
        );
        let seen = fs::read_to_string(folder.join("work/inputs-seen")).unwrap();
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        let data = seen["data"].as_str().unwrap();
        assert_eq!(fs::read_to_string(data).unwrap(), "1,2\n");
        assert_eq!(seen["text"], "a'b\"c $(id) `id` \\ \nnew");
    }
}

#[test]
fn programs_and_other_shells_can_be_packed() {
    let lab = lab();
    let folder = unpack(&lab, &["each[1]"]);
    finish(&mut Command::new(folder.join("run.sh"))).expect_code(0);
    assert_eq!(fs::read_to_string(folder.join("out/m")).unwrap(), "3");
    let folder = unpack(&lab, &["prog"]);
    assert_eq!(finish(&mut Command::new(folder.join("run.sh"))).expect_code(5).out, "7|a 'b|");
    let done = lab.run(&["export", "@last", "prog", "-o", "mine.tgz", "--json"]).expect_code(0);
    assert_eq!(done.lines()[0]["path"], lab.path("mine.tgz").display().to_string());
    assert_eq!((&done.lines()[0]["v"], &done.lines()[0]["node"]), (&1.into(), &"prog".into()));
    assert!(lab.path("mine.tgz").exists());
}

#[test]
fn an_archive_holds_no_secret_and_asks_for_it() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\nsecrets = [\"TOKEN\"]\npass_env = [\"OURS_*\"]\n\
         run = 'printf %s \"$TOKEN $OURS_A ${FOREIGN-none}\"'\n[nodes.t]\n",
    );
    let mut exec = lab.command(&["exec", "w.toml"]);
    finish(exec.env("TOKEN", "hush-hush").env("OURS_A", "quiet-value")).expect_code(0);
    let folder = unpack(&lab, &["t"]);
    for file in
        walkdir::WalkDir::new(&folder).into_iter().flatten().filter(|entry| entry.file_type().is_file())
    {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains("hush-hush") && !text.contains("quiet-value"), "{text}");
    }
    let script = folder.join("run.sh");
    let refused = finish(Command::new(&script).env_remove("TOKEN")).expect_code(2);
    assert!(refused.err.contains("TOKEN"), "{}", refused.err);
    let done = finish(Command::new(&script).env("TOKEN", "a b").env("OURS_A", "c").env("FOREIGN", "d"));
    assert_eq!(done.expect_code(0).out, "a b c none");
}
