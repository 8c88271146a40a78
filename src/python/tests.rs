//! What the description of a function finds, asked of a real Python.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::answer::{FunctionAnswer, PythonFunction};
use super::describe::{FunctionRef, ask};
use super::interpreter::PythonChoice;

/// The functions of a project of these files: name and text.
fn describe(files: &[(&str, &str)], targets: &[&str]) -> Vec<FunctionAnswer> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let interpreter =
        PythonChoice { flag: None, named: None, dir: Path::new("/"), script: None }.find().unwrap();
    let refs = targets.iter().map(|target| FunctionRef { target: (*target).into(), dir: dir.path().into() });
    ask(&interpreter, &super::describe::request(&refs.collect::<Vec<_>>())).unwrap().answers
}

fn described(files: &[(&str, &str)], target: &str) -> PythonFunction {
    let answer = describe(files, &[target]).remove(0);
    *answer.described.unwrap_or_else(|| panic!("{:?}", answer.mistakes))
}

/// The names of all parts of the code that `f` of a.py reaches.
fn parts(files: &[(&str, &str)]) -> BTreeSet<String> {
    described(files, "a.py:f").code.into_keys().collect()
}

#[track_caller]
fn reaches(files: &[(&str, &str)], with: &[&str], without: &[&str]) {
    let parts = parts(files);
    for name in with {
        assert!(parts.contains(*name), "{name} is not in {parts:?}");
    }
    for name in without {
        assert!(!parts.contains(*name), "{name} is in {parts:?}");
    }
}

/// Whether an edit changes the version of `f` of a.py.
fn changes(before: &[(&str, &str)], after: &[(&str, &str)]) -> bool {
    described(before, "a.py:f").code != described(after, "a.py:f").code
}

#[test]
fn names_are_followed_wherever_they_lead() {
    reaches(
        &[("a.py", "def f() -> None:\n    g()\ndef g(): h()\ndef h(): ...\ndef other(): ...\n")],
        &["f in a.py", "g in a.py", "h in a.py"],
        &["other in a.py"],
    );
    let b = ("b.py", "K = 1\ndef g(): return K\ndef other(): ...\n");
    let texts = [
        "import b\ndef f() -> None:\n    b.g()\n",
        "import b as c\ndef f() -> None:\n    c.g()\n",
        "from b import g\ndef f() -> None:\n    g()\n",
        "from b import g as h\ndef f() -> None:\n    h()\n",
        "from b import *\ndef f() -> None:\n    g()\n",
        "def f() -> None:\n    from b import g\n    g()\n",
        "def f() -> None:\n    import b\n    b.g()\n",
        "import b\ndef f(x: int = b.g()) -> None: ...\n",
        "import b\nX = [b.g]\ndef f() -> None:\n    X[0]()\n",
        "import b\nclass A:\n    def m(self): b.g()\ndef f() -> None:\n    A().m()\n",
        "import b\nclass A:\n    go = staticmethod(b.g)\nclass B(A): ...\ndef f() -> None:\n    B.go()\n",
        "import b\ndef f(x: 'b.g') -> None: ...\n",
        "try:\n    import b\nexcept ImportError:\n    b = None\ndef f() -> None:\n    b.g()\n",
    ];
    for text in texts {
        let hinted = text.replace("x: 'b.g'", "x: 'list[b.T]'");
        let b = ("b.py", "T = int\nK = 1\ndef g(): return K\ndef other(): ...\n");
        match hinted == text {
            true => reaches(&[("a.py", text), b], &["g in b.py", "K in b.py"], &["other in b.py"]),
            false => reaches(&[("a.py", &hinted), b], &["T in b.py"], &["other in b.py"]),
        }
    }
    // A file of the project stands in front of a module of Python.
    reaches(
        &[
            ("a.py", "import queue, os\ndef f() -> None:\n    queue.g()\n"),
            ("queue.py", "def g(): ...\n"),
            ("os.py", ""),
        ],
        &["g in queue.py"],
        &[],
    );
    // A module as a value counts whole.
    reaches(
        &[("a.py", "import b\ndef f() -> None:\n    print(vars(b))\n"), b],
        &["g in b.py", "other in b.py"],
        &[],
    );
}

#[test]
fn packages_relative_imports_and_what_they_load() {
    let files = [
        ("p/__init__.py", "from .one import g\nprint('loaded')\n"),
        ("p/one.py", "from . import two\ndef g(): return two.h()\n"),
        ("p/two.py", "from ..p.three import deep as h\n"),
        ("p/three.py", "def deep(): ...\ndef other(): ...\n"),
        ("a.py", "import p\ndef f() -> None:\n    p.g()\n"),
    ];
    reaches(
        &files,
        &["g in p/one.py", "deep in p/three.py", "module statements in p/__init__.py"],
        &["other in p/three.py"],
    );
}

#[test]
fn statements_that_act_count_and_main_does_not() {
    let with = |line: &str| {
        changes(
            &[("a.py", "import b\ndef f() -> None: ...\n"), ("b.py", "")],
            &[("a.py", "import b\ndef f() -> None: ...\n"), ("b.py", line)],
        )
    };
    for line in [
        "print(1)\n",
        "for i in [1]: x = i\n",
        "import os\nos.sep = 'x'\n",
        "X = open('y').read()\n",
        "REG = []\ndef reg(g):\n    REG.append(g)\n    return g\n@reg\ndef h(): ...\n",
        "if 1 > 2:\n    print(1)\n",
        "class A:\n    def __init_subclass__(cls): ...\nclass B(A): ...\n",
        "def made(): ...\nclass A:\n    x = made()\n",
        "def made(): ...\ndef h(x=made()): ...\n",
    ] {
        assert!(with(line), "{line}");
    }
    for line in [
        "X = 1\n",
        "def g(): ...\n",
        "class A: ...\n",
        "if __name__ == '__main__':\n    print(1)\n",
        "'''doc'''\n",
    ] {
        assert!(!with(line), "{line}");
    }
}

#[test]
fn layout_is_not_code_and_everything_else_is() {
    let before = "def f() -> None:\n    '''Doc.'''\n    g(1)\ndef g(x): return x + K\nK = 1\n";
    let same =
        "# c\nK = 1\n\n\ndef g(x):\n    return (x\n            + K)\ndef f() -> None:\n    # c\n    g(1)\n";
    assert!(!changes(&[("a.py", before)], &[("a.py", &same.replace("    # c\n", "    '''Other.'''\n"))]));
    for (from, to) in
        [("K = 1", "K = 2"), ("x + K", "x - K"), ("g(1)", "g(2)"), ("def g(x)", "def g(x, y=1)")]
    {
        assert!(changes(&[("a.py", before)], &[("a.py", &before.replace(from, to))]), "{from}");
    }
    // A variable of the function stands for nothing outside of it.
    let local = "def f(g: int) -> int:\n    h = g\n    return h\ndef g(): ...\ndef h(): ...\n";
    reaches(&[("a.py", local)], &[], &["g in a.py", "h in a.py"]);
}

#[test]
fn what_cannot_be_seen_is_warned_of() {
    let code = "import importlib\nimport nowhere_to_be_found\ndef f() -> None:\n    exec('1')\n    importlib.import_module('x')\n    \
                print(__file__)\n";
    let found = described(&[("a.py", code)], "a.py:f");
    let names: Vec<_> =
        found.warnings.iter().map(|warning| (warning.name.as_str(), warning.place[0])).collect();
    for warning in [("unseen-code", 4), ("unseen-code", 5), ("undeclared-file", 6), ("missing-package", 2)] {
        assert!(names.contains(&warning), "{warning:?} is not in {names:?}");
    }
}

#[test]
fn hints_mean_types() {
    let head = "from __future__ import annotations\nimport datetime, enum, pathlib, typing as t\nfrom collections.abc import Mapping, Sequence\n\
                from dataclasses import dataclass\nfrom pathlib import Path\nfrom typing import *\n\
                class C(enum.Enum):\n    A = 'a'\n    B = 'b'\nclass N(enum.IntEnum):\n    A = enum.auto()\n    B = enum.auto()\n\
                @dataclass\nclass D:\n    x: int\nclass E(D): ...\nclass P: ...\nRows = list[int]\nId = NewType('Id', int)\n";
    for (hint, expected) in [
        ("str", "string"),
        ("int", "int"),
        ("float", "float"),
        ("bool", "bool"),
        ("bytes", "file"),
        ("Path", "file"),
        ("pathlib.Path", "file"),
        ("datetime.datetime", "datetime"),
        ("datetime.date", "date"),
        ("datetime.timedelta", "duration"),
        ("list[int]", "list<int>"),
        ("t.List[str]", "list<string>"),
        ("Sequence[Path]", "list<file>"),
        ("set[int]", "list<int>"),
        ("tuple[int, ...]", "list<int>"),
        ("dict[str, float]", "map<float>"),
        ("Mapping[str, list[int]]", "map<list<int>>"),
        ("dict[int, str]", "json"),
        ("dict", "json"),
        ("list", "json"),
        ("Any", "json"),
        ("int | None", "int?"),
        ("None | str", "string?"),
        ("Optional[Path]", "file?"),
        ("Union[int, None]", "int?"),
        ("int | str", "json"),
        ("Literal['a', 'b']", "string"),
        ("Literal[1, 2]", "int"),
        ("C", "string"),
        ("N", "int"),
        ("D", "json"),
        ("E", "json"),
        ("list[D]", "list<json>"),
        ("P", "file"),
        ("list[P]", "list<file>"),
        ("Rows", "list<int>"),
        ("Id", "int"),
        ("Annotated[Path, 'dir']", "dir"),
        ("Annotated[int, 'any']", "int"),
        ("'list[int]'", "list<int>"),
    ] {
        let code = format!("{head}def f(x: {hint}) -> None: ...\n");
        let found = described(&[("a.py", &code)], "a.py:f");
        assert_eq!(
            found.parameters[0].r#type.as_deref(),
            Some(expected),
            "{hint}: {:?}",
            found.parameters[0].problem
        );
    }
    for hint in ["Callable", "Iterator[int]", "5", "Unknown", "dict[int, Path]", "int | Path", "TypeVar('T')"]
    {
        let code = format!("{head}def f(x: {hint}) -> None: ...\n");
        let found = described(&[("a.py", &code)], "a.py:f");
        assert!(found.parameters[0].problem.is_some(), "{hint}: {:?}", found.parameters[0]);
    }
}
