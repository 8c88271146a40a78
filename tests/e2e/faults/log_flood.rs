//! Tasks that print very much: the runner's memory does not grow with it.

use super::count;
use crate::common::{Lab, finish};

/// The peak of the runner's own memory, in KiB, for a task that prints so many bytes of this.
fn peak(lab: &Lab, what: &str, bytes: usize) -> usize {
    lab.write(
        "f.toml",
        &format!(
            "[workflow]\nname = 'f'\n[tasks.t]\nrun = '''{what} | head -c {bytes} || true'''\n[nodes.t]\n"
        ),
    );
    // The runner's own peak, not that of what it starts.
    let script = "import os, subprocess, sys, time\n\
        p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n\
        peak = 0\n\
        while p.poll() is None:\n\
        \x20   try:\n\
        \x20       for line in open(f'/proc/{p.pid}/status'):\n\
        \x20           if line.startswith('VmHWM'): peak = max(peak, int(line.split()[1]))\n\
        \x20   except OSError: pass\n\
        \x20   time.sleep(0.01)\n\
        assert p.returncode == 0, p.returncode\n\
        print(peak)\n";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script, env!("CARGO_BIN_EXE_runner"), "exec", "f.toml", "--logs"]);
    let done =
        finish(command.current_dir(lab.dir()).env("RUNNER_HOME", lab.home()).env("SECRET", "hunter2222"));
    done.expect_code(0).out.trim().parse().unwrap()
}

#[test]
fn memory_does_not_grow() {
    for (what, bytes) in [
        ("yes a line of text", count(100 << 20, 4 << 30)),
        ("cat /dev/zero", count(50 << 20, 1 << 30)),
        ("cat /dev/urandom", count(20 << 20, 1 << 30)),
    ] {
        let lab = Lab::new();
        let few = peak(&lab, what, 1000);
        let many = peak(&lab, what, bytes);
        eprintln!("{what}: {few} KiB for a little, {many} KiB for {bytes} bytes");
        assert!(many < few + (64 << 10), "{what}: {few} KiB, then {many} KiB");
    }
}
