//! How a task sees its inputs: every sentence of the format, from the workflow file to the command.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Done, Lab, finish};
use serde_json::{Value, json};

/// One input of each type, and what the command must find in its variable of the same name.
const TYPES: &[(&str, &str, &str, &str)] = &[
    ("s", "string", r#""a \"b\" $c\n d""#, "a \"b\" $c\n d"),
    ("empty", "string", "''", ""),
    ("i", "int", "-9223372036854775808", "-9223372036854775808"),
    ("f", "float", "0.1", "0.1"),
    ("f_of_int", "float", "3", "3.0"),
    ("f_large", "float", "1e300", "1e300"),
    ("b", "bool", "true", "true"),
    ("no", "bool", "false", "false"),
    ("t", "datetime", "2026-03-04T05:06:07+02:00", "2026-03-04T03:06:07Z"),
    ("day", "date", "2026-03-04", "2026-03-04"),
    ("day_text", "date", "'2026-03-04'", "2026-03-04"),
    ("d", "duration", "'1h30m'", "5400"),
    ("d_short", "duration", "'1500ms'", "1.5"),
    ("l", "list<int>", "[1, 2]", "[1,2]"),
    ("l_none", "list<string>", "[]", "[]"),
    ("m", "map<string>", "{ b = 'x', a = 'y' }", r#"{"a":"y","b":"x"}"#),
    ("j", "json", "{ k = [1, 'two', { x = true }] }", r#"{"k":[1,"two",{"x":true}]}"#),
    ("o", "int?", "7", "7"),
];

/// A workflow of one node whose command is `body`.
fn workflow(inputs: &str, bound: &str, body: &str) -> String {
    format!(
        "[workflow]\nname = \"w\"\n[tasks.t]\n{body}\n[tasks.t.inputs]\n{inputs}\n[nodes.t.inputs]\n{bound}\n"
    )
}

/// What `env -0` printed.
fn variables(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn value_of<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn every_type_is_a_variable_of_the_same_name() {
    let lab = Lab::new();
    let line = |pick: fn(&(&str, &str, &str, &str)) -> String| TYPES.iter().map(pick).collect::<String>();
    let inputs = line(|(name, ty, _, _)| format!("{name} = \"{ty}\"\n"));
    let bound = line(|(name, _, value, _)| format!("{name} = {value}\n"));
    lab.write(
        "w.toml",
        &workflow(&inputs, &bound, "run = 'env -0 > @DIR@/env; cp $RUNNER_INPUTS @DIR@/inputs.json'"),
    );
    lab.ok("w.toml", &[]);
    let found = variables(&lab.read("env"));
    for (name, ty, _, text) in TYPES {
        assert_eq!(value_of(&found, name), Some(*text), "{name}: {ty}");
    }
    let inputs: Value = serde_json::from_str(&lab.read("inputs.json")).unwrap();
    assert_eq!(inputs.as_object().unwrap().len(), TYPES.len());
    assert_eq!(inputs["l"], json!([1, 2]));
    assert_eq!(inputs["d"], json!(5400));
    assert_eq!(inputs["b"], json!(true));
    assert_eq!(inputs["j"]["k"][2]["x"], json!(true));
}

#[test]
fn null_is_no_variable_even_where_the_caller_has_one() {
    let lab = Lab::new();
    let body =
        "pass_env = ['gone']\nrun = 'echo \"<${gone-unset}>\" > @DIR@/seen; cp $RUNNER_INPUTS @DIR@/inputs'";
    lab.write("w.toml", &workflow("gone = 'string?'", "", body));
    finish(lab.command(&["exec", "w.toml"]).env("gone", "the caller's")).expect_code(0);
    assert_eq!(lab.read("seen"), "<unset>\n");
    assert_eq!(lab.read("inputs"), r#"{"gone":null}"#);
}

#[test]
fn a_value_too_long_for_a_variable_is_refused_with_the_way_out() {
    let lab = Lab::new();
    let (fits, long) = ("x".repeat(100 * 1024), "y".repeat(100 * 1024 + 1));
    let text = |long_type: &str| {
        workflow(
            &format!("fits = 'string'\nlong = {long_type}\nlist = {{ type = 'list<int>', pass = 'file' }}"),
            &format!("fits = '{fits}'\nlong = '{long}'\nlist = [1, 2]"),
            "run = 'echo ${#fits} > @DIR@/seen; cp $long @DIR@/long; cp $list @DIR@/list; test ! -w $long || test $UID = 0'",
        )
    };
    lab.write("w.toml", &text("'string'"));
    let message = lab.exec("w.toml", &[]).expect_code(1).node("t")["error"]["message"].to_string();
    for part in ["input `long` has 101 KiB", "at most 100 KiB", "pass = \\\"file\\\""] {
        assert!(message.contains(part), "{part}: {message}");
    }
    lab.write("w.toml", &text("{ type = 'string', pass = 'file' }"));
    lab.ok("w.toml", &[]);
    assert_eq!(
        (lab.read("seen").trim(), lab.read("long"), lab.read("list").as_str()),
        ("102400", long, "[1,2]")
    );
}

#[test]
fn the_language_of_the_desk_does_not_reach_a_task_unless_it_asks_for_it() {
    let lab = Lab::new();
    let seen = |body: &str| {
        lab.write(
            "w.toml",
            &workflow("", "", &format!("{body}\nrun = 'echo \"$LANG ${{LC_ALL-none}}\" > @DIR@/seen'")),
        );
        finish(lab.command(&["exec", "w.toml"]).env("LANG", "C").env("LC_ALL", "POSIX")).expect_code(0);
        lab.read("seen")
    };
    assert_eq!(seen(""), "C.UTF-8 none\n");
    assert_eq!(seen("pass_env = ['LANG', 'LC_*']"), "C POSIX\n");
    assert_eq!(seen("cache_env = ['LC_ALL']"), "C.UTF-8 POSIX\n");
    assert_eq!(seen("env = { LANG = 'own' }"), "own none\n");
}

#[test]
fn values_are_data_and_never_code() {
    let lab = Lab::new();
    let evil = "$(touch @DIR@/pwned) `touch @DIR@/pwned`; touch @DIR@/pwned #\" '";
    let evil = evil.replace("@DIR@", lab.dir().to_str().unwrap());
    let bound = format!("a = {}", json!(evil));
    let body = "run = 'printf %s \"$a\" > @DIR@/seen; printf %s \"$1\" > @DIR@/first'\nargs = ['{{ a }}']";
    lab.write("w.toml", &workflow("a = 'string'", &bound, body));
    lab.ok("w.toml", &[]);
    assert_eq!((lab.read("seen"), lab.read("first")), (evil.clone(), evil));
    assert!(!lab.path("pwned").exists());
}

#[test]
fn run_is_never_templated() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &workflow("a = 'string'", "a = 'x'", "run = \"echo '{{ a }} {% a %}' > @DIR@/seen\""),
    );
    lab.ok("w.toml", &[]);
    assert_eq!(lab.read("seen"), "{{ a }} {% a %}\n");
}

#[test]
fn lists_spread_into_arguments() {
    let lab = Lab::new();
    let show = "import sys; open('@DIR@/seen', 'w').write(repr(sys.argv[1:]))";
    let items = "'-x', '{{ l }}', '{{ l }}.', '{{ n }}', 'n={{ n + 1 }}', '{{ gone }}', '{{ m }}', '{{ l | reverse }}'";
    let body = format!("argv = ['python3', '-c', \"{show}\", {items}]");
    let inputs = "l = 'list<string>'\nn = 'int'\ngone = 'list<int>'\nm = 'map<int>'";
    lab.write("w.toml", &workflow(inputs, "l = ['a b', '']\nn = 4\ngone = []\nm = { a = 1 }", &body));
    lab.ok("w.toml", &[]);
    assert_eq!(lab.read("seen"), r#"['-x', 'a b', '', '["a b",""].', '4', 'n=5', '{"a":1}', '', 'a b']"#);

    let body = "args = ['{{ l }}', 'last']\nrun = 'echo \"$0 $# <$1> <$2> <$3>\" > @DIR@/seen'";
    lab.write("w.toml", &workflow("l = 'list<string>'", "l = ['a b', '']", body));
    lab.ok("w.toml", &[]);
    assert_eq!(lab.read("seen"), "t 3 <a b> <> <last>\n");
}

#[test]
fn scripts_stop_at_the_first_failure() {
    let lab = Lab::new();
    for script in ["false; true", "false | true", "echo $nowhere; true"] {
        lab.write("w.toml", &workflow("", "", &format!("run = '{script}'")));
        assert_eq!(lab.exec("w.toml", &[]).expect_code(1).node("t")["error"]["kind"], "exit", "{script}");
        lab.write("w.toml", &workflow("", "", &format!("run = '{script}'\nshell = ['sh']")));
        lab.ok("w.toml", &[]);
    }
}

#[test]
fn other_shells() {
    let lab = Lab::new();
    let body = "shell = ['python3']\nargs = ['{{ a }}']\nrun = '''\nimport os, sys\n\
                open(os.environ['OUT'] + '/b', 'w').write(os.environ['a'] + sys.argv[1])\n'''\noutputs = { b = 'string' }";
    lab.write(
        "w.toml",
        &format!("{}[outputs]\nb = '{{{{ t.b }}}}'\n", workflow("a = 'string'", "a = 'x'", body)),
    );
    assert_eq!(lab.ok("w.toml", &[]).outputs(), json!({ "b": "xx" }));
    // A script that no argument could hold.
    let long = format!("run = '''\n# {}\necho done > @DIR@/seen'''", "x".repeat(300_000));
    lab.write("w.toml", &workflow("", "", &long));
    lab.ok("w.toml", &[]);
    assert_eq!(lab.read("seen"), "done\n");
}

#[test]
fn files_and_folders_are_staged_with_their_names_and_cannot_be_written() {
    let lab = Lab::new();
    lab.write("in/data one.csv", "1\n");
    lab.write("in/tool", "#!/bin/sh\n");
    fs::set_permissions(lab.path("in/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let body = "run = '''\n[[ $f = /* && $d = /* && $tool = /* ]]\nbasename \"$f\"; cat \"$f\"; ls \"$d\"; stat -c %a \"$f\" \"$d\" \"$tool\"\n\
                test -x \"$tool\"; test ! -x \"$f\"\n''' \noutputs = { seen = { type = 'string', from = 'stdout' } }";
    let text = workflow(
        "f = 'file'\nd = 'dir'\ntool = 'file'",
        "f = 'in/data one.csv'\nd = 'in'\ntool = 'in/tool'",
        body,
    );
    lab.write("w.toml", &format!("{text}[outputs]\nseen = '{{{{ t.seen }}}}'\n"));
    let seen = lab.ok("w.toml", &[]).outputs()["seen"].as_str().unwrap().to_owned();
    assert_eq!(seen, "data one.csv\n1\ndata one.csv\ntool\n444\n555\n555");
}

#[test]
fn many_files_of_any_names() {
    let lab = Lab::new();
    for (path, text) in [("a/x.txt", "1"), ("b/x.txt", "2"), ("c/-n it's.txt", "3")] {
        lab.write(path, text);
    }
    let body = "args = ['{{ parts }}']\nrun = 'cat \"$@\" > \"$OUT/all\"; for f; do basename -- \"$f\"; done'\n\
                outputs = { all = 'string', names = { type = 'string', from = 'stdout' } }";
    let text = workflow(
        "parts = 'list<file>'",
        "parts = ['a/x.txt', 'b/x.txt', \"c/-n it's.txt\", 'a/x.txt']",
        body,
    );
    lab.write("w.toml", &format!("{text}[outputs]\nall = '{{{{ t.all }}}}'\nnames = '{{{{ t.names }}}}'\n"));
    let outputs = lab.ok("w.toml", &[]).outputs();
    assert_eq!(outputs, json!({ "all": "1231", "names": "x.txt\nx.txt\n-n it's.txt\nx.txt" }));
}

#[test]
fn each_attempt_starts_in_an_empty_folder_with_its_sources() {
    let lab = Lab::new();
    lab.write("scripts/deep/tool.py", "print('from a source')");
    lab.write("scripts/readme.md", "not named");
    let body = "sources = ['scripts/**/*.py']\nretries = 1\nretry_delay = '0s'\n\
                run = 'find . -type f >> @DIR@/seen; touch litter; python3 scripts/deep/tool.py >> @DIR@/seen; test $RUNNER_ATTEMPT = 2'";
    lab.write("w.toml", &workflow("", "", body));
    lab.ok("w.toml", &[]);
    assert_eq!(lab.read("seen"), "./scripts/deep/tool.py\nfrom a source\n".repeat(2));
}

#[test]
fn the_folder_of_the_workflow_can_be_the_working_directory() {
    let lab = Lab::new();
    lab.write("sub/here.txt", "");
    lab.write("sub/w.toml", &workflow("", "", "cwd = 'workflow'\nrun = 'ls here.txt; pwd > @DIR@/seen; echo $RUNNER_WORKFLOW_DIR >> @DIR@/seen'"));
    lab.ok("sub/w.toml", &[]);
    let folder = fs::canonicalize(lab.path("sub")).unwrap().display().to_string();
    assert_eq!(lab.read("seen"), format!("{folder}\n{folder}\n"));
}

#[test]
fn the_environment_holds_what_is_listed_and_nothing_else() {
    let lab = Lab::new();
    let body = "pass_env = ['AWS_*', 'ONE']\nenv = { TZ = 'UTC', LANG = 'own' }\nargv = ['env', '-0']\n\
                outputs = { env = { type = 'string', from = 'stdout' } }";
    let text = workflow("code = 'string'", "code = 'x'", body);
    lab.write("w.toml", &format!("{text}[outputs]\nenv = '{{{{ t.env }}}}'\n"));
    let given = [
        ("AWS_KEY", "k"),
        ("ONE", "1"),
        ("ONE_MORE", "x"),
        ("LC_TIME", "C"),
        ("CONDA_X", "y"),
        ("USER", "me"),
        ("LOGNAME", "me"),
        ("SHELL", "/bin/sh"),
        ("LANG", "C"),
        ("TMPDIR", "/tmp"),
        ("VIRTUAL_ENV", "/v"),
        ("HOME", "/tmp"),
        ("TZ", "Mars"),
        ("EDITOR", "vi"),
        ("PYTHONPATH", "/x"),
        ("BASH_ENV", "/x"),
    ];
    let mut command = lab.command(&["exec", "w.toml", "--json", "--project", "p", "--domain", "d"]);
    let path = std::env::var_os("PATH").unwrap();
    let call = command.env_clear().envs(given).env("PATH", path).env("RUNNER_HOME", lab.home());
    let printed = finish(call).expect_code(0).outputs()["env"].as_str().unwrap().to_owned();
    let found = variables(&printed);
    let mut names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "AWS_KEY",
        "CONDA_X",
        "HOME",
        "LANG",
        "LOGNAME",
        "ONE",
        "OUT",
        "PATH",
        "RUNNER_ATTEMPT",
        "RUNNER_DOMAIN",
        "RUNNER_INPUTS",
        "RUNNER_NODE",
        "RUNNER_PROJECT",
        "RUNNER_RUN_ID",
        "RUNNER_WORKFLOW_DIR",
        "SHELL",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        "code",
    ];
    assert_eq!(names, expected);
    for (name, value) in [
        ("TZ", "UTC"),
        ("LANG", "own"),
        ("RUNNER_NODE", "t"),
        ("RUNNER_ATTEMPT", "1"),
        ("RUNNER_PROJECT", "p"),
        ("RUNNER_DOMAIN", "d"),
    ] {
        assert_eq!(value_of(&found, name), Some(value));
    }
}

#[test]
fn secrets_are_masked_wherever_they_could_be_read() {
    const SECRET: &str = "hunter2-hunter2";
    let lab = Lab::new();
    let body = "cache = true\nsecrets = ['DB_PASSWORD']\noutputs = { said = 'string', n = { type = 'string', from = 'stdout' } }\n\
                run = 'echo \"out $DB_PASSWORD\"; echo \"err $DB_PASSWORD\" >&2; printf %s \"it is $DB_PASSWORD\" > $OUT/said; test ${#DB_PASSWORD} = 15'";
    let text = workflow("", "", body);
    lab.write("w.toml", &format!("{text}[tasks.bad]\nsecrets = ['DB_PASSWORD']\nrun = 'echo \"bad $DB_PASSWORD\"; exit 3'\n[nodes.bad]\n[outputs]\nsaid = '{{{{ t.said }}}}'\n"));
    let run = |args: &[&str]| finish(lab.command(args).env("DB_PASSWORD", SECRET));
    let done = run(&["exec", "w.toml", "--json", "-k"]).expect_code(1);
    assert_eq!(done.node("t")["outputs"]["said"], "it is ***");
    assert_eq!(done.node("bad")["error"]["tail"], json!(["bad ***"]));
    let plain = run(&["exec", "w.toml", "-k", "-v"]).expect_code(1);
    let mut said = vec![done.out, done.err, plain.out, plain.err];
    for args in
        [&["show", "@last"][..], &["show", "@last", "--json"], &["logs", "@-2", "t"], &["logs", "@-2", "bad"]]
    {
        said.push(lab.run(args).out);
    }
    assert!(said.iter().any(|text| text.contains("err ***")));
    assert!(said.iter().all(|text| !text.contains(SECRET)), "{said:#?}");
    // Neither does any file of the home hold it: log, database, blob.
    let found = std::process::Command::new("grep").args(["-rl", SECRET]).arg(lab.home()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    // Another value is no other key.
    let other =
        finish(lab.command(&["exec", "w.toml", "--json", "-k"]).env("DB_PASSWORD", "hunter3-hunter3"));
    assert_eq!(other.cache("t"), "hit");
}

#[test]
fn a_secret_that_is_not_there_is_missed_by_name() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("", "", "secrets = ['DB_PASSWORD']\nrun = 'true'"));
    let refused = lab.exec("w.toml", &[]).expect_code(2);
    assert!(refused.err.contains("the secret `DB_PASSWORD` of task `t` is not set"), "{}", refused.err);
}

#[test]
fn standard_input_is_closed() {
    let lab = Lab::new();
    lab.write("w.toml", &workflow("", "", "run = 'cat > @DIR@/seen'"));
    let mut command = lab.command(&["exec", "w.toml"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    Done::new(child.wait_with_output().unwrap()).expect_code(0);
    drop(stdin);
    assert_eq!(lab.read("seen"), "");
}
