//! Publications into a project folder, with a real store and database.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::storage::db;
use crate::storage::store::{NewOutput, StatCache};

struct Project {
    dir: tempfile::TempDir,
    store: Store,
    protected: Protected,
    replace: bool,
}

fn project() -> Project {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let store = Store::open(&home, StatCache::new(Box::new(|_| None))).unwrap();
    db::open(&home).unwrap();
    for folder in ["attempt", "user"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    Project { dir, store, protected: Protected::default(), replace: false }
}

impl Project {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("user").join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| format!("<{:?}>", error.kind()))
    }

    /// The names in a folder, sorted.
    fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn keep(&self, name: &str, is_dir: bool) -> Arc<Artifact> {
        let path = self.dir.path().join("attempt").join(name);
        let output = NewOutput { path: &path, is_dir, name: "result" };
        let sealed = self.store.seal(&[output], &self.dir.path().join("attempt")).unwrap();
        self.store.commit(&sealed.blobs).unwrap();
        Arc::new(sealed.artifacts[0].clone())
    }

    fn file(&self, text: &str) -> Tree {
        fs::write(self.dir.path().join("attempt/f"), text).unwrap();
        Tree::File(self.keep("f", false))
    }

    /// A directory with these files.
    fn dir(&self, files: &[(&str, &str)]) -> Tree {
        let root = self.dir.path().join("attempt/d");
        fs::create_dir_all(&root).unwrap();
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let artifact = self.keep("d", true);
        let _ = fs::remove_dir_all(&root);
        Tree::Dir(artifact)
    }

    fn all(&self, items: Vec<(&str, Tree)>) -> Result<Vec<String>, String> {
        let items: Vec<Item> = items
            .into_iter()
            .map(|(path, tree)| Item { output: path.into(), path: self.path(path), tree })
            .collect();
        let (home, dir) = (self.dir.path().join("home"), self.dir.path().join("user"));
        Publication {
            store: &self.store,
            home: &home,
            by: PublishingWorkflow { workflow: "w", dir: &dir },
            items: &items,
            protected: &self.protected,
            replace: self.replace,
        }
        .run(&mut db::open_writer(&home).unwrap())
        .map_err(|error| error.to_string())
    }

    fn put(&self, path: &str, tree: Tree) -> Result<Vec<String>, String> {
        self.all(vec![(path, tree)])
    }
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

#[test]
fn a_file_is_placed_left_alone_renewed_and_mended() {
    let p = project();
    assert_eq!(p.put("out/r.txt", p.file("one")).unwrap(), [""; 0]);
    let first = inode(&p.path("out/r.txt"));
    p.put("out/r.txt", p.file("one")).unwrap();
    assert_eq!(inode(&p.path("out/r.txt")), first, "left alone");
    assert_eq!(p.put("out/r.txt", p.file("two")).unwrap(), [""; 0]);
    assert_eq!(p.read("out/r.txt"), "two");
    p.write("out/r.txt", "edited");
    let notes = p.put("out/r.txt", p.file("two")).unwrap();
    assert!(notes[0].contains("out/r.txt was edited after it was published: replaced"), "{notes:?}");
    assert_eq!(p.read("out/r.txt"), "two");
    fs::remove_file(p.path("out/r.txt")).unwrap();
    assert_eq!(p.put("out/r.txt", p.file("two")).unwrap(), [""; 0]);
    assert_eq!(p.read("out/r.txt"), "two");
    fs::set_permissions(p.path("out/r.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    p.put("out/r.txt", p.file("two")).unwrap();
    assert_eq!(fs::metadata(p.path("out/r.txt")).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(p.names("out"), ["r.txt"], "nothing is left beside it");
}

#[test]
fn a_users_file_is_in_the_way_until_it_is_equal_or_given_up() {
    let mut p = project();
    p.write("r.txt", "mine");
    let problem = p.put("r.txt", p.file("new")).unwrap_err();
    assert!(problem.contains("r.txt (runner did not put it there)"), "{problem}");
    assert!(problem.contains("--replace-outputs"), "{problem}");
    assert_eq!(p.read("r.txt"), "mine");
    p.put("r.txt", p.file("mine")).unwrap();
    p.put("r.txt", p.file("new")).unwrap();
    assert_eq!(p.read("r.txt"), "new", "an equal file was taken over");
    p.write("s.txt", "mine");
    p.replace = true;
    p.put("s.txt", p.file("new")).unwrap();
    assert_eq!(p.read("s.txt"), "new");
}

#[test]
fn a_folder_keeps_what_is_not_ours_and_loses_what_left_the_result() {
    let p = project();
    p.write("out/mine.txt", "mine");
    p.write("out/.git/config", "mine");
    p.put("out", p.dir(&[("a", "1"), ("b", "1"), ("sub/c", "1"), ("sub/deep/d", "1")])).unwrap();
    assert_eq!(p.names("out"), [".git", "a", "b", "mine.txt", "sub"]);
    let notes = p.put("out", p.dir(&[("a", "2"), ("new/e", "2")])).unwrap();
    assert_eq!((p.names("out").join(" "), notes.len()), (".git a mine.txt new".into(), 0));
    assert_eq!(
        (p.read("out/a"), p.read("out/mine.txt"), p.read("out/.git/config")),
        ("2".into(), "mine".into(), "mine".into())
    );
    p.write("out/new/e", "edited");
    p.write("out/new/own", "mine");
    let notes = p.put("out", p.dir(&[("a", "3")])).unwrap();
    assert!(notes[0].contains("new/e was edited after it was published: no longer part"), "{notes:?}");
    assert_eq!((p.read("out/new/e"), p.read("out/new/own")), ("edited".into(), "mine".into()));
}

#[test]
fn a_refusal_touches_nothing() {
    let p = project();
    p.put("out", p.dir(&[("a", "1"), ("b", "1")])).unwrap();
    p.write("out/c", "mine");
    p.write("out/e", "mine");
    let problem = p.put("out", p.dir(&[("a", "2"), ("c", "2"), ("e", "2")])).unwrap_err();
    assert!(
        problem.contains("out/c (runner did not put it there), ") && problem.contains("out/e ("),
        "{problem}"
    );
    assert_eq!((p.read("out/a"), p.read("out/b"), p.read("out/c")), ("1".into(), "1".into(), "mine".into()));
}

#[test]
fn the_project_itself_can_be_the_folder() {
    let mut p = project();
    let workflow = p.write("flow.toml", "mine");
    p.write(".git/HEAD", "mine");
    p.protected.add(&workflow, false, "the workflow file".into());
    p.put(".", p.dir(&[("a", "1")])).unwrap();
    assert_eq!(p.names("."), [".git", "a", "flow.toml"]);
    p.replace = true;
    let problem = p.put(".", p.dir(&[("a", "2"), ("flow.toml", "2")])).unwrap_err();
    assert!(problem.contains("flow.toml (it is the workflow file)"), "{problem}");
    assert!(!problem.contains("take it over"), "{problem}");
    assert_eq!((p.read("a"), p.read("flow.toml")), ("1".into(), "mine".into()));
    // An equal one is left alone, and does not become ours.
    p.put(".", p.dir(&[("a", "2"), ("flow.toml", "mine")])).unwrap();
    assert!(p.put(".", p.dir(&[("flow.toml", "3")])).is_err());
    p.put(".", p.dir(&[("b", "2")])).unwrap();
    assert_eq!(p.names("."), [".git", "b", "flow.toml"]);
}

#[test]
fn files_of_an_input_directory_are_not_taken_over() {
    let mut p = project();
    p.write("data/x", "mine");
    p.protected.add(&p.path("data"), true, "the input `d`".into());
    assert_eq!(p.protected.names(&p.path("data")), Some("the input `d`"));
    p.replace = true;
    let problem = p.put("data", p.dir(&[("x", "new")])).unwrap_err();
    assert!(problem.contains("x (it lies in the input `d`)"), "{problem}");
    p.put("data/out", p.file("1")).unwrap();
    p.put("data/out", p.file("2")).unwrap();
    assert_eq!((p.read("data/x"), p.read("data/out")), ("mine".into(), "2".into()));
}

#[test]
fn links_to_folders_are_followed_and_other_links_are_the_users() {
    let mut p = project();
    p.write("elsewhere/mine", "mine");
    symlink("elsewhere", p.path("out")).unwrap();
    p.put("out", p.dir(&[("a", "1"), ("s/b", "1")])).unwrap();
    p.put("out/c", p.file("1")).unwrap();
    assert!(fs::symlink_metadata(p.path("out")).unwrap().is_symlink());
    assert_eq!(p.names("elsewhere"), ["a", "c", "mine", "s"]);
    p.put("out", p.dir(&[("a", "2")])).unwrap();
    assert_eq!(
        (p.names("elsewhere"), p.read("out/a")),
        (vec!["a".into(), "c".into(), "mine".into()], "2".into())
    );
    p.write("precious", "mine");
    symlink("precious", p.path("report")).unwrap();
    let problem = p.put("report", p.file("new")).unwrap_err();
    assert!(problem.contains("report (it is a link that runner did not put there)"), "{problem}");
    p.replace = true;
    p.put("report", p.file("new")).unwrap();
    assert_eq!((p.read("precious"), p.read("report")), ("mine".into(), "new".into()));
    symlink("nowhere", p.path("dangling")).unwrap();
    assert!(p.put("dangling/x", p.file("new")).is_err());
    p.replace = false;
    // A link in place of our own file is the user's as well.
    fs::remove_file(p.path("report")).unwrap();
    symlink("precious", p.path("report")).unwrap();
    assert!(p.put("report", p.file("newer")).is_err());
    assert_eq!(p.read("precious"), "mine");
}

#[test]
fn outputs_inside_of_each_other_are_both_placed() {
    let p = project();
    for (inner, outer) in [("1", "1"), ("2", "1"), ("2", "2")] {
        let items = vec![("o/b.txt", p.file(inner)), ("o", p.dir(&[("a.txt", outer)]))];
        assert_eq!(p.all(items).unwrap(), [""; 0]);
        assert_eq!((p.read("o/a.txt"), p.read("o/b.txt")), (outer.into(), inner.into()));
    }
    let items = vec![("o/b.txt", p.file("x")), ("o", p.dir(&[("b.txt", "y")]))];
    let problem = p.all(items).unwrap_err();
    assert!(problem.contains("outputs `o/b.txt` and `o` both put something at"), "{problem}");
    p.all(vec![("o/b.txt", p.file("x")), ("o", p.dir(&[("b.txt", "x")]))]).unwrap();
    assert_eq!(p.read("o/b.txt"), "x");
    let problem = p.all(vec![("f", p.file("x")), ("f/g", p.file("y"))]).unwrap_err();
    assert!(
        problem.contains("output `f` puts a file at") && problem.contains("`f/g` needs a folder"),
        "{problem}"
    );
}

#[test]
fn the_kind_of_an_output_may_change_as_long_as_all_of_it_is_ours() {
    let p = project();
    p.put("o", p.dir(&[("a", "1"), ("s/b", "1")])).unwrap();
    p.put("o", p.file("file")).unwrap();
    assert_eq!(p.read("o"), "file");
    p.put("o", p.dir(&[("a", "2")])).unwrap();
    assert_eq!(p.read("o/a"), "2");
    p.write("o/mine", "mine");
    let problem = p.put("o", p.file("file")).unwrap_err();
    assert!(problem.contains("o/mine (runner did not put it into"), "{problem}");
    fs::remove_file(p.path("o/mine")).unwrap();
    p.write("o/a", "edited");
    assert!(p.put("o", p.file("file")).unwrap_err().contains("o/a ("));
    assert_eq!(p.read("o/a"), "edited");
}

#[test]
fn odd_things_and_missing_folders_are_named() {
    let mut p = project();
    p.replace = true;
    p.write("file", "mine");
    let problem = p.put("file/x", p.file("new")).unwrap_err();
    assert!(problem.contains("file is not a folder"), "{problem}");
    fs::create_dir(p.path("folder")).unwrap();
    let problem = p.put("folder", p.file("new")).unwrap_err();
    assert!(problem.contains("folder (it is a folder)"), "{problem}");
    rustix::fs::mknodat(rustix::fs::CWD, p.path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let problem = p.put("fifo", p.file("new")).unwrap_err();
    assert!(problem.contains("fifo (a FIFO is there)"), "{problem}");
    assert_eq!(p.names("."), ["fifo", "file", "folder"]);
}

#[test]
fn a_crash_between_record_and_file_neither_loses_nor_takes_a_file() {
    let p = project();
    p.put("r", p.file("one")).unwrap();
    let home = p.dir.path().join("home");
    let db = db::open_writer(&home).unwrap();
    let content = |text: &str| PlacedContent::File(crate::core::digest::Digest::of(text));
    // As a run leaves it that was killed behind `intend`.
    let by = PublishingWorkflow { workflow: "w", dir: &p.dir.path().join("user") };
    let path = fs::canonicalize(p.path(".")).unwrap().join("r");
    let row = PublishedRow {
        root: path.clone(),
        content: content("two"),
        previous: Some(content("one")),
        placed: false,
    };
    record::write(&db, by, &path, &row).unwrap();
    p.put("r", p.file("three")).unwrap();
    assert_eq!(p.read("r"), "three");
    record::write(&db, by, &path, &row).unwrap();
    p.write("r", "the user's, who came first");
    assert!(p.put("r", p.file("three")).is_err());
    p.write("r", "two");
    p.put("r", p.file("three")).unwrap();
    assert_eq!(p.read("r"), "three");
}

#[test]
fn a_moved_project_goes_on() {
    let p = project();
    p.put("out", p.dir(&[("a", "1"), ("b", "1")])).unwrap();
    let moved = p.dir.path().join("moved");
    fs::rename(p.path(""), &moved).unwrap();
    let items =
        [Item { output: "o".into(), path: moved.join("out"), tree: p.dir(&[("a", "2"), ("b", "2")]) }];
    let publish = |workflow: &str| {
        Publication {
            store: &p.store,
            home: &p.dir.path().join("home"),
            by: PublishingWorkflow { workflow, dir: &moved },
            items: &items,
            protected: &p.protected,
            replace: false,
        }
        .run(&mut db::open_writer(&p.dir.path().join("home")).unwrap())
    };
    assert!(publish("other").is_err(), "another workflow's");
    publish("w").unwrap();
    assert_eq!(fs::read_to_string(moved.join("out/b")).unwrap(), "2");
}

#[test]
fn folders_of_files_are_merged_as_directories_are() {
    let p = project();
    let file = |text: &str| match p.file(text) {
        Tree::File(artifact) => artifact,
        _ => unreachable!("a file"),
    };
    let tree = |texts: &[&str]| {
        Tree::Folder(texts.iter().map(|text| (format!("{text}.csv"), file(text), false)).collect())
    };
    p.write("all/mine", "mine");
    p.put("all", tree(&["a", "b"])).unwrap();
    assert_eq!(p.names("all"), ["a.csv", "b.csv", "mine"]);
    p.put("all", tree(&["b", "c"])).unwrap();
    assert_eq!(p.names("all"), ["b.csv", "c.csv", "mine"]);
    p.put("all", tree(&[])).unwrap();
    assert_eq!(p.names("all"), ["mine"]);
}

#[test]
fn a_record_that_cannot_be_used_is_told_apart_from_what_is_in_the_way() {
    let p = project();
    p.write("mine", "mine");
    let home = p.dir.path().join("home");
    let mut db = db::open_writer(&home).unwrap();
    let mut publish = |path: &str| {
        let items = [Item { output: "o".into(), path: p.path(path), tree: p.file("new") }];
        let by = PublishingWorkflow { workflow: "w", dir: p.dir.path() };
        Publication {
            store: &p.store,
            home: &home,
            by,
            items: &items,
            protected: &p.protected,
            replace: false,
        }
        .run(&mut db)
    };
    assert!(matches!(publish("mine"), Err(PublishError::Refused(_))));
    assert!(matches!(publish("mine/below"), Err(PublishError::Failed(_))));
    publish("new").unwrap();
    db::open_writer(&home).unwrap().execute_batch("ALTER TABLE published RENAME TO gone").unwrap();
    assert!(matches!(publish("other"), Err(PublishError::Record(_))));
}
