//! `--set`: policies that hold for one run instead of what the file says.

use crate::common::Lab;

const WORKFLOW: &str = r#"
import = ["lib.toml"]
[workflow]
name = "w"
[tasks.flaky]
run = '[ "$RUNNER_ATTEMPT" -ge 3 ]'
retry_delay = "1ms"
[tasks.count]
outputs = { n = "int" }
run = 'echo 1 > "$OUT/n"'
[nodes.flaky]
[nodes.count]
[nodes.shared]
task = "lib.shared"
needs = ["count"]
"#;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("lib.toml", "[library]\nname = \"lib\"\n[tasks.shared]\nrun = '[ \"$RUNNER_ATTEMPT\" -ge 2 ]'\nretry_delay = '1ms'\n");
    lab
}

#[test]
fn tasks_nodes_libraries_and_defaults_can_be_set() {
    let lab = lab();
    lab.exec("w.toml", &["-k"]).expect_code(1);
    let set = |settings: &[&str]| {
        let mut args = vec!["-k"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        lab.exec("w.toml", &args)
    };
    let run = set(&["tasks.flaky.retries=2", "tasks.lib.shared.retries=1"]).expect_code(0);
    assert_eq!((&run.node("flaky")["attempts"], &run.node("shared")["attempts"]), (&3.into(), &2.into()));
    set(&["nodes.flaky.retries=2", "nodes.shared.retries=1"]).expect_code(0);
    set(&["defaults.retries=5", "tasks.lib.shared.retries=5"]).expect_code(0);

    set(&["defaults.cache=true", "tasks.count.cache_version=one"]).expect_code(1);
    let again = set(&["defaults.cache=true", "tasks.count.cache_version=one"]).expect_code(1);
    assert_eq!(again.node("count")["cache"], "hit");
    let other = set(&["defaults.cache=true", "tasks.count.cache_version=two"]).expect_code(1);
    assert_eq!(other.node("count")["cache"], "populated");
}

#[test]
fn amounts_are_set_one_by_one() {
    let lab = lab();
    let never = lab.run(&["plan", "w.toml", "--set", "tasks.count.resources.gpu=1"]).expect_code(2);
    assert!(never.err.contains("node `count` can never run"), "{}", never.err);
    let memory = ["plan", "w.toml", "--set", "tasks.count.resources.memory=1MiB"];
    lab.run(&memory).expect_code(0);
}

#[test]
fn what_cannot_be_set_is_told_with_all_other_errors() {
    let lab = lab();
    for (setting, told) in [
        ("tasks.flaky.retries", "expected PATH=VALUE"),
        ("retries=3", "the path is too short"),
        ("workflow.name=3", "the path names no policy"),
        ("tasks.flaky.retrys=3", "did you mean `retries`?"),
        ("tasks.flaky.retries=many", "`retries` must be a whole number"),
        ("tasks.flaky.timeout=soon", "expected a duration"),
        ("tasks.flaky.run=true", "unknown key `run`"),
        ("tasks.flakey.retries=3", "there is no task `flakey`"),
        ("nodes.flakey.retries=3", "there is no node `flakey`"),
        ("nodes.flaky.cache=true", "unknown key `cache`"),
        ("tasks.flaky.retries=3\nrun = 'x'", "unknown key `run`"),
    ] {
        let said = lab.run(&["exec", "w.toml", "--set", setting]).expect_code(2);
        assert!(said.err.contains(told) && said.err.contains("--set"), "{setting}: {}", said.err);
        assert_eq!(said.out, "");
    }
    let both = ["exec", "w.toml", "--set", "tasks.a.retries=3", "--set", "nodes.b.retries=3"];
    assert!(lab.run(&both).expect_code(2).err.contains("2 errors"));
}
