//! The files that a run depends on, and how they look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::workflow::Workflow;
use crate::workflow::binding::Binding;
use crate::workflow::paths::find_sources;

/// How a file looks; `None` for one that is not there.
pub type Look = Option<[i64; 5]>;

/// How files look, by path.
pub type Looks = BTreeMap<PathBuf, Look>;

/// What is watched.
#[derive(Default)]
pub struct Watched {
    files: BTreeSet<PathBuf>,
    /// Folders with all that is in them.
    trees: BTreeSet<PathBuf>,
    /// Folders and globs relative to them.
    globs: BTreeSet<(PathBuf, String)>,
    /// What runs write themselves: the home folder and published outputs.
    own: BTreeSet<PathBuf>,
}

impl Watched {
    /// Nothing yet; what is written to `home` never counts.
    pub fn new(home: &Path) -> Self {
        Self { own: BTreeSet::from([home.to_owned()]), ..Self::default() }
    }

    pub fn file(&mut self, path: &Path) {
        self.files.insert(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    }

    pub fn path(&mut self, path: &Path, is_dir: bool) {
        match is_dir {
            true => drop(self.trees.insert(path.to_owned())),
            false => self.file(path),
        }
    }

    /// Files that a binding looks for.
    pub fn patterns(&mut self, binding: &Binding) {
        binding.for_each_glob(&mut |glob| {
            let (dir, pattern) = match glob.pattern.strip_prefix('/') {
                Some(rest) => (Path::new("/"), rest),
                None => (glob.dir, glob.pattern),
            };
            self.globs.insert((dir.to_owned(), pattern.to_owned()));
        });
    }

    /// Sources of its tasks, and files that its nodes are bound to; not what it publishes.
    pub fn workflow(&mut self, workflow: &Workflow) {
        for node in &workflow.nodes {
            for (i, binding) in node.inputs.iter().enumerate() {
                binding.for_each_path(&node.bound_type(i), &mut |path, is_dir| self.path(path, is_dir));
                self.patterns(binding);
            }
            if let Some(condition) = &node.condition {
                self.patterns(condition);
            }
            if let Some(task) = node.task() {
                self.globs.extend(task.sources.iter().map(|glob| (task.dir.clone(), glob.pattern.clone())));
            }
        }
        let published = workflow.outputs.iter().filter_map(|output| output.path.clone());
        // One that holds the workflow itself is not the run's alone.
        self.own.extend(published.filter(|path| !workflow.path.starts_with(path)));
    }

    /// The same and what another one watches.
    pub fn with(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self.trees.extend(other.trees);
        self.globs.extend(other.globs);
        self.own.extend(other.own);
        self
    }

    /// How everything looks now.
    pub fn looks(&self) -> Looks {
        let mut looks = Looks::new();
        let mut add = |path: PathBuf| {
            if !self.own.iter().any(|own| path.starts_with(own)) {
                let look = std::fs::metadata(&path).ok().map(|metadata| look(&metadata));
                looks.insert(path, look);
            }
        };
        self.files.iter().cloned().for_each(&mut add);
        for tree in &self.trees {
            let entries = walkdir::WalkDir::new(tree).follow_links(true).into_iter().flatten();
            entries
                .filter(|entry| !entry.file_type().is_dir())
                .map(walkdir::DirEntry::into_path)
                .for_each(&mut add);
        }
        for (dir, glob) in &self.globs {
            // What is wrong with it, the run says.
            let found = find_sources(dir, glob).unwrap_or_default();
            found.into_iter().map(|path| dir.join(path)).for_each(&mut add);
        }
        looks
    }

    /// The folders in which something must change when anything of this does.
    pub fn folders(&self, looks: &Looks) -> BTreeSet<PathBuf> {
        let mut folders: BTreeSet<PathBuf> =
            looks.keys().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        let deep = |folder: &Path| -> Vec<PathBuf> {
            let entries = walkdir::WalkDir::new(folder).follow_links(true).into_iter();
            let entries = entries.filter_entry(|entry| !self.own.contains(entry.path())).flatten();
            entries.filter(|entry| entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect()
        };
        self.trees.iter().for_each(|tree| folders.extend(deep(tree)));
        for (dir, glob) in &self.globs {
            let plain = Path::new(glob)
                .iter()
                .take_while(|part| !part.to_string_lossy().contains(['*', '?', '[', '{']));
            let start = dir.join(plain.collect::<PathBuf>());
            match glob.contains("**") || !glob.contains(['*', '?', '[', '{']) || glob.matches('/').count() > 1
            {
                true => folders.extend(deep(&start)),
                false => drop(folders.insert(start)),
            }
        }
        folders
    }
}

fn look(metadata: &Metadata) -> [i64; 5] {
    let whole = |n: u64| n.cast_signed();
    [
        whole(metadata.ino()),
        whole(metadata.size()),
        metadata.mtime(),
        metadata.mtime_nsec(),
        i64::from(metadata.mode()),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_run_writes_itself_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), "x").unwrap();
        };
        ["in/a", "in/deep/b", "in/out.svg", "in/home/db", "s/x.py", "s/x.txt"]
            .iter()
            .for_each(|name| write(name));
        let mut watched = Watched::new(&dir.path().join("in/home"));
        watched.path(&dir.path().join("in"), true);
        watched.own.insert(dir.path().join("in/out.svg"));
        watched.globs.insert((dir.path().to_owned(), "s/*.py".into()));
        watched.file(&dir.path().join("gone"));
        let names = |looks: &Looks| -> Vec<String> {
            looks.keys().map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string()).collect()
        };
        let before = watched.looks();
        assert_eq!(names(&before), ["gone", "in/a", "in/deep/b", "s/x.py"]);
        assert_eq!(before[&dir.path().join("gone")], None);
        ["in/out.svg", "in/home/db2", "s/y.txt"].iter().for_each(|name| write(name));
        assert_eq!(watched.looks(), before);
        write("s/y.py");
        assert_ne!(watched.looks(), before);
        let folders = watched.folders(&before);
        for folder in ["in", "in/deep", "s", ""] {
            assert!(folders.contains(dir.path().join(folder).as_path()), "{folder:?}: {folders:?}");
        }
        assert!(!folders.contains(&dir.path().join("in/home")));
    }
}
