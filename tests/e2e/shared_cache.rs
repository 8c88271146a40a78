//! The shared cache in a folder, through the real program: what one home has, another one need not compute; what is wrong there
//! is refused and mended; and whatever it does, it fails no run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Done, Lab, finish};

pub const KEY: &str = "hmac:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A file, a folder with two files, and a number.
pub const WORKFLOW: &str = r#"
[workflow]
name = "w"
[tasks.make]
cache = true
outputs = { file = "file", folder = "dir", n = "int" }
run = '''
echo make >> @COUNT@
echo content > "$OUT/file"
mkdir -p "$OUT/folder/deep"
echo one > "$OUT/folder/deep/one"
echo two > "$OUT/folder/two"
echo 7 > "$OUT/n"
'''
[tasks.use]
cache = true
inputs = { folder = "dir", n = "int" }
outputs = { text = "string" }
run = '''
echo use >> @COUNT@
cat "$folder/deep/one" "$folder/two" | tr '\n' ' ' > "$OUT/text"
'''
[nodes.make]
task = "make"
[nodes.use]
task = "use"
inputs = { folder = "{{ make.folder }}", n = "{{ make.n }}" }
[outputs]
text = "{{ use.text }}"
"#;

/// Several homes that share a cache.
pub struct Team {
    pub lab: Lab,
    pub url: String,
    pub variables: Vec<(String, String)>,
}

impl Team {
    pub fn new() -> Team {
        let lab = Lab::new();
        let url = format!("file://{}", lab.path("shared").display());
        Team::at(lab, url)
    }

    pub fn at(lab: Lab, url: String) -> Team {
        lab.write("w.toml", WORKFLOW);
        Team { lab, url, variables: vec![("RUNNER_CACHE_KEY".into(), KEY.into())] }
    }

    /// A command in the home of that name.
    pub fn command(&self, home: &str, args: &[&str]) -> Command {
        let mut command = self.lab.command(args);
        command.env("RUNNER_HOME", self.lab.path(home)).env("RUNNER_CACHE_REMOTE", &self.url);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, home: &str, args: &[&str]) -> Done {
        finish(&mut self.command(home, args))
    }

    #[track_caller]
    pub fn ok(&self, home: &str, args: &[&str]) -> Done {
        self.run(home, &[&["exec", "w.toml", "--json"], args].concat()).expect_code(0)
    }

    /// The files below a part of the shared folder.
    pub fn objects(&self, part: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let folders = fs::read_dir(self.lab.path("shared/v1").join(part)).into_iter().flatten().flatten();
        for folder in folders {
            found.extend(fs::read_dir(folder.path()).into_iter().flatten().flatten().map(|file| file.path()));
        }
        found.sort();
        found
    }
}

/// What the run had of the shared cache, by name.
#[track_caller]
pub fn counted(done: &Done, name: &str) -> u64 {
    let finished = done.finished();
    finished["remote"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {finished}"))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn what_one_home_has_another_one_need_not_compute() {
    let team = Team::new();
    let first = team.ok("a", &[]);
    assert_eq!((team.lab.ran(), counted(&first, "misses"), counted(&first, "uploaded")), (2, 2, 2));
    assert_eq!(counted(&first, "queued"), 0);
    assert_eq!(team.objects("entries").len(), 2);
    let second = team.ok("b", &[]);
    assert_eq!(team.lab.ran(), 2, "{second:?}");
    assert_eq!((counted(&second, "hits"), counted(&second, "uploaded")), (2, 0));
    assert!(counted(&second, "bytes_down") > 0);
    assert_eq!(second.outputs(), first.outputs());
    assert_eq!(
        (second.cache("make"), second.node("make")["source"]["remote"].clone()),
        ("hit".into(), team.url.clone().into())
    );
    assert_eq!(second.finished()["cached"], 2);
    // It is here now: the shared cache can go.
    fs::remove_dir_all(team.lab.path("shared")).unwrap();
    let third = team.ok("b", &[]);
    assert_eq!((team.lab.ran(), counted(&third, "hits"), counted(&third, "misses")), (2, 0, 0));
    let key = second.key("make");
    for args in [vec!["cache", "show", &key], vec!["why", "w.toml", "make"], vec!["show", "@last", "make"]] {
        let shown = team.run("b", &args).expect_code(0);
        assert!(shown.out.contains(&format!("from {}", team.url)), "{args:?}: {}", shown.out);
    }
    let stats = team.run("b", &["cache", "stats", "--json"]).expect_code(0);
    let stats: Value = serde_json::from_str(&stats.out).unwrap();
    assert_eq!(
        (&stats["remotes"][0]["url"], &stats["remotes"][0]["results"]),
        (&team.url.clone().into(), &2.into())
    );
}

#[test]
fn a_plan_says_that_the_shared_cache_was_not_asked() {
    let team = Team::new();
    team.ok("a", &[]);
    let words = format!("the shared cache {} was not asked", team.url);
    for (args, expected) in [
        (vec!["plan", "w.toml"], true),
        (vec!["why", "w.toml", "make"], true),
        (vec!["plan", "w.toml", "--remote", "off"], false),
        (vec!["plan", "w.toml", "--remote-mode", "wo"], false),
        (vec!["plan", "w.toml", "--cache", "off"], false),
    ] {
        let shown = team.run("b", &args).expect_code(0);
        assert_eq!(shown.out.contains(&words), expected, "{args:?}: {}", shown.out);
    }
    for args in [vec!["plan", "w.toml", "--json"], vec!["why", "w.toml", "make", "--json"]] {
        assert_eq!(team.run("b", &args).expect_code(0).lines()[0]["remote"], "not_asked", "{args:?}");
        assert_eq!(team.run("a", &args).expect_code(0).lines()[0]["remote"], Value::Null, "{args:?}");
    }
    // Nothing that it could say is missing here.
    let hits = team.run("a", &["plan", "w.toml"]).expect_code(0);
    assert!(!hits.out.contains("was not asked"), "{}", hits.out);
    team.lab.write("w.toml", &WORKFLOW.replace("cache = true", "cache = true\ncache_remote = false"));
    let own = team.run("b", &["plan", "w.toml"]).expect_code(0);
    assert!(!own.out.contains("was not asked"), "{}", own.out);
}

#[test]
fn without_one_the_event_says_null() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    assert_eq!(lab.ok("w.toml", &[]).finished().get("remote"), Some(&Value::Null));
}

#[test]
fn without_a_key_nothing_runs_and_the_message_says_how_to_make_one() {
    let mut team = Team::new();
    team.variables.clear();
    let refused = team.run("a", &["exec", "w.toml"]).expect_code(2);
    assert!(refused.err.contains("runner cache key new"), "{}", refused.err);
    team.ok("a", &["--remote", "off"]);
    team.ok("a", &["--remote-mode", "off"]);
    team.lab.write("runner.toml", "[cache]\nremote_unsigned = true\n");
    team.ok("a", &["--overwrite"]);
    let entry = fs::read(&team.objects("entries")[0]).unwrap();
    assert!(entry.starts_with(b"runner-entry 1 none - -\n"));
}

#[test]
fn only_the_holder_of_the_key_writes_and_everybody_verifies() {
    let mut team = Team::new();
    let made = team.run("a", &["cache", "key", "new", "--ed25519", "-o", "ci-key"]).expect_code(0);
    let public = made.out.trim().to_owned();
    assert!(public.starts_with("ed25519:"), "{public}");
    assert_eq!(fs::metadata(team.lab.path("ci-key")).unwrap().permissions().mode() & 0o777, 0o600);
    team.run("a", &["cache", "key", "new", "-o", "ci-key"]).expect_code(2);
    team.variables.clear();
    team.lab.write("runner.toml", "[cache]\nremote_key = \"file:ci-key\"\n");
    assert_eq!(counted(&team.ok("ci", &[]), "uploaded"), 2);
    team.lab.write("runner.toml", &format!("[cache]\nremote_trust = [\"{public}\"]\n"));
    let laptop = team.ok("laptop", &[]);
    assert_eq!((team.lab.ran(), counted(&laptop, "hits")), (2, 2));
    // What it computes itself stays there.
    let own = team.ok("laptop", &["--overwrite"]);
    assert_eq!((counted(&own, "uploaded"), counted(&own, "queued")), (0, 0));
    team.run("laptop", &["cache", "push"]).expect_code(2);
    // Somebody else's key is no key.
    team.lab.write("runner.toml", "");
    team.variables = vec![("RUNNER_CACHE_KEY".into(), KEY.into())];
    let other = team.ok("other", &[]);
    assert_eq!((counted(&other, "refused"), team.lab.ran_as("make")), (2, 3));
    assert!(other.warnings().contains("not trusted"), "{}", other.warnings());
}

#[test]
fn poison_is_named_not_used_and_mended() {
    for part in ["entries", "blobs"] {
        let team = Team::new();
        let outputs = team.ok("a", &[]).outputs();
        for object in team.objects(part) {
            let mut bytes = fs::read(&object).unwrap();
            let at = bytes.len() - 2;
            bytes[at] ^= 1;
            fs::write(&object, bytes).unwrap();
        }
        let victim = team.ok("b", &[]);
        assert_eq!(victim.outputs(), outputs);
        assert!(counted(&victim, "refused") >= 1, "{part}");
        let named = team.objects(part).iter().any(|object| victim.warnings().contains(&name_of(object)));
        assert!(named, "{part}: {}", victim.warnings());
        team.run("a", &["cache", "verify", "--remote"]).expect_code(0);
        let healed = team.ok("c", &[]);
        assert_eq!((counted(&healed, "hits"), counted(&healed, "refused")), (2, 0), "{part}");
        assert_eq!(healed.outputs(), outputs);
    }
}

#[test]
fn an_entry_of_another_project_put_in_place_is_refused() {
    let team = Team::new();
    team.ok("a", &["--project", "theirs"]);
    let theirs = team.objects("entries");
    let ours = team.ok("a", &["--project", "ours", "--remote-mode", "ro"]);
    for (node, entry) in [("make", &theirs[0]), ("use", &theirs[1])] {
        let key = ours.key(node);
        let place = team.lab.path("shared/v1/entries").join(&key[..2]).join(&key);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(entry, place).unwrap();
    }
    let victim = team.ok("b", &["--project", "ours"]);
    assert_eq!((counted(&victim, "refused"), counted(&victim, "hits")), (2, 0));
    assert!(victim.warnings().contains("another key"), "{}", victim.warnings());
}

#[test]
fn modes_say_which_way_results_go() {
    let team = Team::new();
    let only_read = team.ok("a", &["--remote-mode", "ro"]);
    assert_eq!(
        (counted(&only_read, "misses"), counted(&only_read, "queued"), team.objects("entries").len()),
        (2, 0, 0)
    );
    let only_written = team.ok("b", &["--remote-mode", "wo"]);
    assert_eq!((counted(&only_written, "misses"), counted(&only_written, "uploaded")), (0, 2));
    let ran = team.lab.ran();
    team.ok("c", &["--cache", "ro"]);
    assert_eq!(team.lab.ran(), ran, "a cache that is only read reads the shared one, too");
    team.ok("c", &["--cache", "off"]);
    assert_eq!(team.lab.ran(), ran + 2);
}

#[test]
fn a_task_can_keep_its_results_here() {
    let team = Team::new();
    team.lab.write("w.toml", &WORKFLOW.replace("[tasks.make]", "[tasks.make]\ncache_remote = false"));
    assert_eq!(counted(&team.ok("a", &[]), "uploaded"), 1);
    team.ok("b", &[]);
    assert_eq!((team.lab.ran_as("make"), team.lab.ran_as("use")), (2, 1));
}

#[test]
fn overwriting_reaches_the_shared_cache_and_a_conflict_does_not() {
    let team = Team::new();
    team.lab.write("w.toml", &WORKFLOW.replace("echo 7 >", "date +%s%N >"));
    team.ok("a", &[]);
    let n = |done: &Done| done.node("make")["outputs"]["n"].clone();
    let conflicting = team.ok("b", &["--remote-mode", "wo"]);
    assert!(counted(&conflicting, "conflicts") >= 1);
    let first = team.ok("c", &[]);
    assert_ne!(n(&first), n(&conflicting));
    let overwritten = team.ok("a", &["--overwrite"]);
    assert_eq!(n(&team.ok("d", &[])), n(&overwritten));
}

#[test]
fn results_that_cannot_be_uploaded_stay_queued_through_a_collection() {
    let team = Team::new();
    // Nothing can be put where a file stands.
    team.lab.write("shared", "");
    let first = team.ok("a", &[]);
    assert_eq!((counted(&first, "queued"), counted(&first, "uploaded")), (2, 0));
    assert!(counted(&first, "errors") <= 3);
    assert_eq!(first.events("warning").len(), 1, "{}", first.warnings());
    team.run("a", &["cache", "push"]).expect_code(1);
    team.run("a", &["cache", "gc", "--max-size", "0", "--keep-runs", "0"]).expect_code(0);
    fs::remove_file(team.lab.path("shared")).unwrap();
    let pushed = team.run("a", &["cache", "push", "--json"]).expect_code(0);
    assert_eq!(
        pushed.lines().iter().filter(|line| line["outcome"] == "uploaded").count(),
        2,
        "{}",
        pushed.out
    );
    assert!(team.run("a", &["cache", "push", "--json"]).expect_code(0).lines().is_empty());
    assert_eq!((counted(&team.ok("b", &[]), "hits"), team.lab.ran()), (2, 2));
}

#[test]
fn the_next_run_uploads_what_an_earlier_one_left() {
    let team = Team::new();
    team.lab.write("shared", "");
    team.ok("a", &[]);
    fs::remove_file(team.lab.path("shared")).unwrap();
    let next = team.ok("a", &[]);
    assert_eq!(
        (next.finished()["cached"].clone(), counted(&next, "uploaded"), counted(&next, "queued")),
        (2.into(), 2, 0)
    );
    // From now on nothing is left to do: also where a receipt stands for the run.
    for _ in 0..3 {
        let idle = team.ok("a", &[]);
        assert_eq!((counted(&idle, "uploaded"), counted(&idle, "errors")), (0, 0));
    }
    // But for what another workflow leaves meanwhile.
    team.lab.write("v.toml", &WORKFLOW.replace("name = \"w\"", "name = \"v\""));
    fs::rename(team.lab.path("shared"), team.lab.path("aside")).unwrap();
    team.lab.write("shared", "");
    team.run("a", &["exec", "v.toml"]).expect_code(0);
    fs::remove_file(team.lab.path("shared")).unwrap();
    fs::rename(team.lab.path("aside"), team.lab.path("shared")).unwrap();
    assert_eq!(counted(&team.ok("a", &[]), "uploaded"), 2);
}

#[test]
fn large_results_stay_here() {
    let team = Team::new();
    team.lab.write("runner.toml", "[cache]\nremote_max_size = \"10B\"\n");
    let done = team.ok("a", &[]);
    assert_eq!((counted(&done, "uploaded"), counted(&done, "queued")), (1, 0), "the text has no file");
}

#[test]
fn results_are_brought_here_on_request() {
    let team = Team::new();
    let first = team.ok("a", &[]);
    let key = first.key("use");
    let pulled = team.run("b", &["cache", "pull", &key[..10], "--json"]).expect_code(0);
    assert_eq!((pulled.lines().len(), &pulled.lines()[0]["key"]), (1, &Value::from(key)));
    team.run("b", &["cache", "pull"]).expect_code(0);
    let present = team.run("b", &["cache", "pull", "--task", "w.make", "--json"]).expect_code(0);
    assert_eq!(present.lines()[0]["outcome"], "present");
    fs::remove_dir_all(team.lab.path("shared")).unwrap();
    assert_eq!((team.ok("b", &[]).outputs(), team.lab.ran()), (first.outputs(), 2));
    team.run("b", &["cache", "pull", "00000000"]).expect_code(2);
    team.run("b", &["cache", "verify"]).expect_code(0);
}

#[test]
fn a_look_through_finds_what_is_wrong_and_a_sweep_what_is_too_old() {
    let team = Team::new();
    team.ok("a", &[]);
    team.run("a", &["cache", "verify", "--remote"]).expect_code(0);
    let blob = &team.objects("blobs")[0];
    fs::write(blob, "x").unwrap();
    let found = team.run("a", &["cache", "verify", "--remote", "--json"]).expect_code(1);
    assert!(found.out.contains(&name_of(blob)), "{}", found.out);
    let young = team.run("a", &["cache", "gc", "--remote", "--max-age", "1d", "--json"]).expect_code(0);
    assert_eq!((&young.lines()[0]["entries"], &young.lines()[0]["blobs"]), (&0.into(), &0.into()));
    let all = team.run("a", &["cache", "gc", "--remote", "--max-size", "0", "--json"]).expect_code(0);
    assert_eq!(all.lines()[0]["entries"], 2);
    assert!(team.objects("entries").is_empty());
    let mut none = team.command("a", &["cache", "verify", "--remote"]);
    finish(none.env_remove("RUNNER_CACHE_REMOTE")).expect_code(2);
}

#[test]
fn settings_are_shown_and_tried() {
    let team = Team::new();
    let shown = team.run("a", &["config", "--json"]).expect_code(0);
    let of_remote = shown.lines().into_iter().find(|line| line["setting"] == "cache.remote").unwrap();
    assert_eq!(
        (&of_remote["value"], &of_remote["name"]),
        (&team.url.clone().into(), &"RUNNER_CACHE_REMOTE".into())
    );
    let tried = team.run("a", &["config", "--check"]).expect_code(0);
    assert!(tried.out.contains("✓ remote cache"), "{}", tried.out);
    assert_eq!(fs::read_dir(team.lab.path("shared/v1/check")).unwrap().count(), 0);
    fs::remove_dir_all(team.lab.path("shared")).unwrap();
    team.lab.write("shared", "");
    let fault = team.run("a", &["config", "--check"]).expect_code(1);
    assert!(fault.out.contains("✗ remote cache"), "{}", fault.out);
}

/// What a killed writer leaves is never half of a result. RUNNER_KILLS is the number of rounds.
#[test]
fn a_writer_that_is_killed_anywhere_leaves_no_entry_without_its_blobs() {
    let team = Team::new();
    let elements: String = (0..40).map(|i| format!("\"{i}\",")).collect();
    team.lab.write(
        "w.toml",
        &format!(
            r#"
[workflow]
name = "w"
[tasks.make]
cache = true
inputs = {{ word = "string" }}
outputs = {{ file = "file", folder = "dir" }}
run = 'echo "$word" > "$OUT/file"; mkdir "$OUT/folder"; echo "in $word" > "$OUT/folder/f"'
[nodes.each]
task = "make"
foreach = ["word"]
inputs = {{ word = [{elements}] }}
"#
        ),
    );
    let rounds = std::env::var("RUNNER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_u64);
    for round in 0..rounds {
        let home = format!("home-{round}");
        let mut child = team.command(&home, &["exec", "w.toml", "--json"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + (round * 97) % 900));
        child.kill().unwrap();
        child.wait().unwrap();
        for entry in team.objects("entries") {
            let bytes = fs::read(&entry).unwrap();
            let at = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let json: Value = serde_json::from_slice(&bytes[at + 1..]).unwrap();
            for blob in json["blobs"].as_array().unwrap() {
                let digest = blob["digest"].as_str().unwrap();
                let path = team.lab.path("shared/v1/blobs").join(&digest[..2]).join(digest);
                assert_eq!(fs::metadata(&path).unwrap().len(), blob["size"].as_u64().unwrap());
            }
        }
        if team.lab.path(&home).join("runner.db").exists() {
            team.run(&home, &["cache", "push"]).expect_code(0);
            assert!(team.run(&home, &["cache", "push", "--json"]).expect_code(0).lines().is_empty());
        }
    }
    team.run("a", &["cache", "verify", "--remote"]).expect_code(0);
    team.ok("a", &[]);
    let whole = team.ok("b", &[]);
    assert_eq!(counted(&whole, "hits"), 40);
}
