//! Which line of a script under `bash -euo pipefail` ended it: a trap reports it to the runner only.
//!
//! The trap is set by a file that the script's first line is made to read, so that line numbers are as written, and so
//! is all else that a script can see but `$BASH_EXECUTION_STRING` and `trap -p`. Traps of the script replace it. Where the
//! script has one line there is nothing to say.

use std::fs;
use std::io;
use std::path::Path;

use crate::core::shell_word;
use crate::engine::attempt::prepare::PreparedAttempt;
use crate::engine::attempt::scratch::Folder;
use crate::workflow::{Task, TaskCommand};

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingLine {
    /// Counts from 1.
    pub number: u32,
    pub text: String,
}

/// The shell for which the trap is set.
const SHELL: [&str; 3] = ["bash", "-euo", "pipefail"];
/// Maximum length of the text of a line, in characters.
const MAX_LINE_CHARS: usize = 100;

/// Sets the trap in the script, which is one of the words of `prepared.program`, if `task` is one for it.
///
/// # Errors
/// The scratch folder cannot be written to.
pub fn set_trap(task: &Task, folder: &Folder, prepared: &mut PreparedAttempt) -> io::Result<()> {
    let inline = prepared.inline.and_then(|i| prepared.program.get_mut(i));
    let (Some(script), Some(inline)) = (script(task), inline) else { return Ok(()) };
    let (file, report) = (folder.trap(), folder.failing_line());
    let (Some(file_word), Some(report)) = (quoted(&file), quoted(&report)) else { return Ok(()) };
    if script.lines().filter(|line| !line.trim().is_empty()).count() < 2 {
        return Ok(());
    }
    // A trap does not hear of a command that fails in a function: there the end says which line called it.
    let report = report.replace('\'', "'\\''");
    let text = format!(
        "[[ ${{BASH_VERSINFO[0]}} -ge 5 ]] || return 0\n\
         trap 'printf \"%s %s\" \"$?\" \"$LINENO\" 2> /dev/null >| {report} || :' ERR\n\
         trap '[[ -z ${{FUNCNAME-}} ]] || printf \"%s %s\" \"$?\" \"${{BASH_LINENO[-1]}}\" 2> /dev/null >| {report} || :' EXIT\n"
    );
    folder.write_private(&file, text.as_bytes())?;
    inline.insert_str(0, &format!(". {file_word};"));
    Ok(())
}

/// The line that ended a script with `code`, if the trap reported it.
pub fn failing_line(task: &Task, folder: &Folder, code: i32) -> Option<FailingLine> {
    let script = script(task)?;
    let report = fs::read_to_string(folder.failing_line()).ok()?;
    let (status, number) = report.split_once(' ')?;
    // Another command may have failed before without ending the script.
    let number: u32 = number.parse().ok().filter(|_| status.parse() == Ok(code))?;
    let line = script.lines().nth(usize::try_from(number).ok()?.checked_sub(1)?)?.trim();
    let mut text: String = line.chars().take(MAX_LINE_CHARS).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    (!text.is_empty()).then_some(FailingLine { number, text })
}

fn script(task: &Task) -> Option<&str> {
    match &task.command {
        TaskCommand::Script { script, shell, .. } if shell.iter().eq(SHELL.iter()) => Some(script),
        _ => None,
    }
}

/// A path as a word of a shell; `None` for one that would change the number of lines or is not text.
fn quoted(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| !text.contains('\n'))?;
    Some(shell_word::quoted(text))
}
