//! What a publication is to do at each path, found out before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::record::{self, PlacedContent, PublishedRow};
use super::{Item, Publication, PublishError, Tree, failed, named};
use crate::core::value::Artifact;
use crate::storage::store::{EntryContent, FileError, PublishEntry, Store};

/// What is known before anything is touched.
pub(super) struct Survey {
    /// Sorted by path: folders come before what they hold.
    pub steps: Vec<Step>,
    /// Entries of earlier results that are not part of this one, sorted by path.
    pub obsolete: Vec<(PathBuf, PublishedRow)>,
}

/// One entry of the result.
pub(super) struct Step {
    pub path: PathBuf,
    /// The real path of the output that it belongs to.
    pub root: PathBuf,
    pub output: String,
    pub entry: PublishEntry,
    /// The directory that the entry is the top of.
    pub whole: Option<Arc<Artifact>>,
    pub action: Action,
    /// What stands at the path now.
    pub found: Option<PlacedContent>,
    /// What the record says of the path.
    row: Option<PublishedRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing stands there.
    Create,
    /// Something stands there that may go.
    Replace { edited: bool },
    /// What stands there is equal; a file or link becomes ours.
    TakeOver,
    /// What stands there stays, and is not ours: a folder of the user's.
    Leave,
}

impl Action {
    pub fn places(self) -> bool {
        matches!(self, Self::Create | Self::Replace { .. })
    }
}

impl Step {
    /// As the record holds it.
    pub fn content(&self) -> PlacedContent {
        match &self.entry.content {
            EntryContent::Folder => PlacedContent::Folder,
            EntryContent::Link(target) => PlacedContent::Link(target.clone()),
            EntryContent::File { digest, .. } => PlacedContent::File(*digest),
        }
    }

    /// Whether the record does not say of the entry what is true once it is placed.
    pub fn is_new_to_record(&self) -> bool {
        let recorded = || {
            self.row
                .as_ref()
                .is_some_and(|row| row.placed && row.root == self.root && row.content == self.content())
        };
        self.action.places() || (self.action == Action::TakeOver && !recorded())
    }

    /// Whether what stood at the path was a folder, which went with what is obsolete.
    pub fn cleared(&self, survey: &Survey) -> bool {
        self.found == Some(PlacedContent::Folder)
            && survey.obsolete.iter().any(|(path, _)| *path == self.path)
    }
}

impl Survey {
    /// What a user should know.
    pub fn notes(&self) -> Vec<String> {
        let edited = |step: &&Step| step.action == Action::Replace { edited: true };
        let paths: Vec<String> =
            self.steps.iter().filter(edited).map(|step| step.path.display().to_string()).collect();
        let note = || format!("{} was edited after it was published: replaced", named(&paths));
        if paths.is_empty() { Vec::new() } else { vec![note()] }
    }
}

/// Something in the way.
struct Obstacle {
    path: PathBuf,
    why: String,
    /// Whether `--replace-outputs` would take it over.
    takeable: bool,
}

/// Looks at everything; nothing is touched.
pub(super) fn survey(publication: &Publication, db: &Connection) -> Result<Survey, PublishError> {
    let mut wanted: BTreeMap<PathBuf, Step> = BTreeMap::new();
    let mut roots = BTreeSet::new();
    for item in publication.items {
        let root = real_path(&item.path, !matches!(item.tree, Tree::File(_)))
            .map_err(|problem| failed(&item.output, &problem))?;
        let entries =
            entries(publication.store, item, &root).map_err(|error| failed(&item.output, &error))?;
        for (path, entry, whole) in entries {
            let step = Step {
                path: path.clone(),
                root: root.clone(),
                output: item.output.clone(),
                entry,
                whole,
                action: Action::Leave,
                found: None,
                row: None,
            };
            match wanted.get(&path) {
                Some(other) if other.entry.content != step.entry.content => {
                    return Err(PublishError::Refused(format!(
                        "outputs `{}` and `{}` both put something at {}, and not the same: give one of them another path",
                        other.output,
                        step.output,
                        path.display()
                    )));
                }
                Some(_) => {}
                None => drop(wanted.insert(path, step)),
            }
        }
        roots.insert(root);
    }
    check_nesting(&wanted)?;
    let mut obsolete = BTreeMap::new();
    for root in &roots {
        for (path, row) in record::below(db, root)? {
            // A folder that becomes a file goes as well.
            let is_folder = |step: &Step| step.content() == PlacedContent::Folder;
            if wanted.get(&path).is_none_or(|step| row.content == PlacedContent::Folder && !is_folder(step)) {
                obsolete.insert(path, row);
            }
        }
    }
    let mut obstacles = Vec::new();
    let mut fresh = BTreeSet::new();
    for step in wanted.values_mut() {
        step.row = record::row(db, &step.path)?;
        let under_fresh = step.path.parent().is_some_and(|parent| fresh.contains(parent));
        match decide(publication, db, step, under_fresh, &obsolete) {
            Ok(action) => step.action = action,
            Err(obstacle) => obstacles.push((step.output.clone(), obstacle)),
        }
        if step.action.places() && step.content() == PlacedContent::Folder {
            fresh.insert(step.path.clone());
        }
    }
    if !obstacles.is_empty() {
        return Err(PublishError::Refused(in_the_way(&obstacles)));
    }
    Ok(Survey { steps: wanted.into_values().collect(), obsolete: obsolete.into_iter().collect() })
}

/// The entries of an item with their paths. A whole directory comes with its top.
#[expect(clippy::type_complexity, reason = "read in one place, by the loop above")]
fn entries(
    store: &Store,
    item: &Item,
    root: &Path,
) -> Result<Vec<(PathBuf, PublishEntry, Option<Arc<Artifact>>)>, FileError> {
    let below = |root: &Path, name: &str| if name.is_empty() { root.to_owned() } else { root.join(name) };
    let of = |artifact: &Arc<Artifact>, is_dir: bool, root: &Path| {
        let entries = store.publish_entries(artifact, is_dir)?;
        let whole = |entry: &PublishEntry| (is_dir && entry.name.is_empty()).then(|| artifact.clone());
        Ok::<_, FileError>(
            entries
                .into_iter()
                .map(move |entry| {
                    let whole = whole(&entry);
                    (below(root, &entry.name), entry, whole)
                })
                .collect::<Vec<_>>(),
        )
    };
    match &item.tree {
        Tree::File(artifact) => of(artifact, false, root),
        Tree::Dir(artifact) => of(artifact, true, root),
        Tree::Folder(parts) => {
            let mut all = vec![(root.to_owned(), PublishEntry::folder(), None)];
            for (name, artifact, is_dir) in parts {
                all.extend(of(artifact, *is_dir, &root.join(name))?);
            }
            Ok(all)
        }
    }
}

/// Nothing can lie in a file or a link.
fn check_nesting(wanted: &BTreeMap<PathBuf, Step>) -> Result<(), PublishError> {
    let mut outer: Option<&Step> = None;
    for step in wanted.values() {
        if let Some(outer) = outer
            && step.path.starts_with(&outer.path)
        {
            return Err(PublishError::Refused(format!(
                "output `{}` puts a file at {}, and output `{}` needs a folder there: give one of them another path",
                outer.output,
                outer.path.display(),
                step.output
            )));
        }
        if step.content() != PlacedContent::Folder {
            outer = Some(step);
        }
    }
    Ok(())
}

/// The path with the links on its way followed; the last part too if it is to be a folder.
fn real_path(path: &Path, is_folder: bool) -> Result<PathBuf, String> {
    if is_folder
        && let Ok(real) = fs::canonicalize(path)
        && real.is_dir()
    {
        return Ok(real);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("{} is no path for a file", path.display()));
    };
    let mut missing = vec![name];
    let mut folder = parent;
    loop {
        match fs::canonicalize(folder) {
            Ok(real) if real.is_dir() => {
                let path = missing.iter().rev().fold(real, |path, name| path.join(name));
                return Ok(path);
            }
            Ok(real) => return Err(format!("{} is not a folder", real.display())),
            // A link to nothing is in the way as well.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(folder).is_err() =>
            {
                let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
                    return Err(format!("{}: {error}", folder.display()));
                };
                missing.push(name);
                folder = above;
            }
            Err(error) => return Err(format!("{}: {error}", folder.display())),
        }
    }
}

/// What stands at `path`, itself and not what it leads to; `None` for nothing or something else.
pub(super) fn content_at(store: &Store, path: &Path) -> Option<PlacedContent> {
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    if kind.is_dir() {
        return Some(PlacedContent::Folder);
    }
    if kind.is_symlink() {
        return fs::read_link(path).ok()?.into_os_string().into_string().ok().map(PlacedContent::Link);
    }
    if !kind.is_file() {
        return None;
    }
    store.fingerprint(path, false).ok().map(|(artifact, _)| PlacedContent::File(artifact.digest))
}

fn decide(
    publication: &Publication,
    db: &Connection,
    step: &mut Step,
    under_fresh: bool,
    obsolete: &BTreeMap<PathBuf, PublishedRow>,
) -> Result<Action, Obstacle> {
    let path = step.path.clone();
    let obstacle = |why: &str, takeable: bool| Obstacle { path: path.clone(), why: why.into(), takeable };
    if under_fresh {
        return Ok(Action::Create);
    }
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Action::Create),
        Err(error) => return Err(obstacle(&error.to_string(), false)),
        Ok(metadata) => metadata,
    };
    step.found = content_at(publication.store, &path);
    let wants_folder = step.content() == PlacedContent::Folder;
    let is_own = step.row.as_ref().zip(step.found.as_ref()).is_some_and(|(row, found)| row.owns(found));
    let is_own_link = is_own && matches!(step.found, Some(PlacedContent::Link(_)));
    if wants_folder && !is_own_link && fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(Action::Leave);
    }
    let equal = step.found.as_ref() == Some(&step.content());
    if let Some(what) = publication.protected.file(&path) {
        return if equal { Ok(Action::Leave) } else { Err(obstacle(&format!("it is {what}"), false)) };
    }
    if equal {
        let bit = |entry: &EntryContent| matches!(entry, EntryContent::File { executable: true, .. });
        let is_executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0;
        return Ok(match metadata.is_file() && is_executable != bit(&step.entry.content) {
            true => Action::Replace { edited: false },
            false => Action::TakeOver,
        });
    }
    let Some(found) = &step.found else {
        let kind = metadata.file_type();
        let what = match () {
            () if kind.is_fifo() => "a FIFO is there",
            () if kind.is_socket() => "a socket is there",
            () if kind.is_file() => "the file there cannot be read",
            () if kind.is_symlink() => "a link is there whose target is not UTF-8",
            () => "a device is there",
        };
        return Err(obstacle(what, false));
    };
    if *found == PlacedContent::Folder {
        let foreign = || first_foreign(publication.store, &path, obsolete);
        return match is_own.then(foreign) {
            Some(None) => Ok(Action::Replace { edited: false }),
            Some(Some(inside)) => Err(Obstacle {
                path: inside,
                why: format!("runner did not put it into {}, which would become a file", path.display()),
                takeable: false,
            }),
            None => Err(obstacle("it is a folder", false)),
        };
    }
    let moved = || record::was_moved(db, publication.by, &path, found).unwrap_or(false);
    if is_own || moved() {
        let edited = step.row.as_ref().is_some_and(|row| row.placed && row.content != *found);
        return Ok(Action::Replace { edited });
    }
    if let Some(what) = publication.protected.inside(&path) {
        return Err(obstacle(&format!("it lies in {what}"), false));
    }
    match publication.replace {
        true => Ok(Action::Replace { edited: false }),
        false if matches!(found, PlacedContent::Link(_)) => {
            Err(obstacle("it is a link that runner did not put there", true))
        }
        false => Err(obstacle("runner did not put it there", true)),
    }
}

/// Something in a folder that does not go with the folder: not published, or edited since.
fn first_foreign(
    store: &Store,
    folder: &Path,
    obsolete: &BTreeMap<PathBuf, PublishedRow>,
) -> Option<PathBuf> {
    walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().find_map(|entry| {
        let Ok(entry) = entry else { return Some(folder.to_owned()) };
        let row = obsolete.get(entry.path());
        let goes = row.is_some_and(|row| content_at(store, entry.path()).as_ref() == Some(&row.content));
        (!goes).then(|| entry.into_path())
    })
}

fn in_the_way(obstacles: &[(String, Obstacle)]) -> String {
    let outputs: BTreeSet<&str> = obstacles.iter().map(|(output, _)| output.as_str()).collect();
    let outputs: Vec<String> = outputs.into_iter().map(|output| format!("`{output}`")).collect();
    let paths: Vec<String> = obstacles
        .iter()
        .map(|(_, obstacle)| format!("{} ({})", obstacle.path.display(), obstacle.why))
        .collect();
    let all_takeable = obstacles.iter().all(|(_, obstacle)| obstacle.takeable);
    let some_takeable = obstacles.iter().any(|(_, obstacle)| obstacle.takeable);
    let way_out = match (all_takeable, some_takeable) {
        (true, _) => {
            "move it away, give the output another path, or take it over with `exec --replace-outputs`"
        }
        (false, true) => {
            "move them away or give the output another path; `exec --replace-outputs` takes over only other files"
        }
        (false, false) => "move it away, or give the output another path",
    };
    format!(
        "output {}: cannot be published: in the way is {}. Nothing was changed: {way_out}",
        outputs.join(", "),
        named(&paths)
    )
}
