//! The verb that a user probably meant who typed an unknown one.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The message for an unknown verb that other tools have, or for a file without a verb; `None` where clap knows better.
pub fn explain(error: &clap::Error, args: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let at = args.iter().position(|arg| arg == verb.as_str())?;
    // A verb below another one.
    if args[..at].iter().any(|arg| arg == "cache" || arg == "schedule") {
        return None;
    }
    let next = args.get(at + 1).and_then(|arg| arg.to_str()).filter(|arg| !arg.starts_with('-'));
    hint(verb, next).map(|hint| format!("there is no verb `{verb}`: {hint}"))
}

fn hint(verb: &str, next: Option<&str>) -> Option<String> {
    let file = next.unwrap_or("workflow.toml");
    let run = next.unwrap_or("@last");
    let meant = |command: String| Some(format!("did you mean `{command}`?"));
    match verb {
        "run" | "start" | "build" | "make" | "execute" | "go" => meant(format!("runner exec {file}")),
        "validate" | "verify" | "test" => meant(format!("runner check {file}")),
        "dry-run" | "dryrun" | "preview" => meant(format!("runner plan {file}")),
        "dag" | "viz" => meant(format!("runner graph {file}")),
        "version" => meant("runner --version".into()),
        "status" | "info" => meant(format!("runner show {run}")),
        "log" => meant(format!("runner logs {run}")),
        "stop" | "kill" | "abort" => meant(format!("runner cancel {run}")),
        "resume" | "restart" => meant(format!("runner retry {run}")),
        "clean" | "prune" | "gc" => meant("runner cache gc".into()),
        "list" | "ls" | "ps" | "history" => Some(format!(
            "`runner runs` lists runs, `runner cache ls` stored results, and `runner graph {file}` shows a workflow's nodes"
        )),
        path if path.ends_with(".toml") || Path::new(path).is_file() => meant(format!("runner exec {path}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_other_tools_lead_to_ours() {
        for (verb, next, said) in [
            ("run", Some("x.toml"), "did you mean `runner exec x.toml`?"),
            ("start", None, "did you mean `runner exec workflow.toml`?"),
            ("x.toml", None, "did you mean `runner exec x.toml`?"),
            ("version", None, "did you mean `runner --version`?"),
            ("status", None, "did you mean `runner show @last`?"),
        ] {
            assert_eq!(hint(verb, next).as_deref(), Some(said), "{verb}");
        }
        assert!(hint("ls", None).unwrap().starts_with("`runner runs` lists runs"));
        assert_eq!(hint("exce", None), None);
    }
}
