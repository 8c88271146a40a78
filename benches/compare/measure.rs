//! Measures child processes: wall time, own processor time, peak memory; and bare spawns, the least there is.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What `/proc/PID/stat` counts in: hundredths of a second, on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// One run of a command.
pub struct Cost {
    pub wall: Duration,
    /// Processor time of the process itself, without its children.
    pub own: Duration,
}

/// Runs a command that must succeed; its standard output goes to the file `stdout`.
pub fn run(command: &mut Command, stdout: &Path) -> Cost {
    let shown = format!("{command:?}");
    let out = fs::File::create(stdout).expect("the benchmark's folder can be written");
    command.stdin(Stdio::null()).stdout(out);
    let start = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("it is our child");
    let wall = start.elapsed();
    let own = own_time(child.id());
    let status = child.wait().expect("it is our child");
    assert!(status.success(), "{shown}: {status}");
    Cost { wall, own }
}

/// The processor time of a process that ended and was not waited for yet.
fn own_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a zombie still has its stat");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets comes first");
    let ticks: u32 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
    TICK * ticks
}

/// Runs a command that must succeed, and says how many bytes it held at most; `None` without GNU time.
pub fn peak_memory(command: &Command, stdout: &Path) -> Option<u64> {
    let report = stdout.with_extension("memory");
    let mut timed = Command::new("/usr/bin/time");
    if !Path::new(timed.get_program()).exists() {
        return None;
    }
    timed.args(["-f", "%M", "-o"]).arg(&report).arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        timed.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    run(&mut timed, stdout);
    let kib: u64 = fs::read_to_string(report).ok()?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Runs `count` one-line scripts, two at a time, with nothing around them.
pub fn bare_spawns(dir: &Path, count: usize) -> Duration {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let node = next.fetch_add(1, Ordering::Relaxed);
                    if node >= count {
                        break;
                    }
                    let script = format!("read a <in/{node}; echo $((a+1)) >bare/n{node}");
                    let mut command = Command::new("/bin/sh");
                    command.arg("-euc").arg(script).current_dir(dir).stdin(Stdio::null());
                    assert!(command.status().expect("there is a shell").success());
                }
            });
        }
    });
    start.elapsed()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
