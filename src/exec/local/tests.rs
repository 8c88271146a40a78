//! Attempts as process trees, run for real.

use super::super::process::has_variable;
use super::super::reap::own_peak;
use super::super::{Masker, children::strays, sweep_strays, tail};
use super::*;
use rustix::process::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Far longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

fn attempt(dir: &Path, script: &str) -> Attempt {
    let out = dir.join("out");
    Attempt {
        label: "node".into(),
        program: ["sh", "-c", script].map(String::from).into(),
        dir: dir.into(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("OUT".into(), out.clone().into())],
        log: dir.join("log"),
        stdout: None,
        timeout: None,
        grace: LONG,
        masker: Masker::default(),
        masks_stdout: true,
        out,
        views: None,
        fork: None,
    }
}

/// Runs an attempt while `meanwhile` has the handle that can call it off.
fn run_while<F: Future>(attempt: Attempt, meanwhile: impl FnOnce(Cancel) -> F) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cancel = Cancel::default();
        let handle = cancel.clone();
        let run = tokio::spawn(async move { Local::new().run(attempt, handle).await });
        meanwhile(cancel).await;
        run.await.unwrap()
    })
}

fn run(attempt: Attempt) -> Outcome {
    run_while(attempt, |_| async {})
}

/// Runs a script; its outcome, its log, and how many of its processes are left.
fn run_script(script: &str, change: impl FnOnce(&mut Attempt)) -> (Outcome, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut attempt = attempt(dir.path(), script);
    change(&mut attempt);
    let outcome = run(attempt);
    assert_eq!(running(&dir.path().join("out")), 0, "processes are left");
    (outcome, fs::read_to_string(dir.path().join("log")).unwrap_or_default())
}

/// How many processes there are with `OUT` set to `out`.
fn running(out: &Path) -> usize {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).filter(|pid| has_variable(*pid, "OUT", out.as_os_str())).count()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited a minute for: {what}");
}

fn not_started(attempt: Attempt) -> String {
    match run(attempt).end {
        End::NotStarted(message) => message,
        other => panic!("it did not fail to start: {other:?}"),
    }
}

#[test]
fn codes_and_signals_are_told() {
    assert_eq!(run_script("exit 0", |_| ()).0.end, End::Exited(0));
    assert_eq!(run_script("exit 37", |_| ()).0.end, End::Exited(37));
    assert_eq!(run_script("kill -SEGV $$", |_| ()).0.end, End::Signalled(11));
}

/// Expects that the peak memory of a command is known. `run` is given the size of a text without a newline, in bytes, which a
/// pipe's reader keeps in memory. It is larger than this process, whose other tests may take memory as well before the command starts: then again.
fn expect_peak(run: impl Fn(u64) -> Outcome) {
    loop {
        let ours = own_peak();
        let bytes = ours + (200 << 20);
        let peak = run(bytes).usage.unwrap().peak_memory;
        if peak.is_none() && own_peak() > ours + (100 << 20) {
            continue;
        }
        let expected = bytes - (50 << 20)..3 * bytes;
        assert!(peak.is_some_and(|peak| expected.contains(&peak)), "{bytes}: {peak:?}");
        return;
    }
}

#[test]
fn what_the_tree_used_is_told() {
    let (outcome, _) = run_script("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done", |_| ());
    let usage = outcome.usage.unwrap();
    assert!(usage.cpu > Duration::ZERO && usage.cpu < LONG, "{usage:?}");
    // A child, and an orphan of the group.
    for orphan in [false, true] {
        expect_peak(|bytes| {
            let large = format!("head -c {bytes} /dev/zero | tail -n 1 | wc -c");
            let script = if orphan { format!("trap '' TERM; ({large}) & exit 0") } else { large };
            run_script(&script, |attempt| attempt.grace = LONG).0
        });
    }
    let (outcome, _) = run_script("true", |attempt| attempt.program = vec!["pyhton3".into()]);
    assert_eq!(outcome.usage, None);
}

#[test]
fn a_command_that_is_killed_with_its_children_is_counted_with_them() {
    expect_peak(|bytes| {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        let script = format!("(head -c {bytes} /dev/zero; touch large; sleep 600) | tail -n 1; :");
        let outcome = run_while(attempt(dir.path(), &script), |cancel| async move {
            until("it is large", || large.exists()).await;
            cancel.raise(Level::Kill);
        });
        assert_eq!(outcome.end, End::Cancelled);
        outcome
    });
}

#[test]
fn both_streams_are_appended_to_the_log_in_order() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log"), "before\n").unwrap();
    run(attempt(dir.path(), "echo 1; echo 2 >&2; echo 3; cat"));
    assert_eq!(tail(&dir.path().join("log"), 9), ["before", "1", "2", "3"]);
}

#[test]
fn standard_output_can_be_kept_apart() {
    for secrets in [&[][..], &["hunter2"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut attempt = attempt(dir.path(), "echo result; echo note >&2");
        attempt.stdout = Some(dir.path().join("stdout"));
        attempt.masker = Masker::new(secrets);
        assert_eq!(run(attempt).end, End::Exited(0));
        assert_eq!(fs::read_to_string(dir.path().join("stdout")).unwrap(), "result\n");
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "note\n");
        let mode = fs::metadata(dir.path().join("log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn the_environment_and_the_directory_are_those_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut attempt = attempt(dir.path(), "");
    attempt.program = vec!["env".into()];
    run(attempt);
    let out = format!("OUT={}", dir.path().join("out").display());
    assert_eq!(tail(&dir.path().join("log"), 9), [&out, "PATH=/usr/bin:/bin"]);
    fs::write(dir.path().join("tool"), "#!/bin/sh\necho \"$0 $1\"\n").unwrap();
    fs::set_permissions(dir.path().join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut attempt = self::attempt(dir.path(), "");
    attempt.program = vec!["./tool".into(), "x".into()];
    assert_eq!(run(attempt).end, End::Exited(0));
    assert!(tail(&dir.path().join("log"), 1)[0].ends_with("/tool x"));
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", b"echo hello\n", 0o644);
    file("headless", b"echo hello\n", 0o755);
    file("strange", b"#!/no/such/interpreter -x\n", 0o755);
    file("windows", b"#!/bin/sh\r\necho hello\r\n", 0o755);
    for (program, needle) in [
        ("pyhton3", "not found in PATH (/usr/bin:/bin)"),
        ("./nothing", "does not exist"),
        ("./plain", "chmod +x"),
        ("./headless", "#!/bin/sh"),
        ("./strange", "`/no/such/interpreter`"),
        ("./windows", "Unix line ends"),
        ("./", "is a directory"),
        ("", "empty"),
    ] {
        let mut attempt = attempt(dir.path(), "");
        attempt.program = vec![program.into()];
        let message = not_started(attempt);
        assert!(message.contains(needle), "{program}: {message}");
    }
    let with = |change: &dyn Fn(&mut Attempt)| {
        let mut attempt = attempt(dir.path(), "true");
        change(&mut attempt);
        not_started(attempt)
    };
    assert!(with(&|a| a.program.push("x".repeat(300_000))).contains("$RUNNER_INPUTS"));
    assert!(with(&|a| a.program.push("a\0b".into())).contains("NUL"));
    assert!(with(&|a| a.program.clear()).contains("no command"));
    assert!(with(&|a| a.env.clear()).contains("PATH is not set"));
    assert!(with(&|a| a.dir = PathBuf::from("/no/such/dir")).contains("/no/such/dir"));
    assert!(with(&|a| a.log = PathBuf::from("/no/such/log")).contains("/no/such/log"));
}

/// Leaves, besides itself, a grandchild, and a daemon in a session of its own with a child; all deaf to TERM.
const STUBBORN: &str = "trap '' TERM; sh -c 'sleep 600; :' & (setsid sh -c 'sleep 600; :' &); touch ready; ";

#[test]
fn a_timeout_ends_the_whole_tree() {
    let (outcome, _) = run_script(&format!("{STUBBORN} wait"), |attempt| {
        attempt.timeout = Some(Duration::from_millis(500));
        attempt.grace = Duration::from_millis(50);
    });
    assert_eq!(outcome.end, End::TimedOut);
}

#[test]
fn what_is_left_after_a_normal_end_is_ended_and_counted() {
    let (outcome, _) = run_script("sleep 600 & exit 3", |_| ());
    assert_eq!((outcome.end, outcome.leftovers), (End::Exited(3), 1));
    let grace = |attempt: &mut Attempt| attempt.grace = Duration::from_millis(50);
    let (outcome, _) = run_script(STUBBORN, grace);
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.leftovers >= 2, "{}", outcome.leftovers);
}

#[test]
fn a_daemon_that_keeps_changing_its_program_is_found() {
    let (outcome, _) = run_script("echo 'exec sh ./again' > again; setsid sh ./again & exit 0", |_| ());
    assert_eq!((outcome.end, outcome.leftovers), (End::Exited(0), 1));
}

#[test]
fn cancelling_comes_in_two_levels() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let script = "trap 'sleep 0.1; echo cleaned; exit 0' TERM; sleep 600 & touch ready; wait; wait";
    let outcome = run_while(attempt(dir.path(), script), |cancel| async move {
        until("ready", || ready.exists()).await;
        cancel.raise(Level::Terminate);
    });
    assert_eq!(outcome.end, End::Cancelled);
    assert_eq!(tail(&dir.path().join("log"), 1), ["cleaned"], "a trap's own commands get their time");

    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let outcome = run_while(attempt(dir.path(), &format!("{STUBBORN} wait")), |cancel| async move {
        until("ready", || ready.exists()).await;
        cancel.raise(Level::Terminate);
        tokio::task::yield_now().await;
        cancel.raise(Level::Kill);
    });
    assert_eq!(outcome.end, End::Cancelled);
    assert_eq!(running(&dir.path().join("out")), 0);

    let dir = tempfile::tempdir().unwrap();
    let attempt = attempt(dir.path(), "touch ran");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cancel = Cancel::default();
    cancel.raise(Level::Terminate);
    assert_eq!(runtime.block_on(Local::new().run(attempt, cancel)).end, End::Cancelled);
    assert!(!dir.path().join("ran").exists());
}

#[test]
fn a_stopped_process_hears_its_term() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = "trap 'echo heard; exit 0' TERM; echo $$ > pid; kill -STOP $$; sleep 600";
    let outcome = run_while(attempt(dir.path(), script), |cancel| async move {
        let stopped = || {
            let pid = fs::read_to_string(&pid).unwrap_or_default();
            fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| stat.contains(") T "))
        };
        until("stopped", stopped).await;
        cancel.raise(Level::Terminate);
    });
    assert_eq!(outcome.end, End::Cancelled);
    assert_eq!(tail(&dir.path().join("log"), 1), ["heard"]);
}

#[test]
fn secrets_are_masked_wherever_they_are_printed() {
    let (outcome, log) =
        run_script("printf 'a hun'; printf 'ter2 b\n'; echo hunter2 >&2; echo hunt", |attempt| {
            attempt.masker = Masker::new(["hunter2", ""]);
        });
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(log, "a *** b\n***\nhunt\n");
    let (_, log) = run_script("head -c 300000 /dev/zero | tr '\\0' x; echo hunter2", |attempt| {
        attempt.masker = Masker::new(["hunter2"]);
    });
    assert_eq!(log, "x".repeat(300_000) + "***\n");
}

#[test]
fn standard_output_that_is_an_output_is_masked_on_request_only() {
    for (masks_stdout, expected) in [(true, "***\n"), (false, "hunter2\n")] {
        let dir = tempfile::tempdir().unwrap();
        let mut attempt = attempt(dir.path(), "echo hunter2; echo hunter2 >&2");
        attempt.stdout = Some(dir.path().join("stdout"));
        (attempt.masker, attempt.masks_stdout) = (Masker::new(["hunter2"]), masks_stdout);
        assert_eq!(run(attempt).end, End::Exited(0));
        assert_eq!(fs::read_to_string(dir.path().join("stdout")).unwrap(), expected);
        assert_eq!(tail(&dir.path().join("log"), 9), ["***"]);
    }
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let (outcome, _) = run_script("echo hello || :; exit 0", |attempt| {
        attempt.stdout = Some("/dev/full".into());
        attempt.masker = Masker::new(["hunter2"]);
    });
    let End::Unsound(message) = outcome.end else { panic!("{outcome:?}") };
    assert!(message.contains("could not be written"), "{message}");
}

#[test]
fn a_daemon_that_hides_is_swept_and_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let mark = format!("RUNNER_TEST={}", dir.path().display());
    let script = format!("(env -i {mark} setsid sleep 600 &); echo hunter2");
    let mut attempt = attempt(dir.path(), &script);
    attempt.masker = Masker::new(["hunter2"]);
    assert_eq!(run(attempt).end, End::Exited(0), "although the daemon holds the pipe");
    assert_eq!(tail(&dir.path().join("log"), 1), ["***"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hidden =
        || strays().iter().any(|stray| has_variable(stray.pid, "RUNNER_TEST", dir.path().as_os_str()));
    assert!(hidden());
    // Other tests' attempts are live meanwhile, so it may take several sweeps.
    for _ in 0..6000 {
        runtime.block_on(sweep_strays());
        if !hidden() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the daemon was not swept");
}

#[test]
fn fifty_at_once_neither_leak_nor_lose_their_ends() {
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open_files();
    // A thread that reaps strays in a loop must never reap a command.
    let done = Arc::new(AtomicBool::new(false));
    let reaper = std::thread::spawn({
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                strays();
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut runs = tokio::task::JoinSet::new();
        for code in 0..50 {
            runs.spawn(async move {
                let dir = tempfile::tempdir().unwrap();
                let mut attempt = attempt(dir.path(), &format!("echo hunter2; exit {code}"));
                attempt.masker = Masker::new((code % 2 == 0).then_some("hunter2"));
                (code, Local::new().run(attempt, Cancel::default()).await.end)
            });
        }
        while let Some(ended) = runs.join_next().await {
            let (code, end) = ended.unwrap();
            assert_eq!(end, End::Exited(code));
        }
        // Other tests open files too, but not fifty that stay open.
        until("files closed", || open_files() < before + 50).await;
    });
    done.store(true, Ordering::Relaxed);
    reaper.join().unwrap();
}
