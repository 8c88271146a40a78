//! Holds the modules of each folder of `src` free of circles: of two files side by side at most one uses the other, also by
//! way of others and of names that a `mod.rs` hands on. Who may use whom across folders is held in `architecture.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::architecture::sources;

/// The names of a module from the crate's root on.
type Module = Vec<String>;

/// A module that names another.
type Edge = (Module, Module);

/// What a module names, and what it hands on to others under its own name.
#[derive(Default)]
struct Names {
    used: Vec<String>,
    handed_on: BTreeMap<String, String>,
}

/// The module that a file is; `None` for the crate's own two files and for tests.
fn module_of(path: &Path) -> Option<Module> {
    let mut names: Module = path.iter().map(|name| name.to_string_lossy().replace(".rs", "")).collect();
    if names.iter().any(|name| name == "tests") || ["lib", "main"].contains(&&*names[0]) {
        return None;
    }
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    Some(names)
}

/// The paths of a `use` tree, such as `a::{b, c::{d, e}}`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or(tree).to_owned()];
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, letter) in inside.char_indices().chain([(inside.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = inside[begin..at].trim();
                if !branch.is_empty() {
                    found.extend(paths(&format!("{before}{branch}")));
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// What the code of a module names; its tests are left out.
fn names(text: &str) -> Names {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let (mut names, mut rest) = (Names::default(), String::new());
    for statement in code.split_inclusive(';') {
        let is_use = |line: &&str| {
            let line = line.trim_start();
            line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ")
        };
        let Some(begin) = statement.lines().find(is_use).and_then(|line| statement.find(line)) else {
            rest += statement;
            continue;
        };
        rest += &statement[..begin];
        let (visibility, tree) = statement[begin..].split_once("use ").unwrap_or_default();
        for path in paths(&tree.trim_end_matches(';').replace('\n', " ")) {
            if !visibility.trim().is_empty() {
                let name = path.rsplit("::").next().unwrap_or_default().to_owned();
                names.handed_on.insert(name, path.clone());
            }
            names.used.push(path);
        }
    }
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in rest.match_indices(root) {
            let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            if !rest[..at].ends_with(is_word) {
                let end = rest[at..].find(|c| !is_word(c)).map_or(rest.len(), |end| at + end);
                names.used.push(rest[at..end].trim_end_matches(':').to_owned());
            }
        }
    }
    names
}

/// The module in which what `path` names is written, as `module` sees it; `None` for other crates.
fn target(modules: &BTreeMap<Module, Names>, module: &Module, path: &str, depth: usize) -> Option<Module> {
    let mut segments: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut found = match segments[0] {
        "crate" => Module::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        first => {
            let inside: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            modules.contains_key(&inside).then_some(())?;
            segments.insert(0, "self");
            module.clone()
        }
    };
    let mut rest = segments[1..].iter();
    for segment in rest.by_ref() {
        if *segment == "super" {
            found.pop();
            continue;
        }
        found.push((*segment).to_owned());
        if !modules.contains_key(&found) {
            found.pop();
            let handed_on = modules.get(&found).and_then(|names| names.handed_on.get(*segment));
            return match handed_on {
                Some(path) if depth < 5 => target(modules, &found, path, depth + 1),
                _ => Some(found),
            };
        }
    }
    Some(found)
}

/// Every module that names another.
fn edges(modules: &BTreeMap<Module, Names>) -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for (module, names) in modules {
        let targets = names.used.iter().filter_map(|path| target(modules, module, path, 0));
        edges.extend(targets.filter(|target| target != module).map(|target| (module.clone(), target)));
    }
    edges
}

/// The edges between two entries of a folder that lead on and back.
fn circle<'e>(edges: &'e BTreeSet<Edge>, folder: &[String]) -> Vec<&'e Edge> {
    let side_by_side = |(from, to): &&Edge| {
        let inside = |module: &Module| module.len() > folder.len() && module.starts_with(folder);
        inside(from) && inside(to) && from[folder.len()] != to[folder.len()]
    };
    let inside: Vec<&Edge> = edges.iter().filter(side_by_side).collect();
    let entry = |module: &Module| module[folder.len()].clone();
    let mut next: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in &inside {
        next.entry(entry(from)).or_default().insert(entry(to));
    }
    let leads_to = |from: &String, to: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = open.pop() {
            for after in next.get(&at).into_iter().flatten() {
                if seen.insert(after.clone()) {
                    open.push(after.clone());
                }
            }
        }
        seen.contains(to)
    };
    inside.into_iter().filter(|(from, to)| leads_to(&entry(to), &entry(from))).collect()
}

fn modules<'t>(texts: impl IntoIterator<Item = (&'t Path, &'t str)>) -> BTreeMap<Module, Names> {
    texts.into_iter().filter_map(|(path, text)| Some((module_of(path)?, names(text)))).collect()
}

#[test]
fn no_folder_has_a_circle_of_modules() {
    let sources = sources();
    let modules = modules(sources.iter().map(|(path, text)| (path.as_path(), text.as_str())));
    let edges = edges(&modules);
    let folders: BTreeSet<&[String]> =
        modules.keys().filter_map(|module| module.split_last()).map(|(_, folder)| folder).collect();
    assert!(folders.len() > 20, "the scan finds hardly any folder");
    for folder in folders {
        let name = folder.join("/");
        let circle = circle(&edges, folder);
        let lines: Vec<_> =
            circle.iter().map(|(from, to)| format!("{} uses {}", from.join("/"), to.join("/"))).collect();
        assert!(circle.is_empty(), "src/{name}:\n{}", lines.join("\n"));
    }
}

#[test]
fn a_circle_is_found_however_it_is_named() {
    let texts = [
        ("a/mod.rs", "mod one;\npub use two::Two;\nmod two;\nmod three;\n"),
        ("a/one.rs", "use super::Two;\nfn f() -> crate::a::three::Three {}\n"),
        (
            "a/two.rs",
            "pub struct Two;\n// crate::a::one\n#[cfg(test)]\nmod tests {\n    use super::super::one;\n}\n",
        ),
        ("a/three.rs", "use crate::{a::{one::{self, One}}, b};\n"),
        ("b.rs", "use crate::a::Two;\n"),
    ];
    let modules = modules(texts.map(|(path, text)| (Path::new(path), text)));
    let edges = edges(&modules);
    let module = |name: &str| name.split('/').map(str::to_owned).collect::<Module>();
    let (one, two, three, b) = (module("a/one"), module("a/two"), module("a/three"), module("b"));
    let expected = [(one.clone(), two.clone()), (one.clone(), three.clone()), (b.clone(), two.clone())];
    for edge in expected.iter().chain(&[(three.clone(), one.clone()), (three.clone(), b)]) {
        assert!(edges.contains(edge), "{edge:?} is not among {edges:?}");
    }
    assert!(!edges.contains(&(two, one.clone())), "comments and tests do not count");
    let circle: BTreeSet<_> = circle(&edges, &["a".to_owned()]).into_iter().cloned().collect();
    assert_eq!(circle, BTreeSet::from([(one.clone(), three.clone()), (three, one)]));
}
