//! An attempt of a past run as an archive that runs without runner.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Error;
use super::home::{HomeReader, HomeWriter};
use super::replay::{Ready, Replay};
use crate::core::node_path::NodeRef;
use crate::core::run_id::RunId;
use crate::core::staging::Staging;
use crate::engine::attempt::environment::HostEnv;
use crate::engine::attempt::prepare::LargeInputs;
use crate::storage::user_file::write_user_file;
use crate::workflow::TaskCommand;

mod script;

/// An archive that was written.
pub struct Exported {
    pub run: RunId,
    pub node: String,
    pub index: Option<u64>,
    pub path: PathBuf,
}

/// Writes the attempt of a node of a run as an archive, by default `RUN-NODE.tar.gz` in the current folder; `tell` hears
/// what is not as it was then.
///
/// # Errors
/// The attempt cannot be had as it was, or the archive cannot be written.
pub fn export(
    home: Option<&Path>,
    run: &str,
    wanted: NodeRef,
    path: Option<&Path>,
    tell: &mut dyn FnMut(String),
) -> Result<Exported, Error> {
    let view = HomeReader::open(home)?;
    let run = view.find(run)?;
    let session = HomeWriter::open(home)?;
    session.warnings.iter().for_each(|warning| tell(format!("warning: {warning}")));
    let past = Replay::find(&view, &session.store, run, wanted, "export")?;
    if matches!(past.subject.task.command, TaskCommand::Function(_)) {
        return Err(Error::invalid(format!(
            "{} is a Python function, whose code is not packed: `runner shell` repeats its attempt here",
            past.subject.path().file_name()
        )));
    }
    past.notes.iter().for_each(|text| tell(format!("note: {text}")));
    if past.subject.task.in_workflow_dir {
        let folder = past.subject.workflow_dir.display();
        tell(format!("note: the task runs in {folder} (cwd = \"workflow\"), which is not in the archive"));
    }
    // What is not there yet is asked for by the script; and links would lead out of the archive.
    let ready = past.prepare(&session, &HostEnv::nobody(), Some(Staging::Copy), LargeInputs::Copy, false)?;
    let name = format!("{}-{}", past.run.id, past.subject.path().file_name());
    let path = path.map_or_else(|| format!("{name}.tar.gz").into(), Path::to_owned);
    let written = pack(&past, &ready, &name, &path);
    ready.close(&session);
    written?;
    Ok(Exported { run: past.run.id, node: past.subject.name, index: past.subject.index, path })
}

/// Writes the archive at `path`, all of it or nothing.
fn pack(past: &Replay, ready: &Ready, name: &str, path: &Path) -> Result<(), Error> {
    let script = script::run_sh(past, ready).map_err(Error::invalid)?;
    let write = |file: &mut dyn Write| -> io::Result<()> {
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
        archive.tar.into_inner()?.finish()?.flush()
    };
    write_user_file(path, write)
        .map_err(|error| Error::invalid(format!("{} cannot be written: {error}", path.display())))
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
