//! Text of tasks, files and names never steers the terminal: no control character, C1 ones included, and no mark that
//! reorders text leaves any verb.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{ends, ends_by_itself};
use crate::common::Lab;
use crate::common::trial::Trial;

/// ESC, the C1 forms of CSI and OSC, and marks of direction.
const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{9d}0;t\u{7}\u{85}\u{202e}abc\u{2066}\u{61c}\u{200f}";

/// What a terminal would act upon in an output, but for line ends, tabs and colours.
fn steering(text: &str) -> Vec<String> {
    let colors = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    let rest = colors.replace_all(text, "");
    let marks = ['\u{202e}', '\u{2066}', '\u{61c}', '\u{200f}'];
    let odd = |line: &&str| line.chars().any(|c| (c.is_control() && c != '\t') || marks.contains(&c));
    rest.lines().filter(odd).map(|line| format!("{line:?}")).collect()
}

#[test]
fn nothing_steers_it_from_any_verb() {
    let lab = Lab::new();
    let name = "n\u{9b}31m\u{202e}";
    lab.write_bytes("text.txt", HOSTILE.as_bytes());
    lab.write_bytes(&format!("{name}.txt"), b"odd name");
    lab.write_bytes(
        "w.toml",
        format!(
            "[workflow]\nname = 'w'\n[inputs]\nf = 'file'\ng = 'file'\nv = 'string'\n\
             [tasks.t]\ncache = true\ninputs = {{ f = 'file', g = 'file', v = 'string' }}\n\
             outputs = {{ o = 'string', j = 'json', d = 'dir' }}\n\
             run = '''\ncat $f; cat $f >&2; cat $f > $OUT/o; printf '{{\"%s\": 1}}' \"{name}\" > $OUT/j; mkdir $OUT/d; echo > \"$OUT/d/{name}\"\n'''\n\
             [nodes.t]\ninputs = {{ f = '{{{{ inputs.f }}}}', g = '{{{{ inputs.g }}}}', v = '{{{{ inputs.v }}}}' }}\n\
             [outputs]\no = '{{{{ t.o }}}}'\nj = '{{{{ t.j }}}}'\nd = '{{{{ t.d }}}}'\n"
        )
        .as_bytes(),
    );
    lab.write_bytes(
        "wrong.toml",
        format!("[workflow]\nname = '{name}'\n[tasks.'{name}']\nrun = '{HOSTILE}'\n")
            .replace('\u{1b}', "")
            .replace('\u{7}', "")
            .as_bytes(),
    );
    lab.write(
        "bad.toml",
        "[workflow]\nname = 'b'\n[inputs]\nv = 'string'\n[tasks.bad]\ninputs = { v = 'string' }\noutputs = { i = 'int' }\n\
         run = 'printf %s \"$v\" | tee $OUT/i'\n[nodes.bad]\ninputs = { v = '{{ inputs.v }}' }\n",
    );
    lab.write_bytes("v.json", serde_json::json!({ "v": HOSTILE }).to_string().as_bytes());
    let inputs = serde_json::json!({ "f": "text.txt", "g": format!("{name}.txt"), "v": HOSTILE });
    lab.write_bytes("in.json", inputs.to_string().as_bytes());
    let with = |verb: &str, more: &[&str]| {
        let mut args = vec![verb.to_owned(), "w.toml".into(), "--inputs".into(), "in.json".into()];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    };
    let plain = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let verbs = [
        with("exec", &["--logs", "-v"]),
        with("exec", &["--json", "--overwrite"]),
        with("plan", &[]),
        with("plan", &["--json"]),
        with("why", &["t"]),
        with("why", &["t", "--json"]),
        plain(&["check", "w.toml"]),
        plain(&["check", "wrong.toml"]),
        plain(&["check", "wrong.toml", "--json"]),
        plain(&["graph", "w.toml"]),
        plain(&["runs"]),
        plain(&["runs", "--json"]),
        plain(&["show", "@last"]),
        plain(&["show", "@last", "t"]),
        plain(&["show", "@last", "--json"]),
        plain(&["logs", "@last"]),
        plain(&["cache", "ls"]),
        plain(&["cache", "ls", "--json"]),
        plain(&["cache", "verify"]),
        plain(&["cache", "stats"]),
        plain(&["find", "text.txt"]),
        plain(&["find", &format!("{name}.txt")]),
        plain(&["exec", &format!("{name}.toml")]),
        plain(&["show", name]),
        plain(&["exec", "bad.toml", "--inputs", "v.json"]),
        plain(&["show", "@last"]),
        plain(&["show", "@last", "bad"]),
        plain(&["logs", "@last", "--failed"]),
    ];
    // On a terminal: programs get logs as they are.
    for (args, shown) in verbs.iter().zip(on_a_terminal(&lab, &verbs)) {
        assert_eq!(steering(&shown), Vec::<String>::new(), "{args:?} on a terminal");
    }
    for args in verbs.iter().filter(|args| args[0] != "logs") {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let done = ends(&mut lab.command(&args));
        assert_eq!(steering(&format!("{}\n{}", done.out, done.err)), Vec::<String>::new(), "{args:?}");
    }
    let report = lab.run(&["report", "@last", "-o", "report.html"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(steering(&lab.read("report.html")), Vec::<String>::new());
    // What is escaped reads back.
    let run = ends(&mut lab.command(&["exec", "w.toml", "--json", "--inputs", "in.json"])).expect_code(0);
    assert_eq!(run.outputs()["o"], HOSTILE);
    let toml = lab.run(&["exec", "w.toml", "--inputs", "in.json"]).expect_code(0);
    let read: toml::Table = toml::from_str(&toml.out).unwrap();
    assert_eq!(read["o"].as_str(), Some(HOSTILE));
}

/// What each call of the program prints on a pseudo terminal, with colours; the line discipline's own carriage returns are
/// taken out.
fn on_a_terminal(lab: &Lab, calls: &[Vec<String>]) -> Vec<String> {
    let script = "import json, os, pty, sys\n\
                  shown = []\n\
                  for call in json.loads(sys.argv[2]):\n\
                  \x20   pid, fd = pty.fork()\n\
                  \x20   if pid == 0: os.execv(sys.argv[1], [sys.argv[1], '--color', 'always', *call])\n\
                  \x20   chunks = []\n\
                  \x20   while True:\n\
                  \x20       try: data = os.read(fd, 65536)\n\
                  \x20       except OSError: break\n\
                  \x20       if not data: break\n\
                  \x20       chunks.append(data)\n\
                  \x20   os.waitpid(pid, 0)\n\
                  \x20   shown.append(b''.join(chunks).decode('utf-8', 'replace'))\n\
                  print(json.dumps(shown))\n";
    let mut command = Command::new("python3");
    command.args(["-c", script, env!("CARGO_BIN_EXE_runner")]).arg(serde_json::to_string(calls).unwrap());
    // A plain terminal, so that no live picture moves the cursor on purpose.
    command.current_dir(lab.dir()).env("RUNNER_HOME", lab.home()).env("TERM", "dumb");
    let shown: Vec<String> = serde_json::from_str(&ends(&mut command).expect_code(0).out).unwrap();
    assert_eq!(shown.len(), calls.len());
    shown.into_iter().map(|text| text.replace("\r\n", "\n")).collect()
}

#[test]
fn signals_are_answered_while_inputs_are_hashed() {
    let trial = Trial::new();
    let big = trial.lab.path("big");
    // Sparse: hashing takes very long, and no room.
    std::fs::File::create(&big).unwrap().set_len(1 << 40).unwrap();
    for run in ["[inputs]\nf = { type = 'file', default = 'big' }\n", ""] {
        let bound = if run.is_empty() { "big" } else { "{{ inputs.f }}" };
        trial.lab.write(
            "b.toml",
            &format!(
                "[workflow]\nname = 'b'\n{run}[tasks.t]\ncache = true\ninputs = {{ f = 'file' }}\nrun = 'true'\n\
                 [nodes.t]\ninputs = {{ f = '{bound}' }}\n"
            ),
        );
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let mut command = trial.lab.command(&["exec", "b.toml"]);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(500));
            kill_process(Pid::from_child(&child), signal).unwrap();
            let done = ends_by_itself(child, "hashing");
            assert_eq!(done.code, Some(code), "{done:?}");
        }
    }
    trial.settles();
}
