//! The texts of an exported attempt: `run.sh`, `inputs.json`, `README.txt`.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Ready, Replay};
use crate::engine::attempt::environment::BASE;
use crate::ops::quoting::{Moved, NOWHERE};
use crate::workflow::{Capture, Task};

/// What stands in `inputs.json` where the folder's path belongs: nothing that a value can be expected to hold.
fn marker(ready: &Ready) -> String {
    format!("@{}@", ready.id)
}

/// The text of the task's script, with the name of its file, if it is not a file anyway.
pub fn inline<'a>(past: &'a Replay, ready: &'a Ready) -> Option<(&'a str, &'a String)> {
    let text = ready.prepared.inline.and_then(|i| ready.prepared.program.get(i))?;
    Some((past.subject.script_name(), text))
}

/// `run.sh`: values are data in it, and paths are relative to where it lies.
///
/// # Errors
/// A sentence that says what has no form in such a script.
pub fn run_sh(past: &Replay, ready: &Ready) -> Result<Vec<u8>, String> {
    let task = &*past.subject.task;
    let scratch = ready.folder.path().as_os_str().as_bytes();
    let below = |name: &str| [scratch, name.as_bytes()].concat();
    let places = [
        (below("/inputs.json"), "$here/.inputs.json"),
        (below("/in/"), "$here/inputs/"),
        (scratch.to_vec(), "$here"),
    ];
    let moved = Moved { places: &places };
    if let Some(program) = ready.prepared.program.first().filter(|program| program.contains('=')) {
        return Err(format!("the program {program} has a `=` in its name, and cannot be run by a script"));
    }
    let mut text = format!(
        "#!/usr/bin/env bash\n# What {} of run {} ran, with the same inputs. README.txt says more.\n{HEAD}",
        past.label, past.run.id
    )
    .into_bytes();
    for name in &task.secrets {
        if !is_identifier(name) {
            return Err(format!("the secret `{name}` has a name that no shell can hold"));
        }
        text.extend_from_slice(
            format!(
                "if [ -z \"${{{name}+x}}\" ]; then\n  echo 'run.sh: {name} is a secret of this task and is not set: export it, then \
                 run again' >&2\n  exit 2\nfi\n"
            )
            .as_bytes(),
        );
    }
    text.extend(passing(task));
    for name in &task.secrets {
        text.extend_from_slice(format!("environment+=(\"{name}=${name}\")\n").as_bytes());
    }
    for (name, value) in &ready.prepared.env {
        // Without one in the task it is that of the script's caller, or the default above.
        if (name == "PATH" || name == "LANG") && !task.env.iter().any(|(own, _)| own.as_str() == name) {
            continue;
        }
        let assignment = [name.as_bytes(), b"=", value.as_bytes()].concat();
        text.extend_from_slice(b"environment+=(");
        text.extend(moved.word(&assignment));
        text.extend_from_slice(b")\n");
    }
    text.extend_from_slice(INPUTS.replace("MARKER", &marker(ready)).as_bytes());
    if task.in_workflow_dir {
        let warning = format!(
            "run.sh: this task ran in {}, which is not in this archive: it begins in an empty folder",
            past.subject.workflow_dir.display()
        );
        text.extend_from_slice(b"printf '%s\\n' ");
        text.extend(NOWHERE.word(warning.as_bytes()));
        text.extend_from_slice(b" >&2\n");
    }
    text.extend_from_slice(b"cd -- \"$here/work\" || exit\nexec env -i \"${environment[@]}\" ");
    let script = ready.folder.path().join("script").join(past.subject.script_name());
    text.extend(moved.command(&ready.prepared, &script));
    text.push(b'\n');
    Ok(text)
}

const HEAD: &str = r#"set -u
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P) || exit
case $here in
*[\"\\]* | *[[:cntrl:]]*)
  echo "run.sh: move this folder: its path must hold no quotes, backslashes or line breaks" >&2
  exit 2
  ;;
esac
"#;

const INPUTS: &str = r#"# Each time a fresh working directory, and a fresh folder for what the task hands back.
rm -rf -- "$here/work" "$here/out"
mkdir -- "$here/out" && cp -R -- "$here/sources" "$here/work" || exit
inputs=$(cat -- "$here/inputs.json") || exit
shopt -u patsub_replacement 2>/dev/null
inputs=${inputs//MARKER/$here}
printf '%s\n' "$inputs" >"$here/.inputs.json" || exit
"#;

/// The variables taken from the script's caller: the base list, and those that the task asks for.
fn passing(task: &Task) -> Vec<u8> {
    let mut text =
        b"environment=(PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8)\nwhile IFS= read -r name; do\n  case $name in\n"
            .to_vec();
    let names: Vec<Vec<u8>> = task.inputs.iter().map(|input| NOWHERE.word(input.name.as_bytes())).collect();
    if !names.is_empty() {
        text.extend_from_slice(b"  ");
        text.extend(names.join(&b" | "[..]));
        text.extend_from_slice(b") ;;\n");
    }
    let patterns = BASE.into_iter().chain(task.pass_env.iter().chain(&task.cache.env).map(String::as_str));
    let patterns: Vec<Vec<u8>> = patterns.map(pattern).collect();
    text.extend_from_slice(b"  ");
    text.extend(patterns.join(&b" | "[..]));
    text.extend_from_slice(b") environment+=(\"$name=${!name}\") ;;\n  esac\ndone < <(compgen -e)\n");
    text
}

/// A pattern for names, in which only `*` means something.
fn pattern(pattern: &str) -> Vec<u8> {
    let parts = pattern.split('*').map(|part| match part {
        "" => Vec::new(),
        part => NOWHERE.word(part.as_bytes()),
    });
    let text = parts.collect::<Vec<_>>().join(&b'*');
    if text.is_empty() { b"''".to_vec() } else { text }
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `inputs.json` with the marker in place of the folder.
///
/// # Errors
/// The file cannot be read.
pub fn inputs_json(ready: &Ready) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(ready.folder.path().join("inputs.json"))?;
    let quoted = serde_json::Value::from(ready.folder.path().display().to_string()).to_string();
    let scratch = quoted.trim_matches('"');
    let marker = marker(ready);
    let text = text.replace(&format!("{scratch}/in/"), &format!("{marker}/inputs/"));
    Ok((text.replace(scratch, &marker) + "\n").into_bytes())
}

/// `README.txt`
pub fn readme(past: &Replay) -> String {
    let Replay { run, label, subject, end, .. } = past;
    let task = &*subject.task;
    let mut text = format!(
        "{label} of run {} ({}), as runner {} packed it.\n\n\
         ./run.sh runs it again: the same command with the same inputs, in a fresh folder\n\
         `work`. It needs bash, and what the task itself needs.\n\n\
         run.sh       the environment and the command\n\
         inputs/      files of the inputs\n\
         inputs.json  all inputs; run.sh puts the path of this folder into a copy of it\n\
         sources/     what is put into the working directory\n\
         script/      the text of the command, if it is a script: edit it freely\n\n",
        run.id,
        end.status,
        env!("CARGO_PKG_VERSION")
    );
    if !task.outputs.is_empty() {
        text.push_str("Outputs that the task must write:\n");
    }
    for output in &task.outputs {
        let place = match &output.capture {
            Capture::Out => format!("out/{}", output.name),
            Capture::Path(path) => Path::new("work").join(path).display().to_string(),
            Capture::Stdout => "on standard output".into(),
            Capture::Returned => "returned by the function, in result.json".into(),
        };
        text.push_str(&format!("  {}: {}, {place}\n", output.name, output.ty));
    }
    if !task.secrets.is_empty() {
        text.push_str(&format!("\nSecrets that must be set: {}\n", task.secrets.join(", ")));
    }
    text.push_str("\nTaken from the environment of the caller, if set:\n");
    for name in BASE.into_iter().chain(task.pass_env.iter().chain(&task.cache.env).map(String::as_str)) {
        text.push_str(&format!("  {name}\n"));
    }
    if task.in_workflow_dir {
        text.push_str(&format!(
            "\nThe task ran in {} (cwd = \"workflow\"), which is not in here.\n",
            subject.workflow_dir.display()
        ));
    }
    for note in &past.notes {
        text.push_str(&format!("\nNote: {note}.\n"));
    }
    text
}
