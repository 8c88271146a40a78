//! `runner export`: an attempt of a past run as an archive that runs without runner.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::node_arg::node_ref;
use super::replay::{Ready, Replay};
use super::screen::{note, print};
use super::session::{HomeReader, HomeWriter};
use super::{Failure, Outcome};
use crate::core::event::VERSION;
use crate::core::staging::Staging;
use crate::engine::attempt::environment::HostEnv;

mod script;

/// Pack a node's attempt as an archive that runs without runner
///
/// The archive holds what the node's last attempt in that run had: its inputs and sources, the command, its part of
/// the environment, and `run.sh`, which runs it anywhere: tar xzf ARCHIVE, then ./run.sh in its folder. Secrets are
/// never in it: run.sh asks for them by name. PATH, HOME and their like are those of whoever runs it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  runner export @last-failed train
  runner export @last each --index 3 -o broken.tar.gz")]
pub struct Args {
    /// A run's id, a unique prefix of one, @last, @last-failed, or @-2 for the one before the last
    #[arg(value_name = "RUN")]
    run: String,
    /// The node's name, with those of the nodes that it is inside of: `train`, `prep/clean`, `prep[3]/clean`
    #[arg(value_name = "NODE")]
    node: String,
    /// Which element of a `foreach` or `matrix` node, counted from 0
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Where to write it [default: RUN-NODE.tar.gz in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, home: Option<&Path>) -> Outcome {
    let view = HomeReader::open(home)?;
    let run = view.find(&args.run)?;
    let wanted = node_ref(&args.node, args.index).map_err(Failure::usage)?;
    let session = HomeWriter::open(home)?;
    session.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    let past = Replay::find(&view, &session.store, run, wanted, "export")?;
    past.notes.iter().for_each(|text| note(&format!("note: {text}")));
    if past.subject.task.in_workflow_dir {
        let folder = past.subject.workflow_dir.display();
        note(&format!("note: the task runs in {folder} (cwd = \"workflow\"), which is not in the archive"));
    }
    // What is not there yet is asked for by the script; and links would lead out of the archive.
    let ready = past.prepare(&session, &HostEnv::nobody(), Some(Staging::Copy), false)?;
    let name = format!("{}-{}", past.run.id, past.subject.path().file_name());
    let path = args.output.unwrap_or_else(|| format!("{name}.tar.gz").into());
    let written = pack(&past, &ready, &name, &path);
    ready.close(&session);
    written?;
    print(&match args.json {
        true => {
            let (node, index) = (&past.subject.name, past.subject.index);
            let path = std::path::absolute(&path).unwrap_or(path);
            let path = path.display().to_string();
            format!(
                "{}\n",
                json!({"v": VERSION, "run": past.run.id, "node": node, "index": index, "path": path})
            )
        }
        false => format!("{}\n", path.display()),
    });
    Ok(())
}

/// Writes the archive at `path`, all of it or nothing.
fn pack(past: &Replay, ready: &Ready, name: &str, path: &Path) -> Result<(), Failure> {
    let script = script::run_sh(past, ready).map_err(Failure::usage)?;
    let write = || -> io::Result<()> {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mode = fs::Permissions::from_mode(0o666);
        let file = tempfile::Builder::new().permissions(mode).prefix(".export-").tempfile_in(folder)?;
        let mut archive = Archive {
            tar: tar::Builder::new(GzEncoder::new(file, Compression::default())),
            top: name.into(),
            time: past.end.time.as_second().unsigned_abs(),
        };
        let scratch = ready.folder.path();
        archive.folder("".as_ref())?;
        archive.text("run.sh", 0o755, &script)?;
        archive.text("README.txt", 0o644, script::readme(past).as_bytes())?;
        archive.text("inputs.json", 0o644, &script::inputs_json(ready)?)?;
        archive.tree(&scratch.join("in"), "inputs")?;
        archive.tree(&ready.folder.work(), "sources")?;
        archive.tree(&scratch.join("script"), "script")?;
        if let Some((name, text)) = script::inline(past, ready) {
            archive.text(&format!("script/{name}"), 0o644, text.as_bytes())?;
        }
        let file = archive.tar.into_inner()?.finish()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
}

/// A tar archive with one folder at its top, whatever the rights and owners of what goes into it.
struct Archive<W: Write> {
    tar: tar::Builder<W>,
    top: PathBuf,
    /// Of all entries, in seconds since 1970.
    time: u64,
}

impl<W: Write> Archive<W> {
    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.time);
        header
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Directory, 0o755, 0);
        self.tar.append_data(&mut header, self.top.join(path), io::empty())
    }

    fn text(&mut self, path: &str, mode: u32, text: &[u8]) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Regular, mode, text.len() as u64);
        self.tar.append_data(&mut header, self.top.join(path), text)
    }

    /// Everything in `from`, below `to`; an empty folder if there is nothing.
    fn tree(&mut self, from: &Path, to: &str) -> io::Result<()> {
        if !from.exists() {
            return self.folder(to.as_ref());
        }
        for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
            let entry = entry?;
            let inside = entry.path().strip_prefix(from).unwrap_or(Path::new(""));
            let path = Path::new(to).join(inside);
            let kind = entry.file_type();
            if kind.is_dir() {
                self.folder(&path)?;
            } else if kind.is_symlink() {
                let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
                self.tar.append_link(&mut header, self.top.join(path), fs::read_link(entry.path())?)?;
            } else {
                let file = File::open(entry.path())?;
                let metadata = file.metadata()?;
                let mode = if metadata.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
                let mut header = self.header(tar::EntryType::Regular, mode, metadata.len());
                self.tar.append_data(&mut header, self.top.join(path), file)?;
            }
        }
        Ok(())
    }
}
