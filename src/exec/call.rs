//! Calls of a batch system's programs: a short command whose answer is waited for, but not for ever.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Is in the environment of what a batch system's programs start: jobs may be among it, and outlive this process.
pub const CALLED: &str = "RUNNER_CALLED";
/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The longest pause between two looks at a call that goes on.
const MAX_PAUSE: Duration = Duration::from_millis(20);
/// Which variables a program is given.
pub enum CallEnvironment<'n> {
    /// Those without which no program can do.
    Few,
    /// All but those with these names.
    AllBut(&'n [String]),
}

/// Variables that Slurm's programs are given. Others would reach the jobs, or change what the programs do.
const PASSED: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "TZ", "SLURM_CONF", "KRB5CCNAME"];

/// The answer of a call that ended by itself.
pub struct CallAnswer {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Why there is no answer: a sentence.
#[derive(Debug)]
pub enum CallFault {
    NotCalled(String),
    /// It was called, and what it did is not known.
    NoAnswer(String),
}

impl From<CallFault> for String {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::NotCalled(problem) | CallFault::NoAnswer(problem) => problem,
        }
    }
}

/// Runs `program` and returns what it says.
///
/// # Errors
/// It could not be started, or gave no answer in time.
pub fn call(
    program: &OsString,
    args: &[String],
    environment: CallEnvironment,
) -> Result<CallAnswer, CallFault> {
    let shown = program.display();
    let fail = |error: io::Error| CallFault::NotCalled(format!("{shown} cannot be called: {error}"));
    let (mut out, mut err) = (tempfile::tempfile().map_err(fail)?, tempfile::tempfile().map_err(fail)?);
    let mut command = Command::new(program);
    match environment {
        CallEnvironment::Few => {
            command.env_clear();
            command.envs(PASSED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        }
        CallEnvironment::AllBut(hidden) => {
            command.env(CALLED, "1");
            for name in hidden {
                command.env_remove(name);
            }
        }
    }
    let mut child = command
        .args(args)
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(fail)?)
        .stderr(err.try_clone().map_err(fail)?)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CallFault::NotCalled(format!(
                "{shown} was not found: install the batch system's programs here, or say in the settings where they are"
            )),
            _ => fail(error),
        })?;
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            break status;
        }
        if begun.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(CallFault::NoAnswer(format!("{shown} gave no answer within {} s", LIMIT.as_secs())));
        }
        sleep(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    };
    Ok(CallAnswer { succeeded: status.success(), stdout: text(&mut out), stderr: text(&mut err) })
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_both_outputs_and_a_missing_program_is_named() {
        let args = ["-c".to_owned(), "echo one; echo two >&2; exit 3".to_owned()];
        let answer = call(&"/bin/sh".into(), &args, CallEnvironment::Few).unwrap();
        assert_eq!((answer.succeeded, &*answer.stdout, &*answer.stderr), (false, "one\n", "two\n"));
        let missing = call(&"/no/such/sbatch".into(), &[], CallEnvironment::AllBut(&[])).err().unwrap();
        let missing = String::from(missing);
        assert!(missing.contains("/no/such/sbatch was not found"), "{missing}");
    }
}
