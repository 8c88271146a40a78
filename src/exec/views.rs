//! Views: folders of a task that show large files without a copy of them, in a mount namespace of the task's own.
//!
//! The namespace is set up by this very program: it is started again as the command's process, mounts, and then
//! becomes the command (`enter.rs`). So the process, its group, its environment and what it uses are those of the command,
//! and commands without views are started as if there were none. Knows nothing of the store or of inputs.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that shows a tree of files, in which large ones are originals that lie elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The empty folder in whose place the tree is shown.
    pub target: PathBuf,
    /// A folder for the layers. `lower` in it is the tree, where an empty file of the right size and mode stands for
    /// each original.
    pub layers: PathBuf,
    /// A folder, on one file system and free of links, that holds the originals.
    pub data: PathBuf,
    pub files: Vec<Original>,
}

/// A large file of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Below `lower`.
    pub name: PathBuf,
    /// Below `data`.
    pub path: PathBuf,
}

/// What an attempt's command is to see.
#[derive(Clone, Debug)]
pub struct Views {
    pub list: Vec<View>,
    /// A path, where nothing is, for the description that the command's process reads.
    pub plan: PathBuf,
}

/// Whether this system may be asked to show views; whether it does is known when the first one was tried.
pub const SUPPORTED: bool = cfg!(target_os = "linux");

/// The first argument of this program when it is to set views up and become a command.
pub const VERB: &str = "__views";

/// How setting up failed.
#[derive(Debug, PartialEq, Eq)]
pub enum NotEntered {
    /// The system shows no views, and why.
    NoViews(String),
    /// The command itself could not be started, with the system's number for the reason.
    NotStarted(i32),
}

impl Views {
    /// The command that shows the views and then becomes `program`, called `arg0`; its arguments are to follow.
    ///
    /// # Errors
    /// The description cannot be written.
    pub fn command(&self, program: &Path, arg0: &OsStr) -> io::Result<Command> {
        fs::write(&self.plan, encode(&self.list))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("runner").arg(VERB).arg(&self.plan).arg(program).arg(arg0);
        Ok(command)
    }

    /// Why the command of [`Views::command`] was never reached, if so; to be asked after its process has ended.
    pub fn failure(&self) -> Option<NotEntered> {
        match fs::read_to_string(failure_path(&self.plan)) {
            Ok(text) => Some(match text.strip_prefix(NOT_STARTED).map(str::parse) {
                Some(Ok(number)) => NotEntered::NotStarted(number),
                _ => NotEntered::NoViews(text),
            }),
            // The description is removed at the last moment before the command begins.
            Err(_) if self.plan.exists() => {
                Some(NotEntered::NoViews("its setting up was interrupted".into()))
            }
            Err(_) => None,
        }
    }
}

/// Begins the report of a command that could not be started.
pub(super) const NOT_STARTED: &str = "not started: ";

/// Where it is reported that the command was not reached.
pub(super) fn failure_path(plan: &Path) -> PathBuf {
    plan.with_extension("failed")
}

/// Fields that each end in a NUL, which no path can hold.
fn encode(views: &[View]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut field = |text: &OsStr| {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    };
    for View { target, layers, data, files } in views {
        [target, layers, data].into_iter().for_each(|path| field(path.as_os_str()));
        field(OsStr::new(&files.len().to_string()));
        for Original { name, path } in files {
            field(name.as_os_str());
            field(path.as_os_str());
        }
    }
    bytes
}

/// The views of a description; `None` if it is none.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<View>> {
    let mut fields = bytes.split(|byte| *byte == 0).map(|field| OsString::from_vec(field.to_vec()));
    let mut views = Vec::new();
    loop {
        let target: PathBuf = fields.next()?.into();
        if target.as_os_str().is_empty() {
            // Behind the last NUL.
            return fields.next().is_none().then_some(views);
        }
        let (layers, data) = (fields.next()?.into(), fields.next()?.into());
        let count: usize = fields.next()?.to_str()?.parse().ok()?;
        let mut files = Vec::new();
        for _ in 0..count {
            files.push(Original { name: fields.next()?.into(), path: fields.next()?.into() });
        }
        views.push(View { target, layers, data, files });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(files: &[(&str, &str)]) -> View {
        let files = files.iter().map(|(name, path)| Original { name: name.into(), path: path.into() });
        View { target: "/t".into(), layers: "/l \n".into(), data: "/d".into(), files: files.collect() }
    }

    #[test]
    fn a_description_reads_back() {
        let odd = Original {
            name: OsString::from_vec(b"caf\xe9 \"':,".to_vec()).into(),
            path: OsString::from_vec(b"\xff\n".to_vec()).into(),
        };
        let mut views = vec![view(&[("a", "b/c"), ("d", "e")]), view(&[])];
        views[1].files.push(odd);
        assert_eq!(decode(&encode(&views)), Some(views.clone()));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
        let bytes = encode(&views);
        for length in 1..bytes.len() {
            assert!(decode(&bytes[..length]).is_none_or(|part| part.len() < 2), "{length}");
        }
        assert_eq!(decode(b"/t\0/l\0/d\x009\0a\0b\0"), None);
    }

    #[test]
    fn what_is_left_of_a_description_says_how_far_it_came() {
        let dir = tempfile::tempdir().unwrap();
        let views = Views { list: vec![view(&[])], plan: dir.path().join("views") };
        views.command(Path::new("/bin/true"), OsStr::new("true")).unwrap();
        assert!(matches!(views.failure(), Some(NotEntered::NoViews(_))));
        fs::write(failure_path(&views.plan), "mounting is refused").unwrap();
        assert_eq!(views.failure(), Some(NotEntered::NoViews("mounting is refused".into())));
        fs::remove_file(&views.plan).unwrap();
        fs::write(failure_path(&views.plan), format!("{NOT_STARTED}8")).unwrap();
        assert_eq!(views.failure(), Some(NotEntered::NotStarted(8)));
        fs::remove_file(failure_path(&views.plan)).unwrap();
        assert_eq!(views.failure(), None);
    }
}
