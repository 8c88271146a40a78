//! What Python functions cost, as ratios to what the same interpreter costs by itself, in the same minutes.
//!
//! ```sh
//! cargo bench --bench python
//! cargo bench --bench python -- --quick
//! cargo bench --bench python -- --env DIR     # an environment with pandas: the row of pandas as well
//! ```
//! Two at a time everywhere. Repetitions are interleaved, so that a slow minute of the machine hits both sides of a ratio, and
//! the median counts. Every run has to succeed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many run at once.
const JOBS: usize = 2;

struct Options {
    /// Functions of a run.
    functions: usize,
    /// Calls of a run whose processes are used again.
    calls: usize,
    repetitions: usize,
    /// An environment that has pandas.
    env: Option<PathBuf>,
}

fn main() {
    let mut options = Options { functions: 300, calls: 5_000, repetitions: 5, env: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => {} // From cargo.
            "--quick" => options = Options { functions: 60, calls: 1_000, repetitions: 3, ..options },
            "--env" => options.env = args.next().map(PathBuf::from),
            other => {
                eprintln!("unknown argument {other}; see the top of benches/python/main.rs");
                std::process::exit(2)
            }
        }
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", std::process::id()));
    fs::create_dir_all(&root).expect("the folder can be written");
    measure(&options, &root);
    fs::remove_dir_all(&root).expect("what was written can be removed");
}

fn measure(options: &Options, root: &Path) {
    let Options { functions, calls, repetitions, env } = options;
    let python = interpreter();
    let plain = "def f(i: int) -> int:\n    return i + 1\n";
    let lab =
        |name: &str, code: &str, task: &str, count: usize| Lab::new(&root.join(name), code, task, count);
    let fork = lab("fork", plain, "cache = true", *functions);
    let cold = lab("cold", plain, "cache = true\npython_start = 'cold'", *functions);
    let reuse = lab("reuse", plain, "python_start = 'reuse'", *calls);
    let mut times: Vec<[Duration; 5]> = Vec::new();
    for _ in 0..*repetitions {
        [&fork, &cold, &reuse].into_iter().for_each(Lab::forget);
        let bare = spawns(&python, "pass", *functions);
        let (forked, again) = (fork.run(), fork.run());
        times.push([bare, forked, again, cold.run(), reuse.run()]);
    }
    let of = |column: usize| median(times.iter().map(|row| row[column]).collect());
    let bare = of(0);
    println!("{functions} functions; {functions} x `python3 -c pass` take {bare:.2?}, {JOBS} at a time\n");
    row("forked functions, of `python3 -c pass`", ratio(of(1), bare), "<= 0.3");
    row("unchanged run, of the same", ratio(of(2), bare), "<= 0.05");
    row("cold functions, of the same", ratio(of(3), bare), "<= 2.3");
    row("calls a second with \"reuse\"", *calls as f64 / of(4).as_secs_f64(), ">= 1000");
    let Some(env) = env else { return };
    let code = "import pandas as pd\ndef f(i: int) -> int:\n    return int(pd.Series([i, 1]).sum())\n";
    let task = format!("cache = true\npython_env = '{}'", env.display());
    // The server imports it once, which is not what a function costs.
    let (one, many) = (lab("pandas-1", code, &task, 1), lab("pandas", code, &task, functions / 3));
    let mut times: Vec<[Duration; 3]> = Vec::new();
    for _ in 0..*repetitions {
        one.forget();
        many.forget();
        let imports = spawns(&env.join("bin/python"), "import pandas", 20) / 20;
        times.push([imports, one.run(), many.run()]);
    }
    let of = |column: usize| median(times.iter().map(|row| row[column]).collect());
    let each = of(2).saturating_sub(of(1)) / (functions / 3 - 1) as u32;
    row("forked with pandas, of `import pandas`", ratio(each, of(0)), "<= 0.06");
}

fn row(what: &str, found: f64, bar: &str) {
    println!("{what:42} {found:10.3}   {bar}");
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The interpreter behind `python3`, which may be a script that looks for it.
fn interpreter() -> PathBuf {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output();
    let path = asked.expect("there is a Python").stdout;
    PathBuf::from(String::from_utf8(path).expect("its path is text"))
}

/// The wall time of `count` interpreters that run `code`.
fn spawns(python: &Path, code: &str, count: usize) -> Duration {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let status = Command::new(python).args(["-c", code]).stdin(Stdio::null()).status();
                    assert!(status.expect("there is a Python").success());
                }
            });
        }
    });
    start.elapsed()
}

/// A workflow that calls one function often, and a home for it.
struct Lab {
    dir: PathBuf,
}

impl Lab {
    fn new(dir: &Path, code: &str, task: &str, count: usize) -> Self {
        fs::create_dir_all(dir).expect("the folder can be written");
        let numbers: Vec<String> = (0..count).map(|i| i.to_string()).collect();
        let flow = format!(
            "[workflow]\nname = 'calls'\n[tasks.f]\npython = 'f.py:f'\n{task}\n[nodes.f]\nforeach = ['i']\n\
             inputs = {{ i = [{}] }}\n",
            numbers.join(", ")
        );
        fs::write(dir.join("f.py"), code).expect("the folder can be written");
        fs::write(dir.join("flow.toml"), flow).expect("the folder can be written");
        Self { dir: dir.to_owned() }
    }

    /// The next run finds an empty home.
    fn forget(&self) {
        let home = self.dir.join("home");
        if home.exists() {
            fs::remove_dir_all(home).expect("the home can be removed");
        }
    }

    fn run(&self) -> Duration {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.args(["exec", "flow.toml", "-q", "-j", &JOBS.to_string()]).current_dir(&self.dir);
        command.env("RUNNER_HOME", self.dir.join("home")).stdin(Stdio::null()).stdout(Stdio::null());
        let start = Instant::now();
        assert!(command.status().expect("there is a runner").success());
        start.elapsed()
    }
}
