//! Where the texts of workflow files come from: the disk, or a record of what was read before.
//!
//! From a record nothing is read from the disk, and nothing has to be there any more: paths mean what they meant.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::source::{MAX_FILE_BYTES, read_text};

/// A file that was read while a workflow was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// Under what other paths it was asked for, where that does not follow from the path: they lead through
    /// symbolic links.
    pub asked: Vec<PathBuf>,
    pub text: Arc<str>,
}

/// The texts of workflow files.
#[derive(Default)]
pub struct Texts {
    /// By every path that they were asked for under; `None` to read from the disk.
    recorded: Option<HashMap<PathBuf, Document>>,
    /// The files read so far, by path.
    read: BTreeMap<PathBuf, Document>,
    /// How many bytes these have together.
    bytes: u64,
}

impl Texts {
    /// The recorded files that replace those on disk.
    pub fn recorded(documents: impl IntoIterator<Item = Document>) -> Self {
        let mut recorded = HashMap::new();
        for document in documents {
            for asked in &document.asked {
                recorded.insert(asked.clone(), document.clone());
            }
            recorded.insert(document.path.clone(), document);
        }
        Self { recorded: Some(recorded), ..Self::default() }
    }

    /// The file that `asked` leads to: its path without symbolic links, and its text.
    ///
    /// # Errors
    /// A sentence that names the path.
    pub fn read(&mut self, asked: &Path) -> Result<(PathBuf, Arc<str>), String> {
        let plain = lexical(asked);
        let mut found = match &self.recorded {
            Some(recorded) => {
                let found = recorded.get(asked).or_else(|| recorded.get(&plain));
                found
                    .cloned()
                    .ok_or_else(|| format!("{} is not among what was read then", asked.display()))?
            }
            None => {
                let path = std::fs::canonicalize(asked).unwrap_or_else(|_| plain.clone());
                match self.read.get(&path) {
                    Some(known) => known.clone(),
                    None => {
                        let text = read_text(asked)?;
                        self.bytes += text.len() as u64;
                        if self.bytes > MAX_FILE_BYTES {
                            let most = MAX_FILE_BYTES >> 20;
                            let shown = asked.display();
                            return Err(format!("with {shown} the files of the workflow exceed {most} MiB"));
                        }
                        Document { path, asked: Vec::new(), text }
                    }
                }
            }
        };
        let (path, text) = (found.path.clone(), found.text.clone());
        if plain != path && !found.asked.iter().any(|known| known == asked) {
            found.asked.push(asked.to_owned());
        }
        self.read.insert(path.clone(), found);
        Ok((path, text))
    }

    /// Whether nothing is read from the disk.
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Adds what follows from files that are not all kept, under a path that no file has: a record has it.
    pub fn add(&mut self, path: PathBuf, text: String) {
        self.read.insert(path.clone(), Document { path, asked: Vec::new(), text: text.into() });
    }

    /// Everything that was read, by path.
    pub fn into_documents(self) -> Vec<Document> {
        self.read.into_values().collect()
    }
}

/// A path without `.` and `..`, made absolute; as if there were no symbolic links.
fn lexical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            component => plain.push(component),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_was_read_can_be_read_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("far/lib")).unwrap();
        fs::create_dir_all(root.join("flows")).unwrap();
        fs::write(root.join("far/lib/a.toml"), "a").unwrap();
        fs::write(root.join("far/b.toml"), "b").unwrap();
        fs::write(root.join("b.toml"), "another").unwrap();
        symlink(root.join("far/lib"), root.join("lib")).unwrap();
        let asked = ["lib/a.toml", "flows/../far/lib/a.toml", "lib/../b.toml", "b.toml"];
        let read = |texts: &mut Texts| -> Vec<_> {
            asked.iter().map(|asked| texts.read(&root.join(asked)).unwrap()).collect()
        };
        let mut first = Texts::default();
        let then = read(&mut first);
        assert_eq!(then[0].0, root.join("far/lib/a.toml"));
        assert_eq!(then.iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["a", "a", "b", "another"]);
        let documents = first.into_documents();
        assert_eq!(documents.len(), 3);
        fs::remove_dir_all(&root).unwrap();
        let mut second = Texts::recorded(documents.clone());
        assert_eq!(read(&mut second), then);
        assert_eq!(second.into_documents(), documents);
        let mut third = Texts::recorded(documents);
        assert!(third.read(&root.join("never.toml")).unwrap_err().contains("never.toml"));
    }
}
