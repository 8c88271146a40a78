//! `exec --watch`: a run follows each change, and none follows what a run did itself.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::common::Lab;

/// Generous: only a test that fails anyway waits so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A watching runner; it is ended with the test.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(lab: &Lab, args: &[&str]) -> Self {
        let mut command = lab.command(&[&["exec", "w.toml", "--watch"], args].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that holds `text`; all lines until then.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} after:\n{seen}"));
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(text) {
                return seen;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const WORKFLOW: &str = r#"
import = ["lib/l.toml"]
[workflow]
name = "w"
[inputs]
data = { type = "file", default = "data.txt" }
[nodes.t]
task = "l.t"
inputs = { data = "{{ inputs.data }}" }
[outputs]
copy = { value = "{{ t.copy }}", path = "out/copy.txt" }
"#;

const LIBRARY: &str = r#"
[library]
name = "l"
[tasks.t]
inputs = { data = "file" }
outputs = { copy = "file" }
sources = ["src/*.sh"]
run = 'echo t >> @COUNT@; cat "$data" src/*.sh > "$OUT/copy"'
"#;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    lab.write("lib/l.toml", LIBRARY);
    lab.write("lib/src/a.sh", "a");
    lab.write("data.txt", "1");
    lab
}

#[test]
fn each_change_is_followed_by_one_run() {
    let lab = lab();
    let watching = Watching::start(&lab, &[]);
    watching.until("watching 4 files");
    assert_eq!(lab.read("out/copy.txt"), "1a");
    lab.write("data.txt", "22");
    watching.until("data.txt changed: run again");
    watching.until("watching");
    assert_eq!(lab.read("out/copy.txt"), "22a");
    // As editors do it.
    lab.write("lib/src/.a.sh.tmp", "bb");
    std::fs::rename(lab.path("lib/src/.a.sh.tmp"), lab.path("lib/src/a.sh")).unwrap();
    watching.until("lib/src/a.sh changed");
    watching.until("watching");
    lab.write("lib/src/new.sh", "!");
    watching.until("lib/src/new.sh changed");
    watching.until("watching 5 files");
    assert_eq!(lab.read("out/copy.txt"), "22bb!");
    lab.write("lib/l.toml", &LIBRARY.replace("cat", "cat  "));
    watching.until("lib/l.toml changed");
    watching.until("watching");
    assert_eq!(lab.ran(), 5);
}

#[test]
fn errors_are_shown_and_watching_goes_on() {
    let lab = lab();
    let watching = Watching::start(&lab, &[]);
    watching.until("watching");
    lab.write("lib/l.toml", "[library");
    assert!(watching.until("watching").contains("error: "));
    lab.write("w.toml", "nonsense");
    assert!(watching.until("watching").contains("error: "));
    lab.write("lib/l.toml", LIBRARY);
    watching.until("watching");
    lab.write("data.txt", "333");
    lab.write("w.toml", WORKFLOW);
    while !watching.until("watching").contains("succeeded") {}
    assert_eq!(lab.read("out/copy.txt"), "333a");
}

#[test]
fn a_change_during_a_run_lets_it_end_and_one_more_follows() {
    let lab = lab();
    let slow = "echo t >> @COUNT@; n=$(cat \"$data\"); touch @DIR@/read$n; until test -e @DIR@/go$n; do sleep 0.01; done; cp \"$data\" \"$OUT/copy\"";
    let library = LIBRARY.replace("echo t >> @COUNT@; cat \"$data\" src/*.sh > \"$OUT/copy\"", slow);
    lab.write("lib/l.toml", &library);
    let watching = Watching::start(&lab, &[]);
    // It is told that a task starts before its files are staged.
    let begun = Instant::now();
    while !lab.path("read1").exists() {
        assert!(begun.elapsed() < DEADLINE, "the task never read its input");
        std::thread::sleep(Duration::from_millis(5));
    }
    lab.write("data.txt", "2");
    lab.write("data.txt", "3");
    lab.write("go1", "");
    let first = watching.until("data.txt changed");
    assert!(first.contains("succeeded"), "{first}");
    lab.write("go3", "");
    watching.until("watching");
    assert_eq!(lab.read("out/copy.txt"), "3");
    assert_eq!(lab.ran(), 2);
}

#[test]
fn a_signal_ends_it() {
    let lab = lab();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut watching = Watching::start(&lab, &["--json"]);
        watching.until("watching");
        let pid = watching.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let status = watching.child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }
}
