//! The record of what was published: which path holds what, and below which output's path it lies.
//!
//! A row is written before its file is placed (`placed = 0`, with what stood there), and confirmed afterwards. After a
//! crash between the two, the path counts as ours only if it still holds one of these two contents. Knows nothing of
//! how files are placed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use crate::core::digest::Digest;

/// The table. `root` is the path of the output that the entry belongs to; `workflow` and `relative` (to the folder of
/// the workflow file) find it again when the project was moved.
pub const SCHEMA: &str = "
    CREATE TABLE published (
        path BLOB NOT NULL PRIMARY KEY,
        root BLOB NOT NULL,
        content TEXT NOT NULL,
        previous TEXT,
        placed INTEGER NOT NULL,
        workflow TEXT NOT NULL,
        relative BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX published_root ON published (root);
    CREATE INDEX published_relative ON published (workflow, relative);
";

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacedContent {
    Folder,
    /// A symbolic link, by its target.
    Link(String),
    /// A regular file, by its bytes.
    File(Digest),
}

impl PlacedContent {
    fn text(&self) -> String {
        match self {
            Self::Folder => "folder".into(),
            Self::Link(target) => format!("link {target}"),
            Self::File(digest) => format!("file {digest}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "folder" => Some(Self::Folder),
            Some(("link", target)) => Some(Self::Link(target.into())),
            Some(("file", hex)) => hex.parse().ok().map(Self::File),
            _ => None,
        }
    }

    fn is_same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// An entry that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedRow {
    pub root: PathBuf,
    pub content: PlacedContent,
    /// What stood there before; only of a row that is not confirmed.
    pub previous: Option<PlacedContent>,
    /// Whether the entry is known to have been placed.
    pub placed: bool,
}

impl PublishedRow {
    /// Whether `found`, which stands at the row's path now, may be replaced.
    pub fn owns(&self, found: &PlacedContent) -> bool {
        match self.placed {
            true => self.content.is_same_kind(found),
            false => self.content == *found || self.previous.as_ref() == Some(found),
        }
    }
}

/// The workflow that publishes: its name and the folder of its file.
#[derive(Clone, Copy)]
pub struct PublishingWorkflow<'a> {
    pub workflow: &'a str,
    pub dir: &'a Path,
}

impl PublishingWorkflow<'_> {
    fn relative<'p>(&self, path: &'p Path) -> &'p [u8] {
        path.strip_prefix(self.dir).unwrap_or(path).as_os_str().as_bytes()
    }
}

/// The row of a path.
///
/// # Errors
/// The database cannot be read.
pub fn row(db: &Connection, path: &Path) -> rusqlite::Result<Option<PublishedRow>> {
    let mut statement =
        db.prepare_cached("SELECT path, root, content, previous, placed FROM published WHERE path = ?1")?;
    let row = statement.query_row([path.as_os_str().as_bytes()], read).optional()?;
    Ok(row.flatten().map(|(_, row)| row))
}

/// All entries below the path of an output.
///
/// # Errors
/// The database cannot be read.
pub fn below(db: &Connection, root: &Path) -> rusqlite::Result<Vec<(PathBuf, PublishedRow)>> {
    let mut statement =
        db.prepare_cached("SELECT path, root, content, previous, placed FROM published WHERE root = ?1")?;
    let rows = statement.query_map([root.as_os_str().as_bytes()], read)?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Where a file with this content was published, and by which workflow.
///
/// # Errors
/// The database cannot be read.
pub fn with_content(db: &Connection, digest: &Digest) -> rusqlite::Result<Vec<(PathBuf, String)>> {
    let mut statement = db
        .prepare_cached("SELECT path, workflow FROM published WHERE content = ?1 AND placed = 1 LIMIT 100")?;
    let rows = statement.query_map([PlacedContent::File(*digest).text()], |row| {
        Ok((PathBuf::from(OsStr::from_bytes(&row.get::<_, Vec<u8>>(0)?)), row.get(1)?))
    })?;
    rows.collect()
}

/// Whether the same workflow published just this content at the same place relative to its file, in another folder:
/// the project was moved or copied.
///
/// # Errors
/// The database cannot be read.
pub fn was_moved(
    db: &Connection,
    by: PublishingWorkflow,
    path: &Path,
    found: &PlacedContent,
) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(
        "SELECT 1 FROM published WHERE workflow = ?1 AND relative = ?2 AND content = ?3 AND placed = 1",
    )?;
    statement.exists(params![by.workflow, by.relative(path), found.text()])
}

/// Writes a row, in place of an earlier one of the path.
///
/// # Errors
/// The database cannot be written.
pub fn write(
    db: &Connection,
    by: PublishingWorkflow,
    path: &Path,
    row: &PublishedRow,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO published (path, root, content, previous, placed, workflow, relative)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        path.as_os_str().as_bytes(),
        row.root.as_os_str().as_bytes(),
        row.content.text(),
        row.previous.as_ref().map(PlacedContent::text),
        row.placed,
        by.workflow,
        by.relative(path),
    ])?;
    Ok(())
}

/// Forgets a path.
///
/// # Errors
/// The database cannot be written.
pub fn forget(db: &Connection, path: &Path) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM published WHERE path = ?1")?.execute([path.as_os_str().as_bytes()])?;
    Ok(())
}

/// `None` for a damaged row: its path counts as the user's.
fn read(row: &SqlRow) -> rusqlite::Result<Option<(PathBuf, PublishedRow)>> {
    let path = |bytes: Vec<u8>| PathBuf::from(OsStr::from_bytes(&bytes));
    let Some(content) = PlacedContent::parse(&row.get::<_, String>(2)?) else { return Ok(None) };
    let previous: Option<String> = row.get(3)?;
    Ok(Some((
        path(row.get(0)?),
        PublishedRow {
            root: path(row.get(1)?),
            content,
            previous: previous.as_deref().and_then(PlacedContent::parse),
            placed: row.get(4)?,
        },
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db
    }

    #[test]
    fn rows_are_read_back_replaced_and_forgotten() {
        let db = database();
        let by = PublishingWorkflow { workflow: "w", dir: Path::new("/p") };
        let (root, path) = (PathBuf::from("/p/r"), Path::new("/p/r/a"));
        let mut entry = PublishedRow {
            root: root.clone(),
            content: PlacedContent::Link("to here".into()),
            previous: Some(PlacedContent::File(Digest::of("x"))),
            placed: false,
        };
        write(&db, by, path, &entry).unwrap();
        assert_eq!(row(&db, path).unwrap(), Some(entry.clone()));
        (entry.content, entry.previous, entry.placed) = (PlacedContent::File(Digest::of("y")), None, true);
        write(&db, by, path, &entry).unwrap();
        write(&db, by, &root, &PublishedRow { content: PlacedContent::Folder, ..entry.clone() }).unwrap();
        assert_eq!(below(&db, &root).unwrap().len(), 2);
        assert_eq!(row(&db, path).unwrap(), Some(entry));
        forget(&db, path).unwrap();
        assert_eq!((row(&db, path).unwrap(), below(&db, &root).unwrap().len()), (None, 1));
    }

    #[test]
    fn an_unconfirmed_row_owns_the_old_and_the_new_content_only() {
        let file = |text: &str| PlacedContent::File(Digest::of(text));
        let mut row = PublishedRow {
            root: "/r".into(),
            content: file("new"),
            previous: Some(file("old")),
            placed: false,
        };
        assert!(row.owns(&file("new")) && row.owns(&file("old")) && !row.owns(&file("edited")));
        row.placed = true;
        assert!(row.owns(&file("edited")) && !row.owns(&PlacedContent::Link("x".into())));
        assert!(!row.owns(&PlacedContent::Folder));
    }

    #[test]
    fn a_moved_project_is_known_by_workflow_place_and_content() {
        let db = database();
        let (old, new) = (Path::new("/old"), Path::new("/new"));
        let content = PlacedContent::File(Digest::of("text"));
        let entry =
            PublishedRow { root: "/old/a".into(), content: content.clone(), previous: None, placed: true };
        write(&db, PublishingWorkflow { workflow: "w", dir: old }, Path::new("/old/a"), &entry).unwrap();
        let moved = |workflow: &str, path: &str, content: &PlacedContent| {
            was_moved(&db, PublishingWorkflow { workflow, dir: new }, Path::new(path), content).unwrap()
        };
        assert!(moved("w", "/new/a", &content));
        assert!(!moved("v", "/new/a", &content) && !moved("w", "/new/b", &content));
        assert!(!moved("w", "/new/a", &PlacedContent::File(Digest::of("other"))));
    }
}
