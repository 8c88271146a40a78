//! What is said of a command that failed: how it ended, and what mends it where the cause is plain.
//!
//! The first line says how it ended; each hint has a line of its own, which reports show below the node.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use crate::engine::attempt::failing_line::FailingLine;
use crate::exec::signal_name;

/// What is known of a command that ended with a code other than 0.
pub struct EndedCommand<'a> {
    pub code: i32,
    /// The `PATH` that it had.
    pub path: &'a str,
    /// The last lines that it printed.
    pub tail: &'a [String],
    /// Whether large inputs were shown to it in a view.
    pub has_views: bool,
    /// The line of the script that ended it, where that is known.
    pub line: Option<FailingLine>,
    /// The folder that it worked in, if that was an empty one.
    pub work: Option<&'a Path>,
    /// The folder of the file that defines the task.
    pub task_dir: &'a Path,
    /// Where it may have written.
    pub written: &'a [PathBuf],
    /// What is said of a SIGKILL.
    pub killed: &'a str,
}

/// The cause of a SIGKILL where the system counts a process that it ended for lack of memory.
pub const OUT_OF_MEMORY: &str = "the system was out of memory and ended a process: allow more memory, or let \
    resources = { memory = \"...\" } keep others from running beside the task";
/// The likely cause of a SIGKILL that no user sent.
pub const MAYBE_OUT_OF_MEMORY: &str = "where nobody sent it, the system was out of memory: `dmesg` says so, and \
    resources = { memory = \"...\" } keeps others from running beside the task";
/// A file system with less room than this, in bytes, is full: programs write in pieces.
const FULL_BELOW: u64 = 64 << 10;
/// Maximum files that a hint names.
const MAX_NAMED: usize = 3;

impl EndedCommand<'_> {
    pub fn message(&self) -> String {
        let mut lines = vec![self.code_message()];
        // What printed its reason needs no line; a broken pipe prints none.
        if let Some(FailingLine { number, text }) = &self.line
            && (self.tail.is_empty() || self.code == 141)
        {
            lines.push(format!("line {number} of `run` ended it: {text}"));
        }
        match self.code {
            127 => lines.push(format!("the task's PATH is {}", self.path)),
            137 => lines.push(self.killed.to_owned()),
            141 => lines.push(
                "it wrote into a pipe whose reader had ended, as that of `| head -1` does, and `pipefail` makes that a failure: \
                 let the reader read all of it, or allow it with `|| test $? = 141`"
                    .to_owned(),
            ),
            _ => {}
        }
        if self.has_views && self.says("Device or resource busy") {
            lines.push(
                "a large input is mounted here and can be neither moved nor removed: copy it instead, or set stage = \"copy\""
                    .to_owned(),
            );
        }
        lines.extend(self.full_disk());
        lines.extend(self.missing_sources());
        lines.join("\n")
    }

    fn says(&self, text: &str) -> bool {
        self.tail.iter().any(|line| line.contains(text))
    }

    fn code_message(&self) -> String {
        match self.code {
            126 => "exit code 126: a command was found but cannot be executed".into(),
            127 => "exit code 127: a command was not found".into(),
            code @ 129.. => {
                let signal = signal_name(code - 128);
                format!("exit code {code}: a command was ended by {signal}")
            }
            code => format!("exit code {code}"),
        }
    }

    /// Where there is no space left, if the command says so or could say nothing.
    fn full_disk(&self) -> Option<String> {
        let says = self.says("No space left on device");
        if !says && !self.tail.is_empty() {
            return None;
        }
        match self.written.iter().find(|folder| is_full(folder)) {
            Some(folder) => Some(no_space_left(folder)),
            None => says.then(|| "no space left on a file system that the command writes to".to_owned()),
        }
    }

    /// Files that were not found, but lie beside the file that defines the task.
    fn missing_sources(&self) -> Option<String> {
        let work = self.work?;
        let mut found: Vec<&str> = Vec::new();
        for line in self.tail.iter().filter(|line| line.contains("No such file")) {
            let words = line.split(|c: char| c.is_whitespace() || "'\"`‘’“”:()[]".contains(c));
            for word in words {
                let path =
                    word.strip_prefix(work.to_str()?).map_or(word, |rest| rest.trim_start_matches('/'));
                let path = path.trim_start_matches("./");
                let is_inside = !path.is_empty() && Path::new(path).is_relative() && !path.contains("..");
                let looks_like_one = path.contains(['.', '/']) || path.len() > 2;
                if is_inside && looks_like_one && self.task_dir.join(path).exists() && !found.contains(&path)
                {
                    found.push(path);
                }
            }
        }
        found.truncate(MAX_NAMED);
        let is = match found.len() {
            0 => return None,
            1 => "exists",
            _ => "exist",
        };
        let names = found.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        Some(format!(
            "{names} {is} beside the workflow file, but the task runs in an empty folder: add sources = [{names}]"
        ))
    }
}

/// The sentence about a full file system that holds `folder`.
fn no_space_left(folder: &Path) -> String {
    format!("no space left on {}", mount_point(folder).display())
}

/// Whether the file system of `folder` is full.
fn is_full(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|room| {
        let out_of_files = room.f_files > 0 && room.f_favail == 0;
        room.f_bavail.saturating_mul(room.f_frsize) < FULL_BELOW || out_of_files
    })
}

/// The topmost folder above `folder` on the same file system.
fn mount_point(folder: &Path) -> &Path {
    let dev = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let own = dev(folder);
    folder.ancestors().take_while(|above| dev(above) == own).last().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(code: i32, tail: &[&str], line: Option<(u32, &str)>, dir: &Path) -> String {
        let tail: Vec<String> = tail.iter().map(|line| (*line).to_owned()).collect();
        let work = dir.join("scratch/work");
        let line = line.map(|(number, text)| FailingLine { number, text: text.into() });
        let (path, written) = ("/p", []);
        let (tail, work) = (&tail[..], Some(&*work));
        let killed = MAYBE_OUT_OF_MEMORY;
        EndedCommand {
            code,
            path,
            tail,
            has_views: false,
            line,
            work,
            task_dir: dir,
            written: &written,
            killed,
        }
        .message()
    }

    #[test]
    fn a_line_is_named_where_nothing_was_printed() {
        let dir = tempfile::tempdir().unwrap();
        let line = Some((3, "grep -q x"));
        let named = message(1, &[], line, dir.path());
        assert_eq!(named, "exit code 1\nline 3 of `run` ended it: grep -q x");
        assert_eq!(message(1, &["the reason"], line, dir.path()), "exit code 1");
        let pipe = message(141, &["some"], line, dir.path());
        assert!(pipe.starts_with("exit code 141: a command was ended by SIGPIPE\nline 3 of `run`"), "{pipe}");
        assert!(pipe.contains("| head -1"), "{pipe}");
        assert_eq!(message(127, &["x"], None, dir.path()).lines().nth(1), Some("the task's PATH is /p"));
        assert_eq!(message(128, &["x"], None, dir.path()), "exit code 128");
    }

    #[test]
    fn what_sources_would_bring_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("scripts")).unwrap();
        fs::write(dir.path().join("scripts/a.py"), "").unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        let hint = |line: &str| message(1, &[line], None, dir.path()).lines().nth(1).map(str::to_owned);
        let work = dir.path().join("scratch/work/scripts/a.py");
        for line in [
            "cat: scripts/a.py: No such file or directory",
            "bash: line 1: ./scripts/a.py: No such file or directory",
            &format!("python3: can't open file '{}': [Errno 2] No such file or directory", work.display()),
            "FileNotFoundError: [Errno 2] No such file or directory: 'scripts/a.py'",
        ] {
            let text = hint(line).unwrap();
            assert!(
                text.starts_with("\"scripts/a.py\" exists beside")
                    && text.contains("sources = [\"scripts/a.py\"]")
            );
        }
        for line in
            ["cat: other.py: No such file or directory", "scripts/a.py: denied", "cat: ../x: No such file"]
        {
            assert_eq!(hint(line), None, "{line}");
        }
    }

    #[test]
    fn a_file_system_is_named_by_the_folder_it_is_mounted_at() {
        assert_eq!(mount_point(Path::new("/proc/self")), Path::new("/proc"));
        assert!(!is_full(Path::new("/no/such/folder")));
        let says = message(1, &["cp: No space left on device"], None, Path::new("/"));
        assert!(says.contains("no space left on a file system"), "{says}");
    }
}
