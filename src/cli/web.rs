//! `runner web`: a link to the page of the daemon that serves this home.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::screen::{ColorChoice, error, print};
use super::{Failure, Outcome, code};
use crate::core::event::VERSION;
use crate::ops::web_access::{LoginLink, login_link};

/// Print a link to the web page of `runner serve` that logs in once
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner web
  runner web --open

The link is good once and for ten minutes. Scripts use the token in the home's
file serve.token instead.")]
pub struct Args {
    /// Open it in the browser as well
    #[arg(long)]
    open: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>, color: ColorChoice) -> Outcome {
    let LoginLink { url, expires } = login_link(home)?;
    print(&match args.json {
        true => format!("{}\n", json!({"v": VERSION, "url": url, "expires": expires})),
        false => format!("{url}\n"),
    });
    if !args.open {
        return Ok(());
    }
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut browser = Command::new(opener);
    browser.arg(&url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let problem = match browser.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("`{opener}` ended with {status}"),
        Err(problem) => format!("`{opener}` cannot be started: {problem}"),
    };
    error(color, &format!("no browser was opened: {problem}; open the link by hand"));
    Err(Failure::silent(code::FAILED))
}
