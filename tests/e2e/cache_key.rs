//! What a cached result is filed under: the sentences on the key and the version, one by one.

use crate::common::one_task::OneTask;
use crate::common::{Done, Lab};

/// Runs one task under different texts of its workflow.
struct Bench(Lab);

impl Bench {
    fn new() -> Bench {
        Bench(Lab::new())
    }

    #[track_caller]
    fn run(&self, task: &OneTask, args: &[&str]) -> Done {
        self.0.write("w.toml", &task.text());
        self.0.ok("w.toml", args)
    }

    #[track_caller]
    fn cache(&self, task: &OneTask, args: &[&str]) -> String {
        self.run(task, args).cache("n")
    }

    /// The key for a value of a type, as TOML binds it.
    #[track_caller]
    fn key(&self, ty: &str, toml: &str) -> String {
        let bind = if toml.is_empty() { String::new() } else { format!("x = {toml}") };
        let inputs = format!("x = \"{ty}\"");
        let task = OneTask { inputs: &inputs, bind: &bind, ..silent() };
        self.run(&task, &[]).key("n")
    }

    /// All these values of a type have keys of their own.
    #[track_caller]
    fn all_differ(&self, ty: &str, values: &[&str]) {
        let keys: Vec<_> = values.iter().map(|value| self.key(ty, value)).collect();
        for (i, key) in keys.iter().enumerate() {
            let same = keys[..i].iter().position(|earlier| earlier == key);
            assert!(same.is_none(), "{ty}: {} and {} share a key", values[same.unwrap_or(0)], values[i]);
        }
    }

    /// These values of a type have one key.
    #[track_caller]
    fn all_equal(&self, ty: &str, values: &[&str]) {
        let first = self.key(ty, values[0]);
        for value in &values[1..] {
            assert_eq!(first, self.key(ty, value), "{ty}: {} and {value}", values[0]);
        }
    }
}

/// A task that hands nothing back.
fn silent() -> OneTask<'static> {
    OneTask { outputs: "", run: "", workflow_inputs: "", returns: "", ..OneTask::default() }
}

#[test]
fn the_key_is_a_sha256_in_hex() {
    let key = Bench::new().run(&OneTask::default(), &[]).key("n");
    assert!(key.len() == 64 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{key}");
}

#[test]
fn project_and_domain_are_in_the_key() {
    let bench = Bench::new();
    let task = OneTask::default();
    assert_eq!(bench.cache(&task, &["--project", "p", "--domain", "d"]), "populated");
    assert_eq!(bench.cache(&task, &["--project", "q", "--domain", "d"]), "populated");
    assert_eq!(bench.cache(&task, &["--project", "p", "--domain", "e"]), "populated");
    assert_eq!(bench.cache(&task, &["--project", "p", "--domain", "d"]), "hit");
    assert_eq!(bench.0.ran(), 3);
}

#[test]
fn a_version_that_is_bumped_is_a_miss_and_one_that_comes_back_hits_its_old_result() {
    let bench = Bench::new();
    let versioned = |version: &str, word: &str| {
        let cache = format!("cache = true\ncache_version = \"{version}\"");
        let run = format!("printf {word} > \"$OUT/y\"");
        bench.run(&OneTask { cache: &cache, run: &run, ..OneTask::default() }, &[])
    };
    assert_eq!(versioned("1", "one").outputs()["y"], "one");
    assert_eq!(versioned("2", "two").outputs()["y"], "two");
    let back = versioned("1", "three");
    assert_eq!((back.cache("n").as_str(), back.outputs()["y"].as_str()), ("hit", Some("one")));
    assert_eq!(bench.0.ran(), 2);
}

#[test]
fn the_version_is_used_as_it_stands() {
    let bench = Bench::new();
    let key = |version: &str| {
        let cache = format!("cache = true\ncache_version = \"{version}\"");
        bench.run(&OneTask { cache: &cache, ..OneTask::default() }, &[]).key("n")
    };
    let keys = [key("1"), key("1.0"), key(" 1"), key("01"), key("v1")];
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn the_qualified_task_name_is_in_the_signature() {
    let bench = Bench::new();
    assert_eq!(bench.cache(&OneTask::default(), &[]), "populated");
    assert_eq!(bench.cache(&OneTask { name: "other", ..OneTask::default() }, &[]), "populated");
    assert_eq!(bench.run(&OneTask::default(), &[]).node("n")["task"], "wf.t");
}

#[test]
fn names_and_types_of_inputs_and_outputs_are_in_the_signature() {
    let bench = Bench::new();
    let silent = |inputs, bind| OneTask { inputs, bind, ..silent() };
    assert_eq!(bench.cache(&silent("x = \"string?\"", ""), &[]), "populated");
    assert_eq!(bench.cache(&silent("z = \"string?\"", ""), &[]), "populated", "another name");
    assert_eq!(bench.cache(&silent("x = \"int?\"", ""), &[]), "populated", "another type");
    assert_eq!(bench.cache(&silent("x = \"string?\", z = \"string?\"", ""), &[]), "populated", "one more");
    let y = |outputs, name| OneTask {
        outputs,
        run: if name == "y" { "printf 1 > \"$OUT/y\"" } else { "printf 1 > \"$OUT/z\"" },
        returns: "",
        ..OneTask::default()
    };
    assert_eq!(bench.cache(&y("y = \"string\"", "y"), &[]), "populated");
    assert_eq!(bench.cache(&y("y = \"int\"", "y"), &[]), "populated", "another type of output");
    assert_eq!(bench.cache(&y("z = \"int\"", "z"), &[]), "populated", "another name of output");
}

#[test]
fn the_order_in_which_inputs_and_outputs_are_written_is_not_in_the_signature() {
    let bench = Bench::new();
    let run = "printf 1 > \"$OUT/y\"; printf 2 > \"$OUT/z\"";
    let task =
        |inputs, outputs, bind| OneTask { inputs, outputs, bind, run, returns: "", ..OneTask::default() };
    let first = task("a = \"int\", b = \"int\"", "y = \"int\", z = \"int\"", "a = 1, b = 2");
    let second = task("b = \"int\", a = \"int\"", "z = \"int\", y = \"int\"", "b = 2, a = 1");
    assert_eq!(bench.cache(&first, &[]), "populated");
    assert_eq!(bench.cache(&second, &[]), "hit");
}

#[test]
fn the_same_task_edited_cosmetically_keeps_its_results() {
    let bench = Bench::new();
    let task = OneTask::default();
    assert_eq!(bench.cache(&task, &[]), "populated");
    let extra = "description = \"says it\"\nretries = 3\nretry_delay = \"2s\"\ntimeout = \"1h\"\n\
                 resources = { cpus = 1 }";
    assert_eq!(bench.cache(&OneTask { extra, ..OneTask::default() }, &[]), "hit");
    let inputs = "x = { type = \"string\", default = \"zzz\", description = \"a text\" }";
    assert_eq!(bench.cache(&OneTask { inputs, ..OneTask::default() }, &[]), "hit");
    assert_eq!(bench.cache(&OneTask { run: "printf b > \"$OUT/y\"", ..OneTask::default() }, &[]), "hit");
}

#[test]
fn cosmetic_edits_keep_an_automatic_version_too() {
    let bench = Bench::new();
    let cache = "cache = true";
    assert_eq!(bench.cache(&OneTask { cache, ..OneTask::default() }, &[]), "populated");
    let extra = "description = \"says it\"\nretries = 3\ntimeout = \"1h\"\ngrace = \"1s\"";
    assert_eq!(bench.cache(&OneTask { cache, extra, ..OneTask::default() }, &[]), "hit");
}

#[test]
fn int_float_string_and_bool_are_four_different_values() {
    Bench::new().all_differ("json", &["1", "1.0", "\"1\"", "true"]);
}

#[test]
fn map_and_json_keys_are_unordered() {
    let bench = Bench::new();
    bench.all_equal("map<int>", &["{ a = 1, b = 2 }", "{ b = 2, a = 1 }"]);
    bench.all_equal("json", &["{ a = { c = 1, d = 2 }, b = 2 }", "{ b = 2, a = { d = 2, c = 1 } }"]);
}

#[test]
fn lists_are_ordered() {
    let bench = Bench::new();
    bench.all_differ("list<int>", &["[1, 2]", "[2, 1]", "[1]", "[]"]);
    bench.all_differ("json", &["[1, 2]", "[2, 1]"]);
}

#[test]
fn nested_lists_are_framed() {
    let values = ["[[1], [2]]", "[[1, 2]]", "[[], [1, 2]]", "[[1, 2], []]"];
    let bench = Bench::new();
    bench.all_differ("list<list<int>>", &values);
    bench.all_differ("json", &values);
    bench.all_differ("list<string>", &[r#"["ab", "c"]"#, r#"["a", "bc"]"#, r#"["abc"]"#]);
}

#[test]
fn negative_zero_equals_zero() {
    let bench = Bench::new();
    bench.all_equal("float", &["0.0", "-0.0"]);
    bench.all_equal("list<float>", &["[0.0]", "[-0.0]"]);
}

#[test]
fn all_nans_are_equal() {
    let bench = Bench::new();
    bench.all_equal("float", &["nan", "-nan", "+nan"]);
    bench.all_differ("float", &["nan", "inf", "-inf", "0.0"]);
}

#[test]
fn there_is_no_unicode_normalisation() {
    Bench::new().all_differ("string", &[r#""\u00e9""#, r#""e\u0301""#, "\"e\""]);
}

#[test]
fn null_differs_from_the_empty_string_and_zero() {
    let bench = Bench::new();
    bench.all_differ("string?", &["", "\"\"", "\"null\"", "\"0\""]);
    bench.all_differ("int?", &["", "0"]);
    bench.all_differ("json?", &["", "0", "\"\"", "false", "[]", "{}"]);
}

#[test]
fn an_instant_is_one_value_in_every_offset_and_a_duration_in_every_unit() {
    let bench = Bench::new();
    bench.all_equal("datetime", &["\"2026-01-31T08:00:00Z\"", "\"2026-01-31T09:00:00+01:00\""]);
    bench.all_equal("duration", &["\"90m\"", "\"1h30m\""]);
    bench.all_equal("float", &["1", "1.0"]);
}

#[test]
fn a_default_left_out_and_the_same_value_given_explicitly_are_the_same() {
    let bench = Bench::new();
    let inputs = "x = { type = \"string\", default = \"a\" }";
    assert_eq!(bench.cache(&OneTask { inputs, bind: "", ..OneTask::default() }, &[]), "populated");
    assert_eq!(bench.cache(&OneTask { inputs, bind: "x = \"a\"", ..OneTask::default() }, &[]), "hit");
    assert_eq!(bench.cache(&OneTask { inputs, ..OneTask::default() }, &[]), "hit");
    assert_eq!(bench.cache(&OneTask { inputs, ..OneTask::default() }, &["-i", "x=a"]), "hit");
    assert_eq!(bench.cache(&OneTask { inputs, ..OneTask::default() }, &["-i", "x=b"]), "populated");
}

#[test]
fn ignored_inputs_are_not_in_the_key() {
    let bench = Bench::new();
    let extra = "cache_ignore_inputs = [\"x\"]";
    assert_eq!(bench.cache(&OneTask { extra, ..OneTask::default() }, &["-i", "x=1"]), "populated");
    assert_eq!(bench.cache(&OneTask { extra, ..OneTask::default() }, &["-i", "x=2"]), "hit");
}

/// Tasks with an automatic version: each is a change of one part that must be seen.
#[test]
fn an_automatic_version_is_the_digest_of_command_shell_and_env() {
    let bench = Bench::new();
    let task = || OneTask { cache: "cache = true", ..OneTask::default() };
    assert_eq!(bench.cache(&task(), &[]), "populated");
    assert_eq!(bench.cache(&task(), &[]), "hit");
    let run = "printf b > \"$OUT/y\"";
    assert_eq!(bench.run(&OneTask { run, ..task() }, &[]).outputs()["y"], "b", "the command");
    let changes = [
        ("the shell", "shell = [\"bash\", \"-eu\"]"),
        ("a variable", "env = { TZ = \"UTC\" }"),
        ("its value", "env = { TZ = \"Asia/Tokyo\" }"),
        ("its name", "env = { TZZ = \"UTC\" }"),
        ("the arguments", "args = [\"1\"]"),
    ];
    for (what, extra) in changes {
        assert_eq!(bench.cache(&OneTask { extra, ..task() }, &[]), "populated", "{what}");
        assert_eq!(bench.cache(&OneTask { extra, ..task() }, &[]), "hit", "{what}");
    }
    assert_eq!(bench.cache(&task(), &[]), "hit", "the first one is still there");
}

#[test]
fn an_automatic_version_holds_the_contents_of_sources() {
    let bench = Bench::new();
    let task = OneTask { cache: "cache = true", extra: "sources = [\"lib/*.sh\"]", ..OneTask::default() };
    bench.0.write("lib/a.sh", "echo one");
    assert_eq!(bench.cache(&task, &[]), "populated");
    bench.0.write("lib/a.sh", "echo one");
    assert_eq!(bench.cache(&task, &[]), "hit", "written again");
    bench.0.write("lib/a.sh", "echo two");
    assert_eq!(bench.cache(&task, &[]), "populated", "another content");
    bench.0.write("lib/b.sh", "");
    assert_eq!(bench.cache(&task, &[]), "populated", "one more source");
    std::fs::rename(bench.0.path("lib/b.sh"), bench.0.path("lib/c.sh")).unwrap();
    assert_eq!(bench.cache(&task, &[]), "populated", "another name");
    bench.0.write("lib/c.txt", "");
    assert_eq!(bench.cache(&task, &[]), "hit", "no source");
}

#[test]
fn an_automatic_version_holds_the_values_of_cache_env() {
    let lab = Lab::new();
    let extra = "cache_env = [\"MODE\", \"LEVEL_*\"]";
    lab.write("w.toml", &OneTask { cache: "cache = true", extra, ..OneTask::default() }.text());
    let cache = |variables: &[(&str, &str)]| {
        let mut command = lab.command(&["exec", "w.toml", "--json"]);
        command.envs(variables.iter().copied());
        crate::common::finish(&mut command).expect_code(0).cache("n")
    };
    assert_eq!(cache(&[]), "populated");
    assert_eq!(cache(&[("MODE", "fast")]), "populated");
    assert_eq!(cache(&[("MODE", "slow")]), "populated");
    assert_eq!(cache(&[("MODE", "")]), "populated", "empty is not unset");
    assert_eq!(cache(&[("MODE", "fast"), ("LEVEL_A", "1")]), "populated");
    assert_eq!(cache(&[("MODE", "fast"), ("OTHER", "1")]), "hit");
}

#[test]
fn a_pinned_version_with_a_changed_definition_is_a_hit_and_a_warning_that_says_what_changed_and_how_to_bump()
{
    let bench = Bench::new();
    bench.0.write("lib/a.sh", "echo one");
    let extra = "sources = [\"lib/*.sh\"]\nenv = { TZ = \"UTC\" }";
    let first = bench.run(&OneTask { extra, ..OneTask::default() }, &[]);
    assert_eq!(first.warnings(), "");
    assert_eq!(bench.run(&OneTask { extra, ..OneTask::default() }, &[]).warnings(), "", "nothing was edited");

    let run = "printf other > \"$OUT/y\"";
    let edited = bench.run(&OneTask { extra, run, ..OneTask::default() }, &[]);
    assert_eq!((edited.cache("n").as_str(), edited.outputs()["y"].as_str()), ("hit", Some("a")));
    let warning = edited.warnings();
    for word in ["wf.t", "`run`", "cache_version", "\"1\""] {
        assert!(warning.contains(word), "{word} in {warning}");
    }
    assert!(!warning.contains("env"), "{warning}");

    bench.0.write("lib/a.sh", "echo two");
    let source = bench.run(&OneTask { extra, ..OneTask::default() }, &[]);
    assert!(source.cache("n") == "hit" && source.warnings().contains("lib/a.sh"), "{source:?}");

    let person = bench.0.run(&["exec", "w.toml"]).expect_code(0);
    assert!(person.err.contains("cache_version") && !person.out.contains("cache_version"), "{person:?}");
}

#[test]
fn a_bumped_version_ends_the_warning() {
    let bench = Bench::new();
    bench.run(&OneTask::default(), &[]);
    let run = "printf other > \"$OUT/y\"";
    let cache = "cache = true\ncache_version = \"2\"";
    let bumped = bench.run(&OneTask { run, cache, ..OneTask::default() }, &[]);
    assert_eq!((bumped.cache("n").as_str(), bumped.warnings().as_str()), ("populated", ""));
}
