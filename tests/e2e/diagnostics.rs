//! Broken workflow files, and what a person is told about each.
//!
//! Every pair `diagnostics/NAME.toml` and `NAME.txt` is a file and the exact answer to it, to be read as its
//! user would; a `warns_NAME.toml` has warnings only. `UPDATE=1 cargo test --test e2e diagnostics::` writes the
//! answers anew. Further errors are held by the words that matter, and hostile files only by an ending in bounded time.

use std::fs;
use std::path::Path;

use crate::common::{Done, Lab};

/// A workflow around one task.
const STEP: &str = "[workflow]\nname = \"demo\"\n[tasks.step]\nrun = 'true'\n[nodes.step]\n";

/// `runner check` of a text; it must find errors, and neither panic nor write anything.
#[track_caller]
fn check(lab: &Lab, text: impl AsRef<[u8]>) -> Done {
    lab.write_bytes("w.toml", text.as_ref());
    let done = lab.run(&["check", "w.toml"]).expect_code(2);
    assert!(!done.err.contains("panicked"), "{}", done.err);
    assert_eq!(done.out, "");
    assert!(!lab.home().exists());
    done
}

/// The errors that are told: each first line.
fn titles(done: &Done) -> Vec<&str> {
    done.err.lines().filter_map(|line| line.strip_prefix("error: ")).collect()
}

#[track_caller]
fn says(text: &str, phrases: &[&str]) {
    let lab = Lab::new();
    let done = check(&lab, text);
    for phrase in phrases {
        assert!(done.err.contains(phrase), "{phrase:?} is missing in\n{}", done.err);
    }
    // Every error has its place: file, line, column.
    let places = done.err.lines().filter(|line| line.contains("--> w.toml:")).count();
    assert_eq!(places, titles(&done).len(), "{}", done.err);
}

/// The same with one task, whose body is given.
#[track_caller]
fn task_says(body: &str, phrases: &[&str]) {
    says(&format!("[workflow]\nname = \"demo\"\n[tasks.step]\n{body}\n[nodes.step]\n"), phrases);
}

#[test]
fn answers_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/diagnostics");
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut command = Lab::new().command(&["check", name]);
        let code = if name.starts_with("warns_") { 0 } else { 2 };
        let done = crate::common::finish(command.current_dir(&folder)).expect_code(code);
        let written = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&written, &done.err).unwrap();
        }
        if fs::read_to_string(&written).unwrap_or_default() != done.err {
            wrong.push(format!("{name} now says\n{}", done.err));
        }
        looked_at += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at >= 10);
}

#[test]
fn exec_and_plan_refuse_what_check_refuses() {
    let lab = Lab::new();
    lab.write("w.toml", &STEP.replace("run", "rum"));
    let checked = lab.run(&["check", "w.toml"]).expect_code(2);
    for verb in ["exec", "plan"] {
        let done = lab.run(&[verb, "w.toml"]).expect_code(2);
        assert_eq!((done.err, done.out), (checked.err.clone(), String::new()), "{verb}");
    }
    assert!(!lab.home().exists(), "nothing was run, so nothing is kept");
}

#[test]
fn a_file_without_errors_is_ok() {
    let lab = Lab::new();
    lab.write("w.toml", STEP);
    assert_eq!(lab.run(&["check", "w.toml"]).expect_code(0).err, "w.toml: ok, 1 node\n");
    lab.write("bad.toml", "");
    let both = lab.run(&["check", "bad.toml", "w.toml"]).expect_code(2);
    assert!(both.err.contains("w.toml: ok") && both.err.contains("bad.toml:1:1"), "{}", both.err);
}

#[test]
fn marks_of_windows_editors_do_no_harm() {
    let lab = Lab::new();
    lab.write("w.toml", &format!("\u{feff}{}", STEP.replace('\n', "\r\n")));
    lab.run(&["check", "w.toml"]).expect_code(0);
    let broken = format!("\u{feff}{}", STEP.replace('\n', "\r\n").replace("run", "rum"));
    assert!(check(&lab, broken).err.contains("w.toml:4:1"));
}

#[test]
fn keys_and_tables() {
    says(
        &STEP.replace("tasks.", "task."),
        &["unknown key `task` in the workflow file", "did you mean `tasks`?"],
    );
    says(&STEP.replace("name", "nmae"), &["[workflow] has no name", "did you mean `name`?"]);
    says("[tasks.step]\nrun = 'true'\n[nodes.step]\n", &["there is no [workflow]", "begin the file with"]);
    says("", &["there is no [workflow]"]);
    says(
        &format!("{STEP}cpus = 4\n"),
        &["unknown key `cpus` in node `step`", "the keys there are:", "resources"],
    );
    let lab = Lab::new();
    assert!(check(&lab, "[workflow]\nname = \"x\"\n").err.contains("has no nodes: there is nothing to run"));
}

#[test]
fn toml_itself() {
    says(&STEP.replace("\"demo\"", "\"demo"), &["a string is not closed", "w.toml:2:8"]);
    says(&STEP.replace("\"demo\"", "demo"), &["a string without quotes", "did you mean \"demo\"?"]);
    says(&format!("{STEP}inputs = [1, 2\n"), &["an array is not closed"]);
    says(&format!("{STEP}= 3\n"), &["w.toml:6:1"]);
}

#[test]
fn values_of_the_wrong_kind() {
    task_says("run = ['true']", &["`run` must be a string", "found an array"]);
    task_says("run = 'true'\nretries = 'three'", &["`retries` must be a whole number", "found a string"]);
    task_says("run = 'true'\nretries = -1", &["`retries` must lie between 0 and 1000"]);
    task_says("run = 'true'\ncache = 'yes'", &["`cache` must be true or false"]);
    task_says("run = 'true'\ntimeout = 90", &["`timeout` must be text with a unit", "did you mean \"90s\"?"]);
    task_says("run = 'true'\nretry_delay = 'soon'", &["durations are written as in \"90s\""]);
    task_says("run = 'true'\nretry_backoff = 0", &["`retry_backoff` must be 1 or more"]);
    task_says("run = 'true'\nresources = { memory = 'lots' }", &["such as \"4GiB\", found \"lots\""]);
    task_says("run = 'true'\nresources = { cpus = -1 }", &["resource `cpus` must not be negative"]);
    task_says(
        "run = 'true'\ncwd = 'workflows'",
        &["must be \"scratch\" or \"workflow\"", "did you mean \"workflow\"?"],
    );
    task_says("run = 'true'\ncache_version = ''", &["`cache_version` must not be empty"]);
    task_says(
        "run = 'true'\ncache_ignore_inputs = ['x']",
        &["`cache_ignore_inputs` names `x`", "no such input"],
    );
}

#[test]
fn commands() {
    task_says("", &["task `step` has no command", "add run = '...' for a shell script"]);
    task_says("run = 'true'\nargv = ['true']", &["task `step` has both `run` and `argv`"]);
    task_says("argv = []", &["`argv` must name a program"]);
    task_says("argv = ['true']\nargs = ['x']", &["`args` goes with `run`, not with `argv`"]);
    task_says("run = 'true'\nshell = []", &["`shell` must name a program"]);
}

#[test]
fn types_and_interfaces() {
    let inputs = |text: &str| format!("{STEP}[inputs]\nx = {text}\n");
    says(&inputs("'strng'"), &["unknown type `strng`; did you mean `string`?"]);
    says(&inputs("'integer'"), &["did you mean `int`"]);
    says(&inputs("'list'"), &["`list` needs the type of its elements, as in `list<string>`"]);
    says(&inputs("'map<int'"), &["lacks its closing `>`"]);
    says(&inputs("'foo'"), &["there are string, int, float, bool, date, datetime"]);
    says(&inputs("{ default = 3 }"), &["has no type"]);
    says(&inputs("{ type = 'int', default = 'x' }"), &["`default` does not fit its type int"]);
    says(&inputs("{ type = 'int', one_of = [1, 2], default = 3 }"), &["must be one of 1, 2, found 3"]);
    says(&inputs("{ type = 'int', one_of = [] }"), &["`one_of` allows no value at all"]);
    task_says(
        "run = 'true'\noutputs = { a = { type = 'dir', from = 'stdout' } }",
        &["standard output is text, or one file"],
    );
    task_says(
        "run = 'true'\noutputs = { a = { type = 'string', from = 'stderr' } }",
        &["`from` must be \"stdout\""],
    );
    task_says(
        "run = 'true'\noutputs = { a = { type = 'string', path = 'x' } }",
        &["only a file or dir can have a `path`"],
    );
    task_says("run = 'true'\noutputs = { a = { type = 'file', path = '../x' } }", &["`..` leads outside"]);
}

#[test]
fn an_error_is_told_once() {
    let lab = Lab::new();
    // The input is bound, under a wrong name.
    let text = "[workflow]\nname = \"w\"\n[tasks.t]\ninputs = { epochs = \"int\" }\nrun = 'true'\n[nodes.t]\ninputs = { epoch = 1 }\n";
    assert_eq!(titles(&check(&lab, text)), ["node `t` binds `epoch`, which is no input of task `t`"]);
    // A type that does not exist fits everywhere; so does what comes out of a task that does not exist.
    let text = "[workflow]\nname = \"w\"\n[inputs]\na = \"intt\"\n[tasks.t]\ninputs = { x = \"int\", y = \"file\" }\n\
                run = 'true'\n[nodes.t]\ninputs = { x = \"{{ inputs.a }}\", y = \"{{ u.y }}\" }\n[nodes.u]\ntask = \"uu\"\n";
    assert_eq!(titles(&check(&lab, text)).len(), 2);
}

#[test]
fn variables_and_sources() {
    let env = |text: &str| format!("run = 'true'\nenv = {{ {text} }}");
    task_says(&env("TZ = 3"), &["`TZ` must be a string: variables are text"]);
    task_says(&env("OUT = 'x'"), &["`OUT` is set by the runner itself"]);
    task_says(&env("RUNNER_NODE = 'x'"), &["`RUNNER_NODE` is set by the runner itself"]);
    task_says(&env("'a b' = 'x'"), &["is no name of a variable"]);
    task_says("run = 'true'\ninputs = { a = 'int?' }\nenv = { a = 'x' }", &["`a` is an input already"]);
    task_says("run = 'true'\nsources = ['scripts/**/*.py']", &["source `scripts/**/*.py` matches no file"]);
    task_says(
        "run = 'true'\nsources = ['../x']",
        &["`..` leads outside", "must lie below this file's folder", "as = \"x\""],
    );
    task_says("run = 'true'\nsources = ['/etc/passwd']", &["an absolute path leads outside"]);
    task_says("run = 'true'\nsources = ['[a']", &["not a valid glob"]);
}

#[test]
fn outputs_of_the_workflow() {
    let text = |outputs: &str| {
        format!(
            "[workflow]\nname = \"w\"\n[tasks.t]\noutputs = {{ s = \"string\", f = \"file\" }}\nrun = 'true'\n\
             [nodes.t]\n[outputs]\n{outputs}\n"
        )
    };
    says(&text("x = { value = '{{ t.s }}', path = 'x.txt' }"), &["only files and directories, or a list"]);
    says(&text("x = { valu = '{{ t.s }}' }"), &["output `x` has no value", "did you mean `value`?"]);
    let twice = "x = { value = '{{ t.f }}', path = 'p' }\ny = { value = '{{ t.f }}', path = 'p' }";
    says(&text(twice), &["output `y` is published at the same path as `x`"]);
    says(&text("x = '{{ t }}'"), &["`t` is a node, not a value", "as in {{ t.s }}"]);
}

#[test]
fn imports() {
    let lab = Lab::new();
    let with = |import: &str| format!("import = [\"{import}\"]\n{STEP}");
    let missing = check(&lab, with("../nowhere/text.toml"));
    assert!(missing.err.contains("the import cannot be read: there is no file"), "{}", missing.err);
    assert!(missing.err.contains("imports are relative to"), "{}", missing.err);

    lab.write("other.toml", STEP);
    let workflow = check(&lab, with("other.toml"));
    assert!(workflow.err.contains("the import is a workflow, not a library"), "{}", workflow.err);

    lab.write("a.toml", "import = [\"b.toml\"]\n[library]\nname = \"a\"\n");
    lab.write("b.toml", "import = [\"a.toml\"]\n[library]\nname = \"b\"\n");
    let cycle = check(&lab, with("a.toml"));
    assert_eq!(titles(&cycle), ["an import cycle: a.toml imports b.toml imports a.toml"]);
    assert!(cycle.err.contains("b.toml:1:11"), "{}", cycle.err);

    lab.write("a.toml", "[library]\nname = \"text\"\n[tasks.shout]\nrun = 'true'\nretrys = 1\n");
    let inside = check(&lab, format!("{}[nodes.shout]\n", with("a.toml")));
    assert!(inside.err.contains("a.toml:5:1"), "{}", inside.err);
    assert!(inside.err.contains("used by their qualified name: \"text.shout\""), "{}", inside.err);

    lab.write("a.toml", "[library]\nname = \"demo\"\n");
    assert!(check(&lab, with("a.toml")).err.contains("are both called `demo`"));
}

#[test]
fn keys_that_are_reserved_are_refused_as_such() {
    for key in ["image", "sandbox"] {
        task_says(
            &format!("run = 'true'\n{key} = 'x'"),
            &[&format!("`{key}` is reserved for a later version")],
        );
    }
}

#[test]
fn schedules() {
    let says_of = |entry: &str, expected: &[&str]| {
        let inputs = "[inputs]\nday = 'date'\nrounds = { type = 'int', default = 1, one_of = [1, 2] }\n";
        says(&format!("{STEP}{inputs}[[schedules]]\n{entry}\n"), expected);
    };
    let day = "scheduled_at_input = 'day'";
    let daily = format!("name = 'n'\ncron = '@daily'\n{day}");
    says_of(&format!("cron = '@daily'\n{day}"), &["a schedule has no name", "name = \"nightly\""]);
    says_of(&format!("name = 'n'\n{day}"), &["schedule `n` does not say when it is due", "every = \"6h\""]);
    says_of(&format!("name = 'No Name'\ncron = '@daily'\n{day}"), &["cannot be the name of a schedule"]);
    says_of(&format!("{daily}\nevery = '1h'"), &["has both `cron` and `every`"]);
    says_of(&format!("{daily}\n[[schedules]]\n{daily}"), &["two schedules are called `n`", "the second one"]);
    says_of(
        &format!("name = 'n'\ncron = ['@daily', '0 22-2 * * *']\n{day}"),
        &["`cron`: the range `22-2` ends before it begins", "write `22-23,0-2`", "^^^^ here"],
    );
    says_of(&format!("name = 'n'\ncron = []\n{day}"), &["`cron` has no expression"]);
    says_of(&format!("{daily}\ntimezone = 'Europe/Berlim'"), &["did you mean `Europe/Berlin`?"]);
    says_of(&format!("name = 'n'\nevery = '1500ms'\n{day}"), &["whole seconds, at least \"1s\""]);
    says_of(&format!("name = 'n'\nevery = '1h'\ntimezone = 'UTC'\n{day}"), &["`timezone` goes with `cron`"]);
    says_of(&format!("{daily}\nstart = 2026-01-01"), &["`start` is not an instant", "2026-01-01T00:00:00Z"]);
    says_of(
        &format!("name = 'n'\ncron = '*/5 * * * *'\njitter = '5m'\n{day}"),
        &["`jitter` must be shorter", "two of them are 5m apart"],
    );
    says_of(&format!("{daily}\nkeep_runs = 0"), &["`keep_runs` must be at least 1"]);
    says_of(&format!("{daily}\noverlap = 'skipp'"), &["did you mean \"skip\"?"]);
    says_of(&format!("{daily}\noverlaps = 'skip'"), &["unknown key `overlaps` in schedule `n`"]);
    says_of(
        "name = 'n'\ncron = '@daily'",
        &["schedule `n` gives no value for the input `day`", "or give the input a default"],
    );
    says_of("name = 'n'\ncron = '@daily'\nscheduled_at_input = 'dya'", &["did you mean `day`?"]);
    says_of(
        "name = 'n'\ncron = '@daily'\nscheduled_at_input = 'rounds'\ninputs = { day = 2026-01-01 }",
        &["the input `rounds` is int", "expected an input of type datetime or date"],
    );
    says_of(
        &format!("{daily}\ninputs = {{ day = 2026-01-01 }}"),
        &["gives `day`, which receives the instant"],
    );
    says_of(&format!("{daily}\ninputs = {{ round = 1 }}"), &["which is no input", "did you mean `rounds`?"]);
    says_of(&format!("{daily}\ninputs = {{ rounds = 'x' }}"), &["`rounds` does not fit its type int"]);
    says_of(&format!("{daily}\ninputs = {{ rounds = 3 }}"), &["must be one of 1, 2"]);
}

#[test]
fn things_that_are_no_workflow_file() {
    let lab = Lab::new();
    fs::create_dir(lab.path("folder")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(lab.path("pipe")).status().unwrap().success());
    for (name, answer) in [
        ("folder", "error: folder is a directory; a workflow file was expected\n"),
        ("pipe", "error: pipe is no regular file\n"),
        ("/dev/zero", "error: /dev/zero is no regular file\n"),
        ("nowhere.toml", "error: there is no file nowhere.toml\n"),
    ] {
        for verb in ["check", "exec", "plan"] {
            assert_eq!(lab.run(&[verb, name]).expect_code(2).err, answer, "{verb}");
        }
    }
    let latin = check(&lab, b"[workflow]\nname = \"x\xff\"\n");
    assert_eq!(latin.err, "error: w.toml is not UTF-8: line 2 has a byte that is no text\n");
}

#[test]
fn what_a_file_holds_cannot_act_on_the_terminal() {
    let lab = Lab::new();
    let done = check(&lab, format!("{STEP}\"\\u001b[31mred\" = 1\n'\u{202e}x' = 1\n"));
    assert!(!done.err.contains(['\u{1b}', '\u{202e}']), "{}", done.err);
}

#[test]
fn inputs_that_come_as_files() {
    let task = |input: &str| format!("run = 'true'\ninputs = {{ a = {input} }}\n");
    task_says(
        &task("{ type = 'string', pass = 'fil' }"),
        &["`pass` must be \"env\" or \"file\"", "did you mean \"file\"?"],
    );
    task_says(
        &task("{ type = 'file', pass = 'file' }"),
        &["input `a` of task `step` is file, and its variable is a path already"],
    );
    says(
        &format!("{STEP}[inputs]\nx = {{ type = 'string', pass = 'file' }}\n"),
        &["unknown key `pass` in input `x` of the workflow"],
    );
}
