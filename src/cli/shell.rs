//! `runner shell`: an attempt of a past run, by hand.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::args::NodeArg;
use super::screen::{ColorChoice, note};
use super::{Failure, Outcome, code, signals};
use crate::exec::{NotEntered, Views};
use crate::ops::replay::{Ready, Replay};
use crate::ops::shell::ShellSession;
use crate::view::text::style::Ink;

mod banner;

/// Open a shell to repeat a node's attempt by hand
///
/// The shell starts in a fresh scratch folder with the environment, the staged inputs and the $OUT that the node's
/// last attempt had in that run, as they were then; its command is ready to run as "$RUNNER_SCRIPT". $SHELL is used,
/// without its start-up files, which would change the environment. With a script on standard input, runs that
/// instead. Neither the cache nor the history changes.
///
/// Your own files that were not kept are taken as they are now, with a note, and so are a task's sources. Secrets and
/// variables named by `pass_env` come from the present environment.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner shell @last-failed train
  runner shell @last each --index 3
  runner shell @last 'prep[3]/clean' --keep
  echo 'head \"$data\"; env' | runner shell @last train")]
pub struct Args {
    #[command(flatten)]
    unit: NodeArg,
    /// Keep the scratch folder, and say where it is
    #[arg(long)]
    keep: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let wanted = args.unit.node()?;
    let mut session = ShellSession::open(home, &args.unit.of.run, wanted, args.keep)?;
    session.warnings().iter().for_each(|warning| note(&format!("warning: {warning}")));
    let commands = commands()?;
    let mut ended = work(&session, commands.as_deref(), color);
    if let Ok(None) = ended {
        session = session.without_views()?;
        ended = work(&session, commands.as_deref(), color);
    }
    let kept = args.keep.then(|| session.ready.folder.path().to_owned());
    session.close();
    if let Some(folder) = kept {
        note(&format!("kept: {}", folder.display()));
    }
    match ended? {
        None => Err(Failure::store("this system does not show the shell its large inputs")),
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Err(Failure::silent(u8::try_from(code).unwrap_or(code::FAILED)))
        }
    }
}

/// The script on standard input, unless that is a terminal.
fn commands() -> Result<Option<Vec<u8>>, Failure> {
    let mut text = Vec::new();
    if io::stdin().is_terminal() {
        return Ok(None);
    }
    io::stdin().lock().read_to_end(&mut text).map_err(|error| {
        Failure::usage(format!("standard input, which should hold a script, cannot be read: {error}"))
    })?;
    Ok(Some(text))
}

/// The shell, from before the summary of what there is until after that of what it left; `None` if this system does not
/// show it the views that are prepared for it.
fn work(
    session: &ShellSession,
    commands: Option<&[u8]>,
    color: ColorChoice,
) -> Result<Option<ExitStatus>, Failure> {
    let ShellSession { past, ready, .. } = session;
    let Ready { folder, prepared, .. } = ready;
    let cannot = |error: io::Error| {
        Failure::store(format!("the scratch folder {} cannot be used: {error}", folder.path().display()))
    };
    let script = session.write_command().map_err(cannot)?;
    let ink = Ink(color.on_stderr());
    let shell = shell();
    let views = prepared.views(folder);
    let mut command = match &views {
        None => Command::new(&shell),
        Some(views) => views.command(&find_program(&shell), &shell).map_err(cannot)?,
    };
    command
        .env_clear()
        .envs(&prepared.env)
        .env("RUNNER_SCRIPT", script.as_os_str())
        .current_dir(&prepared.dir);
    if let Some(text) = commands {
        past.notes.iter().for_each(|text| note(&format!("note: {text}")));
        let commands = folder.path().join("commands");
        fs::write(&commands, text).map_err(cannot)?;
        command.arg(&commands).stdin(Stdio::null());
    } else {
        eprint_all(&banner::before(past, ready, ink));
        command.args(without_start_up_files(&shell)).envs(of_the_terminal(past));
    }
    let no_shell = |error: io::Error| {
        let shell = Path::new(&shell).display().to_string();
        Failure::usage(format!("the shell {shell} cannot be started: {error}; set SHELL to another"))
    };
    let status = attend(command).map_err(no_shell)?;
    match views.as_ref().and_then(Views::failure) {
        Some(NotEntered::NoViews(_)) => return Ok(None),
        Some(NotEntered::NotStarted(error)) => return Err(no_shell(io::Error::from_raw_os_error(error))),
        None => {}
    }
    if io::stderr().is_terminal() {
        eprint_all(&banner::after(&past.subject.task, &session.check_outputs(), ink));
    }
    Ok(Some(status))
}

/// `$SHELL`, or one that is everywhere.
fn shell() -> OsString {
    let found = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    match std::env::var_os("SHELL") {
        Some(shell) if !shell.is_empty() => shell,
        _ if found("bash") => "bash".into(),
        _ => "sh".into(),
    }
}

/// The path of a program that is looked for in our `PATH` if it is named without a folder.
fn find_program(name: &OsString) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    match Path::new(name).components().count() {
        1 => found.find(|path| path.is_file()).unwrap_or_else(|| name.into()),
        _ => name.into(),
    }
}

/// Start-up files would change the environment that is to be looked at.
fn without_start_up_files(shell: &OsString) -> &'static [&'static str] {
    match Path::new(shell).file_name().and_then(|name| name.to_str()) {
        Some("bash") => &["--noprofile", "--norc"],
        Some("zsh") => &["-f"],
        Some("fish") => &["--no-config"],
        _ => &[],
    }
}

/// What a shell needs to be used by a person, beside what the attempt had.
fn of_the_terminal(past: &Replay) -> Vec<(&'static str, OsString)> {
    let mut vars: Vec<_> = ["TERM", "COLORTERM"]
        .into_iter()
        .filter_map(|name| std::env::var_os(name).map(|value| (name, value)))
        .collect();
    vars.push(("PS1", format!("{} {} $ ", past.run.id, past.label).into()));
    vars
}

/// Runs the shell to its end. Ctrl-C is for what runs in it; TERM and HUP are handed on, so that the scratch folder can
/// be removed.
fn attend(mut command: Command) -> io::Result<ExitStatus> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut interrupts = signals::listen();
        let mut quit = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::quit())?;
        let mut child = command.spawn()?;
        let pid = rustix::process::Pid::from_child(&child);
        let (tell, mut ended) = tokio::sync::oneshot::channel();
        if let Err(error) = std::thread::Builder::new().spawn(move || tell.send(child.wait())) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
            return Err(error);
        }
        loop {
            tokio::select! {
                status = &mut ended => return status.unwrap_or_else(|error| Err(io::Error::other(error))),
                Some(interrupt) = interrupts.recv() => {
                    let signal = rustix::process::Signal::from_named_raw(interrupt.signal());
                    if let Some(signal) = signal.filter(|signal| *signal != rustix::process::Signal::INT) {
                        // It may have ended a moment ago.
                        let _ = rustix::process::kill_process(pid, signal);
                    }
                }
                _ = quit.recv() => {}
            }
        }
    })
}

fn eprint_all(text: &str) {
    // If standard error is gone, nothing can be reported.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
