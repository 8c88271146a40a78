//! `runner completions`: scripts that complete the command line.

use clap_complete::Shell;

use super::Outcome;

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  runner completions bash > ~/.local/share/bash-completion/completions/runner")]
pub struct Args {
    shell: Shell,
}

pub fn run(args: Args, command: &mut clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "runner", &mut script);
    super::screen::print(&String::from_utf8_lossy(&script));
    Ok(())
}
