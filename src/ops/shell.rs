//! The command of a past attempt as a program of its own, for a shell in which it can be repeated.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::quoting::NOWHERE;
use super::replay::{Ready, Replay};
use crate::engine::attempt::prepare::Prepared;
use crate::workflow::Capture;

/// Writes the task's command as a program of its own; its path.
///
/// # Errors
/// The scratch folder cannot be written to.
pub fn write_command(past: &Replay, ready: &Ready) -> io::Result<PathBuf> {
    let Ready { folder, prepared, .. } = ready;
    let Prepared { program, inline, dir, .. } = prepared;
    let mut source = folder.path().to_owned();
    if let Some(text) = inline.and_then(|i| program.get(i)) {
        source = folder.write_script(past.subject.script_name(), text)?;
    }
    let mut text = b"#!/usr/bin/env bash\n# What the attempt ran.\nset -o pipefail\ncd -- ".to_vec();
    text.extend(NOWHERE.path(dir));
    text.extend_from_slice(b" || exit\n");
    let captures = past.subject.task.outputs.iter().any(|output| output.capture == Capture::Stdout);
    if !captures {
        text.extend_from_slice(b"exec ");
    }
    text.extend(NOWHERE.command(prepared, &source));
    if captures {
        text.extend_from_slice(b" | tee -- ");
        text.extend(NOWHERE.path(&folder.stdout()));
    }
    text.push(b'\n');
    let path = folder.path().join("run");
    OpenOptions::new().create_new(true).write(true).mode(0o700).open(&path)?.write_all(&text)?;
    Ok(path)
}
