//! Every example under `workflows/` does what its comments promise, in a copy of the folder.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Done, Lab};

const HASH_STRINGS: &str = "workflows/hash-strings.toml";
const FAILURES: &str = "workflows/failures.toml";
const YEAR: &str = "workflows/weather/year.toml";
const WEEK: &str = "workflows/weather/week.toml";
const BUILD: &str = "workflows/wordfreq/build.toml";
const SCATTER: &str = "workflows/scatter.toml";
const BRANCHES: &str = "workflows/branches.toml";
const STUDY: &str = "workflows/study/study.toml";
const PRICES: &str = "workflows/prices/prices.toml";
const HALVING: &str = "workflows/halving.toml";
const LIMITS: &str = "workflows/limits.toml";

fn checked_in() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows"))
}

/// A laboratory with a copy of the examples, without what a reader's own runs have published.
fn lab() -> Lab {
    let lab = Lab::new();
    let published = ["results", "bin"];
    let files = walkdir::WalkDir::new(checked_in())
        .into_iter()
        .filter_entry(|entry| !published.iter().any(|name| entry.file_name() == *name));
    for entry in files.map(Result::unwrap).filter(|entry| entry.file_type().is_file()) {
        let name = entry.path().strip_prefix(checked_in().parent().unwrap()).unwrap();
        lab.write_bytes(name.to_str().unwrap(), &fs::read(entry.path()).unwrap());
    }
    lab
}

/// The workflows and libraries among the examples, relative to the repository.
fn toml_files() -> Vec<String> {
    let root = checked_in().parent().unwrap();
    let files = walkdir::WalkDir::new(checked_in()).sort_by_file_name().into_iter().map(Result::unwrap);
    let names = files.map(|entry| entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name.ends_with(".toml")).collect()
}

/// The nodes that were executed, by name.
fn executed(run: &Done) -> Vec<String> {
    let ran = |event: &Value| event["attempts"] != 0;
    let name = |event: Value| event["node"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = run.events("node_finished").into_iter().filter(ran).map(name).collect();
    names.sort();
    names
}

/// What a run handed back, files by their content alone: each run may put them elsewhere.
fn handed_back(run: &Done) -> Vec<(String, Value)> {
    let outputs = run.outputs();
    let by_content = |value: &Value| value.get("digest").unwrap_or(value).clone();
    outputs.as_object().unwrap().iter().map(|(name, value)| (name.clone(), by_content(value))).collect()
}

fn edit(lab: &Lab, file: &str, from: &str, to: &str) {
    let text = lab.read(file);
    assert!(text.contains(from), "{file} has no `{from}`");
    lab.write(file, &text.replacen(from, to, 1));
}

/// Runs an example twice: the second run executes `uncached` only, and hands back the same.
#[track_caller]
fn runs_then_hits(workflow: &str, uncached: &[&str]) -> Lab {
    let lab = lab();
    let first = lab.ok(workflow, &[]);
    assert_eq!(first.finished()["cached"], 0);
    let second = lab.ok(workflow, &[]);
    assert_eq!(executed(&second), uncached, "executed by the second run");
    assert_eq!(second.finished()["executed"], uncached.len());
    assert_eq!(handed_back(&first), handed_back(&second));
    assert_eq!(second.warnings(), "");
    lab
}

#[test]
fn every_example_points_to_the_schema() {
    for name in toml_files() {
        let text = fs::read_to_string(checked_in().parent().unwrap().join(&name)).unwrap();
        let depth = name.matches('/').count() - 1;
        let place = if depth == 0 { "./".into() } else { "../".repeat(depth) };
        assert!(text.starts_with(&format!("#:schema {place}runner.schema.json\n")), "{name}");
    }
}

#[test]
fn the_schema_is_current() {
    let schema = Lab::new().run(&["schema"]).expect_code(0).out;
    let kept = fs::read_to_string(checked_in().join("runner.schema.json")).unwrap();
    assert!(schema == kept, "renew it: runner schema > workflows/runner.schema.json");
}

#[test]
fn check_has_no_complaint() {
    let lab = lab();
    let workflows: Vec<_> = toml_files().into_iter().filter(|name| !name.contains("/lib/")).collect();
    assert_eq!(workflows.len(), 12, "{workflows:?}");
    let args: Vec<&str> = std::iter::once("check").chain(workflows.iter().map(String::as_str)).collect();
    let checked = lab.run(&args).expect_code(0);
    assert_eq!(checked.err.lines().filter(|line| line.contains(": ok, ")).count(), 12, "{}", checked.err);
}

#[test]
fn what_init_writes_runs() {
    let lab = Lab::new();
    lab.run(&["init"]).expect_code(0);
    let first = lab.ok("workflow.toml", &[]);
    assert_eq!(first.outputs()["letters"], 10);
    assert_eq!(lab.ok("workflow.toml", &[]).finished()["executed"], 0);
}

#[test]
fn functions_follow_their_code() {
    let lab = lab();
    assert_eq!(lab.ok(PRICES, &[]).outputs()["prices"], serde_json::json!([2.9, 4.1]));
    let again = lab.ok(PRICES, &[]);
    assert_eq!((executed(&again), again.warnings()), (Vec::new(), String::new()));
    edit(&lab, "workflows/prices/prices.py", "prices - slope * days", "prices - days * slope");
    let why = lab.run(&["why", PRICES, "fit"]).expect_code(0);
    assert!(why.out.contains("trend in prices.py changed"), "{}", why.out);
    // The same lines come out, so that forecasts hit.
    assert!(executed(&lab.ok(PRICES, &[])).iter().all(|name| name.starts_with("fit")));
}

#[test]
fn hash_strings() {
    let lab = runs_then_hits(HASH_STRINGS, &[]);
    let hello = lab.ok(HASH_STRINGS, &["-i", "original=hello"]);
    assert_eq!(executed(&hello), ["hash", "shout"]);
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(hello.outputs()["hash"], hash);
    assert_eq!(hello.outputs()["loud"], hash.to_uppercase().repeat(3));
    let louder = lab.ok(HASH_STRINGS, &["-i", "original=hello", "-i", "rounds=5"]);
    assert_eq!(executed(&louder), ["shout"]);
}

#[test]
fn the_year_is_published() {
    let lab = runs_then_hits(YEAR, &[]);
    let chart = lab.read("workflows/weather/results/weather.svg");
    assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
    let report = lab.read("workflows/weather/results/report.html");
    assert!(report.contains(&chart), "the page holds the chart");

    // Every row is either kept or set aside.
    let kept = lab.ok(YEAR, &[]).outputs()["rows_kept"].as_u64().unwrap();
    let lines = |file: &str| lab.read(file).lines().count() as u64 - 1;
    let rejected = lines("workflows/weather/results/rejected.csv");
    assert_eq!(kept + rejected, lines("workflows/weather/data/readings-2024.csv"));
}

#[test]
fn the_year_comes_back_when_removed_and_runs_what_changed() {
    let lab = lab();
    lab.ok(YEAR, &[]);
    let report = "workflows/weather/results/report.html";
    let page = lab.read(report);
    fs::remove_file(lab.path(report)).unwrap();
    assert_eq!(lab.ok(YEAR, &[]).finished()["executed"], 0);
    assert!(lab.read(report) == page);

    edit(&lab, "workflows/weather/scripts/chart.py", "#f7c9a3", "#c9e4de");
    assert_eq!(executed(&lab.ok(YEAR, &[])), ["chart", "report"]);
    assert!(lab.read(report).contains("#c9e4de"));
}

#[test]
fn the_week_shares_what_the_year_did() {
    let lab = lab();
    lab.ok(YEAR, &[]);
    let week = lab.ok(WEEK, &[]);
    assert_eq!(executed(&week), ["summary"]);
    assert_eq!((week.cache("clean"), week.cache("daily")), ("hit".into(), "hit".into()));
    assert!(lab.read("workflows/weather/results/week.md").starts_with("# Week 2024-W31\n"));
    assert_eq!(executed(&lab.ok(WEEK, &["-i", "week=2024-W02"])), ["summary"]);
}

#[test]
fn the_week_runs_by_itself() {
    runs_then_hits(WEEK, &[]);
}

#[test]
fn the_build_publishes_a_program() {
    let lab = runs_then_hits(BUILD, &["compiler"]);
    let text = lab.path("workflows/wordfreq/tests/cat.txt");
    let mut program = std::process::Command::new(lab.path("workflows/wordfreq/bin/wordfreq"));
    let done = crate::common::finish(program.arg("1").stdin(fs::File::open(text).unwrap())).expect_code(0);
    assert_eq!(done.out, "      4 the\n");
}

#[test]
fn the_build_compiles_what_changed() {
    let lab = lab();
    lab.ok(BUILD, &[]);

    edit(&lab, "workflows/wordfreq/src/tally.c", ": 64;", ": 128;");
    assert_eq!(executed(&lab.ok(BUILD, &[])), ["compile_tally", "compiler", "link", "test"]);

    // A comment does not change the object, so that the rest are hits.
    edit(&lab, "workflows/wordfreq/src/tally.c", "good enough for words", "quick");
    assert_eq!(executed(&lab.ok(BUILD, &[])), ["compile_tally", "compiler"]);

    edit(&lab, "workflows/wordfreq/src/tally.h", "Counting words", "Counting");
    let compiled = executed(&lab.ok(BUILD, &[]));
    assert_eq!(compiled, ["compile_main", "compile_tally", "compile_words", "compiler"]);
}

#[test]
fn a_broken_build_keeps_the_last_good_program() {
    let lab = lab();
    lab.ok(BUILD, &[]);
    let program = fs::read(lab.path("workflows/wordfreq/bin/wordfreq")).unwrap();
    edit(&lab, "workflows/wordfreq/src/words.c", "return length > 0", "return length > 1");
    let broken = lab.exec(BUILD, &[]).expect_code(1);
    assert_eq!(broken.node("test")["error"]["kind"], "exit");
    assert!(fs::read(lab.path("workflows/wordfreq/bin/wordfreq")).unwrap() == program);
}

#[test]
fn failures_succeeds_at_the_third_attempt() {
    let lab = lab();
    let flaky = lab.ok(FAILURES, &[]);
    assert_eq!(flaky.node("download")["attempts"], 3);
    assert_eq!(flaky.outputs()["text"], "the total is 7");
    let first = lab.run(&["logs", "@last", "download", "--attempt", "1"]).expect_code(0);
    assert!(first.out.contains("the server is busy"), "{}", first.out);
}

#[test]
fn failures_hits_after_success() {
    runs_then_hits(FAILURES, &[]);
}

#[test]
fn failures_fails_and_goes_on_where_it_can() {
    let lab = lab();
    let failed = lab.exec(FAILURES, &["-i", "mode=fail", "--keep-going"]).expect_code(1);
    let error = failed.node("convert")["error"].clone();
    assert_eq!((&error["kind"], &error["exit_code"]), (&"exit".into(), &3.into()));
    assert_eq!(failed.node("announce")["status"], "skipped");
    assert_eq!(failed.node("archive")["status"], "succeeded");

    // What succeeded is kept; what failed is not.
    let again = lab.exec(FAILURES, &["-i", "mode=fail"]).expect_code(1);
    assert_eq!(executed(&again), ["convert"]);
    let log = lab.run(&["logs", "@last-failed", "convert"]).expect_code(0);
    assert!(log.out.contains("line 3: unbalanced quote"), "{}", log.out);
}

#[test]
fn failures_ends_what_hangs() {
    let lab = lab();
    let hung = lab.exec(FAILURES, &["-i", "mode=hang"]).expect_code(1);
    assert_eq!(hung.node("convert")["error"]["kind"], "timeout");
}

#[test]
fn failures_takes_no_other_mode() {
    let refused = lab().exec(FAILURES, &["-i", "mode=explode"]).expect_code(2);
    assert!(refused.err.contains("flaky"), "{}", refused.err);
}

#[test]
fn elements_are_cached_one_by_one_and_may_fail() {
    let lab = runs_then_hits(SCATTER, &[]);
    let longer = lab.ok(SCATTER, &["-i", r#"words=["ant","bee","cat","dog"]"#]);
    assert_eq!(longer.finished()["executed"], 4, "the split, one shout, two of the grid");
    assert_eq!(longer.outputs()["loud"], serde_json::json!(["ANT!", "BEE!", "CAT!", "DOG!"]));
    let unlucky = lab.ok(SCATTER, &["-i", "unlucky=bee"]);
    assert_eq!(unlucky.outputs()["scores"], serde_json::json!([3, 30, null, null, 3, 30]));
    assert_eq!(unlucky.finished()["failed"], 2);
    let plain = lab.run(&["exec", SCATTER, "-i", "unlucky=bee"]).expect_code(0).out;
    assert!(plain.contains("scores = [3, 30, {}, {}, 3, 30]\n"), "{plain}");
}

#[test]
fn one_branch_is_taken_and_the_end_is_told() {
    let lab = lab();
    assert_eq!(lab.ok(BRANCHES, &[]).outputs()["report"], "made with a rough model");
    let many = lab.ok(BRANCHES, &["-i", "rows=5000"]);
    assert_eq!(many.outputs()["report"], "made with a fine model");
    assert_eq!(executed(&many), ["cheer", "count", "report", "thorough"]);
    let none = lab.run(&["exec", BRANCHES, "--json", "-i", "rows=0"]).expect_code(1);
    assert_eq!(executed(&none), ["alarm", "count"]);
    let said = lab.run(&["logs", "@last", "alarm"]).expect_code(0).out;
    assert_eq!(said, "count failed with 0 rows: exit code 1\n");
}

#[test]
fn a_sub_workflow_runs_for_each_sample() {
    let lab = runs_then_hits(STUDY, &["compare"]);
    lab.write("workflows/study/data/b.txt", "100\n");
    let edited = lab.ok(STUDY, &[]);
    assert_eq!(executed(&edited), ["compare", "sample[1]/clean", "sample[1]/total"]);
    assert_eq!(edited.outputs()["totals"], serde_json::json!([15, 100, 7]));
    let alone =
        ["exec", "workflows/study/sample.toml", "--json", "-i", "readings=workflows/study/data/b.txt"];
    assert_eq!(lab.run(&alone).expect_code(0).finished()["cached"], 2);
}

#[test]
fn limits_hold() {
    let lab = lab();
    let run = lab.ok(LIMITS, &["--set", "tasks.fit.timeout=10s"]);
    assert_eq!(run.outputs()["total"], 98);
    assert!(
        run.events("node_waiting").iter().any(|event| event["reason"].as_str().unwrap().contains("licence"))
    );
    assert_eq!(lab.ok(LIMITS, &["--resource", "licence=3"]).finished()["cached"], 1);
}

#[test]
fn what_init_writes_is_checked_hits_and_replaces_nothing() {
    let lab = Lab::new();
    lab.run(&["init", "flows/w.toml"]).expect_code(2);
    fs::create_dir(lab.path("flows")).unwrap();
    lab.run(&["init", "flows/w.toml"]).expect_code(0);
    assert!(lab.read("flows/w.toml").starts_with("#:schema ./runner.schema.json\n"));
    assert_eq!(lab.read("flows/runner.schema.json"), lab.run(&["schema"]).out);
    let checked = lab.run(&["check", "flows/w.toml", "--strict"]).expect_code(0);
    assert!(!checked.err.contains("warning"), "{}", checked.err);
    lab.ok("flows/w.toml", &[]);
    let again = lab.ok("flows/w.toml", &[]);
    assert_eq!((&again.finished()["cached"], &again.finished()["executed"]), (&2.into(), &0.into()));

    lab.write("flows/runner.schema.json", "mine");
    lab.run(&["init", "flows/w.toml"]).expect_code(2);
    let other = lab.run(&["init", "flows/other.toml"]).expect_code(0);
    assert!(other.err.contains("runner.schema.json exists already and stays as it is"), "{}", other.err);
    assert_eq!(lab.read("flows/runner.schema.json"), "mine");
}

#[test]
fn halving_looks_closer_at_what_its_scores_say() {
    let lab = runs_then_hits(HALVING, &[]);
    let more = lab.ok(HALVING, &["-i", "keep=3"]);
    // Candidates 3 and 6 were looked at before.
    assert_eq!(executed(&more), ["search", "search/closer_1", "search/largest"]);
    assert_eq!(more.outputs()["best"], 1003);
}
