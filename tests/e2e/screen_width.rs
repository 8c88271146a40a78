//! What people read on a terminal of some width: lines break between words; not on a terminal they stay whole.

use std::process::Command;

use crate::common::{Lab, finish};

/// Runs a command on a terminal with as many columns as its first argument says, and prints what it shows.
const DRIVE: &str = r"
import fcntl, os, pty, re, struct, sys, termios
process, terminal = pty.fork()
if process == 0:
    sys.stdin.readline()
    os.execv(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 50, int(sys.argv[1]), 0, 0))
os.write(terminal, b'\n')
shown = b''
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    shown += part
text = shown.decode().replace('\r\n', '\n').split('\n', 1)[1]
print(re.sub('\x1b\\[[0-9;?]*[a-zA-Z]', '', text), end='')
";

const WORKFLOW: &str = "\
[workflow]
name = 'nightly-churn-model'
[defaults]
cache = true
[inputs]
rows = { type = 'int', default = 40 }
[tasks.fetch_customers]
inputs = { rows = 'int' }
outputs = { csv = 'file' }
run = 'seq \"$rows\" > \"$OUT/csv\"'
[tasks.train]
inputs = { csv = 'file' }
run = 'echo \"the file with the customer records holds fewer rows than the training of a model needs\"; exit 3'
[nodes.fetch]
task = 'fetch_customers'
inputs = { rows = '{{ inputs.rows }}' }
[nodes.train]
inputs = { csv = '{{ fetch.csv }}' }
[nodes.last]
task = 'train'
if = '{{ inputs.rows > 100 }}'
inputs = { csv = '{{ fetch.csv }}' }
";

/// What a verb shows on a terminal.
fn shown(lab: &Lab, columns: usize, verb: &[&str]) -> String {
    let mut drive = Command::new("python3");
    drive.args(["-c", DRIVE, &columns.to_string(), env!("CARGO_BIN_EXE_runner")]).args(verb);
    drive.current_dir(lab.dir()).env("RUNNER_HOME", lab.home()).env("TERM", "xterm").env_remove("NO_COLOR");
    finish(&mut drive).expect_code(0).out
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().filter(|word| *word != "│").collect()
}

#[test]
fn every_verb_breaks_lines_between_words() {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write(
        "bad.toml",
        "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n\
         inputs = { a_name = 'some text that is long enough', another = '{{ inputs.not_there_at_all }}' }\n",
    );
    lab.exec("w.toml", &[]).expect_code(1);
    lab.exec("w.toml", &["-i", "rows=50"]).expect_code(1);
    let keys = lab.run(&["cache", "ls", "--json"]).expect_code(0).lines();
    let key = &keys[0]["key"].as_str().unwrap()[..12];
    let verbs: &[&[&str]] = &[
        &["show", "@last", "train"],
        &["show", "@last"],
        &["runs"],
        &["plan", "w.toml", "-i", "rows=60"],
        &["diff", "@last"],
        &["cache", "ls"],
        &["cache", "show", key],
        &["cache", "stats"],
        &["cache", "show", "ffffffffffff"],
        &["runs", "--workflow", "a workflow that has never been run", "--project", "of a project"],
        &["check", "bad.toml"],
    ];
    for verb in verbs {
        let plain = lab.run(verb);
        let whole = format!("{}{}", plain.out, plain.err);
        for columns in [80, 40] {
            let text = shown(&lab, columns, verb);
            for line in text.lines().filter(|line| line.chars().count() > columns) {
                let longest = words(line).iter().map(|word| word.chars().count()).max().unwrap_or(0);
                assert!(longest + 2 > columns, "{verb:?} at {columns}: {line:?}");
            }
            // Nothing is lost; others show ages, or excerpts of files.
            if verb[0] == "plan" || verb.ends_with(&["train"]) {
                assert_eq!(words(&text).len(), words(&whole).len(), "{verb:?} at {columns}: {text}");
            }
        }
    }
    // In a pipe or a file lines stay whole.
    let plan = lab.run(&["plan", "w.toml", "-i", "rows=60"]).expect_code(0).out;
    assert!(plan.lines().any(|line| line.starts_with("last") && line.ends_with("50 -> 60")), "{plan}");
    let bad = lab.run(&["check", "bad.toml"]).expect_code(2).err;
    assert!(bad.lines().any(|line| line.ends_with("another = '{{ inputs.not_there_at_all }}' }")), "{bad}");
}
