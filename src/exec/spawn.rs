//! Starting a command: finding its program, and saying plainly why it did not start.
//!
//! The program is given by an absolute path and nothing has to run between fork and exec, so that the standard
//! library takes the fast way (a child that borrows our memory until it runs the program).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::Pid;

use super::Attempt;
use super::children::enter;
use super::pump::Pump;
use super::reap;
use super::started::{Running, Started};
use super::tree::Tree;
use super::wiring::wire_files;

/// How often a start is tried that fails for a passing reason. Pauses double from 1 ms: about a second in all.
const TRIES: u32 = 11;

/// Starts the attempt's command in a process group of its own. The error is for people.
///
/// # Errors
/// The program is not found or cannot be started: a sentence.
pub async fn start(attempt: &Attempt) -> Result<Started, String> {
    let name = attempt.program.first().ok_or("no command is given")?;
    let program = find_program(attempt, name)?;
    let (mut command, pumps) = prepare(attempt, &program)?;
    let mut tries = 1;
    loop {
        let spawn = || {
            let pid = Pid::from_child(&command.spawn()?);
            Ok::<_, io::Error>((pid, reap::CommandProcess::new(pid)))
        };
        match enter(attempt.out.as_os_str(), spawn) {
            Ok((entry, pid, command)) => {
                return Ok(Started {
                    command: Running::Own(command),
                    tree: Tree::new(entry, pid, attempt.out.clone().into()),
                    pumps,
                });
            }
            // The system is short of processes, or another thread's child still holds a freshly written program.
            Err(error) if tries < TRIES && matches!(errno(&error), Some(Errno::AGAIN | Errno::TXTBSY)) => {
                tokio::time::sleep(Duration::from_millis(1 << (tries - 1))).await;
                tries += 1;
            }
            Err(error) => return Err(explain(attempt, name, &program, &error)),
        }
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// Why a command with views that could not become its program did not start.
pub fn explain_late(attempt: &Attempt, errno: i32) -> String {
    let name = attempt.program.first().map_or("", String::as_str);
    let error = io::Error::from_raw_os_error(errno);
    find_program(attempt, name)
        .map_or_else(|problem| problem, |program| explain(attempt, name, &program, &error))
}

/// The command with its files; with secrets it writes to pumps.
fn prepare(attempt: &Attempt, program: &Path) -> Result<(Command, Vec<Pump>), String> {
    let wired = wire_files(attempt)?;
    let mut command = match &attempt.views {
        None => {
            let mut command = Command::new(program);
            command.arg0(&attempt.program[0]);
            command
        }
        Some(views) => views
            .command(program, attempt.program[0].as_ref())
            .map_err(|error| format!("{} could not be written: {error}", views.plan.display()))?,
    };
    command
        .args(&attempt.program[1..])
        .env_clear()
        .envs(attempt.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&attempt.dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(wired.stdout)
        .stderr(wired.stderr);
    Ok((command, wired.pumps))
}

/// The absolute path of the program `name`: a path as it stands, from the attempt's directory, else the first
/// file of that name in the attempt's `PATH` that may be executed.
fn find_program(attempt: &Attempt, name: &str) -> Result<PathBuf, String> {
    if name.is_empty() {
        return Err("the command's program is an empty text".into());
    }
    if name.contains('/') {
        return Ok(attempt.dir.join(name));
    }
    let path = attempt.env.iter().rev().find(|(variable, _)| variable == "PATH").map(|(_, value)| value);
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return Err(format!(
            "`{name}` cannot be looked for: PATH is not set. Set it, or name the program by its path"
        ));
    };
    let mut forbidden = None;
    for folder in std::env::split_paths(path) {
        // An empty or relative folder is meant from the working directory.
        let candidate = attempt.dir.join(folder).join(name);
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(Errno::ACCESS) if forbidden.is_none() => forbidden = Some(candidate),
            Ok(()) | Err(_) => {}
        }
    }
    Err(match forbidden {
        Some(candidate) => not_executable(&candidate),
        None => format!(
            "`{name}` was not found in PATH ({}). Install it, add its folder to PATH, or name it by its path",
            path.display()
        ),
    })
}

fn not_executable(program: &Path) -> String {
    let program = program.display();
    format!("{program} may not be executed. `chmod +x {program}` allows it, if it is meant to be a program")
}

/// Why the program did not start, and how to mend it.
fn explain(attempt: &Attempt, name: &str, program: &Path, error: &io::Error) -> String {
    let shown = program.display();
    match errno(error) {
        Some(_) if !attempt.dir.is_dir() => {
            format!("the working directory {} of `{name}` is missing", attempt.dir.display())
        }
        Some(Errno::NOENT | Errno::NOTDIR) if !program.exists() => {
            format!("{shown} does not exist. A relative path starts in the working directory")
        }
        Some(Errno::NOENT) => match interpreter(program) {
            Some(line) if line.ends_with('\r') => format!(
                "the first line of {shown} ends in a carriage return (a Windows line end), which becomes part of the \
                 interpreter's name. Save the file with Unix line ends"
            ),
            Some(line) => format!(
                "the first line of {shown} asks for the interpreter `{}`, which does not exist. Install it, or \
                 correct that line",
                line.split_whitespace().next().unwrap_or_default()
            ),
            None => format!(
                "{shown} exists, but the loader it needs does not: it was built for another system or libc"
            ),
        },
        Some(Errno::ACCESS | Errno::PERM) if program.is_dir() => {
            format!("{shown} is a directory, not a program")
        }
        Some(Errno::ACCESS | Errno::PERM) if access(program, Access::EXEC_OK).is_err() => {
            not_executable(program)
        }
        Some(Errno::ACCESS | Errno::PERM) => format!(
            "{shown} may not be executed ({error}) although its mode allows it: its interpreter is not executable, or \
             its file system is mounted `noexec`"
        ),
        Some(Errno::NOEXEC) => format!(
            "{shown} is neither a program for this machine nor a script that names its interpreter. If it is a \
             script, begin it with a line such as `#!/bin/sh`"
        ),
        Some(Errno::TOOBIG) => format!(
            "the arguments and environment of `{name}` are larger than the system allows. Pass large values in files: \
             all inputs are in the one that `$RUNNER_INPUTS` names"
        ),
        Some(Errno::AGAIN) => format!(
            "`{name}` could not be started: the limit of processes is reached ({error}). Raise `ulimit -u`, or run \
             fewer jobs at a time"
        ),
        Some(Errno::MFILE | Errno::NFILE) => format!(
            "`{name}` could not be started: the limit of open files is reached ({error}). Raise `ulimit -n`, or run \
             fewer jobs at a time"
        ),
        Some(Errno::TXTBSY) => format!("{shown} is open for writing somewhere. Close it before it is run"),
        None if error.kind() == io::ErrorKind::InvalidInput => {
            format!(
                "an argument or variable of `{name}` holds a NUL character, which no program can be given"
            )
        }
        Some(_) | None => format!("{shown} could not be started: {error}"),
    }
}

/// What follows `#!` in the program's first line, if it is a script with such a line.
fn interpreter(program: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(program).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}
