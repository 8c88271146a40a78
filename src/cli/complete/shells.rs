//! The script that makes each shell ask this program, and the answers in the form of shells that the library knows.

use std::ffi::OsString;

use clap::Command;
use clap_complete::Shell;
use clap_complete::env::{Elvish, EnvCompleter, Powershell};

use super::VARIABLE;

/// The words are taken from the line: those that bash hands over are also split at `=`, `:` and `@`.
const BASH: &str = r#"_runner_complete() {
    local program=${1/#\~\//$HOME/} line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(_RUNNER_COMPLETE=bash _RUNNER_WORDBREAKS=$COMP_WORDBREAKS "$program" -- "${COMP_LINE:0:COMP_POINT}" 2> /dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2> /dev/null
    fi
}
complete -o bashdefault -o nosort -F _runner_complete runner 2> /dev/null ||
    complete -o bashdefault -F _runner_complete runner
"#;

const ZSH: &str = r#"#compdef runner
_runner() {
    local program=${${(Q)words[1]}/#\~\//$HOME/} line value
    local -a lines plain open
    lines=("${(@f)$(_RUNNER_COMPLETE=zsh $program -- "${(@Q)words[1,CURRENT]}" 2> /dev/null)}")
    for line in $lines; do
        value=${${line%%$'\t'*}//:/\\:}
        [[ $line == *$'\t'* ]] && line="$value:${line#*$'\t'}" || line=$value
        [[ $value == *[=/] ]] && open+=("$line") || plain+=("$line")
    done
    (( $#plain )) && _describe -V runner plain
    (( $#open )) && _describe -V runner open -S ''
}
if [[ $funcstack[1] == _runner ]]; then
    _runner "$@"
else
    compdef _runner runner
fi
"#;

const FISH: &str = r#"function __runner_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    _RUNNER_COMPLETE=fish $program -- $words (commandline --current-token --cut-at-cursor) 2> /dev/null
end
complete --keep-order --no-files --command runner --arguments '(__runner_complete)'
"#;

/// The script that a shell evaluates.
pub fn registration(shell: Shell) -> String {
    let foreign = |shell: &dyn EnvCompleter| {
        let mut script = Vec::new();
        // Writing to memory does not fail.
        let _ = shell.write_registration(VARIABLE, "runner", "runner", "runner", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    };
    match shell {
        Shell::Bash => BASH.into(),
        Shell::Zsh => ZSH.into(),
        Shell::Fish => FISH.into(),
        Shell::Elvish => foreign(&Elvish),
        _ => foreign(&Powershell),
    }
}

/// The answer for a shell with a form of its own.
pub fn foreign(shell: &str, command: Command, words: Vec<OsString>) -> String {
    let shell: &dyn EnvCompleter = match shell {
        "elvish" => &Elvish,
        "powershell" => &Powershell,
        _ => return String::new(),
    };
    let Some(at) = words.len().checked_sub(1) else { return String::new() };
    super::remember(&words, at);
    let (dir, mut text) = (std::env::current_dir().ok(), Vec::new());
    let mut command = super::values::with_values(command);
    let answered = shell.write_complete(&mut command, words, dir.as_deref(), &mut text);
    answered.map(|()| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}
