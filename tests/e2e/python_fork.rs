//! Python functions in processes that are forked from a warm interpreter: apart from each other, and as well guarded as any
//! command.

use rustix::process::Signal;

use crate::common::Lab;
use crate::common::live::{Live, until};
use crate::common::python::install;

/// A workflow whose nodes all run the function `f` of `f.py`; `task` goes into the task's table.
fn nodes(code: &str, task: &str, names: &[&str]) -> Lab {
    let lab = Lab::new();
    let code = code.replace("@COUNT@", lab.path("count").to_str().unwrap());
    lab.write("f.py", &code);
    let nodes: String = names.iter().map(|name| format!("[nodes.{name}]\ntask = 'f'\n")).collect();
    lab.write("w.toml", &format!("[workflow]\nname = 'w'\n[tasks.f]\npython = 'f.py:f'\n{task}\n{nodes}"));
    lab
}

fn one(code: &str, task: &str) -> Lab {
    nodes(code, task, &["a"])
}

/// What the node's function returned.
fn result(done: &crate::common::Done, node: &str) -> serde_json::Value {
    done.node(node)["outputs"]["result"].clone()
}

/// Counts the loads of the module that it stands in.
const NOTE: &str = "import os\nwith open('@COUNT@', 'a') as file:\n    file.write('loaded\\n')\n";

#[test]
fn functions_share_a_server_and_see_nothing_of_each_other() {
    let code = "import os\nSEEN = []\ndef f() -> list[int]:\n    SEEN.append(1)\n    \
                return [os.getppid(), os.getpid(), os.getpgrp(), len(SEEN)]\n";
    // A dynamic one has a path of its own for the workflow that it may make.
    let lab = nodes(code, "dynamic = true", &["a", "b", "c"]);
    let done = lab.ok("w.toml", &[]);
    let seen: Vec<_> = ["a", "b", "c"].iter().map(|node| result(&done, node)).collect();
    for one in &seen {
        assert_eq!(
            (&one[0], &one[3]),
            (&seen[0][0], &1.into()),
            "one parent, and a list of its own: {seen:?}"
        );
        assert_eq!(one[1], one[2], "it leads a group");
    }
    assert!(seen[0][1] != seen[1][1] && seen[1][1] != seen[2][1]);
    assert!(lab.alive().is_empty(), "the server ends with the run");
    lab.write("w.toml", &lab.read("w.toml").replace("[nodes.a]", "python_start = 'cold'\n[nodes.a]"));
    let cold = result(&lab.ok("w.toml", &[]), "a");
    assert_ne!(cold[0], seen[0][0]);
}

#[test]
fn packages_are_loaded_once_and_those_with_threads_by_each() {
    let threads =
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n";
    for (code, loads) in [(NOTE.to_owned(), 1), (format!("{NOTE}{threads}"), 4)] {
        let lab = nodes(
            "import heavy\nimport threading\ndef f() -> int:\n    return threading.active_count()\n",
            "python_env = 'env'",
            &["a", "b", "c"],
        );
        install(&lab, "heavy.py", &code);
        let done = lab.ok("w.toml", &["-j", "1"]);
        assert_eq!(lab.ran_as("loaded"), loads);
        // A thread does not outlive a fork: who needs it has its own.
        assert_eq!(result(&done, "c"), if loads == 1 { 1 } else { 2 });
        assert!(lab.alive().is_empty());
    }
}

#[test]
fn a_package_that_cannot_be_loaded_fails_where_it_is_used() {
    let lab = one("import heavy\ndef f() -> int:\n    return 1\n", "python_env = 'env'");
    install(&lab, "heavy.py", "raise RuntimeError('no licence')\n");
    let error = lab.exec("w.toml", &[]).expect_code(1).node("a")["error"].clone();
    assert_eq!(error["message"], "RuntimeError: no licence");
}

#[test]
fn random_numbers_are_fresh_unless_the_project_seeds_them() {
    let code = "import random\n# seed\ndef f() -> float:\n    return random.random()\n";
    let lab = nodes(code, "", &["a", "b"]);
    let done = lab.ok("w.toml", &[]);
    assert_ne!(result(&done, "a"), result(&done, "b"));
    lab.write("f.py", &code.replace("# seed", "random.seed(4)"));
    let done = lab.ok("w.toml", &[]);
    assert_eq!(result(&done, "a"), result(&done, "b"));
}

#[test]
fn a_file_of_the_project_stands_in_front_of_what_the_server_has_loaded() {
    // `dataclasses` loads `copy`, which the server has loaded by then.
    let code = "from dataclasses import dataclass\nimport copy\ndef f() -> int:\n    return copy.OWN\n";
    let lab = one(code, "");
    lab.write("copy.py", "OWN = 5\ndef deepcopy(x): return x\n");
    assert_eq!(result(&lab.ok("w.toml", &[]), "a"), 5);
}

#[test]
fn each_environment_has_its_own_variables() {
    let lab = Lab::new();
    lab.write(
        "f.py",
        "import os\ndef f() -> str:\n    return os.environ['WORD'] + os.environ['RUNNER_NODE']\n",
    );
    let task = |name: &str, word: &str| {
        format!("[tasks.{name}]\npython = 'f.py:f'\nenv = {{ WORD = '{word}' }}\n[nodes.{name}]\n")
    };
    lab.write("w.toml", &format!("[workflow]\nname = 'w'\n{}{}", task("a", "one-"), task("b", "two-")));
    let done = lab.ok("w.toml", &[]);
    assert_eq!((result(&done, "a"), result(&done, "b")), ("one-a".into(), "two-b".into()));
}

/// Leaves a process that has forked itself out of its group and session, and has run no program of its own.
const ESCAPE: &str = "
def escape():
    import os, time
    between = os.fork()
    if between == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        time.sleep(600)
        os._exit(0)
    os.waitpid(between, 0)
";

#[test]
fn a_timeout_ends_the_whole_tree_of_a_function() {
    let code = format!(
        "import signal, subprocess, time\n{ESCAPE}\ndef f() -> None:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    \
         subprocess.Popen(['setsid', 'sleep', '600'])\n    \
         subprocess.Popen(['sh', '-c', '(setsid sleep 600 &) ; trap \"\" TERM; while :; do sleep 1; done'])\n    \
         escape()\n    time.sleep(600)\n"
    );
    let lab = one(&code, "timeout = '2s'\ngrace = '100ms'");
    let done = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!(done.node("a")["error"]["kind"], "timeout");
    assert!(lab.alive().is_empty());
}

#[test]
fn what_a_function_leaves_running_is_ended_and_told() {
    let code = format!("{ESCAPE}\ndef f() -> int:\n    escape()\n    return 1\n");
    let lab = one(&code, "");
    let done = lab.ok("w.toml", &[]);
    assert!(done.warnings().contains("left 1 process running"), "{}", done.warnings());
    assert!(lab.alive().is_empty());
}

#[test]
fn there_is_time_to_tidy_up() {
    let code = "import signal, sys, time\ndef told(*_):\n    open('@COUNT@', 'a').write('told\\n')\n    sys.exit(0)\n\
                def f() -> None:\n    signal.signal(signal.SIGTERM, told)\n    print('ready', flush=True)\n    time.sleep(600)\n";
    let lab = one(code, "grace = '1h'");
    let live = Live::start(&lab, "w", &[]);
    live.until("node_started", "a");
    until("it is ready", || lab.run(&["logs", "@last", "a"]).out.contains("ready"));
    live.signal(Signal::INT);
    let node = live.end().expect_code(130).node("a");
    assert_eq!(node["error"]["kind"], "cancelled");
    assert_eq!(lab.ran_as("told"), 1);
    assert!(lab.alive().is_empty());
}

#[test]
fn a_killed_runner_leaves_no_function_running() {
    let code = "import subprocess, time\ndef f() -> None:\n    subprocess.Popen(['sleep', '600'])\n    \
                print('ready', flush=True)\n    time.sleep(600)\n";
    let lab = one(code, "");
    let live = Live::start(&lab, "w", &[]);
    live.until("node_started", "a");
    until("it is ready", || lab.run(&["logs", "@last", "a"]).out.contains("ready"));
    assert!(!lab.alive().is_empty());
    live.signal(Signal::KILL);
    until("the server has ended all", || lab.alive().is_empty());
}

#[test]
fn functions_outlive_their_server() {
    // Without a server the parent is the program itself.
    let code = "import os, signal, time\ndef f() -> int:\n    parent = os.getppid()\n    \
                if b'runner_serve' in open(f'/proc/{parent}/cmdline', 'rb').read():\n        \
                os.kill(parent, signal.SIGKILL)\n        open('@COUNT@', 'a').write('killed\\n')\n    \
                time.sleep(0.2)\n    return 7\n";
    let lab = nodes(code, "", &["a", "b", "c", "d", "e"]);
    let done = lab.ok("w.toml", &["-j", "1"]);
    assert!(["a", "b", "c", "d", "e"].iter().all(|node| result(&done, node) == 7));
    assert!((1..=3).contains(&lab.ran_as("killed")), "{}", lab.ran_as("killed"));
    assert!(lab.alive().is_empty());
}

#[test]
fn a_package_that_hangs_is_called_off() {
    let lab = one(
        "import heavy\ndef f() -> int:\n    return 1\n",
        "python_env = 'env'\ntimeout = '2s'\ngrace = '100ms'",
    );
    install(&lab, "heavy.py", "import subprocess\nsubprocess.run(['sleep', '600'])\n");
    let done = lab.exec("w.toml", &[]).expect_code(1);
    assert_eq!(done.node("a")["error"]["kind"], "timeout");
    assert!(lab.alive().is_empty());
}

#[test]
fn ends_and_what_was_used_are_told() {
    let code = "import os\ndef f() -> int:\n    data = bytearray(200_000_000)\n    for i in range(0, len(data), 4096): data[i] = 1\n    \
                return len(data)\n";
    let lab = one(code, "");
    let node = lab.ok("w.toml", &[]).node("a");
    assert!((150..1000).contains(&(node["peak_memory"].as_u64().unwrap() >> 20)), "{node}");
    assert!(node["cpu_ms"].as_u64().unwrap() > 0, "{node}");
    let lab = one("import os\ndef f() -> None:\n    os.kill(os.getpid(), 9)\n", "");
    assert_eq!(lab.exec("w.toml", &[]).expect_code(1).node("a")["error"]["kind"], "signal");
    let lab = one("import os\ndef f() -> None:\n    os._exit(3)\n", "");
    assert_eq!(lab.exec("w.toml", &[]).expect_code(1).node("a")["error"]["exit_code"], 3);
}

#[test]
fn threads_and_exit_functions_end_before_the_attempt() {
    let code = "import atexit, threading, time\ndef note(word):\n    open('@COUNT@', 'a').write(word + '\\n')\n\
                def later():\n    time.sleep(0.2)\n    note('thread')\n\
                def f() -> int:\n    atexit.register(note, 'exit')\n    threading.Thread(target=later).start()\n    return 1\n";
    let lab = one(code, "");
    lab.ok("w.toml", &[]);
    assert_eq!((lab.ran_as("thread"), lab.ran_as("exit")), (1, 1));
}

#[test]
fn secrets_are_masked_in_what_a_function_prints() {
    let lab = one(
        "import os\ndef f() -> int:\n    print('it is', os.environ['TOKEN_X'])\n    return 1\n",
        "secrets = ['TOKEN_X']",
    );
    let mut command = lab.command(&["exec", "w.toml", "--json"]);
    crate::common::finish(command.env("TOKEN_X", "hidden-word-77")).expect_code(0);
    let log = lab.run(&["logs", "@last", "a"]).expect_code(0).out;
    assert!(log.contains("it is") && !log.contains("hidden-word-77"), "{log}");
}

/// A function that says in which process it runs, and how often it has run there.
const AGAIN: &str = "import os, subprocess\nSEEN = []\ndef f(x: int) -> list[int]:\n    SEEN.append(x)\n    \
                     assert os.environ['RUNNER_INDEX'] == str(x) and os.getcwd().startswith(os.path.dirname(os.environ['OUT']))\n    \
                     print('call', x)\n    # more\n    return [os.getpid(), len(SEEN)]\n";

fn elements(code: &str) -> Lab {
    let lab = one(code, "python_start = 'reuse'");
    let flow = lab.read("w.toml").replace(
        "[nodes.a]\ntask = 'f'",
        "[nodes.a]\ntask = 'f'\nforeach = ['x']\ninputs = { x = [0, 1, 2, 3, 4, 5] }",
    );
    lab.write("w.toml", &flow);
    lab
}

/// The events of its elements, in their order.
fn ended(done: &crate::common::Done) -> Vec<serde_json::Value> {
    let mut all = done.events("node_finished");
    all.retain(|event| !event["index"].is_null());
    all.sort_by_key(|event| event["index"].as_u64());
    all
}

#[test]
fn a_process_makes_one_attempt_after_the_other() {
    let lab = elements(AGAIN);
    let done = lab.ok("w.toml", &["-j", "1"]);
    let seen: Vec<_> = ended(&done).iter().map(|event| event["outputs"]["result"].clone()).collect();
    let counts: Vec<_> = seen.iter().map(|one| one[1].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6], "{seen:?}");
    assert!(lab.alive().is_empty());
    let log = lab.run(&["logs", "@last", "a[3]"]).expect_code(0).out;
    assert_eq!(log, "call 3\n");
}

#[test]
fn a_process_that_failed_or_left_another_is_not_used_again() {
    for (more, code) in [("assert x != 2", 1), ("x == 2 and subprocess.Popen(['sleep', '600'])", 0)] {
        let lab = elements(&AGAIN.replace("# more", more));
        let done = lab.exec("w.toml", &["-j", "1", "-k"]).expect_code(code);
        let seen = ended(&done);
        let last = &seen.last().unwrap()["outputs"]["result"];
        assert_eq!(last[1], 3, "after the third call another process began: {seen:?}");
        assert_eq!(done.warnings().contains("left 1 process running"), code == 0, "{}", done.warnings());
        assert!(lab.alive().is_empty());
    }
}

#[test]
fn a_timeout_ends_a_process_that_is_used_again() {
    let lab = elements(&AGAIN.replace("# more", "x == 2 and __import__('time').sleep(600)"));
    lab.write("w.toml", &lab.read("w.toml").replace("'reuse'", "'reuse'\ntimeout = '2s'"));
    let done = lab.exec("w.toml", &["-j", "1", "-k"]).expect_code(1);
    let kinds: Vec<_> = ended(&done).iter().map(|event| event["error"]["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "timeout").count(), 1, "{kinds:?}");
    assert!(lab.alive().is_empty());
}
