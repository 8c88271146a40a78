//! Where a file or directory came from, by its content: what made it, what used it, and where it was published.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use walkdir::WalkDir;

use super::Error;
use super::home::HomeReader;
use crate::core::digest::Digest;
use crate::storage::contents;
use crate::storage::publish::record::{self, PlacedContent};
use crate::storage::store::Store;

pub use crate::storage::contents::ContentUse;

/// How many of those that made a content, and of those that used it, are named.
pub const MAX_PLACES: u32 = 50;
/// Maximum files of a folder that are looked up one by one.
const MAX_FILES_LOOKED_UP: usize = 1000;
/// Digits of a digest that are enough to look for one.
const MIN_DIGITS: usize = 6;

/// What is known of a content.
pub struct FileProvenance {
    pub digest: Digest,
    /// The file or directory that was asked for.
    pub path: Option<PathBuf>,
    /// What a person has to know to read the answer.
    pub note: Option<String>,
    /// The newest first.
    pub made: Vec<ContentUse>,
    /// How many there are.
    pub made_count: u64,
    pub used: Vec<ContentUse>,
    pub used_count: u64,
    /// Paths where it was published, and by which workflows.
    pub published: Vec<(PathBuf, String)>,
}

/// The content that was asked for.
struct Wanted {
    digest: Digest,
    path: Option<PathBuf>,
    note: Option<String>,
}

/// Finds a file or directory by its content, or a content by (the beginning of) its digest.
///
/// # Errors
/// There is neither such a file nor such a digest, or no run made or used it.
pub fn find(home: Option<&Path>, what: &str) -> Result<FileProvenance, Error> {
    let reader = HomeReader::open(home)?;
    let Some(db) = &reader.db else {
        let home = reader.home.path().display();
        return Err(Error::failed(format!("nothing was ever run with the home {home}")));
    };
    let wanted = wanted(&reader, db, what)?;
    let found = provenance(db, wanted).map_err(Error::cache)?;
    if found.made.is_empty() && found.used.is_empty() && found.published.is_empty() {
        let digest = found.digest;
        return Err(Error::failed(format!("no node that is known made or used {what} (sha256:{digest})"))
            .hint("a file that was edited since has another content; runs and results that were collected are forgotten"));
    }
    Ok(found)
}

fn wanted(reader: &HomeReader, db: &Connection, what: &str) -> Result<Wanted, Error> {
    let path = std::path::absolute(what).map_err(|error| Error::invalid(format!("{what}: {error}")))?;
    if !what.starts_with("sha256:") {
        match std::fs::metadata(&path) {
            Ok(metadata) => return by_content(reader, db, path, metadata.is_dir()),
            Err(_) if !is_hexadecimal(what) => {
                // Gone, and still known by what was published there.
                return match record::row(db, &path).map_err(Error::cache)?.map(|row| row.content) {
                    Some(PlacedContent::File(digest)) => {
                        let note = Some("the file is gone; this is what was published there".into());
                        Ok(Wanted { digest, path: Some(path), note })
                    }
                    _ => Err(Error::failed(format!("there is no file {what}, and it is no digest"))),
                };
            }
            Err(_) => {}
        }
    }
    by_digest(db, what)
}

fn is_hexadecimal(text: &str) -> bool {
    (MIN_DIGITS..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn by_digest(db: &Connection, what: &str) -> Result<Wanted, Error> {
    let digits = what.trim_start_matches("sha256:").to_ascii_lowercase();
    if !is_hexadecimal(&digits) {
        let message = format!("{what} is no digest: {MIN_DIGITS} to 64 hexadecimal digits are one");
        return Err(Error::failed(message));
    }
    let bound = |digit: &str| -> Result<Digest, Error> {
        let text = format!("{digits}{}", digit.repeat(64 - digits.len()));
        text.parse().map_err(|problem| Error::failed(format!("{what}: {problem}")))
    };
    let (low, high) = (bound("0")?, bound("f")?);
    if low == high {
        return Ok(Wanted { digest: low, path: None, note: None });
    }
    match &contents::between(db, &low, &high, 10).map_err(Error::cache)?[..] {
        [] => Err(Error::failed(format!("no content is known whose digest begins with {digits}"))),
        [digest] => Ok(Wanted { digest: *digest, path: None, note: None }),
        several => {
            let named: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Error::failed(format!("several digests begin with {digits}:\n{}", named.join("\n"))))
        }
    }
}

fn by_content(reader: &HomeReader, db: &Connection, path: PathBuf, is_dir: bool) -> Result<Wanted, Error> {
    let store = reader.store()?;
    let (artifact, _) = store.fingerprint(&path, is_dir).map_err(|error| Error::failed(error.to_string()))?;
    let digest = artifact.digest;
    let is_known = |digest: &Digest| {
        let known = contents::between(db, digest, digest, 1).map_err(Error::cache)?;
        Ok::<_, Error>(!known.is_empty())
    };
    if is_known(&digest)? {
        return Ok(Wanted { digest, path: Some(path), note: None });
    }
    // The content is unknown; the path may be one that was published.
    let wanted = match record::row(db, &path).map_err(Error::cache)?.map(|row| row.content) {
        Some(PlacedContent::File(published)) => {
            Some((published, "the file was edited since it was published".into()))
        }
        Some(PlacedContent::Folder) | Some(PlacedContent::Link(_)) | None if is_dir => {
            // A published folder may hold other files as well: one that was published speaks for it.
            let below = record::below(db, &path).map_err(Error::cache)?;
            below.into_iter().find_map(|(file, row)| match row.content {
                PlacedContent::File(published) => {
                    let name = file.strip_prefix(&path).unwrap_or(&file).display().to_string();
                    Some((published, format!("the folder was published; this is its file {name}")))
                }
                PlacedContent::Folder | PlacedContent::Link(_) => None,
            })
        }
        Some(PlacedContent::Folder) | Some(PlacedContent::Link(_)) | None => None,
    };
    // A folder that was published, got entries of others and was moved: a file in it that is known speaks for it.
    let wanted = match wanted {
        None if is_dir => first_known(&store, &path, is_known)?,
        wanted => wanted,
    };
    Ok(match wanted {
        Some((digest, note)) => Wanted { digest, path: Some(path), note: Some(note) },
        None => Wanted { digest, path: Some(path), note: None },
    })
}

/// The first file in a folder, in the order of names, whose content is known, and a sentence about it.
fn first_known(
    store: &Store,
    folder: &Path,
    is_known: impl Fn(&Digest) -> Result<bool, Error>,
) -> Result<Option<(Digest, String)>, Error> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    for file in entries.filter(|entry| entry.file_type().is_file()).take(MAX_FILES_LOOKED_UP) {
        // A file that cannot be read speaks for nothing.
        let Ok((artifact, _)) = store.fingerprint(file.path(), false) else { continue };
        // Empty files are all the same.
        if artifact.size > 0 && is_known(&artifact.digest)? {
            let name = file.path().strip_prefix(folder).unwrap_or(file.path()).display();
            let note = format!("the folder as a whole is not known; this is its file {name}");
            return Ok(Some((artifact.digest, note)));
        }
    }
    Ok(None)
}

fn provenance(db: &Connection, wanted: Wanted) -> rusqlite::Result<FileProvenance> {
    let Wanted { digest, path, note } = wanted;
    let (made, made_count) = contents::places(db, &digest, false, MAX_PLACES)?;
    let (mut used, mut used_count) = contents::places(db, &digest, true, MAX_PLACES)?;
    // Who used the directory that it lies in used it as well.
    let wholes: BTreeSet<Digest> = made.iter().filter_map(|place| place.whole).collect();
    for whole in wholes {
        let (places, count) = contents::places(db, &whole, true, MAX_PLACES)?;
        let inside = made.iter().find(|place| place.whole == Some(whole)).map(|place| place.path.clone());
        used.extend(
            places.into_iter().map(|place| ContentUse { path: inside.clone().unwrap_or_default(), ..place }),
        );
        used_count += count;
    }
    used.sort_by_key(|place| std::cmp::Reverse(place.time));
    used.truncate(MAX_PLACES as usize);
    let published = record::with_content(db, &digest)?;
    Ok(FileProvenance { digest, path, note, made, made_count, used, used_count, published })
}
