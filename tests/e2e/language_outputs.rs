//! How a task hands back its outputs, and what a workflow hands on: libraries, policies, publishing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::Lab;
use serde_json::{Value, json};

/// A workflow whose one task has these outputs and this script; each output is handed back.
fn giving(outputs: &[(&str, &str)], script: &str) -> String {
    let declared: String = outputs.iter().map(|(name, ty)| format!("{name} = {ty}\n")).collect();
    let returned: String =
        outputs.iter().map(|(name, _)| format!("{name} = \"{{{{ t.{name} }}}}\"\n")).collect();
    format!(
        "[workflow]\nname = \"w\"\n[tasks.t]\ncache = true\nrun = '''\n{script}\n'''\n[tasks.t.outputs]\n{declared}\
         [nodes.t]\n[outputs]\n{returned}"
    )
}

/// The message of the only task, which must fail for its outputs and store nothing.
#[track_caller]
fn refused(outputs: &[(&str, &str)], script: &str) -> String {
    let lab = Lab::new();
    lab.write("w.toml", &giving(outputs, script));
    for _ in 0..2 {
        let node = lab.exec("w.toml", &[]).expect_code(1).node("t");
        assert_eq!((&node["error"]["kind"], &node["cache"]), (&json!("output"), &json!("miss")));
    }
    lab.exec("w.toml", &[]).node("t")["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn every_type_comes_back_and_is_the_same_from_the_cache() {
    let cases: [(&str, &str, &str, Value); 18] = [
        ("s", "'string'", "a \"b\"\\n\\n", json!("a \"b\"\n")),
        ("empty", "'string'", "", json!("")),
        ("i", "'int'", "-9223372036854775808\\n", json!(i64::MIN)),
        ("f", "'float'", "0.1", json!(0.1)),
        ("f_int", "'float'", "3", json!(3.0)),
        ("b", "'bool'", "true\\n", json!(true)),
        ("t", "'datetime'", "2026-03-04T05:06:07+02:00\\n", json!("2026-03-04T03:06:07Z")),
        ("d", "'duration'", "1h30m", json!("1h 30m")),
        ("l", "'list<int>'", "[1, 2]\\n", json!([1, 2])),
        ("ll", "'list<list<string>>'", "[[],[\"a\"]]", json!([[], ["a"]])),
        ("m", "'map<float>'", "{\"b\": 1, \"a\": 2.5}", json!({ "a": 2.5, "b": 1.0 })),
        ("j", "'json'", "{\"k\": [null, {}]}", json!({ "k": [null, {}] })),
        ("o", "'int?'", "7", json!(7)),
        ("o_null", "'list<int?>'", "[1, null]", json!([1, null])),
        ("sparse", "'json'", "null", json!(null)),
        ("u", "'string'", "gr\\303\\274\\303\\237e \\360\\237\\246\\200", json!("grüße 🦀")),
        ("big", "'string'", &"x".repeat(200_000), json!("x".repeat(200_000))),
        ("quote", "'string'", "it\\047s", json!("it's")),
    ];
    let outputs: Vec<_> = cases.iter().map(|(name, ty, _, _)| (*name, *ty)).collect();
    let script: String =
        cases.iter().map(|(name, _, text, _)| format!("printf -- '{text}' > $OUT/{name}\n")).collect();
    let lab = Lab::new();
    lab.write("w.toml", &giving(&outputs, &script));
    let first = lab.ok("w.toml", &[]);
    for (name, ty, _, value) in &cases {
        assert_eq!(first.outputs()[name], *value, "{name}: {ty}");
    }
    let second = lab.ok("w.toml", &[]);
    assert_eq!(second.cache("t"), "hit");
    assert_eq!(second.outputs(), first.outputs());
}

#[test]
fn an_optional_output_may_be_left_out() {
    let lab = Lab::new();
    lab.write("w.toml", &giving(&[("a", "'int?'"), ("f", "'file?'")], "true"));
    assert_eq!(lab.ok("w.toml", &[]).outputs(), json!({ "a": null, "f": null }));
    assert_eq!(lab.run(&["exec", "w.toml"]).out, "", "null has no form in TOML");
}

#[test]
fn standard_output_can_be_an_output() {
    let lab = Lab::new();
    lab.write("w.toml", &giving(&[("n", "{ type = 'int', from = 'stdout' }")], "echo noise >&2; echo 42"));
    let done = lab.run(&["exec", "w.toml"]).expect_code(0);
    assert_eq!(done.out, "n = 42\n");
    let log = lab.run(&["logs", "@last", "t"]).out;
    assert!(log.contains("noise"), "{log}");
}

#[test]
fn files_and_folders_come_back_bit_for_bit_and_read_only() {
    let lab = Lab::new();
    let outputs =
        [("tool", "'file'"), ("tree", "'dir'"), ("page", "{ type = 'file', path = 'deep/page.html' }")];
    let script = "printf '\\000\\377' > $OUT/tool; chmod +x $OUT/tool; mkdir -p $OUT/tree/a/b deep\n\
                  echo x > $OUT/tree/a/b/c.txt; ln -s a/b/c.txt $OUT/tree/link; echo '<p>' > deep/page.html";
    lab.write("w.toml", &giving(&outputs, script));
    for cache in ["populated", "hit"] {
        let done = lab.ok("w.toml", &[]);
        assert_eq!(done.cache("t"), cache);
        let path = |name: &str| std::path::PathBuf::from(done.outputs()[name]["path"].as_str().unwrap());
        assert_eq!(fs::read(path("tool")).unwrap(), [0, 255]);
        assert_eq!(fs::metadata(path("tool")).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::read_to_string(path("tree").join("a/b/c.txt")).unwrap(), "x\n");
        assert_eq!(fs::read_to_string(path("tree").join("link")).unwrap(), "x\n");
        assert_eq!(path("page").file_name().unwrap(), "page.html");
        assert_eq!(done.outputs()["page"]["size"], 4);
        assert!(done.outputs()["page"]["digest"].as_str().unwrap().starts_with("sha256:"));
    }
}

#[test]
fn lists_of_files_are_folders_or_paths() {
    let lab = Lab::new();
    let script = "mkdir $OUT/parts; echo 1 > $OUT/parts/a; echo 2 > $OUT/parts/b\n\
                  echo 3 > $OUT/x; echo '[\"x\"]' > $OUT/named";
    lab.write("w.toml", &giving(&[("parts", "'list<file>'"), ("named", "'list<file>'")], script));
    let outputs = lab.ok("w.toml", &[]).outputs();
    let texts = |name: &str| -> Vec<String> {
        let files = outputs[name].as_array().unwrap();
        files.iter().map(|file| fs::read_to_string(file["path"].as_str().unwrap()).unwrap()).collect()
    };
    assert_eq!((texts("parts"), texts("named")), (vec!["1\n".into(), "2\n".into()], vec!["3\n".to_owned()]));
}

#[test]
fn missing_and_wrong_outputs_are_told_by_name_and_by_what_was_found() {
    for (ty, script, phrases) in [
        ("'string'", "true", &["output `a`: missing", "$OUT/a", "nothing was written to $OUT"][..]),
        ("'string'", "echo x > $OUT/b", &["in $OUT there is b"]),
        ("'int'", "echo many > $OUT/a", &["output `a`", "int", "many"]),
        ("'int'", "echo 9223372036854775808 > $OUT/a", &["output `a`", "int"]),
        ("'bool'", "echo yes > $OUT/a", &["bool", "yes"]),
        ("'list<int>'", "echo '[1, \"x\"]' > $OUT/a", &["output `a`", "int"]),
        ("'json'", "echo '{' > $OUT/a", &["output `a`", "JSON"]),
        ("'string'", "mkdir $OUT/a", &["expected string as text", "is a directory"]),
        ("'string'", "mkfifo $OUT/a", &["is no regular file"]),
        ("'string'", "printf '\\377' > $OUT/a", &["is not UTF-8 text: declare it as a file"]),
        ("'file'", "mkdir $OUT/a", &["output `a`", "directory"]),
        ("'dir'", "touch $OUT/a", &["output `a`", "file"]),
        ("'file'", "ln -s /etc/passwd $OUT/a", &["output `a`", "outside"]),
        ("'dir'", "mkdir $OUT/a; ln -s /etc $OUT/a/etc", &["output `a`", "outside"]),
        ("'dir'", "mkdir $OUT/a; mkfifo $OUT/a/p", &["output `a`"]),
        ("{ type = 'file', path = 'x.html' }", "true", &["output `a`: missing", "x.html"]),
        ("{ type = 'int', from = 'stdout' }", "echo x", &["standard output", "int"]),
    ] {
        let message = refused(&[("a", ty)], script);
        for phrase in phrases {
            assert!(message.contains(phrase), "{ty} {script}: {phrase:?} is missing in {message:?}");
        }
    }
}

#[test]
fn a_published_file_is_put_there_again_whenever_it_differs() {
    let lab = Lab::new();
    lab.write(
        "sub/w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\ncache = true\noutputs = { page = 'file', tree = 'dir' }\n\
         run = 'echo t >> @COUNT@; echo hello > $OUT/page; mkdir $OUT/tree; echo x > $OUT/tree/x'\n[nodes.t]\n\
         [outputs]\npage = { value = '{{ t.page }}', path = '../results/page.html' }\n\
         tree = { value = '{{ t.tree }}', path = 'tree' }\n",
    );
    let page = || lab.read("results/page.html");
    lab.ok("sub/w.toml", &[]);
    assert_eq!(page(), "hello\n");
    fs::remove_file(lab.path("results/page.html")).unwrap();
    fs::remove_dir_all(lab.path("sub/tree")).unwrap();
    let again = lab.ok("sub/w.toml", &[]);
    assert_eq!(
        (page(), lab.read("sub/tree/x"), again.cache("t")),
        ("hello\n".into(), "x\n".into(), "hit".into())
    );
    // Somebody edits what was published: theirs is replaced, ours in the store is untouched.
    fs::remove_file(lab.path("results/page.html")).unwrap();
    lab.write("results/page.html", "HELLO\n");
    lab.write("sub/tree/mine", "");
    lab.ok("sub/w.toml", &[]);
    assert_eq!(page(), "hello\n");
    assert!(lab.path("sub/tree/mine").exists(), "runner did not put it there");
    assert_eq!(lab.ran(), 1);
    let shown = again.outputs()["page"]["path"].as_str().unwrap().to_owned();
    assert_eq!(fs::canonicalize(shown).unwrap(), fs::canonicalize(lab.path("results/page.html")).unwrap());
}

#[test]
fn standard_output_can_be_a_file() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\ncache = true\noutputs = { raw = { type = 'file', from = 'stdout' } }\n\
         run = \"printf 'a\\\\377b'; echo noise >&2\"\n[nodes.t]\n[outputs]\nraw = '{{ t.raw }}'\n",
    );
    for cache in ["populated", "hit"] {
        let done = lab.ok("w.toml", &[]);
        assert_eq!(done.cache("t"), cache);
        let path = done.outputs()["raw"]["path"].as_str().unwrap().to_owned();
        assert!(path.ends_with("/raw"), "{path}");
        assert_eq!(fs::read(path).unwrap(), b"a\xffb");
    }
}

#[test]
fn every_bad_output_is_named_and_what_lies_in_the_working_directory() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\noutputs = { a = 'int', report = 'file', c = 'file', d = 'file' }\n\
         run = 'echo x > $OUT/a; echo > report.html; ln -s /etc/passwd $OUT/c; echo > $OUT/d'\n[nodes.t]\n",
    );
    let message =
        lab.exec("w.toml", &[]).expect_code(1).node("t")["error"]["message"].as_str().unwrap().to_owned();
    for part in
        ["output `a`: ", "output `report`: missing", "holds \"report.html\"", "`path = \"report.html\"`"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("`d`"), "{message}");
    lab.write(
        "x.toml",
        "[workflow]\nname = 'x'\n[tasks.t]\noutputs = { b = 'file', c = 'file', d = 'file' }\n\
         run = 'for o in b c; do ln -s /etc/passwd $OUT/$o; done; echo > $OUT/d'\n[nodes.t]\n",
    );
    let message =
        lab.exec("x.toml", &[]).expect_code(1).node("t")["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("output `b`: ") && message.contains("output `c`: "), "{message}");
}

#[test]
fn outputs_are_printed_as_toml() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nn = { type = 'int', default = 3 }\n[tasks.t]\noutputs = { f = 'file' }\n\
         run = 'touch $OUT/f'\n[nodes.t]\n[outputs]\nn = '{{ inputs.n }}'\ntext = 'n is {{ inputs.n }}'\n\
         list = ['{{ inputs.n }}', 4]\nquoted = 'a \"b\"'\nf = '{{ t.f }}'\nsum = '{{ inputs.n + 1 }}'\n",
    );
    let out = lab.run(&["exec", "w.toml"]).expect_code(0).out;
    let parsed: toml::Table = out.parse().unwrap();
    assert!(out.starts_with("n = 3\ntext = \"n is 3\"\nlist = [3, 4]\n"), "{out}");
    assert_eq!(parsed["quoted"].as_str(), Some("a \"b\""));
    assert_eq!(parsed["sum"].as_integer(), Some(4));
    assert!(std::path::Path::new(parsed["f"].as_str().unwrap()).is_file());
}

#[test]
fn needs_orders_without_handing_anything_over() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'echo $RUNNER_NODE >> @COUNT@'\n\
         [nodes.a]\ntask = 't'\nneeds = ['b']\n[nodes.b]\ntask = 't'\nneeds = ['c']\n[nodes.c]\ntask = 't'\n",
    );
    lab.ok("w.toml", &["-j", "8"]);
    assert_eq!(lab.read("count"), "c\nb\na\n");
}

#[test]
fn libraries_share_their_tasks_and_their_results() {
    let lab = Lab::new();
    lab.write("lib/tool.txt", "tool");
    lab.write(
        "lib/text.toml",
        "import = ['more.toml']\n[library]\nname = 'text'\n[defaults]\ncache = true\n[tasks.shout]\n\
         inputs = { s = 'string' }\noutputs = { loud = 'string' }\nsources = ['tool.txt']\n\
         run = 'echo t >> @COUNT@; cat tool.txt; printf %s \"${s^^}\" > $OUT/loud'\n",
    );
    lab.write("lib/more.toml", "[library]\nname = 'more'\n[tasks.nothing]\nrun = 'true'\n");
    for (folder, name) in [("one", "first"), ("two", "second")] {
        lab.write(
            &format!("{folder}/w.toml"),
            &format!(
                "import = ['../lib/text.toml']\n[workflow]\nname = '{name}'\n[nodes.a]\ntask = 'text.shout'\n\
                 inputs = {{ s = 'hi' }}\n[nodes.b]\ntask = 'more.nothing'\n[outputs]\nloud = '{{{{ a.loud }}}}'\n"
            ),
        );
    }
    let first = lab.ok("one/w.toml", &[]);
    let second = lab.ok("two/w.toml", &[]);
    assert_eq!((first.cache("a"), second.cache("a"), lab.ran()), ("populated".into(), "hit".into(), 1));
    assert_eq!(second.node("a")["task"], "text.shout");
    assert_eq!(second.outputs(), json!({ "loud": "HI" }));
}

#[test]
fn policies_come_from_defaults_then_the_task_then_the_node() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[defaults]\nretries = 1\nretry_delay = '0s'\ncache = true\n\
         [tasks.plain]\nrun = 'echo $RUNNER_NODE >> @COUNT@; false'\n\
         [tasks.own]\nretries = 2\ncache = false\nrun = 'echo $RUNNER_NODE >> @COUNT@; false'\n\
         [nodes.plain]\n[nodes.own]\n[nodes.over]\ntask = 'own'\nretries = 0\n",
    );
    let done = lab.exec("w.toml", &["-k"]).expect_code(1);
    assert_eq!((lab.ran_as("plain"), lab.ran_as("own"), lab.ran_as("over")), (2, 3, 1));
    assert_eq!((done.cache("plain"), done.cache("own")), ("miss".into(), "disabled".into()));
    assert_eq!(done.node("own")["attempts"], 3);
}
