//! `runner completions`: what makes a shell complete the command line.

use clap_complete::Shell;

use super::Outcome;
use super::complete::registration;
use super::screen::print;

/// Print what makes a shell complete the command line
///
/// Runs, nodes, inputs, tasks, keys and topics are completed as well: the shell asks runner, which reads the home and the
/// workflow file and changes nothing.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner completions bash > ~/.local/share/bash-completion/completions/runner
  runner completions zsh > ~/.zfunc/_runner    with fpath+=~/.zfunc in ~/.zshrc
  runner completions fish > ~/.config/fish/completions/runner.fish")]
pub struct Args {
    /// The shell that the script is for
    shell: Shell,
}

pub fn run(args: Args) -> Outcome {
    print(&registration(args.shell));
    Ok(())
}
