//! A past attempt made ready for a shell in which it can be repeated, with its command as a program of its own.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::home::{HomeReader, HomeWriter};
use super::quoting::NOWHERE;
use super::replay::{Ready, Replay};
use crate::core::node_path::NodeRef;
use crate::core::value::Value;
use crate::engine::attempt::collect::check_outputs;
use crate::engine::attempt::environment::HostEnv;
use crate::engine::attempt::error::OutputProblem;
use crate::engine::attempt::perform::places;
use crate::engine::attempt::prepare::{LargeInputs, PreparedAttempt};
use crate::exec::{Masker, VIEWS_SUPPORTED};
use crate::workflow::Capture;

/// A past attempt in a scratch folder.
pub struct ShellSession {
    home: HomeWriter,
    pub past: Replay,
    pub ready: Ready,
    caller: HostEnv,
}

impl ShellSession {
    /// Makes `wanted` of the run that a person means by `name` ready; with `keep` its scratch folder stays.
    ///
    /// # Errors
    /// The run or the node is not known, the attempt cannot be had as it was, or the home cannot be used.
    pub fn open(home: Option<&Path>, name: &str, wanted: NodeRef, keep: bool) -> Result<Self, Error> {
        let view = HomeReader::open(home)?;
        let run = view.find(name)?;
        let home = HomeWriter::open(home)?;
        let mut past = Replay::find(&view, &home.store, run, wanted, "shell")?;
        let caller = past.caller();
        // Views end with the shell: what is kept holds copies.
        let large = if keep || !VIEWS_SUPPORTED { LargeInputs::Copy } else { LargeInputs::View };
        let ready = past.prepare(&home, &caller, None, large, keep)?;
        Ok(Self { home, past, ready, caller })
    }

    /// Prepares it again, with copies of large inputs: for a system that does not show views.
    ///
    /// # Errors
    /// As of [`ShellSession::open`].
    pub fn without_views(self) -> Result<Self, Error> {
        let Self { home, past, ready, caller } = self;
        ready.close(&home);
        let ready = past.prepare(&home, &caller, None, LargeInputs::Copy, false)?;
        Ok(Self { home, past, ready, caller })
    }

    /// Warnings about the home.
    pub fn warnings(&self) -> &[String] {
        &self.home.warnings
    }

    /// Writes the task's command as a program of its own and returns its path.
    ///
    /// # Errors
    /// The scratch folder cannot be written to.
    pub fn write_command(&self) -> io::Result<PathBuf> {
        write_command(&self.past, &self.ready)
    }

    /// What the outputs in the scratch folder would be.
    pub fn check_outputs(&self) -> Vec<Result<Value, OutputProblem>> {
        let subject = &self.past.subject;
        let masker = Masker::new(&self.ready.prepared.secrets);
        check_outputs(&self.home.store, &subject.task, &places(subject, &self.ready.folder), &masker)
    }

    /// Removes the scratch folder, unless it is kept.
    pub fn close(self) {
        self.ready.close(&self.home);
    }
}

fn write_command(past: &Replay, ready: &Ready) -> io::Result<PathBuf> {
    let Ready { folder, prepared, .. } = ready;
    let PreparedAttempt { program, inline, dir, .. } = prepared;
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
