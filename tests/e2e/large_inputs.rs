//! Input files over the limit up to which they are copied: a task sees, and can do, the same as with small ones.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::one_task::OneTask;
use crate::common::{Done, Lab, finish};

const SMALL: u64 = 1 << 10;
const LARGE: u64 = 17 << 20;
const ZEROES: [u8; 4096] = [0; 4096];
/// A user that exists everywhere and owns nothing.
const NOBODY: u32 = 65534;

/// A file of `size` bytes of which some are not zero.
fn make(path: &Path, size: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for at in [0, size / 2, size - 10] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"0123456789").unwrap();
    }
}

/// What is in a file, without its zeroes.
fn content(path: &Path) -> (u64, String) {
    let bytes = fs::read(path).unwrap();
    // Whole blocks of zeroes are compared at once: byte by byte takes seconds without optimisation.
    let blocks = bytes.chunks(ZEROES.len()).filter(|block| **block != ZEROES[..block.len()]);
    let letters = blocks.flatten().filter(|byte| **byte != 0).map(|byte| *byte as char);
    (bytes.len() as u64, letters.collect())
}

fn digits() -> String {
    "0123456789".repeat(3)
}

/// Whether this process may be another user.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn shares_blocks(lab: &Lab) -> bool {
    make(&lab.path("reflink"), SMALL);
    let copied =
        Command::new("cp").args(["--reflink=always", "reflink", "reflinked"]).current_dir(lab.dir()).output();
    copied.unwrap().status.success()
}

/// Runs the binary as whoever the test is about.
fn as_user(lab: &Lab, user: Option<u32>, args: &[&str]) -> Done {
    let mut command = lab.command(args);
    if let Some(user) = user {
        use std::os::unix::process::CommandExt;
        command.uid(user).gid(user);
    }
    finish(&mut command)
}

/// Gives all of the laboratory to a user.
fn give(lab: &Lab, user: Option<u32>) {
    if let Some(user) = user {
        Command::new("chown").arg("-R").arg(format!("{user}:{user}")).arg(lab.dir()).status().unwrap();
        fs::set_permissions(lab.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Users to try as: whoever runs the tests, and one that is not root.
fn users() -> Vec<Option<u32>> {
    if is_root() { vec![None, Some(NOBODY)] } else { vec![None] }
}

/// A task over the user's own file and one over a stored one; the second input is a folder that holds such a file.
const FLOW: &str = r#"
[workflow]
name = "large"
[tasks.make]
cache = true
cache_version = "1"
inputs = { f = "file" }
outputs = { g = { type = "file", path = "made.bin" }, d = "dir" }
run = 'cat "$f" > made.bin; mkdir -p "$OUT/d/s"; cat "$f" > "$OUT/d/s/big.bin"; echo small > "$OUT/d/small"'
[tasks.use]
inputs = { f = "file", d = "dir" }
outputs = { y = "string", w = { type = "dir", path = "kept" } }
run = '''
mkdir kept
b="$d/s/big.bin"
@RUN@
'''
[nodes.make]
inputs = { f = "own.bin" }
[nodes.own]
task = "use"
inputs = { f = "own.bin", d = "own" }
[nodes.stored]
task = "use"
inputs = { f = "{{ make.g }}", d = "{{ make.d }}" }
[outputs]
own = "{{ own.y }}"
stored = "{{ stored.y }}"
own_kept = { value = "{{ own.w }}", path = "result/own" }
stored_kept = { value = "{{ stored.w }}", path = "result/stored" }
"#;

/// What the two tasks print and leave, for files of one size.
fn both(run: &str, size: u64, user: Option<u32>) -> Vec<String> {
    let lab = Lab::new();
    // A file beside the home's folder takes another way than one elsewhere.
    let own = if run.contains("ln -s") { "data/own.bin" } else { "own.bin" };
    make(&lab.path(own), size);
    make(&lab.path("own/s/big.bin"), size);
    lab.write("own/small", "small\n");
    lab.write("w.toml", &FLOW.replace("@RUN@", run).replace("\"own.bin\"", &format!("\"{own}\"")));
    give(&lab, user);
    let done = as_user(&lab, user, &["exec", "w.toml", "--json"]).expect_code(0);
    for name in [own, "own/s/big.bin"] {
        assert_eq!(content(&lab.path(name)), (size, digits()), "{run}: the original {name}");
        assert_eq!(fs::metadata(lab.path(name)).unwrap().mode() & 0o777, 0o644, "{run}: the original {name}");
    }
    as_user(&lab, user, &["cache", "verify"]).expect_code(0);
    assert!(!done.err.contains("link"), "{}", done.err);
    let outputs = done.outputs();
    let mut seen: Vec<String> =
        ["own", "stored"].map(|name| outputs[name].as_str().unwrap().to_owned()).into();
    let mut kept: Vec<_> = walkdir::WalkDir::new(lab.path("result")).into_iter().flatten().collect();
    kept.sort_by_key(|entry| entry.path().to_owned());
    for entry in kept.iter().filter(|entry| entry.file_type().is_file()) {
        let (length, text) = content(entry.path());
        let name = entry.path().strip_prefix(lab.dir()).unwrap().display();
        seen.push(format!("{name} {} {text}", if length >= size { length - size } else { length }));
    }
    seen
}

/// What a task says of its files must not depend on their size, so it must not contain it.
const THE_SAME: [(&str, &str); 8] = [
    (
        "look and copy",
        r#"
        exec 3>&1 > "$OUT/y"
        (cd "$d" && tar cf - .) | tar tvf - | awk '{print $1, $6}' | sort
        tar cf a.tar -C "$(dirname "$f")" . && tar xOf a.tar | tr -d '\0' | md5sum
        find "$(dirname "$f")" "$d" -type f -printf '%f %m\n' | sort
        find "$d" -type l
        stat -c '%F %a %h %U' "$f" "$b"
        for x in "$f" "$b"; do test "$(du --apparent-size -b "$x" | cut -f1)" = "$(wc -c < "$x")" && echo right; done
        cp -r "$(dirname "$f")" kept/f; cp -r "$d" kept/d; chmod -R u+w kept; find kept -type f | wc -l
        cat "$f" "$b" | tr -d '\0'
        gzip -k "$f"; gzip -dc "$f.gz" > kept/g; ls "$(dirname "$f")" | sed 's/own\|made/X/'
        exec >&3"#,
    ),
    ("mv", r#"mv "$f" kept/f; ls "$(dirname "$f")" | wc -l > "$OUT/y""#),
    ("rm", r#"rm "$f"; ls "$(dirname "$f")" | wc -l > "$OUT/y""#),
    ("gzip", r#"gzip "$f"; ls "$(dirname "$f")" | sed 's/own\|made/X/' > "$OUT/y""#),
    (
        "write",
        r#"(echo more >> "$f") 2> /dev/null && echo wrote > "$OUT/y" || echo refused > "$OUT/y"; cat "$f" > kept/f"#,
    ),
    (
        "chmod and write",
        r#"chmod u+w "$f" && echo more >> "$f"; cat "$f" > kept/f; stat -c %a "$f" > "$OUT/y""#,
    ),
    (
        "write into a folder",
        r#"chmod -R u+w "$d"; echo more >> "$b"; rm "$d/small"; mv "$b" "$d/moved"; cp "$d/moved" kept/f
        find "$d" -printf '%P %y\n' | sort > "$OUT/y""#,
    ),
    ("link", r#"ln -s "$f" kept/f; ln -s "$b" kept/b; cp "$f" g; ln g kept/g; echo > "$OUT/y""#),
];

#[test]
fn a_task_sees_and_does_the_same_at_any_size() {
    for user in users() {
        for (what, run) in THE_SAME {
            assert_eq!(both(run, SMALL, user), both(run, LARGE, user), "{what}, {user:?}");
        }
    }
}

/// What a link leads to is gone with the view, and whether the task changed it may not be known.
#[test]
fn a_link_that_cannot_be_followed_any_more_fails_by_name() {
    let lab = Lab::new();
    if shares_blocks(&lab) {
        return;
    }
    for change in ["chmod u+w \"$f\"; echo more >> \"$f\"", ":"] {
        make(&lab.path("data.txt"), LARGE);
        let run = format!("{change}; ln -s \"$f\" \"$OUT/g\"");
        lab.write("w.toml", &OneTask { run: &run, ..OneTask::copying() }.text());
        let done = lab.exec("w.toml", &[]).expect_code(1);
        let message = done.node("n")["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("g is a link to the input `f`") && message.contains("copy"), "{message}");
    }
}

#[test]
fn no_task_waits_and_nothing_is_left() {
    let lab = Lab::new();
    make(&lab.path("data.txt"), LARGE);
    let run = "set | grep -c RUNNER_ > \"$OUT/y\"; test \"$(cat /proc/self/comm)\" = cat; sleep 0.01 & env -i sleep 0.01 &";
    lab.write(
        "w.toml",
        &OneTask { run, outputs: "y = \"string\"", returns: "y = \"{{ n.y }}\"", ..OneTask::copying() }
            .text(),
    );
    lab.ok("w.toml", &[]);
    assert_eq!(lab.alive(), [""; 0].map(PathBuf::from));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(lab.dir().to_str().unwrap()), "{mounts}");
    assert!(!lab.home().join("scratch").read_dir().is_ok_and(|mut left| left.next().is_some()));
}

/// Ends and their messages, which must be those of a command that needs no view.
#[test]
fn a_command_ends_as_without_a_view() {
    let ended = |size: u64, run: &str, extra: &str| {
        let lab = Lab::new();
        make(&lab.path("data.txt"), size);
        lab.write("w.toml", &OneTask { run, extra, ..OneTask::copying() }.text());
        let done = lab.exec("w.toml", &[]).expect_code(1);
        let error = done.node("n")["error"].clone();
        assert_eq!(lab.alive(), [""; 0].map(PathBuf::from), "{run}");
        (error["kind"].clone(), error["message"].clone(), error["exit_code"].clone(), error["tail"].clone())
    };
    for (run, extra) in [
        ("echo bye; exit 3", ""),
        ("kill -9 $$", ""),
        ("kill -TERM $$", ""),
        ("no-such-program", ""),
        ("sleep 600", "timeout = \"200ms\"\ngrace = \"1s\""),
        ("trap '' TERM; sleep 600 & sleep 600", "timeout = \"200ms\"\ngrace = \"100ms\""),
        ("test -t 0 || ps -o pid=,pgid= -p $$ | awk '{exit $1 == $2 ? 7 : 8}'", ""),
    ] {
        assert_eq!(ended(SMALL, run, extra), ended(LARGE, run, extra), "{run}");
    }
    let not_started = |size: u64| {
        let lab = Lab::new();
        make(&lab.path("data.txt"), size);
        lab.write("tool", "#!/no/such/interpreter\n");
        fs::set_permissions(lab.path("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        let text = "[workflow]\nname = \"w\"\n[tasks.n]\ninputs = { f = \"file\" }\nargv = [\"@DIR@/tool\"]\n\
                    [nodes.n]\ninputs = { f = \"data.txt\" }\n";
        lab.write("w.toml", text);
        let message = lab.exec("w.toml", &[]).expect_code(1).node("n")["error"]["message"].to_string();
        message.replace(lab.dir().to_str().unwrap(), "DIR")
    };
    assert_eq!(not_started(SMALL), not_started(LARGE));
    assert!(not_started(LARGE).contains("interpreter"), "{}", not_started(LARGE));
}

/// Where namespaces are refused: hard links to the store, symbolic links to the user's own, which the run says once.
#[test]
fn without_namespaces_files_are_linked_and_guarded() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    if shares_blocks(&lab) {
        return;
    }
    make(&lab.path("own.bin"), LARGE);
    make(&lab.path("own/s/big.bin"), LARGE);
    let run = r#"stat -c '%F' "$f" "$b" > "$OUT/y"; cat "$f" > kept/f"#;
    lab.write("w.toml", &FLOW.replace("@RUN@", run));
    let exec = |args: &[&str]| {
        // Root without the right to mount.
        let mut command = Command::new("setpriv");
        let ours = lab.command(args);
        command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"]).arg(ours.get_program());
        command.args(ours.get_args()).current_dir(lab.dir()).env("RUNNER_HOME", lab.home());
        finish(&mut command)
    };
    let done = exec(&["exec", "w.toml", "--json"]).expect_code(0);
    assert_eq!(done.outputs()["own"], "symbolic link\nsymbolic link");
    assert_eq!(done.outputs()["stored"], "regular file\nregular file");
    let warnings: Vec<_> = done.events("warning");
    let links = warnings.iter().filter(|w| w["message"].as_str().unwrap().contains("is a symbolic link"));
    assert_eq!(links.count(), 1, "{warnings:?}");
    assert_eq!(content(&lab.path("result/stored/f")), (LARGE, digits()));

    for node in ["stored", "own"] {
        lab.write("w.toml", &FLOW.replace("@RUN@", r#"echo more >> "$f"; echo > "$OUT/y""#));
        let done = exec(&["exec", "w.toml", "--json", "--only", node]).expect_code(1);
        assert!(done.err.contains("the task changed its own input `f`"), "{node}: {}", done.err);
    }
}

/// An overlay cannot be laid over one: with a home inside a container, large files are bound.
#[test]
fn where_only_binding_is_possible_files_are_read_only_and_cannot_be_moved() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    if shares_blocks(&lab) {
        return;
    }
    make(&lab.path("data/data.txt"), LARGE);
    let exec = |run: &str| {
        lab.write(
            "w.toml",
            &OneTask { run, cache: "", bind: "f = \"data/data.txt\"", ..OneTask::copying() }.text(),
        );
        let mount = "mkdir -p L U W home && mount -t overlay o -o lowerdir=L,upperdir=U,workdir=W home && exec \"$@\"";
        let ours = lab.command(&["exec", "w.toml", "--json"]);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", mount, "sh"]).arg(ours.get_program()).args(ours.get_args());
        let done = finish(command.current_dir(lab.dir()).env("RUNNER_HOME", lab.home()));
        assert_eq!(content(&lab.path("data/data.txt")), (LARGE, digits()), "{run}");
        done
    };
    let kind = "test \"$(stat -c %F \"$f\")\" = 'regular file'; cp \"$f\" \"$OUT/g\"";
    assert!(exec(kind).expect_code(0).events("warning").is_empty());
    let refused = exec("echo more >> \"$f\"").expect_code(1);
    assert!(refused.err.contains("Read-only file system"), "{}", refused.err);
    let moved = exec("mv \"$f\" \"$OUT/g\"").expect_code(1);
    let message = moved.node("n")["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("copy it instead"), "{message}");
    let linked = exec("ln -s \"$f\" \"$OUT/g\"").expect_code(0);
    assert_eq!(linked.node("n")["outputs"]["g"]["size"], LARGE);
}

#[test]
fn links_are_given_where_they_are_asked_for_with_one_warning() {
    let lab = Lab::new();
    make(&lab.path("own.bin"), SMALL);
    make(&lab.path("own/s/big.bin"), SMALL);
    let run = r#"stat -c '%F' "$f" "$b" > "$OUT/y""#;
    lab.write(
        "w.toml",
        &FLOW.replace("@RUN@", run).replace("[tasks.use]\n", "[tasks.use]\nstage = \"link\"\n"),
    );
    let done = lab.ok("w.toml", &[]);
    assert_eq!(done.outputs()["own"], "symbolic link\nsymbolic link");
    let warnings = done.events("warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0]["message"].as_str().unwrap().contains("stage = \"link\""), "{warnings:?}");
}

#[test]
fn a_shell_and_recomputation_see_large_inputs_as_well() {
    let lab = Lab::new();
    make(&lab.path("data.txt"), LARGE);
    lab.write("w.toml", &OneTask { run: "mv \"$f\" \"$OUT/g\"", ..OneTask::copying() }.text());
    lab.ok("w.toml", &[]);
    let shell = |args: &[&str]| {
        let script =
            lab.write("script", "stat -c '%F %s' \"$f\"; mv \"$f\" x && wc -c < x; echo $RUNNER_NODE");
        let mut command = lab.command(&[&["shell", "@last", "n"], args].concat());
        command.stdin(File::open(script).unwrap()).env("SHELL", "bash");
        finish(&mut command).expect_code(0)
    };
    for args in [&[][..], &["--keep"]] {
        assert_eq!(shell(args).out, format!("regular file {LARGE}\n{LARGE}\nn\n"), "{args:?}");
    }
    let done = lab.run(&["cache", "verify", "--recompute", "n"]).expect_code(0);
    assert!(done.out.contains("1 the same"), "{}", done.out);
}

#[test]
fn an_owner_that_is_not_the_user_does_not_matter() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    make(&lab.path("data.txt"), LARGE);
    lab.write("w.toml", &OneTask::copying().text());
    give(&lab, Some(NOBODY));
    chown(lab.path("data.txt"), Some(0), Some(0)).unwrap();
    let done = as_user(&lab, Some(NOBODY), &["exec", "w.toml", "--json"]).expect_code(0);
    assert_eq!(content(Path::new(done.outputs()["g"]["path"].as_str().unwrap())), (LARGE, digits()));
    assert!(done.events("warning").is_empty());
}
