//! `runner job`: what a batch system runs on a node. Hidden: only runs begin it.

use std::path::PathBuf;

use super::{Failure, Outcome, code, runtime, signals};
use crate::exec::batch::run_job;
use crate::exec::{Cancel, Level};

/// Run the job of a folder; batch systems are told to do this
#[derive(clap::Args)]
#[command(hide = true)]
pub struct Args {
    /// The folder of the job
    folder: PathBuf,
}

pub fn run(args: Args) -> Outcome {
    let ended = runtime::block_on(async move {
        let cancel = Cancel::default();
        let mut heard = signals::listen();
        let by_signal = cancel.clone();
        tokio::spawn(async move {
            let mut level = Level::Terminate;
            while heard.recv().await.is_some() {
                by_signal.raise(level);
                level = Level::Kill;
            }
        });
        run_job(&args.folder, cancel).await
    })?;
    ended.map_err(|problem| Failure::new(code::FAILED, problem))
}
