//! What a directory holds, entry by entry, and where its links lead.
//!
//! A link that stays inside the directory is an entry of its own; one that leads out counts as what it leads
//! to, if the caller lets it lead there. Reads no file, and opens nothing but folders.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::error::FileError;
use super::stat::{FileStat, regular, special};

/// One entry of a directory.
#[derive(Clone, Debug)]
pub(super) struct ScannedEntry {
    /// Below the directory, parts joined by `/`.
    pub name: String,
    /// Where it really lies: elsewhere than its name says if a link led there.
    pub path: PathBuf,
    pub kind: ScannedKind,
    pub stat: FileStat,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScannedKind {
    File,
    Folder,
    /// A link that stays inside the directory, and its relative target.
    Link(String),
}

/// Where a link may lead that leaves the directory.
#[derive(Clone, Copy)]
pub(super) enum Reach<'a> {
    Anywhere,
    /// Nowhere but below this folder, whose path is free of links.
    Below(&'a Path),
}

/// How many links the way to one file may take, as in the kernel.
pub(super) const MAX_HOPS: usize = 40;

/// All entries below the directory `path`, sorted by the bytes of their names.
pub(super) fn scan(path: &Path, reach: Reach<'_>) -> Result<Vec<ScannedEntry>, FileError> {
    let metadata = fs::metadata(path).map_err(|e| FileError::at(path, e))?;
    if !metadata.is_dir() {
        return Err(FileError::NotDirectory(path.to_owned()));
    }
    let mut walk = Walk { reach, entries: Vec::new(), left: Vec::new() };
    walk.left.push(Folder::base(path.into(), String::new(), Rc::default()));
    while let Some(folder) = walk.left.pop() {
        walk.list(&folder)?;
    }
    walk.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(walk.entries)
}

struct Walk<'a> {
    reach: Reach<'a>,
    entries: Vec<ScannedEntry>,
    /// Folders that are not listed yet: a stack of our own, for the thread's would not do for the deepest.
    left: Vec<Folder>,
}

struct Folder {
    /// What links must not leave: the directory itself, or where a link led that did.
    base: Rc<Path>,
    /// Below `base`; no part of it is a link.
    inner: PathBuf,
    /// Its name below the directory.
    name: String,
    /// The real folders in which a link was followed on the way here.
    crossed: Rc<[PathBuf]>,
}

impl Folder {
    fn base(base: Rc<Path>, name: String, crossed: Rc<[PathBuf]>) -> Self {
        Self { base, inner: PathBuf::new(), name, crossed }
    }
}

impl Walk<'_> {
    fn list(&mut self, folder: &Folder) -> Result<(), FileError> {
        let path = folder.base.join(&folder.inner);
        for child in fs::read_dir(&path).map_err(|e| FileError::at(&path, e))? {
            let child = child.map_err(|e| FileError::at(&path, e))?;
            let path = child.path();
            let Some(file_name) = path.file_name().and_then(OsStr::to_str) else {
                return Err(FileError::NotUnicode(path));
            };
            let name = match folder.name.as_str() {
                "" => file_name.to_owned(),
                above => format!("{above}/{file_name}"),
            };
            let metadata = child.metadata().map_err(|e| FileError::at(&path, e))?;
            if metadata.is_symlink() {
                self.link(folder, name, path, FileStat::of(&metadata))?;
                continue;
            }
            let kind = if metadata.is_dir() {
                let (base, crossed) = (Rc::clone(&folder.base), Rc::clone(&folder.crossed));
                let inner = folder.inner.join(file_name);
                self.left.push(Folder { base, inner, name: name.clone(), crossed });
                ScannedKind::Folder
            } else {
                regular(&path, &metadata)?;
                ScannedKind::File
            };
            self.entries.push(ScannedEntry { name, path, kind, stat: FileStat::of(&metadata) });
        }
        Ok(())
    }

    fn link(
        &mut self,
        folder: &Folder,
        name: String,
        path: PathBuf,
        stat: FileStat,
    ) -> Result<(), FileError> {
        let fail = |e| FileError::at(&path, e);
        // Asked first, for a link to nothing or to itself is neither inside nor outside.
        let metadata = fs::metadata(&path).map_err(fail)?;
        let target = fs::read_link(&path).map_err(fail)?;
        if stays_inside(&folder.base, &folder.inner, &target) {
            let Some(target) = target.to_str() else {
                return Err(FileError::NotUnicode(path));
            };
            self.entries.push(ScannedEntry { name, path, kind: ScannedKind::Link(target.to_owned()), stat });
            return Ok(());
        }
        let real = fs::canonicalize(&path).map_err(fail)?;
        if let Reach::Below(root) = self.reach
            && !real.starts_with(root)
        {
            return Err(FileError::Outside { path, target: real });
        }
        let kind = if metadata.is_dir() {
            let here = fs::canonicalize(folder.base.join(&folder.inner)).map_err(fail)?;
            let crossed: Rc<[PathBuf]> = folder.crossed.iter().cloned().chain([here]).collect();
            // A folder around a link on the way here holds that link again.
            if crossed.iter().any(|link| link.starts_with(&real)) {
                return Err(FileError::Loop(path));
            }
            self.left.push(Folder::base(real.as_path().into(), name.clone(), crossed));
            ScannedKind::Folder
        } else if metadata.is_file() {
            ScannedKind::File
        } else {
            return Err(special(&path, &metadata));
        };
        self.entries.push(ScannedEntry { name, path: real, kind, stat: FileStat::of(&metadata) });
        Ok(())
    }
}

/// Whether the way from the folder `inner` of `base` along `target` never leaves `base`, not even to come back.
fn stays_inside(base: &Path, inner: &Path, target: &Path) -> bool {
    let mut here = inner.to_owned();
    let mut left: Vec<PathBuf> = vec![target.to_owned()];
    let mut hops = 0;
    while let Some(path) = left.pop() {
        let mut parts = path.components();
        match parts.next() {
            None => continue,
            Some(Component::CurDir) => {}
            Some(Component::ParentDir) => {
                if !here.pop() {
                    return false;
                }
            }
            Some(Component::Normal(name)) => {
                here.push(name);
                if let Ok(next) = fs::read_link(base.join(&here)) {
                    here.pop();
                    left.push(parts.as_path().to_owned());
                    left.push(next);
                    hops += 1;
                    if hops > MAX_HOPS {
                        return false;
                    }
                    continue;
                }
            }
            Some(Component::RootDir | Component::Prefix(_)) => return false,
        }
        left.push(parts.as_path().to_owned());
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder `d` with a file `f` and a folder `s`, and a file `out` beside it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path().join("d");
        fs::create_dir_all(d.join("s")).unwrap();
        fs::write(d.join("f"), "f").unwrap();
        fs::write(dir.path().join("out"), "out").unwrap();
        (dir, d)
    }

    fn kind_of(d: &Path, name: &str) -> ScannedKind {
        let entries = scan(d, Reach::Anywhere).unwrap();
        entries.into_iter().find(|entry| entry.name == name).unwrap().kind
    }

    #[test]
    fn links_inside_stay_links_and_links_outside_count_by_content() {
        let (dir, d) = place();
        symlink("../f", d.join("s/inside")).unwrap();
        symlink("s/inside", d.join("twice")).unwrap();
        symlink(".", d.join("self")).unwrap();
        symlink("../out", d.join("outside")).unwrap();
        symlink(d.join("f"), d.join("absolute")).unwrap();
        symlink("../d/f", d.join("out-and-in")).unwrap();
        symlink(dir.path().join("more"), d.join("folder")).unwrap();
        fs::create_dir_all(dir.path().join("more/sub")).unwrap();
        fs::write(dir.path().join("more/x"), "").unwrap();
        symlink("../x", dir.path().join("more/sub/y")).unwrap();
        assert_eq!(kind_of(&d, "s/inside"), ScannedKind::Link("../f".into()));
        assert_eq!(kind_of(&d, "twice"), ScannedKind::Link("s/inside".into()));
        assert_eq!(kind_of(&d, "self"), ScannedKind::Link(".".into()));
        for file in ["outside", "absolute", "out-and-in", "folder/x"] {
            assert_eq!(kind_of(&d, file), ScannedKind::File, "{file}");
        }
        assert_eq!(kind_of(&d, "folder/sub/y"), ScannedKind::Link("../x".into()));
        let names: Vec<_> = scan(&d, Reach::Anywhere).unwrap().into_iter().map(|e| e.name).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn a_link_through_a_link_that_leaves_is_not_inside() {
        let (_dir, d) = place();
        fs::create_dir(d.join("deep")).unwrap();
        symlink("..", d.join("deep/up")).unwrap();
        fs::write(d.join("out"), "inside by the letter").unwrap();
        // By the letter `deep/out`; in truth beside `d`.
        symlink("up/../out", d.join("deep/l")).unwrap();
        assert_eq!(kind_of(&d, "deep/l"), ScannedKind::File);
        let inside = fs::canonicalize(&d).unwrap();
        assert!(matches!(scan(&d, Reach::Below(&inside)), Err(FileError::Outside { .. })));
    }

    #[test]
    fn odd_files_get_a_verdict_that_names_them() {
        type Make = fn(&Path);
        let cases: [(Make, &str); 5] = [
            (|p| rustix::fs::mkfifoat(rustix::fs::CWD, p, 0o600.into()).unwrap(), "is a fifo"),
            (|p| drop(std::os::unix::net::UnixListener::bind(p).unwrap()), "is a socket"),
            (|p| symlink("nowhere", p).unwrap(), "is a link to \"nowhere\", which does not exist"),
            (|p| symlink(p.file_name().unwrap(), p).unwrap(), "in a circle"),
            (|p| symlink("/dev/null", p).unwrap(), "is a device"),
        ];
        for (make, expected) in cases {
            let (_dir, d) = place();
            make(&d.join("s/odd"));
            let message = scan(&d, Reach::Anywhere).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("s/odd"), "{message}");
        }
        let (_dir, d) = place();
        fs::write(d.join(OsStr::from_bytes(b"\xff\x1b")), "").unwrap();
        let message = scan(&d, Reach::Anywhere).unwrap_err().to_string();
        assert!(message.contains("\\xFF\\u{1b}\" has a name"), "{message}");
    }

    #[test]
    fn links_to_folders_around_them_end() {
        let (dir, d) = place();
        symlink(dir.path(), d.join("s/around")).unwrap();
        assert!(
            matches!(scan(&d, Reach::Anywhere), Err(FileError::Loop(path)) if path == d.join("s/around"))
        );
        // Two folders that link to each other, and one that two links lead to.
        let (dir, d) = place();
        for name in ["one", "two"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        symlink("../one", d.join("a")).unwrap();
        symlink("../one", d.join("b")).unwrap();
        symlink("../two", dir.path().join("one/two")).unwrap();
        assert!(scan(&d, Reach::Anywhere).is_ok());
        symlink("../one", dir.path().join("two/one")).unwrap();
        assert!(matches!(scan(&d, Reach::Anywhere), Err(FileError::Loop(_))));
    }

    #[test]
    fn depth_costs_neither_stack_nor_open_folders() {
        let (_dir, d) = place();
        let mut path = d.clone();
        while path.as_os_str().len() < 3_900 {
            path.push("x");
        }
        fs::create_dir_all(&path).unwrap();
        assert!(scan(&d, Reach::Anywhere).unwrap().len() > 1_500);
    }
}
