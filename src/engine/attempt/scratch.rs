//! Scratch folders: an empty one for each attempt, under a name of its own.
//!
//! A folder is never used twice with anything in it. One that can be emptied quickly is given to a later attempt under a
//! new name, with its empty folders: on common file systems making and deleting folders costs more than a short task, and
//! slows down with the number of those deleted lately.
//!
//! | path in a scratch folder | holds |
//! |---|---|
//! | `work/` | the working directory, with the task's sources |
//! | `in/<input>/` | staged files, under their base names |
//! | `views/` | the layers of views: large inputs, shown in `in/<input>/` to the command alone |
//! | `views.plan` | which views the command's process sets up |
//! | `out/` | what `$OUT` names |
//! | `inputs.json` | what `$RUNNER_INPUTS` names |
//! | `trap`, `failing-line` | the trap that says which line ended a script, and what it said |
//! | `script/<task>` | the script, where it has to be a file |
//! | `call.json`, `result.json` | which Python function is called, and what it returned |
//! | `workflow` | what `$RUNNER_WORKFLOW` names |
//! | `stdout` | standard output, where an output is taken from it |

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::apart::apart;
use crate::core::lock::lock;
use crate::storage::home::make_private;
use crate::storage::store::remove_tree;

/// The scratch folders of one run.
pub struct Scratch {
    root: PathBuf,
    /// Folders found empty.
    spare: Mutex<Vec<PathBuf>>,
}

/// The scratch folder of one attempt.
#[derive(Clone)]
pub struct Folder(PathBuf);

impl Scratch {
    /// Folders below `root`, which exists.
    pub fn new(root: PathBuf) -> Self {
        Self { root, spare: Mutex::default() }
    }

    /// A folder called `name`, which no attempt had before, with an empty `work` and `out` in it.
    ///
    /// # Errors
    /// The folder exists already or cannot be created.
    pub fn take(&self, name: &str) -> io::Result<Folder> {
        let folder = Folder(self.root.join(name));
        let spare = lock(&self.spare).pop();
        // One that cannot be renamed is left to be swept.
        if spare.is_some_and(|spare| fs::rename(spare, &folder.0).is_ok()) {
            return Ok(folder);
        }
        folder.make()?;
        Ok(folder)
    }

    /// Takes back the folder of an attempt that has ended; only after one that ended `well` is it sure that
    /// nothing writes there any more.
    pub async fn give_back(&self, folder: Folder, well: bool) {
        if well && folder.clean().unwrap_or(false) {
            lock(&self.spare).push(folder.0);
        } else {
            // Garbage costs space and nothing else: what resists is swept when the run ends.
            let _ = apart(move || remove_tree(&folder.0)).await;
        }
    }
}

impl Folder {
    /// The scratch folder of a job, elsewhere than those of a run.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the folder, with an empty `work` and `out` in it.
    ///
    /// # Errors
    /// It exists already or cannot be created.
    pub fn make(&self) -> io::Result<()> {
        for path in [self.path(), &self.work(), &self.out()] {
            DirBuilder::new().mode(0o700).create(path)?;
        }
        Ok(())
    }

    /// Refuses what the command may have put in place of its folders: outputs would be taken from elsewhere.
    ///
    /// # Errors
    /// The folder that is no folder any more.
    pub fn expect_own(&self) -> Result<(), String> {
        for path in [self.0.clone(), self.out(), self.work()] {
            if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                return Err(format!(
                    "the task replaced {}, a folder of its attempt: nothing is taken from what is there now",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    pub fn stdout(&self) -> PathBuf {
        self.0.join("stdout")
    }

    /// Where layers of views are made.
    pub fn views(&self) -> PathBuf {
        self.0.join("views")
    }

    /// Where the command's process reads which views it is to set up.
    pub fn views_plan(&self) -> PathBuf {
        self.0.join("views.plan")
    }

    /// Where files of an input are staged; the folder is there.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn input(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join("in").join(name);
        make_private(&path)?;
        Ok(path)
    }

    /// Writes the value of an input as a read-only file; its path.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn write_value(&self, name: &str, extension: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.input(name)?.join(format!("{name}.{extension}"));
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o444).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// Where the call of a Python function is described.
    pub fn call(&self) -> PathBuf {
        self.0.join("call.json")
    }

    /// Where what a Python function returned is written.
    pub fn returned(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// Where a command may write a workflow in place of its outputs.
    pub fn made(&self) -> PathBuf {
        self.0.join("workflow")
    }

    /// What a script reads before its first command.
    pub fn trap(&self) -> PathBuf {
        self.0.join("trap")
    }

    /// The file in which the trap records the line that ended a script.
    pub fn failing_line(&self) -> PathBuf {
        self.0.join("failing-line")
    }

    /// Writes what `$RUNNER_INPUTS` names; its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_inputs(&self, json: &str) -> io::Result<PathBuf> {
        let path = self.0.join("inputs.json");
        self.write_private(&path, json.as_bytes())?;
        Ok(path)
    }

    /// Writes a file that may be there from an earlier attempt.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Shortened after writing rather than emptied before: an emptied file is flushed to disk when it is closed.
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)
    }

    /// Writes a script as a file; its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_script(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let folder = self.0.join("script");
        make_private(&folder)?;
        let path = folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Empties the folder but for folders and files that a new one has or that are written over; whether it can be used
    /// again. Stops where that would take long.
    fn clean(&self) -> io::Result<bool> {
        let mut budget = MAX_REMOVED;
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let path = entry.path();
            let clean = match entry.file_name().to_str() {
                Some("work" | "out") => is_ours(&entry)? && empty(&path, &mut budget)?,
                Some("in") => is_ours(&entry)? && empty_inputs(&path, &mut budget)?,
                Some("inputs.json" | "call.json" | "stdout" | "trap") if is_written_over(&entry)? => true,
                _ => remove(&entry, &mut budget)?,
            };
            if !clean {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Maximum number of files and folders that are removed from a folder to use it again.
const MAX_REMOVED: usize = 100;

/// Whether a folder is one, and still as it was made.
fn is_ours(entry: &fs::DirEntry) -> io::Result<bool> {
    let metadata = entry.metadata()?;
    Ok(metadata.is_dir()
        && metadata.mode() & 0o7777 == 0o700
        && metadata.uid() == rustix::process::geteuid().as_raw())
}

/// Whether a file can be written over as if it were a new one.
fn is_written_over(entry: &fs::DirEntry) -> io::Result<bool> {
    let metadata = entry.metadata()?;
    Ok(metadata.is_file() && metadata.nlink() == 1 && metadata.mode() & 0o7777 == 0o600)
}

/// Removes what is in a folder; whether `budget` sufficed.
fn empty(folder: &Path, budget: &mut usize) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !remove(&entry?, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a file, or a folder and what is in it; whether `budget` sufficed.
fn remove(entry: &fs::DirEntry, budget: &mut usize) -> io::Result<bool> {
    let Some(left) = budget.checked_sub(1) else { return Ok(false) };
    *budget = left;
    if !entry.file_type()?.is_dir() {
        fs::remove_file(entry.path())?;
        return Ok(true);
    }
    if !empty(&entry.path(), budget)? {
        return Ok(false);
    }
    fs::remove_dir(entry.path())?;
    Ok(true)
}

/// Empties the folders of inputs, which stay; whether nothing else was there.
fn empty_inputs(folder: &Path, budget: &mut usize) -> io::Result<bool> {
    for input in fs::read_dir(folder)? {
        let input = input?;
        if !(is_ours(&input)? && empty(&input.path(), budget)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn listing(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn an_empty_folder_is_used_again_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(dir.path().to_owned());
        type Leave = fn(&Folder);
        let leave: [(&str, bool, Leave); 9] = [
            ("nothing", true, |_| {}),
            ("outputs", true, |f| fs::write(f.out().join("y"), "1").unwrap()),
            ("a file", true, |f| fs::write(f.work().join("junk"), "1").unwrap()),
            ("folders", true, |f| fs::create_dir_all(f.work().join("d/e/f")).unwrap()),
            ("an input", true, |f| drop(f.write_value("x", "txt", "1").unwrap())),
            ("a link", true, |f| std::os::unix::fs::symlink("/", f.path().join("trap")).unwrap()),
            ("a mode", false, |f| fs::set_permissions(f.work(), fs::Permissions::from_mode(0o755)).unwrap()),
            ("no folder", false, |f| {
                fs::remove_dir(f.out()).unwrap();
                std::os::unix::fs::symlink("/", f.out()).unwrap();
            }),
            ("much", false, |f| {
                for i in 0..=MAX_REMOVED {
                    fs::write(f.work().join(i.to_string()), "").unwrap();
                }
            }),
        ];
        for (i, (what, again, leave)) in leave.into_iter().enumerate() {
            let folder = scratch.take(&format!("{i}.1")).unwrap();
            let inode = fs::metadata(folder.work()).unwrap().ino();
            folder.write_inputs("{\"long\": 1}").unwrap();
            leave(&folder);
            scratch.give_back(folder, true).await;
            assert_eq!(lock(&scratch.spare).len(), usize::from(again), "{what}");
            let next = scratch.take(&format!("{i}.2")).unwrap();
            assert!(!again || fs::metadata(next.work()).unwrap().ino() == inode, "{what}");
            assert!(!dir.path().join(format!("{i}.1")).exists(), "{what}");
            assert_eq!(listing(&next.work()), [""; 0], "{what}");
            assert_eq!(listing(&next.out()), [""; 0], "{what}");
            assert_eq!(fs::metadata(next.work()).unwrap().mode() & 0o777, 0o700, "{what}");
            let inputs = next.write_inputs("{}").unwrap();
            assert_eq!(fs::read_to_string(inputs).unwrap(), "{}", "{what}");
            assert_eq!(listing(&next.input("x").unwrap()), [""; 0], "{what}");
            let _ = remove_tree(next.path());
        }
    }
}
