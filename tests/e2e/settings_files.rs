//! `runner.toml` and the user's settings: precedence, ownership, errors in their places, and `runner config`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::common::{Done, Lab, finish};

const WORKFLOW: &str = r#"
[workflow]
name = "w"
[tasks.scope]
cache = true
outputs = { scope = "string" }
run = 'printf %s "$RUNNER_PROJECT/$RUNNER_DOMAIN" > "$OUT/scope"'
[nodes.scope]
[outputs]
scope = "{{ scope.scope }}"
"#;

/// A workflow in a folder of its own, and a folder for the user's settings.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("up/flow/w.toml", WORKFLOW);
    lab
}

fn command(lab: &Lab, args: &[&str]) -> Command {
    let mut command = lab.command(args);
    command.env("XDG_CONFIG_HOME", lab.path("config")).env("TEAM", "blue");
    command
}

fn run(lab: &Lab, args: &[&str]) -> Done {
    finish(&mut command(lab, args))
}

/// Project and domain that a task sees.
#[track_caller]
fn scope(lab: &Lab, args: &[&str]) -> String {
    let args = [&["exec", "up/flow/w.toml", "--json"], args].concat();
    run(lab, &args).expect_code(0).outputs()["scope"].as_str().unwrap().to_owned()
}

#[track_caller]
fn setting(lab: &Lab, name: &str, args: &[&str]) -> Value {
    let done = run(lab, &[&["config", "--json"], args].concat()).expect_code(0);
    done.lines().into_iter().find(|line| line["setting"] == name).unwrap_or_else(|| panic!("{}", done.out))
}

#[test]
fn flag_environment_workflow_project_user_default() {
    let lab = lab();
    assert_eq!(scope(&lab, &[]), "default/development");
    lab.write("config/runner/config.toml", "project = \"user\"\ndomain = \"$TEAM\"\n");
    assert_eq!(scope(&lab, &[]), "user/blue");
    lab.write("up/runner.toml", "project = \"upper\"\n");
    assert_eq!(scope(&lab, &[]), "upper/blue");
    // The nearest one counts, and no other.
    lab.write("up/flow/runner.toml", "domain = \"near\"\n");
    assert_eq!(scope(&lab, &[]), "user/near");
    lab.write("up/flow/w.toml", &WORKFLOW.replace("name = \"w\"", "name = \"w\"\nproject = \"own\""));
    assert_eq!(scope(&lab, &[]), "own/near");
    let mut by_variable = command(&lab, &["exec", "up/flow/w.toml", "--json"]);
    by_variable.env("RUNNER_PROJECT", "variable");
    assert_eq!(finish(&mut by_variable).expect_code(0).outputs()["scope"], "variable/near");
    assert_eq!(scope(&lab, &["--project", "flag"]), "flag/near");
    // Plans, explanations and retries go by the same settings.
    let key = |args: &[&str]| run(&lab, args).expect_code(0).out;
    assert!(key(&["why", "up/flow/w.toml", "scope"]).contains("near"));
    assert!(key(&["runs"]).contains("flag") || key(&["runs", "--json"]).contains("flag"));
}

#[test]
fn every_setting_names_its_origin() {
    let lab = lab();
    lab.write(
        "config/runner/config.toml",
        "jobs = 3\n[smtp]\nhost = \"localhost\"\npassword = \"hunter22\"\nuser = \"${GONE}\"\n",
    );
    lab.write("up/flow/w.toml", &WORKFLOW.replace("name = \"w\"", "name = \"w\"\nproject = \"own\""));
    let project = setting(&lab, "project", &["up/flow/w.toml"]);
    assert_eq!(
        (&project["value"], &project["from"], &project["line"]),
        (&"own".into(), &"file".into(), &4.into())
    );
    assert!(project["path"].as_str().unwrap().ends_with("up/flow/w.toml"));
    let jobs = setting(&lab, "jobs", &[]);
    assert_eq!((&jobs["value"], &jobs["line"]), (&3.into(), &1.into()));
    let jobs = setting(&lab, "jobs", &["-j", "5"]);
    assert_eq!((&jobs["value"], &jobs["from"], &jobs["name"]), (&5.into(), &"flag".into(), &"--jobs".into()));
    let domain = setting(&lab, "domain", &[]);
    assert_eq!((&domain["value"], &domain["from"]), (&"development".into(), &"default".into()));
    assert_eq!(setting(&lab, "home", &[])["name"], "RUNNER_HOME");
    assert_eq!(setting(&lab, "smtp.password", &[])["value"], "***");
    assert_eq!(setting(&lab, "smtp.user", &[])["value"], "***");
    let text = run(&lab, &["config", "up/flow/w.toml"]).expect_code(0);
    assert!(text.out.contains("config.toml:1") && text.out.contains("w.toml:4"), "{}", text.out);
    assert!(!text.out.contains("hunter22") && !lab.home().exists(), "{}", text.out);
}

#[test]
fn jobs_of_the_settings_bound_what_runs_at_once() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'mkdir @DIR@/alone; sleep 0.2; rmdir @DIR@/alone'\n\
         [nodes.a]\ntask = \"t\"\n[nodes.b]\ntask = \"t\"\n[nodes.c]\ntask = \"t\"\n",
    );
    lab.write("runner.toml", "jobs = 1\n");
    lab.ok("w.toml", &[]);
}

#[test]
fn errors_in_settings_end_with_2_and_their_place() {
    let lab = lab();
    lab.write("up/runner.toml", "projct = \"x\"\njobs = 0\n");
    for verb in [&["exec"][..], &["plan"], &["check"], &["config"], &["cache", "accept"]] {
        let mut args = [verb, &["up/flow/w.toml"]].concat();
        if verb[0] == "cache" {
            args.push("scope");
        }
        let done = run(&lab, &args).expect_code(2);
        assert!(done.err.contains("up/runner.toml:1:1"), "{verb:?}: {}", done.err);
        assert!(done.err.contains("did you mean `project`?"), "{verb:?}: {}", done.err);
        assert!(done.err.contains("between 1 and 100000"), "{verb:?}: {}", done.err);
    }
    let done = run(&lab, &["why", "up/flow/w.toml", "scope"]).expect_code(2);
    assert!(done.err.contains("2 errors"), "{}", done.err);
    assert!(!lab.home().exists());
    lab.write("up/runner.toml", "project = \"$GONE\"\n");
    assert!(
        run(&lab, &["exec", "up/flow/w.toml"]).expect_code(2).err.contains("the variable GONE is not set")
    );
}

#[test]
fn a_file_that_others_may_write_counts_in_the_workflows_folder_only() {
    let lab = lab();
    let open = |path: &str| {
        let path = lab.write(path, "project = \"open\"\n");
        std::fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    };
    open("up/runner.toml");
    lab.write("runner.toml", "project = \"top\"\n");
    let done = run(&lab, &["exec", "up/flow/w.toml", "--json"]).expect_code(0);
    assert_eq!(done.outputs()["scope"], "top/development");
    assert!(done.warnings().contains("others may write to it"), "{}", done.warnings());
    let done = run(&lab, &["plan", "up/flow/w.toml"]).expect_code(0);
    assert!(done.err.contains("others may write to it"), "{}", done.err);
    open("up/flow/runner.toml");
    let done = run(&lab, &["exec", "up/flow/w.toml", "--json"]).expect_code(0);
    assert_eq!((done.outputs()["scope"].as_str(), done.warnings().as_str()), (Some("open/development"), ""));
}

#[test]
fn workflow_files_hold_no_settings_and_settings_files_no_workflow() {
    let lab = Lab::new();
    for section in ["executors.a", "cache", "smtp", "serve"] {
        lab.write("w.toml", &format!("{WORKFLOW}\n[{section}]\n"));
        let done = lab.run(&["check", "w.toml"]).expect_code(2);
        assert!(done.err.contains("belongs in a settings file"), "{}", done.err);
    }
    lab.write("w.toml", WORKFLOW);
    lab.write("runner.toml", WORKFLOW);
    let done = lab.run(&["exec", "w.toml"]).expect_code(2);
    assert!(done.err.contains("it holds a workflow"), "{}", done.err);
    // By itself it is a workflow like any other.
    lab.ok("runner.toml", &[]);
}

#[test]
fn the_schema_of_settings_holds_its_keys() {
    let schema: Value =
        serde_json::from_str(&Lab::new().run(&["schema", "--settings"]).expect_code(0).out).unwrap();
    assert_eq!(schema["properties"]["smtp"]["properties"]["tls"]["enum"][0], "starttls");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_check_tries_what_settings_name() {
    let lab = lab();
    let done = run(&lab, &["config", "--check"]).expect_code(0);
    assert!(done.out.ends_with("✓ executor local\n"), "{}", done.out);
    lab.write(
        "up/runner.toml",
        "[executors.cluster]\nkind = \"slurm\"\nbin_dir = \"/nowhere\"\n[executors.here]\nkind = \"local\"\n[cache]\nremote = \"file:///tmp/x\"\n",
    );
    let done = run(&lab, &["config", "up/flow/w.toml", "--check", "--json"]).expect_code(1);
    let checks: Vec<_> = done.lines().into_iter().filter(|line| line["check"].is_string()).collect();
    let names: Vec<_> =
        checks.iter().map(|check| (check["check"].as_str().unwrap(), check["ok"] == true)).collect();
    assert_eq!(
        names,
        [
            ("executor cluster", false),
            ("executor here", true),
            ("executor local", true),
            ("remote cache", false)
        ]
    );
    assert!(checks[0]["error"].as_str().unwrap().contains("/nowhere/squeue was not found"), "{}", checks[0]);
    let shown = run(&lab, &["config", "up/flow/w.toml", "--check"]).expect_code(1);
    assert!(shown.out.contains("✗ executor cluster  /nowhere/squeue was not found"), "{}", shown.out);
    // Nothing of the trial is left.
    let scratch = std::fs::read_dir(lab.home().join("scratch")).into_iter().flatten().count();
    assert_eq!(scratch, 0);
}
