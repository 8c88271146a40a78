//! The last line of a log that is still being written.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::view::text::inert;
use crate::view::text::log_file::open_regular;

/// Length of the end that is searched, in bytes.
const SEARCHED: u64 = 4096;

/// The last line of a log that has anything to read, made inert.
pub(in crate::view) fn last_line(path: &str) -> io::Result<Option<String>> {
    let mut file = open_regular(Path::new(path))?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(SEARCHED)))?;
    let mut end = Vec::new();
    file.take(SEARCHED).read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    let lines = end.rsplit(['\n', '\r']).map(|line| inert(line).trim().to_owned());
    Ok(lines.into_iter().find(|line| !line.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_any_content_gives_an_inert_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for (content, line) in [
            (b"".to_vec(), None),
            (b"\n \n\x1b[0m\n".to_vec(), None),
            (b"\xff\xfe a\n".to_vec(), Some("\u{fffd}\u{fffd} a")),
            (["é".repeat(9000).as_bytes(), b"\nend"].concat(), Some("end")),
        ] {
            std::fs::write(path, content).unwrap();
            assert_eq!(last_line(path).unwrap().as_deref(), line);
        }
        assert!(last_line("/nonexistent/log").is_err());
    }
}
