//! Files and folders in the cache: what of them counts, how they are restored, damaged and healed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use crate::common::one_task::OneTask;
use crate::common::{Done, Lab};
use serde_json::Value;

fn set_mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A laboratory with a task that hands `data.txt` on.
fn copying() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", &OneTask::copying().text());
    lab
}

/// A laboratory with a task that counts what is in the folder `tree`.
fn listing() -> Lab {
    let lab = Lab::new();
    let run = "find \"$d\" | wc -l > \"$OUT/y\"";
    let task = OneTask { inputs: "d = \"dir\"", bind: "d = \"tree\"", run, ..OneTask::default() };
    lab.write("w.toml", &task.text());
    lab.write("tree/a", "a");
    lab
}

#[track_caller]
fn cache(lab: &Lab) -> String {
    lab.ok("w.toml", &[]).cache("n")
}

/// The file behind a workflow's output.
#[track_caller]
fn returned(run: &Done, name: &str) -> PathBuf {
    run.outputs()[name]["path"].as_str().unwrap().into()
}

/// The file in the store behind a node's output.
#[track_caller]
fn blob(run: &Done) -> PathBuf {
    run.node("n")["outputs"]["g"]["path"].as_str().unwrap().into()
}

/// Damages a file of the store: it is read-only there.
fn damage(path: &PathBuf, bytes: &[u8]) {
    set_mode(path.clone(), 0o600);
    fs::write(path, bytes).unwrap();
    set_mode(path.clone(), 0o400);
}

#[test]
fn a_file_counts_by_its_content() {
    let lab = copying();
    lab.write("data.txt", "one");
    assert_eq!(cache(&lab), "populated");
    lab.write("data.txt", "two");
    assert_eq!(cache(&lab), "populated");
    lab.write("data.txt", "one");
    assert_eq!(cache(&lab), "hit");
}

#[test]
fn a_file_counts_by_its_base_name_but_not_by_the_path_above_it() {
    let lab = Lab::new();
    let bound = |path: &str| {
        lab.write(path, "same");
        lab.write("w.toml", &OneTask { bind: &format!("f = \"{path}\""), ..OneTask::copying() }.text());
        cache(&lab)
    };
    assert_eq!(bound("a/data.txt"), "populated");
    assert_eq!(bound("b/c/data.txt"), "hit");
    assert_eq!(bound("a/data.csv"), "populated");
}

#[test]
fn a_file_counts_by_its_executable_bit_but_by_no_other_bit() {
    let lab = copying();
    set_mode(lab.write("data.txt", "x"), 0o644);
    assert_eq!(cache(&lab), "populated");
    set_mode(lab.path("data.txt"), 0o755);
    assert_eq!(cache(&lab), "populated");
    set_mode(lab.path("data.txt"), 0o600);
    assert_eq!(cache(&lab), "hit");
    set_mode(lab.path("data.txt"), 0o500);
    assert_eq!(cache(&lab), "hit");
}

#[test]
fn a_file_never_counts_by_time() {
    let lab = copying();
    let path = lab.write("data.txt", "x");
    assert_eq!(cache(&lab), "populated");
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(cache(&lab), "hit");
    fs::rename(lab.write("new", "x"), &path).unwrap();
    assert_eq!(cache(&lab), "hit");
}

/// The stat cache must see what size and mtime do not show.
#[test]
fn an_edit_of_the_same_size_with_the_old_time_restored_is_seen() {
    let lab = copying();
    let path = lab.write("data.txt", "0");
    for round in 1..10 {
        assert_eq!(cache(&lab), "populated", "round {round}");
        assert_eq!(cache(&lab), "hit", "round {round}");
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut &file, round.to_string().as_bytes()).unwrap();
        file.set_modified(before).unwrap();
    }
}

#[test]
fn edits_of_the_same_size_right_after_a_run_are_seen() {
    let lab = copying();
    for round in 10..30 {
        let run = {
            lab.write("data.txt", &round.to_string());
            lab.ok("w.toml", &[])
        };
        assert_eq!(run.cache("n"), "populated", "round {round}");
        assert_eq!(fs::read_to_string(returned(&run, "g")).unwrap(), round.to_string());
    }
}

#[test]
fn a_folder_counts_by_names_kinds_bits_and_contents_of_its_entries() {
    let lab = listing();
    assert_eq!(cache(&lab), "populated");
    let changes: [(&str, &dyn Fn()); 8] = [
        ("another content", &|| drop(lab.write("tree/a", "b"))),
        ("another name", &|| fs::rename(lab.path("tree/a"), lab.path("tree/b")).unwrap()),
        ("executable", &|| set_mode(lab.path("tree/b"), 0o755)),
        ("an empty file", &|| drop(lab.write("tree/c", ""))),
        ("an empty folder", &|| fs::create_dir(lab.path("tree/d")).unwrap()),
        ("a folder in its place", &|| {
            fs::remove_file(lab.path("tree/c")).unwrap();
            fs::create_dir(lab.path("tree/c")).unwrap();
        }),
        ("a link", &|| symlink("b", lab.path("tree/l")).unwrap()),
        ("a file further down", &|| drop(lab.write("tree/d/e/f", "f"))),
    ];
    for (what, change) in changes {
        change();
        assert_eq!(cache(&lab), "populated", "{what}");
        assert_eq!(cache(&lab), "hit", "{what}");
    }
}

#[test]
fn a_folder_counts_by_its_base_name_but_not_by_path_or_time() {
    let lab = listing();
    assert_eq!(cache(&lab), "populated");
    let tree = lab.path("tree");
    fs::create_dir(lab.path("below")).unwrap();
    fs::rename(&tree, lab.path("below/tree")).unwrap();
    let text = lab.read("w.toml");
    lab.write("w.toml", &text.replace("\"tree\"", "\"below/tree\""));
    lab.write("below/tree/a", "a");
    assert_eq!(cache(&lab), "hit");
    fs::rename(lab.path("below/tree"), lab.path("below/wood")).unwrap();
    lab.write("w.toml", &text.replace("\"tree\"", "\"below/wood\""));
    assert_eq!(cache(&lab), "populated");
}

#[test]
fn a_hit_restores_a_file_bit_for_bit_with_its_executable_bit() {
    let lab = Lab::new();
    let run = "head -c 300000 /dev/urandom > \"$OUT/g\"; chmod 755 \"$OUT/g\"; cp \"$OUT/g\" @DIR@/made";
    lab.write("w.toml", &OneTask { run, inputs: "", bind: "", ..OneTask::copying() }.text());
    assert_eq!(cache(&lab), "populated");
    let hit = lab.ok("w.toml", &[]);
    assert_eq!(hit.cache("n"), "hit");
    let path = returned(&hit, "g");
    assert!(fs::read(&path).unwrap() == fs::read(lab.path("made")).unwrap());
    assert_ne!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);
    assert_eq!(path.file_name().unwrap(), "g");
}

#[test]
fn a_hit_restores_a_folder_with_links_empty_folders_and_bits() {
    let lab = Lab::new();
    let run = "mkdir -p \"$OUT/g/sub/empty\"; echo a > \"$OUT/g/sub/a\"; ln -s sub/a \"$OUT/g/link\"; \
               printf '#!/bin/sh\\n' > \"$OUT/g/tool\"; chmod +x \"$OUT/g/tool\"; printf odd > \"$OUT/g/ é'\\\" \"";
    let task = OneTask { run, inputs: "", bind: "", outputs: "g = \"dir\"", ..OneTask::copying() };
    lab.write("w.toml", &task.text());
    let first = lab.ok("w.toml", &[]);
    let hit = lab.ok("w.toml", &[]);
    assert_eq!((first.cache("n").as_str(), hit.cache("n").as_str()), ("populated", "hit"));
    for run in [first, hit] {
        let tree = returned(&run, "g");
        assert_eq!(fs::read_to_string(tree.join("sub/a")).unwrap(), "a\n");
        assert!(fs::read_dir(tree.join("sub/empty")).unwrap().next().is_none());
        assert_eq!(fs::read_link(tree.join("link")).unwrap(), PathBuf::from("sub/a"));
        assert_ne!(fs::metadata(tree.join("tool")).unwrap().permissions().mode() & 0o111, 0);
        assert_eq!(fs::metadata(tree.join("sub/a")).unwrap().permissions().mode() & 0o111, 0);
        assert_eq!(fs::read_to_string(tree.join(" é'\" ")).unwrap(), "odd");
        assert_eq!(fs::read_dir(&tree).unwrap().count(), 4);
    }
}

#[test]
fn a_stored_file_that_is_missing_is_a_miss_and_heals() {
    let lab = copying();
    lab.write("data.txt", "payload");
    let first = lab.ok("w.toml", &[]);
    fs::remove_file(blob(&first)).unwrap();
    let healed = lab.ok("w.toml", &[]);
    assert_eq!(healed.cache("n"), "populated");
    assert_eq!(fs::read_to_string(returned(&healed, "g")).unwrap(), "payload");
    assert_eq!(cache(&lab), "hit");
}

#[test]
fn a_stored_file_that_is_damaged_is_a_miss_and_heals() {
    for bytes in [&b"paYload"[..], b"pay", b"", b"payload and more"] {
        let lab = Lab::new();
        let run = "printf payload > \"$OUT/g\"";
        lab.write("w.toml", &OneTask { run, inputs: "", bind: "", ..OneTask::copying() }.text());
        let first = lab.ok("w.toml", &[]);
        damage(&blob(&first), bytes);
        let healed = lab.ok("w.toml", &[]);
        assert_eq!(healed.cache("n"), "populated", "{bytes:?}");
        assert_eq!(fs::read_to_string(returned(&healed, "g")).unwrap(), "payload");
        assert_eq!(fs::read_to_string(blob(&healed)).unwrap(), "payload");
        assert_eq!(cache(&lab), "hit");
        assert_eq!(lab.ran(), 2);
    }
}

/// Why something runs again is explained by looking at the old and the new file: both stay, whatever they hold.
#[test]
fn explaining_a_miss_of_a_binary_file_damages_nothing() {
    let lab = Lab::new();
    let text = OneTask::copying().text();
    lab.write("w.toml", &text);
    for content in ["\0one", "\0two", "\0one", "\0two"] {
        lab.write("data.txt", content);
        lab.ok("w.toml", &[]);
    }
    lab.write(
        "chain.toml",
        "[workflow]\nname = \"chain\"\n[inputs]\nn = \"int\"\n[defaults]\ncache = true\n\
         [tasks.make]\ninputs = { n = \"int\" }\noutputs = { f = \"file\" }\n\
         run = 'printf \"\\000%d\" \"$n\" > \"$OUT/f\"'\n\
         [tasks.take]\ninputs = { f = \"file\" }\noutputs = { g = \"file\" }\nrun = 'cp \"$f\" \"$OUT/g\"'\n\
         [nodes.make]\ninputs = { n = \"{{ inputs.n }}\" }\n[nodes.take]\ninputs = { f = \"{{ make.f }}\" }\n",
    );
    for n in ["n=1", "n=2"] {
        assert_eq!(lab.ok("chain.toml", &["-i", n]).cache("take"), "populated");
    }
    for n in ["n=1", "n=2"] {
        let run = lab.ok("chain.toml", &["-i", n]);
        assert_eq!((run.cache("make"), run.cache("take")), ("hit".into(), "hit".into()));
    }
    assert!(!lab.home().join("store/damaged").exists());
}

#[test]
fn a_damaged_file_within_a_stored_folder_is_a_miss_and_heals() {
    let lab = Lab::new();
    let run = "mkdir \"$OUT/g\"; printf payload > \"$OUT/g/a\"";
    let task = OneTask { run, inputs: "", bind: "", outputs: "g = \"dir\"", ..OneTask::copying() };
    lab.write("w.toml", &task.text());
    lab.ok("w.toml", &[]);
    let stored: Vec<_> = files_below(lab.home().join("store"))
        .into_iter()
        .filter(|path| fs::read(path).unwrap() == b"payload")
        .collect();
    assert_eq!(stored.len(), 1, "{stored:?}");
    damage(&stored[0], b"paYload");
    let healed = lab.ok("w.toml", &[]);
    assert_eq!(healed.cache("n"), "populated");
    assert_eq!(fs::read_to_string(returned(&healed, "g").join("a")).unwrap(), "payload");
    assert_eq!(cache(&lab), "hit");
}

fn files_below(dir: PathBuf) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// A producer `n`, and a consumer that does its worst to what it is handed.
fn consumed(consumer: &str, extra: &str) -> Lab {
    let lab = Lab::new();
    let run = "printf payload > \"$OUT/g\"";
    let producer = OneTask { run, inputs: "", bind: "", ..OneTask::copying() };
    let consumer = format!(
        "[tasks.consume]\n{extra}\ninputs = {{ g = \"file\" }}\nrun = '''\n{consumer}\n'''\n\
         [nodes.consume]\ninputs = {{ g = \"{{{{ n.g }}}}\" }}\n"
    );
    lab.write("w.toml", &(producer.text() + &consumer));
    lab
}

#[test]
fn what_a_task_does_to_a_materialised_file_never_reaches_the_store() {
    for consumer in [
        "chmod u+w \"$g\"; printf evil > \"$g\"",
        "chmod 777 \"$g\"; printf X | dd of=\"$g\" conv=notrunc bs=1 2>&-",
        "rm -f \"$g\"",
        "chmod u+w \"$(dirname \"$g\")\"; mv \"$g\" \"$g.old\"; printf evil > \"$g\"",
        "truncate -s 0 \"$g\" || true",
    ] {
        let lab = consumed(consumer, "");
        lab.exec("w.toml", &[]);
        let second = lab.ok("w.toml", &["--until", "n"]);
        assert_eq!(second.cache("n"), "hit", "{consumer}");
        assert_eq!(fs::read_to_string(blob(&second)).unwrap(), "payload", "{consumer}");
        assert_eq!(fs::read_to_string(returned(&second, "g")).unwrap(), "payload", "{consumer}");
    }
}

#[test]
fn a_task_that_changes_the_original_behind_a_link_fails_by_name_and_the_spoiled_blob_is_set_aside() {
    let lab = consumed("chmod u+w \"$g\"; printf evil > \"$g\"", "stage = \"link\"");
    let first = lab.exec("w.toml", &[]).expect_code(1);
    let message = first.node("consume")["error"]["message"].clone();
    assert!(message.as_str().unwrap().contains("changed its own input `g`"), "{first:?}");
    let second = lab.ok("w.toml", &["--until", "n"]);
    assert_eq!(second.cache("n"), "populated");
    assert_eq!(fs::read_to_string(blob(&second)).unwrap(), "payload");
}

#[test]
fn what_a_task_does_to_its_output_after_handing_it_over_never_reaches_the_store() {
    let lab = Lab::new();
    // A process that stays behind and writes to the output later.
    let run = "printf payload > \"$OUT/g\"; exec 9>>\"$OUT/g\"; (sleep 0.3; printf evil >&9) & disown";
    lab.write("w.toml", &OneTask { run, inputs: "", bind: "", ..OneTask::copying() }.text());
    let first = lab.ok("w.toml", &[]);
    assert_eq!(fs::read_to_string(returned(&first, "g")).unwrap(), "payload");
    let second = lab.ok("w.toml", &[]);
    assert_eq!(fs::read_to_string(blob(&second)).unwrap(), "payload");
}

#[test]
fn what_a_user_does_to_a_returned_file_never_reaches_the_store() {
    let lab = copying();
    lab.write("data.txt", "payload");
    for round in 0..3 {
        let run = lab.ok("w.toml", &[]);
        let path = returned(&run, "g");
        assert_eq!(fs::read_to_string(&path).unwrap(), "payload", "round {round}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "evil").unwrap();
        assert_eq!(fs::read_to_string(blob(&run)).unwrap(), "payload");
    }
    assert_eq!(lab.ran(), 1);
}

#[test]
fn what_a_user_does_to_a_published_file_never_reaches_the_store_and_a_hit_publishes_it_again() {
    let lab = Lab::new();
    let returns = "g = { value = \"{{ n.g }}\", path = \"results/g.txt\" }";
    lab.write("w.toml", &OneTask { returns, ..OneTask::copying() }.text());
    lab.write("data.txt", "payload");
    lab.ok("w.toml", &[]);
    let published = lab.path("results/g.txt");
    for harm in ["edited", "removed"] {
        assert_eq!(fs::read_to_string(&published).unwrap(), "payload");
        if harm == "edited" {
            fs::write(&published, "evil").unwrap();
        } else {
            fs::remove_file(&published).unwrap();
        }
        let again = lab.ok("w.toml", &[]);
        assert_eq!(again.cache("n"), "hit");
        assert_eq!(fs::read_to_string(&published).unwrap(), "payload", "{harm}");
    }
}

#[test]
fn an_output_file_tells_its_digest_and_size() {
    let lab = copying();
    lab.write("data.txt", "payload");
    let expected: Value = serde_json::json!({
        "digest": "sha256:239f59ed55e737c77147cf55ad0c1b030b6d7ee748a7426952f9b852d5a935e5", "size": 7
    });
    for run in [lab.ok("w.toml", &[]), lab.ok("w.toml", &[])] {
        for file in [run.outputs()["g"].clone(), run.node("n")["outputs"]["g"].clone()] {
            assert_eq!((&file["digest"], &file["size"]), (&expected["digest"], &expected["size"]));
            assert_eq!(fs::read_to_string(file["path"].as_str().unwrap()).unwrap(), "payload");
        }
    }
}

#[test]
fn that_files_are_links_is_said_once_a_run() {
    let lab = Lab::new();
    lab.write("in.txt", "text");
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nstage = 'link'\ninputs = { f = 'file' }\nrun = 'test -L $f'\n\
         [nodes.a]\ntask = 't'\ninputs = { f = 'in.txt' }\n[nodes.b]\ntask = 't'\ninputs = { f = 'in.txt' }\n",
    );
    let warnings = lab.ok("w.toml", &[]).warnings();
    assert_eq!(warnings.matches("input `f` is a symbolic link").count(), 1, "{warnings}");
}
