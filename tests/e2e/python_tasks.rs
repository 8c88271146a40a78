//! `python = "FILE.py:FUNCTION"`: functions as tasks, with their hints as the interface and their code as the version.

use std::fs;

use crate::common::Lab;
use crate::common::python::one;

const PIPELINE: &str = r#"
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from helper import scale

COUNT = "@COUNT@"


@dataclass
class Conf:
    rate: float
    steps: int = 2


class Split(NamedTuple):
    train: list[int]
    test: list[int]


def note(word):
    with open(COUNT, "a") as file:
        file.write(word + "\n")


def load(rows: Path) -> list[int]:
    """Reads numbers."""
    note("load")
    return [int(line) for line in rows.read_text().split()]


def split(numbers: list[int], at: int = 2) -> Split:
    note("split")
    return Split(numbers[:at], numbers[at:])


def train(numbers: list[int], conf: Conf, mode: Literal["plain", "odd"] = "plain", seed: int | None = None) -> float:
    note("train")
    return scale(sum(numbers)) * conf.rate


async def report(score: float, name: str) -> tuple[Path, str]:
    note("report")
    path = Path(f"{name}.txt")
    path.write_text(f"{score}\n")
    return path, name.upper()


def unused():
    return 1
"#;

const FLOW: &str = r#"
[workflow]
name = "demo"
[inputs]
rows = "file"
[defaults]
cache = true
[tasks.load]
python = "pipeline.py:load"
[tasks.split]
python = "pipeline.py:split"
[tasks.train]
python = "pipeline.py:train"
outputs = ["score"]
[tasks.report]
python = "pipeline.py:report"
outputs = ["page", "title"]
[nodes.load]
inputs = { rows = "{{ inputs.rows }}" }
[nodes.split]
inputs = { numbers = "{{ load.result }}" }
[nodes.train]
inputs = { numbers = "{{ split.train }}", conf = { rate = 0.5 } }
[nodes.report]
inputs = { score = "{{ train.score }}", name = "first" }
[outputs]
page = "{{ report.page }}"
title = "{{ report.title }}"
rest = "{{ split.test }}"
"#;

const HELPER: &str = "FACTOR = 10\n\n\ndef scale(x):\n    return x * FACTOR\n";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("pipeline.py", PIPELINE);
    lab.write("helper.py", HELPER);
    lab.write("flow.toml", FLOW);
    lab.write("rows.txt", "1 2 3\n");
    lab
}

const ROWS: [&str; 2] = ["-i", "rows=rows.txt"];

/// What `check` says of such a workflow, which has a mistake.
#[track_caller]
fn mistake(code: &str, task: &str, expected: &[&str]) {
    let lab = one(code, task, "");
    let said = lab.run(&["check", "flow.toml"]).expect_code(2).err;
    for words in expected {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}

#[test]
fn functions_run_as_tasks_with_their_hints_as_the_interface() {
    let lab = lab();
    let done = lab.run(&[&["exec", "flow.toml"][..], &ROWS].concat()).expect_code(0);
    assert!(done.out.contains("title = \"FIRST\"") && done.out.contains("rest = [3]"), "{}", done.out);
    let page =
        done.out.lines().find_map(|line| line.strip_prefix("page = \"")).unwrap().trim_end_matches('"');
    assert!(page.ends_with("/first.txt"), "{page}");
    assert_eq!(fs::read_to_string(page).unwrap(), "15.0\n");
    assert!(!lab.path("__pycache__").exists());
    let again = lab.ok("flow.toml", &ROWS);
    for node in ["load", "split", "train", "report"] {
        assert_eq!(again.cache(node), "hit");
        assert_eq!(lab.ran_as(node), 1);
    }
}

#[test]
fn only_what_a_function_reaches_is_in_its_version() {
    let lab = lab();
    lab.ok("flow.toml", &ROWS);
    // Comments, layout, docstrings, order, and what is not reached.
    let moved = PIPELINE
        .replace("    \"\"\"Reads numbers.\"\"\"\n", "    # Reads.\n\n")
        .replace("def unused():\n    return 1\n", "def unused():\n    return 2\n");
    lab.write("pipeline.py", &moved);
    lab.write("helper.py", "def scale(x):\n    return (x *\n        FACTOR)\n\nFACTOR = 10\n");
    let again = lab.ok("flow.toml", &ROWS);
    for node in ["load", "split", "train", "report"] {
        assert_eq!(again.cache(node), "hit", "{node}");
    }
    lab.write("helper.py", &HELPER.replace("FACTOR = 10", "FACTOR = 20"));
    let why = lab.run(&[&["why", "flow.toml", "train"][..], &ROWS].concat()).expect_code(0);
    assert!(why.out.contains("FACTOR in helper.py changed"), "{}", why.out);
    let edited = lab.ok("flow.toml", &ROWS);
    assert_eq!(["load", "split", "train"].map(|node| edited.cache(node)), ["hit", "hit", "populated"]);
    assert_eq!(lab.ran_as("train"), 2);
    assert_eq!(lab.ran_as("load"), 1);
}

#[test]
fn an_edit_under_a_pinned_version_is_a_hit_that_names_the_definitions() {
    let code = "def g(x):\n    return x + 1\ndef f(x: int) -> int:\n    return g(x)\n";
    let lab = one(code, "cache = true\ncache_version = '1'", "inputs = { x = 1 }");
    lab.ok("flow.toml", &[]);
    lab.write("f.py", &code.replace("x + 1", "x + 2"));
    let done = lab.ok("flow.toml", &[]);
    assert_eq!(done.cache("f"), "hit");
    assert!(done.warnings().contains("`g in f.py` changed"), "{}", done.warnings());
    let checked = lab.run(&["check", "flow.toml"]).expect_code(0);
    assert!(checked.err.contains("`g in f.py` changed"), "{}", checked.err);
}

#[test]
fn an_unchanged_workflow_starts_no_python() {
    let lab = lab();
    lab.write("env/bin/python", "#!/bin/sh\necho python >> \"@COUNT@\"\nexec python3 \"$@\"\n");
    make_executable(&lab, "env/bin/python");
    let args = [&ROWS[..], &["--python-env", "env"]].concat();
    lab.ok("flow.toml", &args);
    assert_eq!(lab.ran_as("python"), 1, "one question for all functions; calls use what it leads to");
    lab.ok("flow.toml", &args);
    lab.run(&[&["plan", "flow.toml"], &args[..]].concat()).expect_code(0);
    lab.run(&["check", "flow.toml", "--python-env", "env"]).expect_code(0);
    assert_eq!(lab.ran_as("python"), 1);
    // A file that stands in front of another one is seen.
    lab.write("helper/__init__.py", HELPER);
    lab.ok("flow.toml", &args);
    assert_eq!(lab.ran_as("python"), 2);
}

fn make_executable(lab: &Lab, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(lab.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn no_code_of_the_user_runs_before_the_run() {
    let code = "open('@COUNT@', 'a').write('loaded ')\ndef f(x: int) -> int:\n    return x\n";
    let lab = one(code, "cache = true", "inputs = { x = 1 }");
    lab.run(&["check", "flow.toml"]).expect_code(0);
    lab.run(&["plan", "flow.toml"]).expect_code(0);
    lab.run(&["why", "flow.toml", "f"]).expect_code(0);
    lab.run(&["graph", "flow.toml"]).expect_code(0);
    assert_eq!(lab.ran(), 0);
    lab.ok("flow.toml", &[]);
    assert_eq!(lab.ran(), 1);
}

#[test]
fn an_exception_fails_the_attempt_with_its_last_line() {
    let code = "import json\ndef inner():\n    json.loads('{')\ndef f() -> None:\n    try:\n        inner()\n    \
                except ValueError as error:\n        raise RuntimeError('no luck') from error\n";
    let lab = one(code, "", "");
    let done = lab.exec("flow.toml", &[]).expect_code(1);
    let failed = &done.events("node_finished")[0]["error"];
    assert_eq!((failed["kind"].as_str(), failed["exit_code"].as_i64()), (Some("exit"), Some(1)), "{failed}");
    assert_eq!(failed["message"], "RuntimeError: no luck");
    let log = fs::read_to_string(failed["log"].as_str().unwrap()).unwrap();
    for words in
        ["f.py\", line 3, in inner", "json.loads('{')", "frames in json", "JSONDecodeError", "direct cause"]
    {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("decoder.py") && !log.contains("runner_call"), "{log}");
}

#[test]
fn exit_codes_and_early_ends_are_said() {
    let failed = |code: &str| {
        let lab = one(code, "", "");
        let done = lab.exec("flow.toml", &[]).expect_code(1);
        done.events("node_finished")[0]["error"].clone()
    };
    let error = failed("import sys\ndef f() -> int:\n    sys.exit(7)\n");
    assert_eq!((error["kind"].as_str(), error["exit_code"].as_i64()), (Some("exit"), Some(7)), "{error}");
    let error = failed("import sys\ndef f() -> int:\n    sys.exit()\n");
    assert_eq!(error["kind"], "output", "{error}");
    let error = failed("import os\ndef f() -> int:\n    os._exit(0)\n");
    assert!(error["message"].as_str().unwrap().contains("before it returned"), "{error}");
}

#[test]
fn a_value_that_does_not_fit_is_refused_and_named() {
    let failed = |code: &str, expected: &str| {
        let lab = one(code, "", "");
        let done = lab.exec("flow.toml", &[]).expect_code(1);
        let error = done.events("node_finished")[0]["error"].clone();
        assert_eq!(error["kind"], "output", "{error}");
        assert_eq!(error["message"], expected);
    };
    failed("def f() -> int:\n    return '1'\n", "output `result`: expected int, found a str");
    failed(
        "from dataclasses import dataclass\n@dataclass\nclass Conf:\n    rate: float\ndef f() -> Conf:\n    return Conf('x')\n",
        "output `result.rate`: expected float, found a str",
    );
    failed("def f() -> list[int]:\n    return [1, None]\n", "output `result[1]`: expected int, found None");
    failed(
        "from datetime import datetime\ndef f() -> datetime:\n    return datetime(2026, 1, 1)\n",
        "output `result`: the datetime 2026-01-01 00:00:00 has no time zone: give it one, as in datetime.now(timezone.utc)",
    );
    failed("def f() -> None:\n    return 1\n", "`f` is said to return None, and returned a int");
}

#[test]
fn every_type_goes_in_and_comes_out() {
    let code = r#"
import datetime as dt
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, NamedTuple, Optional, TypedDict

class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"

@dataclass
class Inner:
    day: dt.date

@dataclass
class Conf:
    rate: float
    inner: Inner

class Opened(TypedDict):
    a: int

class Model:
    def __init__(self, n):
        self.n = n

class All(NamedTuple):
    s: str
    i: int
    f: float
    b: bool
    when: dt.datetime
    span: dt.timedelta
    day: dt.date
    color: Color
    path: Path
    folder: Annotated[Path, "dir"]
    numbers: List[float]
    unique: set
    named: Dict[str, int]
    keyed: Dict[int, str]
    nothing: Optional[int]
    conf: Conf
    opened: Opened
    raw: bytes
    model: Model
    many: List[bytes]

def make() -> All:
    folder = Path("folder")
    folder.mkdir()
    (folder / "x").write_text("in it")
    Path("some.txt").write_text("text")
    utc = dt.timezone(dt.timedelta(hours=2))
    return All("text\n", -3, 2, True, dt.datetime(2026, 1, 31, 10, tzinfo=utc), dt.timedelta(seconds=90.5), dt.date(2026, 2, 1),
               Color.BLUE, Path("some.txt"), folder, [1.5, 2], {3, 1}, {"k": 1}, {7: "seven"}, None,
               Conf(0.5, Inner(dt.date(2026, 3, 1))), {"a": 1}, b"\x00raw", Model(5), [b"one", b"two"])

def take(s: str, i: int, f: float, b: bool, when: dt.datetime, span: dt.timedelta, day: dt.date, color: Color, path: Path,
         folder: Annotated[Path, "dir"], numbers: List[float], named: Dict[str, int], keyed: Dict[int, str],
         nothing: Optional[int], conf: Conf, opened: Opened, raw: bytes, model: Model, many: List[bytes]) -> None:
    assert (s, i, f, b) == ("text\n", -3, 2.0, True) and type(f) is float
    assert when == dt.datetime(2026, 1, 31, 8, tzinfo=dt.timezone.utc) and when.utcoffset() == dt.timedelta(0)
    assert span == dt.timedelta(seconds=90.5) and day == dt.date(2026, 2, 1) and color is Color.BLUE
    assert path.name == "some.txt" and path.read_text() == "text" and (folder / "x").read_text() == "in it"
    assert numbers == [1.5, 2.0] and named == {"k": 1} and keyed == {7: "seven"} and nothing is None
    assert conf == Conf(0.5, Inner(dt.date(2026, 3, 1))) and opened == {"a": 1}
    assert raw == b"\x00raw" and model.n == 5 and many == [b"one", b"two"]
"#;
    let lab = Lab::new();
    lab.write("kinds.py", code);
    let names =
        "s i f b when span day color path folder numbers named keyed nothing conf opened raw model many";
    let inputs: Vec<String> =
        names.split(' ').map(|name| format!("{name} = '{{{{ make.{name} }}}}'")).collect();
    let flow = format!(
        "[workflow]\nname = 'kinds'\n[tasks.make]\npython = 'kinds.py:make'\n[tasks.take]\npython = 'kinds.py:take'\n\
         [nodes.make]\n[nodes.take]\n[nodes.take.inputs]\n{}\n",
        inputs.join("\n")
    );
    lab.write("flow.toml", &flow);
    let done = lab.ok("flow.toml", &[]);
    let made =
        done.events("node_finished").into_iter().find(|event| event["node"] == "make").unwrap().clone();
    let outputs = &made["outputs"];
    assert_eq!(outputs["when"], "2026-01-31T08:00:00Z");
    assert_eq!(outputs["unique"], serde_json::json!([1, 3]));
    assert_eq!(outputs["keyed"], serde_json::json!({"7": "seven"}));
    assert_eq!(outputs["model"]["name"], "model.pkl");
    let warned = lab.run(&["check", "flow.toml", "--json"]).expect_code(0).out;
    assert!(warned.contains("pickled-value") && warned.contains("kinds.py"), "{warned}");
}

#[test]
fn declared_inputs_and_outputs_add_to_hints_and_win() {
    let code = "LIMIT = 4\ndef f(x, y: int = 2, k=LIMIT, name: str = 'n'):\n    return x + y + k, name\n";
    let task = "inputs = { x = 'int', k = 'int', name = { type = 'string', one_of = ['n', 'm'] } }\n\
                outputs = { total = 'int', label = 'string' }";
    let lab = one(code, task, "inputs = { x = 1, name = 'm' }");
    let done = lab.ok("flow.toml", &[]);
    let outputs = &done.events("node_finished")[0]["outputs"];
    assert_eq!((outputs["total"].as_i64(), outputs["label"].as_str()), (Some(7), Some("m")), "{outputs}");
    mistake(code, "inputs = { z = 'int' }", &["`f` has no parameter `z`"]);
    mistake("def f(rounds: int) -> int: ...\n", "inputs = { round = 'int' }", &["did you mean `rounds`?"]);
}

#[test]
fn mistakes_in_python_are_shown_with_their_places() {
    mistake(
        "def f(x) -> int:\n    return x\n",
        "",
        &["f.py:1:7", "`x` of `f` has no type", "inputs = { x = \"...\" }"],
    );
    mistake("x = 1\ndef f(a: int):\n    return a\n", "", &["f.py:2:1", "the result of `f` has no type"]);
    mistake("def f(*xs: int) -> None: ...\n", "", &["f.py:1:8", "`*xs` of `f`"]);
    mistake("def f(x, /) -> None: ...\n", "", &["positional only"]);
    mistake("def f() -> tuple[int, str]: ...\n", "", &["f.py:1:12", "outputs = [\"a\", \"b\"]"]);
    mistake(
        "def f(x: Callable) -> None: ...\nfrom typing import Callable\n",
        "",
        &["f.py:1:10", "means nothing here"],
    );
    mistake("def f(x: Unknown) -> None: ...\n", "", &["`Unknown` is not defined in f.py"]);
    mistake("def f(:\n", "", &["f.py:1:7", "Python cannot read this file"]);
    mistake("def g() -> None: ...\n", "", &["f.py has no function `f`", "the functions there are: g"]);
    mistake("class f: ...\n", "", &["is a class, not a function"]);
    mistake("def f(x: int = 'a') -> None: ...\n", "", &["the default of `x` of `f` is no int"]);
    let rename = "call the parameter `learning_rate`; or keep `f` as it is";
    let capital = "`learningRate` of `f` cannot be the name of an input";
    mistake("def f(learningRate: int) -> None: ...\n", "", &["f.py:1:7", capital, rename]);
    let field = "from typing import NamedTuple\nclass R(NamedTuple):\n    XTrain: int\ndef f() -> R: ...\n";
    mistake(field, "", &["the field `XTrain` cannot be the name of an output", "call the field `x_train`"]);
    mistake("def f() -> None: ...\n", "run = 'true'", &["`run` does not go with `python`"]);
    mistake("def f() -> None: ...\n", "cwd = 'workflow'", &["`cwd` does not go with `python`"]);
    mistake("def f() -> None: ...\n", "python_env = 'nowhere'", &["flow.toml:5:14", "there is no Python at"]);
    mistake("def f() -> None: ...\n", "python_start = 'forked'", &["did you mean \"fork\"?"]);
    mistake("def f() -> None: ...\n", "outputs = ['y']", &["`f` returns None, and has no outputs"]);
    let lab = one("def f() -> None: ...\n", "", "");
    lab.write("flow.toml", "[workflow]\nname = 'w'\n[tasks.f]\npython = 'ff.py:f'\n[nodes.f]\n");
    let said = lab.run(&["check", "flow.toml"]).expect_code(2).err;
    assert!(said.contains("flow.toml:4:10") && said.contains("did you mean `f.py`?"), "{said}");
}

#[test]
fn a_module_that_was_loaded_by_a_hidden_name_is_noticed() {
    let code =
        "from importlib import import_module\ndef f() -> int:\n    return import_module('hid' + 'den').X\n";
    let lab = one(code, "cache = true", "");
    lab.write("hidden.py", "X = 1\n");
    let warned = lab.run(&["check", "flow.toml", "--json"]).expect_code(0).out;
    assert!(warned.contains("unseen-code"), "{warned}");
    let done = lab.ok("flow.toml", &[]);
    assert_eq!(done.cache("f"), "miss");
    assert!(done.warnings().contains("hidden.py was loaded"), "{:?}", done.warnings());
    // In `sources` it is in the version.
    let flow = lab.read("flow.toml").replace("cache = true", "cache = true\nsources = ['hidden.py']");
    lab.write("flow.toml", &flow);
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "hit");
    lab.write("hidden.py", "X = 2\n");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
}

#[test]
fn code_that_changes_while_it_runs_is_not_stored() {
    let code = "def f() -> int:\n    with open(__file__, 'a') as file:\n        file.write('# edited\\n')\n    return 1\n";
    let lab = one(code, "cache = true", "");
    let done = lab.ok("flow.toml", &[]);
    assert_eq!(done.cache("f"), "miss");
    assert!(done.warnings().contains("f.py changed while the task ran"), "{:?}", done.warnings());
}

#[test]
fn an_edit_within_a_second_runs_the_new_code() {
    let lab = one("def f() -> int:\n    return 1\n", "cache = true", "");
    for n in [1, 2, 3] {
        lab.write("f.py", &format!("def f() -> int:\n    return {n}\n"));
        let done = lab.ok("flow.toml", &[]);
        assert_eq!(done.events("node_finished")[0]["outputs"]["result"], n);
    }
}

#[test]
fn a_timeout_ends_the_function_and_its_children() {
    let code = "import subprocess\ndef f() -> None:\n    subprocess.run(['sleep', '1000'])\n";
    let lab = one(code, "timeout = '1s'\ngrace = '1s'", "");
    let done = lab.exec("flow.toml", &[]).expect_code(1);
    assert_eq!(done.events("node_finished")[0]["error"]["kind"], "timeout");
    assert_eq!(lab.alive(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_object_that_would_be_read_back_as_a_number_is_refused() {
    let lab = one("def f() -> dict:\n    return {'$serde_json::private::Number': '1'}\n", "", "");
    let done = lab.exec("flow.toml", &[]).expect_code(1);
    let error = &done.events("node_finished")[0]["error"];
    assert_eq!(error["kind"], "output");
    assert!(
        error["message"].as_str().unwrap().contains("what the function returned cannot be read"),
        "{error}"
    );
}

#[test]
fn a_package_is_the_root_of_its_modules() {
    let lab = Lab::new();
    lab.write("shop/__init__.py", "from .tools import twice\n");
    lab.write("shop/tools.py", "def twice(x):\n    return 2 * x\n");
    lab.write("shop/steps/__init__.py", "");
    lab.write("shop/steps/one.py", "from .. import twice\ndef f(x: int) -> int:\n    return twice(x)\n");
    lab.write(
        "flow.toml",
        "[workflow]\nname = 'w'\n[defaults]\ncache = true\n[tasks.a]\npython = 'shop/steps/one.py:f'\n\
         [tasks.b]\npython = 'shop.steps.one:f'\n[nodes.a]\ninputs = { x = 1 }\n[nodes.b]\ninputs = { x = 2 }\n",
    );
    let done = lab.ok("flow.toml", &[]);
    let outputs: Vec<_> =
        done.events("node_finished").iter().map(|event| event["outputs"]["result"].clone()).collect();
    assert!(outputs.contains(&2.into()) && outputs.contains(&4.into()), "{outputs:?}");
    lab.write("shop/tools.py", "def twice(x):\n    return x + x\n");
    assert_eq!(lab.ok("flow.toml", &[]).cache("a"), "populated");
}

#[test]
fn a_past_run_is_shown_and_retried_from_its_record() {
    let lab = one("def f(x: int) -> int:\n    return 1 // x\n", "", "inputs = { x = 0 }");
    lab.exec("flow.toml", &[]).expect_code(1);
    lab.run(&["show", "@last"]).expect_code(0);
    lab.write("f.py", "def f(x: int) -> int:\n    return 1\n");
    lab.run(&["retry", "@last"]).expect_code(0);
    fs::remove_file(lab.path("f.py")).unwrap();
    lab.run(&["logs", "@last"]).expect_code(0);
    lab.run(&["report", "@last", "-o", "run.html"]).expect_code(0);
    assert!(lab.path("run.html").exists());
    let refused = lab.run(&["export", "@last", "f"]).expect_code(2).err;
    assert!(refused.contains("is a Python function"), "{refused}");
}

#[test]
fn a_shell_repeats_the_call() {
    let lab = one(
        "def f(x: int) -> int:\n    print('called with', x)\n    return x + 1\n",
        "",
        "inputs = { x = 3 }",
    );
    lab.ok("flow.toml", &[]);
    let mut shell = lab.command(&["shell", "@last", "f"]);
    let mut shell = shell.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"\"$RUNNER_SCRIPT\"\n").unwrap();
    let done = crate::common::Done::new(shell.wait_with_output().unwrap()).expect_code(0);
    assert!(done.out.contains("called with 3"), "{}", done.out);
}
