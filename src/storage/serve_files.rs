//! Files of the home through which clients find a daemon and authenticate: the token, the sessions of browsers, the
//! address of the daemon.
//!
//! | file | holds |
//! |---|---|
//! | `serve.token` | the secret that scripts send, 64 hexadecimal digits |
//! | `serve.sessions` | digests of the sessions of browsers, a line each |
//! | `serve.address` | where the daemon that began last answers |
//!
//! Knows nothing of HTTP: `server::web` decides whom to let in.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::digest::Digest;
use crate::storage::home::Home;
use crate::storage::own_file::{self, Access};
use crate::storage::user_file;

/// Version of the files in JSON.
const VERSION: u32 = 1;
/// Number of random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Maximum size of each of these files, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The secret of a home, as it is written in its file.
#[derive(Clone, PartialEq, Eq)]
pub struct ServeToken {
    pub text: String,
    /// Which file that was: another one there means another token.
    pub file: FileIdentity,
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
}

impl FileIdentity {
    fn of(found: &Metadata) -> Self {
        Self {
            dev: found.dev(),
            ino: found.ino(),
            size: found.size(),
            mtime: (found.mtime(), found.mtime_nsec()),
        }
    }

    /// The identity of what is at `path` now; `None` if nothing can be found there.
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Self::of(&found))
    }
}

/// Random text of 64 hexadecimal digits that cannot be guessed.
///
/// # Errors
/// The system gives no random bytes.
pub fn random_hex() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(Digest(bytes).hex())
}

/// The file of the token of a home.
pub fn token_path(home: &Home) -> PathBuf {
    home.path().join("serve.token")
}

/// The token of a home; made if there is none.
///
/// # Errors
/// The file cannot be made or read, or holds something else.
pub fn home_token(home: &Home) -> io::Result<ServeToken> {
    let path = token_path(home);
    loop {
        match own_file::open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_token(&path)?,
            opened => return read_token(&path, opened?),
        }
    }
}

/// The token in a file that a user named. The file may be a link, and must be readable by its owner alone.
///
/// # Errors
/// The file cannot be read, is open to others, or holds something else.
pub fn token_in(path: &Path) -> io::Result<ServeToken> {
    let file = user_file::open(path)?;
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem =
            format!("{} has mode {mode:04o}: others may read it; try `chmod 600 FILE`", path.display());
        return Err(io::Error::other(problem));
    }
    read_token(path, file)
}

fn read_token(path: &Path, file: File) -> io::Result<ServeToken> {
    let identity = FileIdentity::of(&file.metadata()?);
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    let text = text.trim().to_ascii_lowercase();
    if text.parse::<Digest>().is_err() {
        let problem = format!("{} holds no token: expected 64 hexadecimal digits", path.display());
        return Err(io::Error::other(problem));
    }
    Ok(ServeToken { text, file: identity })
}

/// Makes the file of a token with a new one, whole from the first moment. One that another process made meanwhile stays.
fn make_token(path: &Path) -> io::Result<()> {
    let secret = random_hex()?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}", &random_hex()?[..16]));
    let partial = PathBuf::from(partial);
    let mut file = own_file::open(&partial, Access::New)?;
    let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&partial, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // What is left of a failure costs a few bytes and nothing else.
    let _ = fs::remove_file(&partial);
    linked
}

/// A session that a browser has, or had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    v: u32,
    /// Digest of the secret of the session.
    pub session: Digest,
    /// Digest of the token that was valid then: a session ends with its token.
    pub token: Digest,
    /// When it ends.
    pub until: Timestamp,
}

impl SessionLine {
    pub fn new(session: Digest, token: Digest, until: Timestamp) -> Self {
        Self { v: VERSION, session, token, until }
    }
}

fn sessions_path(home: &Home) -> PathBuf {
    home.path().join("serve.sessions")
}

/// The sessions on record; a line that cannot be read is none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn sessions(home: &Home) -> io::Result<Vec<SessionLine>> {
    let bytes = match own_file::read(&sessions_path(home), MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Puts `lines` in the place of the sessions on record.
///
/// # Errors
/// The file cannot be written.
pub fn write_sessions(home: &Home, lines: &[SessionLine]) -> io::Result<()> {
    let text: String =
        lines.iter().filter_map(|line| serde_json::to_string(line).ok()).map(|line| line + "\n").collect();
    own_file::open(&sessions_path(home), Access::Replace)?.write_all(text.as_bytes())
}

/// Where a daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeAddress {
    v: u32,
    /// Its address and port, or `unix:` and a path.
    pub listen: String,
    /// What all of its paths begin with; empty or `/...`.
    pub base_path: String,
    /// The file of its token.
    pub token_file: PathBuf,
    pub pid: u32,
}

impl ServeAddress {
    pub fn new(listen: String, base_path: String, token_file: PathBuf) -> Self {
        Self { v: VERSION, listen, base_path, token_file, pid: std::process::id() }
    }
}

fn address_path(home: &Home) -> PathBuf {
    home.path().join("serve.address")
}

/// Where the daemon of this home answers that began last; `None` if none does as far as is known.
///
/// # Errors
/// The file is there and cannot be read.
pub fn address(home: &Home) -> io::Result<Option<ServeAddress>> {
    match own_file::read(&address_path(home), MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(serde_json::from_slice(&bytes?).ok()),
    }
}

/// Notes where this daemon answers.
///
/// # Errors
/// The file cannot be written.
pub fn write_address(home: &Home, address: &ServeAddress) -> io::Result<()> {
    let text = serde_json::to_string(address)?;
    own_file::open(&address_path(home), Access::Replace)?.write_all(text.as_bytes())
}

/// Removes the note, unless another daemon has written its own.
pub fn remove_address(home: &Home, own: &ServeAddress) {
    if address(home).is_ok_and(|noted| noted.as_ref() == Some(own)) {
        // One that stays leads to an address that does not answer.
        let _ = fs::remove_file(address_path(home));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        (dir, home)
    }

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let (_dir, home) = home();
        let first = home_token(&home).unwrap();
        assert_eq!(first.text.len(), 64);
        assert!(home_token(&home).unwrap() == first);
        let mode = fs::metadata(token_path(&home)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "the partial file is gone");
        fs::remove_file(token_path(&home)).unwrap();
        assert!(home_token(&home).unwrap().text != first.text);
    }

    #[test]
    fn many_that_begin_at_once_have_one_token() {
        let (_dir, home) = home();
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| home_token(&home).unwrap().text)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    }

    #[test]
    fn a_token_in_a_link_or_of_another_form_is_refused() {
        let (dir, home) = home();
        fs::write(dir.path().join("else"), "x").unwrap();
        symlink("else", token_path(&home)).unwrap();
        assert!(home_token(&home).is_err());
        fs::remove_file(token_path(&home)).unwrap();
        fs::write(token_path(&home), "short\n").unwrap();
        let problem = home_token(&home).err().unwrap().to_string();
        assert!(problem.contains("64 hexadecimal digits"), "{problem}");
    }

    #[test]
    fn a_users_token_file_is_closed_to_others() {
        let (dir, _home) = home();
        let path = dir.path().join("token");
        fs::write(&path, format!("{}\n", "A".repeat(64))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let problem = token_in(&path).err().unwrap().to_string();
        assert!(problem.contains("mode 0640"), "{problem}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(token_in(&path).unwrap().text, "a".repeat(64));
    }

    #[test]
    fn the_note_of_an_address_is_removed_by_its_writer_only() {
        let (_dir, home) = home();
        assert_eq!(address(&home).unwrap(), None);
        let one = ServeAddress::new("127.0.0.1:1".into(), String::new(), "/t".into());
        let other = ServeAddress { listen: "127.0.0.1:2".into(), ..one.clone() };
        write_address(&home, &one).unwrap();
        write_address(&home, &other).unwrap();
        remove_address(&home, &one);
        assert_eq!(address(&home).unwrap(), Some(other.clone()));
        remove_address(&home, &other);
        assert_eq!(address(&home).unwrap(), None);
    }

    #[test]
    fn sessions_are_read_as_they_were_written() {
        let (_dir, home) = home();
        assert_eq!(sessions(&home).unwrap(), []);
        let line = |n: u8| SessionLine::new(Digest([n; 32]), Digest([9; 32]), Timestamp::UNIX_EPOCH);
        write_sessions(&home, &[line(1), line(2)]).unwrap();
        assert_eq!(sessions(&home).unwrap(), [line(1), line(2)]);
        write_sessions(&home, &[line(2)]).unwrap();
        assert_eq!(sessions(&home).unwrap(), [line(2)]);
    }
}
