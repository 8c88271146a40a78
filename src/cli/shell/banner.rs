//! What `runner shell` tells a person: what there is, and in the end what there would be.

use std::path::Path;

use super::{Ready, Replay};
use crate::core::event::Status;
use crate::core::value::Value;
use crate::engine::attempt::error::OutputProblem;
use crate::view::text::style::{BAD, CAUTION, Cell, FAINT, GOOD, Ink, PLAIN, STRONG, columns};
use crate::view::text::{cut, inert, size};
use crate::workflow::{Capture, Task};

/// Maximum columns of a value.
const WIDEST: usize = 50;

/// What there is.
pub fn before(past: &Replay, ready: &Ready, ink: Ink) -> String {
    let Replay { run, label, end, subject, notes, .. } = past;
    let (style, how) = match end.status {
        Status::Succeeded if end.attempts == 0 => (PLAIN, "came from the cache"),
        Status::Succeeded => (GOOD, "succeeded"),
        Status::Failed => (BAD, "failed"),
        Status::Skipped | Status::Cancelled | Status::Detached => (CAUTION, end.status.name()),
    };
    let why = end.error.as_ref().and_then(|error| error.message.lines().next());
    let why = why.map_or(String::new(), |why| format!(", {why}"));
    let mut text = format!(
        "{} of run {}: {}{}\n\n",
        ink.paint(STRONG, label),
        run.id,
        ink.paint(style, how),
        inert(&cut(&why, WIDEST))
    );
    let mut rows = Vec::new();
    let mut row = |title: &str, name: String, what: String| {
        rows.push(vec![
            Cell::new(FAINT, format!("  {title}")),
            Cell::new(PLAIN, name),
            Cell::new(FAINT, cut(&inert(&what), WIDEST).into_owned()),
        ]);
    };
    let mut title = "inputs";
    for (input, value) in subject.task.inputs.iter().zip(&subject.inputs) {
        let variable = ready.prepared.env.get(std::ffi::OsStr::new(&*input.name));
        let what = match (variable, value) {
            (None, Value::Null) => "not set: null".to_owned(),
            (None, _) => "too long for a variable: in $RUNNER_INPUTS".to_owned(),
            (Some(path), Value::File(_) | Value::Dir(_)) => from_work(Path::new(path), ready),
            (Some(text), _) => text.to_string_lossy().into_owned(),
        };
        row(std::mem::take(&mut title), format!("${}", input.name), what);
    }
    let mut title = "outputs";
    for output in &subject.task.outputs {
        let (name, what) = match &output.capture {
            Capture::Out => (format!("$OUT/{}", output.name), output.ty.to_string()),
            Capture::Path(path) => (path.clone(), format!("{}, in this folder", output.ty)),
            Capture::Stdout => ("standard output".to_owned(), format!("{} {}", output.ty, output.name)),
            Capture::Returned => (output.name.to_string(), format!("{}, returned", output.ty)),
        };
        row(std::mem::take(&mut title), name, what);
    }
    row("command", "\"$RUNNER_SCRIPT\"".into(), command(past, ready));
    text.push_str(&columns(&rows, ink));
    for note in notes {
        text.push_str(&format!("\n  {} {}\n", ink.paint(CAUTION, "note:"), inert(note)));
    }
    let fate = if ready.is_kept {
        "exit leaves; this folder is kept"
    } else {
        "exit leaves, and removes this folder"
    };
    text.push_str(&format!("\n{}\n", ink.paint(FAINT, fate)));
    text
}

/// Where the text of the command stands.
fn command(past: &Replay, ready: &Ready) -> String {
    let Ready { folder, prepared, .. } = ready;
    match &past.subject.task.command {
        crate::workflow::TaskCommand::Program(_) => prepared.program.join(" "),
        crate::workflow::TaskCommand::Function(call) => {
            format!("calls {}:{}", call.function.file.display(), call.function.function)
        }
        crate::workflow::TaskCommand::Script { .. } => {
            let script = folder.path().join("script").join(past.subject.script_name());
            format!("runs {}", from_work(&script, ready))
        }
    }
}

/// A path as one would write it in the working directory.
fn from_work(path: &Path, ready: &Ready) -> String {
    let inside = path.strip_prefix(ready.folder.path()).ok();
    match inside.filter(|_| ready.prepared.dir == ready.folder.work()) {
        Some(inside) => Path::new("..").join(inside).display().to_string(),
        None => path.display().to_string(),
    }
}

/// What there would be if the attempt ended now.
pub fn after(task: &Task, verdicts: &[Result<Value, OutputProblem>], ink: Ink) -> String {
    let mut text = String::new();
    for (output, verdict) in task.outputs.iter().zip(verdicts) {
        let (style, mark, what) = match verdict {
            Ok(value) => (GOOD, "✓", shown(value)),
            Err(OutputProblem::Missing(_)) => (BAD, "✗", "missing".to_owned()),
            Err(OutputProblem::Invalid(problem)) => (BAD, "✗", problem.clone()),
        };
        let name = ink.paint(STRONG, &output.name);
        text.push_str(&format!("{} {name}  {}\n", ink.paint(style, mark), inert(&what)));
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::File(file) => format!("file, {}", size(file.size)),
        Value::Dir(dir) => format!("directory, {}", size(dir.size)),
        Value::Null => "null".into(),
        value => {
            let text = value.to_task_text(&|artifact| artifact.name.to_string()).unwrap_or_default();
            cut(&text, WIDEST).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::documents::{Document, Texts};
    use crate::workflow::load::load_from;

    #[test]
    fn each_output_has_its_verdict() {
        let text =
            "[workflow]\nname = 'w'\n[tasks.t]\noutputs = { a = 'int', b = 'int', c = 'int' }\nrun = 'x'\n";
        let path = Path::new("/w.toml");
        let file = Document { path: path.into(), asked: Vec::new(), text: text.into() };
        let workflow = load_from(Texts::recorded(vec![file]), path, &[]).workflow.unwrap();
        let verdicts = [
            Ok(Value::Int(7)),
            Err(OutputProblem::Missing("the command left no \"a\"".into())),
            Err(OutputProblem::Invalid("expected int, found \"missing: \"".into())),
        ];
        let text = after(&workflow.tasks[0], &verdicts, Ink(false));
        assert_eq!(text, "✓ a  7\n✗ b  missing\n✗ c  expected int, found \"missing: \"\n");
    }
}
