//! The events of a run with the places where they lie in their file, to be had again one by one: a run of very many
//! elements is not held in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use crate::core::event::Event;
use crate::storage::own_file::{self, Access};
use crate::storage::own_folder;

/// The events in order, each with its place. As with [`super::events`], lines that do not read are left out, and a
/// missing file is a run without events.
///
/// # Errors
/// The file exists but cannot be opened.
pub fn events(path: &Path) -> io::Result<impl Iterator<Item = (u64, Event)> + use<>> {
    let mut reader = open(path)?.map(BufReader::new);
    let (mut place, mut line) = (0, Vec::new());
    Ok(std::iter::from_fn(move || {
        loop {
            line.clear();
            let length = reader.as_mut()?.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
            let here = place;
            place += length as u64;
            if let Ok(event) = serde_json::from_slice(&line) {
                return Some((here, event));
            }
        }
    }))
}

/// Reads events at their places.
pub struct Events(Option<BufReader<File>>);

impl Events {
    /// # Errors
    /// The file exists but cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path)?.map(BufReader::new)))
    }

    /// The event at an offset that [`events`] gave.
    pub fn at(&mut self, place: u64) -> Option<Event> {
        let reader = self.0.as_mut()?;
        let mut line = Vec::new();
        reader.seek(SeekFrom::Start(place)).ok()?;
        reader.read_until(b'\n', &mut line).ok()?;
        serde_json::from_slice(&line).ok()
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match own_folder::open(path.parent().unwrap_or(path)).and_then(|_| own_file::open(path, Access::Read)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Warning;

    #[test]
    fn every_event_is_found_again_at_its_place() {
        let warning = |text: &str| {
            let time = jiff::Timestamp::UNIX_EPOCH;
            Event::Warning(Warning { time, message: text.into(), node: None })
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        assert_eq!(events(&path).unwrap().count(), 0);
        assert_eq!(Events::open(&path).unwrap().at(0), None);
        let lines =
            [warning("1").to_line(), "nonsense".into(), warning("2").to_line(), "{\"v\":1,\"ev".into()];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let all: Vec<_> = events(&path).unwrap().collect();
        assert_eq!(
            all.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(),
            [warning("1"), warning("2")]
        );
        let mut again = Events::open(&path).unwrap();
        for (place, event) in all.iter().rev() {
            assert_eq!(again.at(*place).as_ref(), Some(event));
        }
    }
}
