//! Holds the code to the map in `src/lib.rs`: who may use whom, and how files look.
//!
//! The rules are read from the map's own table, so that map and test cannot drift apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum length of a source file, in lines.
const MAX_FILE_LINES: usize = 500;

/// Each module in the order of the map, with those that it may use.
type Map = Vec<(String, BTreeSet<String>)>;

fn read_map(text: &str) -> Map {
    let mut map = Map::new();
    for line in text.lines() {
        let Some(row) = line.strip_prefix("//! | [`") else { continue };
        let cells: Vec<_> = row.trim_end_matches('|').split(" | ").collect();
        let [name, _, uses] = cells[..] else { panic!("not a row of three cells: {line}") };
        let above: BTreeSet<String> = map.iter().map(|(name, _)| name.clone()).collect();
        let allowed = allowed(uses.trim(), &above);
        map.push((name.trim_end_matches("`]").to_owned(), allowed));
    }
    map
}

/// The modules that a row's last cell names, in the words that the map uses.
fn allowed(uses: &str, above: &BTreeSet<String>) -> BTreeSet<String> {
    if uses == "nothing of ours" {
        return BTreeSet::new();
    }
    let (all, but) = match uses.split_once(" but ") {
        Some((all, but)) => (all, names(but)),
        None => (uses, BTreeSet::new()),
    };
    if all == "everything" || all == "all above" {
        return above.difference(&but).cloned().collect();
    }
    let named = names(all);
    assert!(but.is_empty() && named.is_subset(above), "not only modules above: {uses}");
    named
}

fn names(list: &str) -> BTreeSet<String> {
    list.split([',', ' ']).filter(|name| !name.is_empty() && *name != "and").map(str::to_owned).collect()
}

/// The program's own modules that a source text names by `crate::`, in `use` groups as well.
fn used(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_names(group)),
            None => found.extend(word(rest)),
        }
    }
    found
}

/// The first name of each path in a `use` group whose brace is open already.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut found, mut begins) = (0, Vec::new(), true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !letter.is_whitespace() => {
                found.extend(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

/// The name that `text` begins with, if it begins as a module's does.
fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file with its text, by its path below `src`.
pub(super) fn sources() -> BTreeMap<PathBuf, String> {
    let files = walkdir::WalkDir::new(src()).into_iter().map(|entry| entry.unwrap().into_path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files
        .map(|path| (path.strip_prefix(src()).unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

fn map() -> Map {
    read_map(&fs::read_to_string(src().join("lib.rs")).unwrap())
}

/// The module that a file belongs to; `None` for the crate's own two files.
fn module_of(path: &Path) -> Option<String> {
    let first = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then(|| first.to_owned())
}

#[test]
fn no_module_uses_one_that_the_map_does_not_grant_it() {
    let map: BTreeMap<_, _> = map().into_iter().collect();
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        for other in used(&text) {
            if other != module && map.contains_key(&other) && !map[&module].contains(&other) {
                broken.push(format!("src/{} uses {other}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "the map in src/lib.rs does not grant it:\n{}", broken.join("\n"));
}

#[test]
fn the_map_shows_every_module_and_no_other() {
    let shown: BTreeSet<_> = map().into_iter().map(|(name, _)| name).collect();
    let there: BTreeSet<_> = sources().keys().filter_map(|path| module_of(path)).collect();
    assert_eq!(shown, there);
}

#[test]
fn the_map_grants_nothing_that_no_module_needs() {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        needed.entry(module_of(&path).unwrap_or_default()).or_default().extend(used(&text));
    }
    let table = fs::read_to_string(src().join("lib.rs")).unwrap();
    for (module, allowed) in read_map(&table) {
        let row = table.lines().find(|line| line.starts_with(&format!("//! | [`{module}`]"))).unwrap();
        // Rows in general words grant by layer, not one by one.
        if !row.contains("everything") && !row.contains("all above") {
            let idle: Vec<_> = allowed.difference(&needed[&module]).collect();
            assert!(idle.is_empty(), "{module} may use {idle:?} but does not");
        }
    }
}

#[test]
fn only_the_command_line_knows_arguments_streams_and_exit_codes() {
    const CLI_ONLY: [&str; 7] =
        ["clap::", "println!(", "print!(", "io::stdout()", "io::stderr()", "process::exit", "ExitCode"];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if matches!(module_of(&path).as_deref(), None | Some("cli" | "view")) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines.filter(|line| CLI_ONLY.iter().any(|word| line.contains(word))) {
            broken.push(format!("src/{}: {}", path.display(), line.trim()));
        }
    }
    assert!(broken.is_empty(), "belongs to src/cli:\n{}", broken.join("\n"));
}

/// The runtime panics, or never begins the work, where the system refuses another thread.
#[test]
fn no_work_is_given_to_the_threads_of_the_runtime() {
    let refused = ["spawn_blocking", "block_in_place", "thread::spawn("];
    let users = sources().into_iter().filter(|(path, text)| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        !path.ends_with("tests.rs")
            && !path.iter().any(|part| part == "tests")
            && refused.iter().any(|word| code.contains(word))
    });
    let users: Vec<_> = users.map(|(path, _)| path).collect();
    assert!(users.is_empty(), "core::background begins such work: {users:?}");
}

#[test]
fn the_command_line_asks_operations_and_no_storage() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if module_of(&path).as_deref() == Some("cli") {
            let lines = text.lines().filter(|line| {
                ["storage::", "HomeReader", "HomeWriter", "rusqlite"].iter().any(|word| line.contains(word))
            });
            broken.extend(lines.map(|line| format!("src/{}: {}", path.display(), line.trim())));
        }
    }
    assert!(broken.is_empty(), "belongs behind an operation in src/ops:\n{}", broken.join("\n"));
}

/// One for each verb of the command line.
const NAME_OF_EACH_VERB: &str = "Args";

/// The names of public types that a text declares.
fn declared(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let rest = code.lines().filter_map(|line| {
        let line = line.trim_start().strip_prefix("pub")?;
        let line = if line.starts_with('(') { line.split_once(')')?.1 } else { line };
        ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| line.trim_start().strip_prefix(word))
    });
    rest.map(|name| name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()).collect()
}

#[test]
fn one_type_name_stands_for_one_thing() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (path, text) in sources() {
        for name in declared(&text) {
            places.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
    places.retain(|name, places| places.len() > 1 && name != NAME_OF_EACH_VERB);
    assert!(places.is_empty(), "a public type of this name exists already: {places:#?}");
}

/// Files of the home are opened in `own_file`, its folders in `own_folder`: whatever else stands there is refused, and nothing
/// waits for a FIFO. The files named here open what users or tasks named, and make what they are given.
#[test]
fn only_one_place_opens_files_of_the_home() {
    let opens = [
        "File::open(",
        "File::create",
        "File::options(",
        "OpenOptions::new(",
        "fs::read(",
        "fs::write(",
        "fs::read_to_string(",
        "fs::copy(",
        "openat(",
    ];
    let others = [
        "own_file.rs",
        "own_folder.rs",
        "removal.rs",
        "user_file.rs",
        "store/stat.rs",
        "store/shared.rs",
        "store/stage.rs",
        "store/publish.rs",
        "store/view.rs",
        "remote/folder.rs",
    ];
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("storage") else { continue };
        let is_test = inside.ends_with("tests.rs") || others.iter().any(|other| inside == Path::new(other));
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code.replace("fs::read_to_string(\"/proc/", "");
        for open in opens.iter().filter(|open| !is_test && code.contains(**open)) {
            // What a task left may have another name elsewhere; it is copied into a new file of ours.
            let is_known = inside == Path::new("store/seal.rs") && *open == "fs::copy(";
            assert!(is_known, "{}: {open}: use storage::own_file or own_folder", inside.display());
        }
    }
}

#[test]
fn every_source_file_says_first_what_it_owns() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(p, _)| p).collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

#[test]
fn no_source_file_is_too_long() {
    let lengths = sources().into_iter().map(|(path, text)| (path, text.lines().count()));
    let long: Vec<_> = lengths.filter(|(_, lines)| *lines > MAX_FILE_LINES).collect();
    assert!(long.is_empty(), "over {MAX_FILE_LINES} lines: {long:?}");
}

#[test]
fn the_scan_finds_every_way_to_name_a_module() {
    let text = "use crate::storage::store::Store;\nuse crate::{db, home::Home, memo::{key, Entry}};\n\
                fn f(x: crate::core::event::Event) {} // crate::comment\npub(crate) use super::graph;";
    let expected = ["core", "db", "home", "memo", "storage"].map(String::from);
    assert_eq!(used(text), BTreeSet::from(expected));
}
