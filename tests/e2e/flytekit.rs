//! Programs written with flytekit, run with a real one. RUNNER_FLYTEKIT names an environment that has flytekit, pandas and
//! pyarrow. Without it these tests are skipped, but not in CI.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common::{Done, Lab, finish};

/// A laboratory whose Python has flytekit.
pub struct FlyteLab {
    lab: Lab,
    env: PathBuf,
}

impl FlyteLab {
    /// Nothing where there is no flytekit.
    pub fn new(program: &str) -> Option<Self> {
        let Some(env) = std::env::var_os("RUNNER_FLYTEKIT").map(PathBuf::from) else {
            assert!(std::env::var_os("CI_RUN").is_none(), "RUNNER_FLYTEKIT is not set");
            eprintln!("skipped: RUNNER_FLYTEKIT is not set");
            return None;
        };
        let lab = Lab::new();
        lab.write("flow.py", program);
        Some(Self { lab, env })
    }

    pub fn run(&self, args: &[&str]) -> Done {
        finish(
            self.lab.command(args).env("RUNNER_PYTHON_ENV", &self.env).env("_FSEC_DB_PASSWORD", "hush-hush"),
        )
    }

    pub fn exec(&self, name: &str, args: &[&str]) -> Done {
        let file = if name.is_empty() { "flow.py".to_owned() } else { format!("flow.py:{name}") };
        self.run(&[&["exec", &file, "--json"], args].concat())
    }
}

const HEAD: &str = "import os\nimport typing\nfrom dataclasses import dataclass\nfrom datetime import datetime, timedelta\n\
    from enum import Enum\nfrom functools import partial\nimport pandas as pd\n\
    from flytekit import *\nfrom flytekit import Workflow\nfrom flytekit.exceptions.user import FlyteRecoverableException\n\
    from flytekit.extras.tasks.shell import OutputLocation, ShellTask\nfrom flytekit.types.directory import FlyteDirectory\n\
    from flytekit.types.file import FlyteFile\nfrom flytekit.types.structured import StructuredDataset\n";

fn lab(program: &str) -> Option<FlyteLab> {
    FlyteLab::new(&format!("{HEAD}{program}"))
}

#[test]
fn values_of_every_kind_go_from_task_to_task() {
    let program = r#"
class Color(Enum):
    RED = "red"
    BLUE = "blue"

@dataclass
class Conf:
    rate: float
    names: typing.Dict[int, str]

class Custom:
    def __init__(self, v):
        self.v = v

class Out(typing.NamedTuple):
    Total: int
    took: timedelta
    at: datetime

@task
def conf(color: Color, rate: float = 0.5) -> Conf:
    return Conf(rate, {1: color.value})

@task
def name_of(conf: Conf) -> str:
    return conf.names[1]

@task
def pickled(n: int) -> Custom:
    return Custom(n)

@task
def named(c: Custom, at: datetime) -> Out:
    return Out(c.v, timedelta(seconds=1.5), at)

@task
def frame(n: int) -> pd.DataFrame:
    return pd.DataFrame({"a": range(n)})

@task
def rows(df: pd.DataFrame) -> StructuredDataset:
    return StructuredDataset(dataframe=pd.DataFrame({"rows": [len(df)]}))

@task
def first(sd: StructuredDataset) -> int:
    return int(sd.open(pd.DataFrame).all()["rows"][0])

@task
def folder(text: str) -> FlyteDirectory:
    os.mkdir("d")
    with open("d/a.txt", "w") as f:
        f.write(text)
    return FlyteDirectory("d")

@task
def inside(d: FlyteDirectory) -> FlyteFile:
    return FlyteFile(os.path.join(d, "a.txt"))

@task
def text_of(f: FlyteFile) -> typing.Union[int, str]:
    return open(f).read()

@task
def kind(v: typing.Union[int, str], o: typing.Optional[int] = None) -> typing.Dict[str, typing.List[str]]:
    return {"kind": [type(v).__name__, str(o)]}

@task
def last(values: typing.List[str], deep: dict) -> dict:
    return {"values": values, "deep": deep}

@workflow
def wf(color: Color, at: datetime, n: int = 3) -> (str, int, timedelta, datetime, int, FlyteFile, typing.Dict[str, typing.List[str]], dict):
    label = name_of(conf=conf(color=color))
    out = named(c=pickled(n=n), at=at)
    f = inside(d=folder(text=label))
    k = kind(v=text_of(f=f))
    deep = last(values=[label, "{{ as it is }}"], deep={"n": [1, 2.5, None]})
    return label, out.Total, out.took, out.at, first(sd=rows(df=frame(n=out.Total))), f, k, deep
"#;
    let Some(lab) = lab(program) else { return };
    let run = lab.exec("wf", &["-i", "color=blue", "-i", "at=2026-01-31T09:00:00+01:00"]).expect_code(0);
    let outputs = run.outputs();
    assert_eq!(outputs["o0"], "blue");
    assert_eq!(outputs["o1"], 3);
    assert_eq!(outputs["o2"], "1s 500ms");
    assert_eq!(outputs["o3"], "2026-01-31T08:00:00Z");
    assert_eq!(outputs["o4"], 3);
    assert_eq!(std::fs::read_to_string(outputs["o5"]["path"].as_str().unwrap()).unwrap(), "blue");
    assert!(outputs["o5"]["path"].as_str().unwrap().ends_with("/a.txt"));
    assert_eq!(outputs["o6"], serde_json::json!({"kind": ["str", "None"]}));
    assert_eq!(
        outputs["o7"],
        serde_json::json!({"values": ["blue", "{{ as it is }}"], "deep": {"n": [1, 2.5, null]}})
    );
    let wrong = lab.exec("wf", &["-i", "color=green", "-i", "at=2026-01-31T09:00:00Z"]).expect_code(2).err;
    assert!(wrong.contains("one of"), "{wrong}");
}

const MAPPED: &str = r#"
@task(cache=True, cache_version="1")
def times(n: int, by: int) -> int:
    return n * by

@task(cache=True, cache_version="1", cache_ignore_input_vars=("note",), cache_serialize=True)
def total(xs: typing.List[int], note: str = "") -> int:
    return sum(xs)

@workflow
def wf(xs: typing.List[int] = [1, 2, 3], note: str = "a") -> int:
    return total(xs=map_task(partial(times, by=10), concurrency=1)(n=xs), note=note)

@workflow
def other(n: int) -> int:
    return times(n=n, by=10)
"#;

#[test]
fn results_are_shared_by_the_name_of_the_task_and_an_unchanged_run_starts_no_python() {
    let Some(lab) = lab(MAPPED) else { return };
    let first = lab.exec("wf", &[]).expect_code(0);
    assert_eq!(first.outputs()["o0"], 60);
    assert_eq!(first.cache("total"), "populated");
    // An element is shared with any other use of the task.
    let other = lab.exec("other", &["-i", "n=2"]).expect_code(0);
    assert_eq!((other.cache("times").as_str(), &other.outputs()["o0"]), ("hit", &20.into()));
    assert_eq!(lab.exec("wf", &["-i", "note=b"]).expect_code(0).cache("total"), "hit");
    // What is known of the program needs no start of Python.
    let python = lab.env.join("bin/python");
    let text = format!(
        "#!/bin/sh\necho start >> {}\nexec {} \"$@\"\n",
        lab.lab.path("starts").display(),
        python.display()
    );
    let own = lab.lab.write("env/bin/python", &text);
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..2 {
        let env = lab.lab.path("env");
        let run = finish(lab.lab.command(&["exec", "flow.py:wf", "--json"]).env("RUNNER_PYTHON_ENV", env));
        assert_eq!(run.expect_code(0).cache("total"), "hit");
        assert_eq!(lab.lab.read("starts"), "start\n");
    }
    // Edited code under the same version is a hit and a warning; another version is a miss.
    let edited = format!("{HEAD}{}", MAPPED.replace("return sum(xs)", "return sum(xs) + 0"));
    lab.lab.write("flow.py", &edited);
    let hit = lab.exec("wf", &[]).expect_code(0);
    assert_eq!(hit.cache("total"), "hit");
    assert!(hit.warnings().contains("total in flow.py"), "{}", hit.warnings());
    lab.lab.write(
        "flow.py",
        &edited.replace("cache_version=\"1\", cache_ignore", "cache_version=\"2\", cache_ignore"),
    );
    assert_eq!(lab.exec("wf", &[]).expect_code(0).cache("total"), "populated");
}

#[test]
fn a_conditional_runs_one_branch_and_what_joins_them_goes_on() {
    let program = r#"
@task
def Big(n: int) -> str:
    return f"big {n}"

@task
def small(n: int) -> str:
    return f"small {n}"

@task
def shout(s: str) -> str:
    return s.upper()

@workflow
def wf(n: int, word: str = "x") -> str:
    s = (
        conditional("size")
        .if_((n > 10) & (word == "x"))
        .then(Big(n=n))
        .elif_(n == 1)
        .then(small(n=n))
        .else_()
        .fail("neither big nor one")
    )
    return shout(s=s)
"#;
    let Some(lab) = lab(program) else { return };
    assert_eq!(lab.exec("", &["-i", "n=11"]).expect_code(0).outputs()["o0"], "BIG 11");
    let run = lab.exec("", &["-i", "n=1"]).expect_code(0);
    assert_eq!(
        (run.outputs()["o0"].as_str(), run.node("Big")["status"].as_str()),
        (Some("SMALL 1"), Some("skipped"))
    );
    let failed = lab.exec("", &["-i", "n=5"]).expect_code(1);
    assert_eq!(failed.node("size_fail")["error"]["message"], "neither big nor one");
}

#[test]
fn only_what_may_recover_is_tried_again_and_a_failure_runs_its_hook() {
    let program = r#"
@task(retries=3)
def flaky(at: str) -> int:
    with open(at, "a") as f:
        f.write("x")
    if os.path.getsize(at) < 3:
        raise FlyteRecoverableException("not yet")
    return os.path.getsize(at)

@task(retries=3)
def broken(n: int) -> int:
    if n:
        raise ValueError("in vain")
    return n

@task
def clean(n: int):
    print("cleaning", n)

@workflow
def recovers(at: str) -> int:
    return flaky(at=at)

@workflow(on_failure=clean)
def fails(n: int) -> int:
    return broken(n=n)

@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def goes_on(n: int, at: str) -> (int, int):
    b = broken(n=n)
    f = flaky(at=at)
    return b, f
"#;
    let Some(lab) = lab(program) else { return };
    let at = format!("at={}", lab.lab.path("tries").display());
    let run = lab.exec("recovers", &["-i", &at]).expect_code(0);
    assert_eq!((&run.outputs()["o0"], &run.node("flaky")["attempts"]), (&3.into(), &3.into()));
    let failed = lab.exec("fails", &["-i", "n=4"]).expect_code(1);
    assert_eq!(failed.node("broken")["attempts"], 1);
    assert_eq!(failed.node("broken")["error"]["message"], "ValueError: in vain");
    assert_eq!(failed.node("clean")["status"], "succeeded");
    let retried = lab.run(&["retry", "@last", "--json"]).expect_code(1);
    assert_eq!(retried.node("broken")["attempts"], 1);
    let both = lab.exec("goes_on", &["-i", "n=4", "-i", &at, "-j", "1"]).expect_code(1);
    assert_eq!(both.node("flaky")["status"], "succeeded");
}

#[test]
fn parts_of_workflows_and_of_tasks_mean_what_they_say() {
    let program = r#"
@task(environment={"GREETING": "hi"}, timeout=timedelta(minutes=2), requests=Resources(cpu="500m", mem="10Mi"),
      secret_requests=[Secret(group="db", key="password")], container_image="some/image:1")
def around(n: int) -> str:
    context = current_context()
    assert context.secrets.get("db", "password") == "hush-hush"
    here = os.path.realpath(context.working_directory) == os.getcwd()
    return f"{os.environ['GREETING']} {context.execution_id.project} {here}"

@task
def add(a: int, b: int = 5) -> int:
    return a + b

@task
def say(x: int):
    print(x)

sh = ShellTask(name="sh", script="echo shell {inputs.x} > {outputs.o}", inputs={"x": int},
               output_locs=[OutputLocation(var="o", var_type=FlyteFile, location="out.txt")])

@workflow
def inner(n: int, label: str = "x") -> int:
    return add(a=n)

plan = LaunchPlan.get_or_create(inner, "nightly", default_inputs={"n": 7}, fixed_inputs={"label": "fixed"},
                                schedule=CronSchedule(schedule="0 2 * * *"))

@workflow
def wf(n: int = 1) -> (str, int, int, int, FlyteFile):
    after = say(x=1)
    before = say(x=2).with_overrides(node_name="before")
    before >> after
    a, b = inner(n=n), inner(n=10)
    return around(n=n), a, b, plan(), sh(x=n)

imp = Workflow(name="made.by_hand")
imp.add_workflow_input("n", int)
node = imp.add_entity(add, a=imp.inputs["n"], b=1)
imp.add_workflow_output("sum", node.outputs["o0"])
"#;
    let Some(lab) = lab(program) else { return };
    let run = lab.exec("wf", &[]).expect_code(0);
    let outputs = run.outputs();
    assert_eq!(outputs["o0"], "hi default True");
    assert_eq!((&outputs["o1"], &outputs["o2"], &outputs["o3"]), (&6.into(), &15.into(), &12.into()));
    assert_eq!(std::fs::read_to_string(outputs["o4"]["path"].as_str().unwrap()).unwrap(), "shell 1\n");
    for node in ["inner/add", "inner_2/add", "nightly/add", "before", "say"] {
        assert_eq!(run.node(node)["status"], "succeeded", "{node}");
    }
    let order: Vec<_> = run.events("node_started").iter().map(|event| event["node"].to_string()).collect();
    let at = |name: &str| order.iter().position(|node| node.contains(name)).unwrap();
    assert!(at("before") < at("say"), "{order:?}");
    assert_eq!(lab.exec("imp", &["-i", "n=4"]).expect_code(0).outputs()["sum"], 5);
    assert_eq!(lab.exec("add", &["-i", "a=4"]).expect_code(0).outputs()["o0"], 9);
    assert_eq!(lab.exec("plan", &[]).expect_code(0).outputs()["o0"], 12);
    let refused = lab.exec("plan", &["-i", "label=z"]).expect_code(2).err;
    assert!(refused.contains("label"), "{refused}");
    let checked = lab.run(&["check", "flow.py:wf"]).expect_code(0).err;
    assert_eq!(checked.matches("no effect here: `container_image`").count(), 1, "{checked}");
    let listed = lab.run(&["schedule", "list", "flow.py:inner", "--json"]).expect_code(0).out;
    assert!(listed.contains("flow.inner/nightly") && listed.contains("0 2 * * *"), "{listed}");
}

#[test]
fn what_cannot_run_is_a_mistake_that_names_it() {
    let program = r#"
@task
def add(a: int) -> int:
    return a

@dynamic
def grows(n: int) -> int:
    return add(a=n)

@workflow
def one(n: int) -> int:
    return add(a=n)

@workflow
def two(n: int) -> int:
    return grows(n=n)

@workflow
def waits(n: int) -> int:
    x = add(a=n)
    s = sleep(timedelta(seconds=1))
    x >> s
    return x

@workflow
def contained(n: int) -> int:
    c = ContainerTask(name="box", image="busybox", command=["true"])
    c()
    return add(a=n)
"#;
    let Some(lab) = lab(program) else { return };
    let said = |args: &[&str]| lab.run(args).expect_code(2).err;
    let several = said(&["check", "flow.py"]);
    assert!(
        several.contains("flow.py has 4 workflows") && several.contains("flow.py:one, flow.py:two"),
        "{several}"
    );
    let missing = said(&["check", "flow.py:on"]);
    assert!(missing.contains("no workflow, task or launch plan `on`: did you mean `one`?"), "{missing}");
    for (name, part) in [
        ("two", "node `grows`: `@dynamic`"),
        ("waits", "`sleep`"),
        ("contained", "node `box`: a ContainerTask"),
    ] {
        let text = said(&["check", &format!("flow.py:{name}")]);
        assert!(text.contains(part) && text.contains("flow.py:"), "{text}");
    }
    lab.lab.write("flow.py", "import flytekit\ndef f():\n    raise ValueError('at import')\nf()\n");
    let raised = said(&["check", "flow.py"]);
    assert!(raised.contains("ValueError: at import") && raised.contains("flow.py:3"), "{raised}");
    let bare = finish(lab.lab.command(&["check", "flow.py"]).env("RUNNER_PYTHON_ENV", "/usr/bin/python3"));
    let bare = bare.expect_code(2).err;
    assert!(bare.contains("flytekit") || bare.contains("no Python"), "{bare}");
}

#[test]
fn the_example_runs() {
    let Some(lab) = lab("") else { return };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.lab.write("flow.py", &std::fs::read_to_string(root.join("workflows/sales/sales.py")).unwrap());
    assert_eq!(lab.exec("", &[]).expect_code(0).outputs()["o0"], "1873 sold: well done");
    let missed = lab.exec("nightly", &["-i", "goal=2000"]).expect_code(0);
    assert_eq!(
        (missed.outputs()["o0"].as_str(), missed.cache("total").as_str()),
        (Some("only 1873 sold"), "hit")
    );
    assert_eq!(lab.exec("sales_of", &["-i", "shop=north"]).expect_code(0).outputs()["o0"], 555);
}
