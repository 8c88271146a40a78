//! A command: the message on its standard input, the base environment and `RUNNER_EVENT`; exit code 0 is success.
//!
//! It stays in this process's group, so that no run takes it for one of its own stray processes.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Filler;
use crate::engine::attempt::environment::base_environment;

/// Time between two looks at a command.
const POLL: Duration = Duration::from_millis(10);
/// How much of the end of its standard error a fault has, in bytes.
const MAX_STDERR: u64 = 400;

/// Runs the command once.
///
/// # Errors
/// The command cannot be started, fails or takes too long: a sentence.
pub fn send(filler: &mut Filler, words: &[String]) -> Result<(), String> {
    let words: Vec<String> = words.iter().map(|word| filler.word(word)).collect::<Result<_, _>>()?;
    let (program, arguments) = words.split_first().ok_or("no command is given")?;
    let document = filler.document()?;
    let body = filler.body(|| filler.outgoing.document.to_owned())?;
    let system = |error: std::io::Error| format!("the command cannot be started: {error}");
    let mut input = tempfile::tempfile().map_err(system)?;
    input.write_all(body.as_bytes()).and_then(|()| input.seek(SeekFrom::Start(0))).map_err(system)?;
    let stderr = tempfile::tempfile().map_err(system)?;
    let folder = filler.folder();
    // A path leads from the workflow's folder; a name alone is looked up.
    let program = match program.contains('/') {
        true => folder.join(program).into_os_string(),
        false => program.into(),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(base_environment())
        .env("RUNNER_EVENT", document.event.name())
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(stderr.try_clone().map_err(system)?);
    if folder.is_dir() {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(system)?;
    let Some(status) = wait(&mut child, filler.outgoing.rule.timeout)? else {
        return Err("the command did not end in time".into());
    };
    if status.success() {
        return Ok(());
    }
    let said = end_of(stderr);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    Err(match status.code() {
        Some(code) => format!("the command ended with exit code {code}{said}"),
        None => format!("the command was ended by a signal{said}"),
    })
}

/// Waits for the end of a command; after `timeout` it and everything below it is killed.
fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>, String> {
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(|error| format!("the command is lost: {error}"))? {
            Some(status) => return Ok(Some(status)),
            None if begun.elapsed() >= timeout => break,
            None => thread::sleep(POLL.min(timeout.saturating_sub(begun.elapsed()))),
        }
    }
    for pid in below(child.id()) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
    Ok(None)
}

/// The processes below one, as far as the system tells.
fn below(pid: u32) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in list.split_whitespace().filter_map(|word| word.parse::<u32>().ok()) {
            open.push(child);
            found.extend(i32::try_from(child).ok().and_then(Pid::from_raw));
        }
    }
    found
}

/// The end of what a command wrote, in one line.
fn end_of(mut file: File) -> String {
    let length = file.seek(SeekFrom::End(0)).unwrap_or(0);
    let mut bytes = Vec::new();
    let read = file
        .seek(SeekFrom::Start(length.saturating_sub(MAX_STDERR)))
        .and_then(|_| file.take(MAX_STDERR).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" "),
        Err(_) => String::new(),
    }
}
