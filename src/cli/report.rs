//! `runner report`: a run as one page of HTML, with what is kept of it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use serde_json::json;

use super::screen::print;
use super::{Failure, Outcome};
use crate::core::digest::Digest;
use crate::core::event::VERSION;
use crate::ops::home::HomeReader;
use crate::ops::picture::picture;
use crate::ops::recorded::as_it_was;
use crate::storage::store::Store;
use crate::storage::user_file::write_user_file;
use crate::view::html::{Sources, page};

/// Write an HTML page about a run
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner report @last
  runner report @last-failed -o failed.html
  xdg-open \"$(runner report @last)\"")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// Where to write it [default: report-<run>.html in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON document with the path
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>) -> Outcome {
    let view = HomeReader::open(home)?;
    let run = view.find(&args.run)?;
    let path = args.output.unwrap_or_else(|| format!("report-{}.html", run.id).into());
    let picture = as_it_was(&view, &run).map(|again| picture(&again.opened.workflow));
    let kept = Kept { store: view.store()? };
    let page = page(view.events(&run.id)?, &run.status, picture, &kept, &Zoned::now());
    write_user_file(&path, |file| file.write_all(page.as_bytes()))
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
    print(&match args.json {
        true => format!("{}\n", json!({"v": VERSION, "run": run.id, "path": path.display().to_string()})),
        false => format!("{}\n", path.display()),
    });
    Ok(())
}

/// What is kept of a run beside its events.
struct Kept {
    store: Store,
}

impl Sources for Kept {
    fn log(&self, path: &str, limit: u64) -> Option<(Vec<u8>, bool)> {
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit))).ok()?;
        let mut end = Vec::new();
        file.take(limit).read_to_end(&mut end).ok()?;
        Some((end, length <= limit))
    }

    fn blob(&self, digest: &str, size: u64) -> Option<Vec<u8>> {
        let digest: Digest = digest.parse().ok()?;
        let mut bytes = Vec::new();
        let file = File::open(self.store.blob_path(&digest)).ok()?;
        file.take(size + 1).read_to_end(&mut bytes).ok()?;
        // A folder's blob is its list of entries, and not as large as what is in it.
        (bytes.len() as u64 == size && Digest::of(&bytes) == digest).then_some(bytes)
    }
}
