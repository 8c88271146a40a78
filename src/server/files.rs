//! The workflow files that are served: each as it last loaded, and its errors now.
//!
//! A file that does not load keeps its schedules as they were and touches no other. Of two files with one whole name the one that
//! had it first keeps it, until it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ops::Error;
use crate::ops::open::{Opened, check};
use crate::ops::schedules::{LoadedSchedule, workflow_files};
use crate::ops::watch::{Looks, Watched};
use crate::workflow::load::load;

/// The files and folders that were given, and every file that they stand for.
pub struct Files {
    given: Vec<PathBuf>,
    served: BTreeMap<PathBuf, ServedFile>,
    /// Which file has each whole name.
    owners: BTreeMap<String, PathBuf>,
}

/// A workflow file that is served.
#[derive(Clone)]
pub struct ServedFile {
    pub path: PathBuf,
    /// As it last loaded.
    pub opened: Option<Arc<Opened>>,
    /// What is wrong with it now.
    pub mistakes: Vec<String>,
    /// What it read when it was last looked at, and how that looked.
    watched: Arc<Watched>,
    looks: Looks,
    /// Whether there is nothing at its path.
    is_missing: bool,
    /// Whether its text is right; it may still have a name that another one has.
    loads: bool,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    Loaded(PathBuf),
    Broken(PathBuf, Vec<String>),
    Gone(PathBuf),
}

impl Files {
    /// Nothing is loaded yet. Without paths the current folder is meant.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn new(given: &[PathBuf]) -> Result<Self, Error> {
        let here = [PathBuf::from(".")];
        let given = if given.is_empty() { &here } else { given };
        let unreadable =
            |path: &Path, error| Error::invalid(format!("{} cannot be read: {error}", path.display()));
        for path in given {
            std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        }
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| unreadable(path, error));
        let given = given.iter().map(absolute).collect::<Result<_, _>>()?;
        Ok(Self { given, served: BTreeMap::new(), owners: BTreeMap::new() })
    }

    pub fn all(&self) -> impl Iterator<Item = &ServedFile> {
        self.served.values()
    }

    /// Whether one of them does not load: it may read a file that is not there yet, of which nobody tells.
    pub fn has_broken(&self) -> bool {
        self.served.values().any(|file| !file.loads)
    }

    /// The schedules that are served, by whole name.
    pub fn schedules(&self) -> BTreeMap<String, LoadedSchedule> {
        let of = |(name, path): (&String, &PathBuf)| {
            let opened = self.served.get(path)?.opened.as_ref()?;
            LoadedSchedule::all_of(opened).find(|found| found.name == *name)
        };
        self.owners.iter().filter_map(of).map(|found| (found.name.clone(), found)).collect()
    }

    /// The folders in which something changes when any of the files does.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders: BTreeSet<PathBuf> =
            self.served.values().flat_map(|file| file.watched.folders(&file.looks)).collect();
        folders.extend(self.given.iter().filter(|path| path.is_dir()).cloned());
        folders
    }

    /// Loads what is new or looks otherwise than before, or all if `force` is set; what became of whom.
    pub fn refresh(&mut self, force: bool) -> Vec<FileChange> {
        let candidates = self.candidates();
        let mut changes = Vec::new();
        let gone: Vec<PathBuf> =
            self.served.keys().filter(|path| !candidates.contains(*path)).cloned().collect();
        for path in gone {
            self.served.remove(&path);
            changes.push(FileChange::Gone(path));
        }
        let before: BTreeMap<PathBuf, (bool, Vec<String>)> = self
            .served
            .iter()
            .map(|(path, file)| (path.clone(), (file.loads, file.mistakes.clone())))
            .collect();
        let mut loaded = BTreeSet::new();
        for path in candidates {
            let known = self.served.remove(&path);
            let is_same =
                known.as_ref().is_some_and(|file| !force && file.loads && file.watched.looks() == file.looks);
            let file = match known {
                Some(file) if is_same => file,
                known => {
                    loaded.insert(path.clone());
                    ServedFile::load(&path, known)
                }
            };
            self.served.insert(path, file);
        }
        self.settle_names();
        for (path, file) in &self.served {
            let known = before.get(path);
            let is_reported = known.is_some_and(|(loads, mistakes)| {
                (*loads, mistakes) == (file.loads, &file.mistakes) && !(file.loads && loaded.contains(path))
            });
            match file.mistakes.is_empty() {
                _ if is_reported => {}
                true => changes.push(FileChange::Loaded(path.clone())),
                false => changes.push(FileChange::Broken(path.clone(), file.mistakes.clone())),
            }
        }
        changes
    }

    /// The files that are to be served.
    fn candidates(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for path in &self.given {
            match path.is_dir() {
                true => found.extend(workflow_files(path).unwrap_or_default()),
                // One that is gone stays as it last loaded.
                false => drop(found.insert(path.clone())),
            }
        }
        // A file in the middle of being written may say nothing of itself.
        let is_still_there = |path: &&PathBuf| {
            path.is_file()
                && path.parent().is_some_and(|folder| self.given.iter().any(|given| given == folder))
        };
        found.extend(self.served.keys().filter(is_still_there).cloned());
        found
    }

    /// Gives each whole name to one file.
    fn settle_names(&mut self) {
        let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
        let wanted: Vec<(String, PathBuf, bool)> = self
            .served
            .values()
            .filter_map(|file| Some((file, file.opened.as_ref()?)))
            .flat_map(|(file, opened)| {
                LoadedSchedule::all_of(opened).map(|found| (found.name, file.path.clone(), file.is_missing))
            })
            .collect();
        let had = |name: &str, path: &Path| self.owners.get(name).is_some_and(|owner| owner == path);
        // Who had it and is there, then who is there, then who is gone.
        for rank in 0..3 {
            for (name, path, is_missing) in &wanted {
                let own = match (*is_missing, had(name, path)) {
                    (false, true) => 0,
                    (false, false) => 1,
                    (true, _) => 2,
                };
                if own == rank && !owners.contains_key(name) {
                    owners.insert(name.clone(), path.clone());
                }
            }
        }
        self.owners = owners;
        for file in self.served.values_mut().filter(|file| file.loads) {
            let Some(opened) = &file.opened else { continue };
            let other = |name: &String| self.owners.get(name).filter(|owner| **owner != file.path);
            let taken = LoadedSchedule::all_of(opened).filter_map(|LoadedSchedule { name, .. }| {
                let owner = other(&name)?;
                Some(format!("the schedule `{name}` is served from {}", owner.display()))
            });
            file.mistakes = taken.collect();
        }
    }
}

impl ServedFile {
    /// Loads a file; what `known` of it loads no more stays as it was.
    fn load(path: &Path, known: Option<Self>) -> Self {
        // Looked at before they are read: a change from here on is another one.
        let before = known.as_ref().map(|file| file.watched.looks()).unwrap_or_default();
        let mut watched = Watched::default();
        watched.file(path);
        let own = watched.looks();
        let loaded = load(path, &[]);
        loaded.documents.iter().for_each(|document| watched.file(&document.path));
        let (opened, mistakes) = match check(loaded) {
            Ok(opened) => (Some(Arc::new(opened)), Vec::new()),
            Err(errors) => (None, errors.lines()),
        };
        let loads = opened.is_some();
        let last = known.as_ref().and_then(|file| file.opened.clone());
        if let (false, Some(last)) = (loads, &last) {
            last.documents.iter().for_each(|document| watched.file(&document.path));
        }
        let mut looks = watched.looks();
        for (path, look) in before.into_iter().chain(own) {
            looks.entry(path).and_modify(|found| *found = look);
        }
        Self {
            path: path.to_owned(),
            opened: opened.or(last),
            mistakes,
            watched: Arc::new(watched),
            looks,
            is_missing: !path.exists(),
            loads,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TASK: &str = "[tasks.t]\nrun = 'true'\n[nodes.t]\n";

    fn text(workflow: &str, schedule: &str, every: &str) -> String {
        let head = format!("[workflow]\nname = \"{workflow}\"\n");
        format!("{head}[[schedules]]\nname = \"{schedule}\"\nevery = \"{every}\"\n{TASK}")
    }

    fn served(files: &Files) -> Vec<String> {
        files.schedules().keys().cloned().collect()
    }

    fn kinds(changes: &[FileChange]) -> Vec<String> {
        let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let kind = |change: &FileChange| match change {
            FileChange::Loaded(path) => format!("{} loaded", name(path)),
            FileChange::Broken(path, mistakes) => format!("{} broken {}", name(path), mistakes.len()),
            FileChange::Gone(path) => format!("{} gone", name(path)),
        };
        changes.iter().map(kind).collect()
    }

    #[test]
    fn files_come_change_break_and_go_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a.toml", &text("a", "x", "1h"));
        write("library.toml", "[tasks.t]\nrun = 'true'\n");
        let mut files = Files::new(&[dir.path().to_owned()]).unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["a loaded"]);
        assert_eq!(kinds(&files.refresh(false)), [""; 0]);
        write("b.toml", &text("b", "y", "1h"));
        assert_eq!(kinds(&files.refresh(false)), ["b loaded"]);
        write("a.toml", &text("a", "x", "2 parsecs"));
        assert_eq!(kinds(&files.refresh(false)), ["a broken 1"]);
        assert_eq!(served(&files), ["a/x", "b/y"], "as it last loaded");
        assert!(files.has_broken());
        assert_eq!(kinds(&files.refresh(false)), [""; 0], "said once");
        // An editor that has just emptied it.
        write("a.toml", "");
        files.refresh(false);
        assert_eq!(served(&files), ["a/x", "b/y"]);
        write("a.toml", &text("a", "z", "2h"));
        assert_eq!(kinds(&files.refresh(false)), ["a loaded"]);
        assert_eq!(served(&files), ["a/z", "b/y"]);
        fs::remove_file(dir.path().join("a.toml")).unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["a gone"]);
        assert_eq!(served(&files), ["b/y"]);
        assert_eq!(kinds(&files.refresh(true)), ["b loaded"]);
    }

    #[test]
    fn one_whole_name_belongs_to_one_file_and_moves_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("m.toml"), text("etl", "x", "1h")).unwrap();
        let mut files = Files::new(&[dir.path().to_owned()]).unwrap();
        files.refresh(false);
        // It comes first by name, and second by time.
        fs::write(path("a.toml"), text("etl", "x", "2h")).unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["a broken 1"]);
        let owner = |files: &Files| files.schedules()["etl/x"].path().file_name().unwrap().to_owned();
        assert_eq!(owner(&files), "m.toml");
        fs::remove_file(path("m.toml")).unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["m gone", "a loaded"]);
        assert_eq!(owner(&files), "a.toml");
        // Moved in one step.
        fs::rename(path("a.toml"), path("z.toml")).unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["a gone", "z loaded"]);
        assert_eq!(owner(&files), "z.toml");
    }

    #[test]
    fn imports_are_followed_and_a_given_file_that_is_gone_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lib")).unwrap();
        let library = dir.path().join("lib/t.toml");
        fs::write(&library, "[library]\nname = 't'\n[tasks.t]\nrun = 'true'\n").unwrap();
        let workflow = dir.path().join("w.toml");
        let node = "[nodes.n]\ntask = 't.t'\n";
        let head =
            "import = ['lib/t.toml']\n[workflow]\nname = 'w'\n[[schedules]]\nname = 's'\nevery = '1h'\n";
        fs::write(&workflow, format!("{head}{node}")).unwrap();
        let mut files = Files::new(std::slice::from_ref(&workflow)).unwrap();
        let first = files.refresh(false);
        assert_eq!(kinds(&first), ["w loaded"], "{first:?}");
        let folders = files.folders();
        assert!(folders.iter().any(|folder| folder.ends_with("lib")), "{folders:?}");
        fs::write(&library, "[library]\nname = 't'\n[tasks.t]\nrun = 'false'\n").unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["w loaded"]);
        fs::remove_file(&workflow).unwrap();
        assert_eq!(kinds(&files.refresh(false)), ["w broken 1"]);
        assert_eq!(served(&files), ["w/s"]);
        assert!(Files::new(&[dir.path().join("never.toml")]).is_err());
    }
}
