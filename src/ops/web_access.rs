//! Token, sessions and address of the daemon: what it keeps in the home, and how a user of the home gets a link to its page.
//!
//! Whom to let in is decided in `server::web`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Error;
use crate::storage::home::Home;
use crate::storage::serve_files::{self, FileIdentity};

pub use crate::storage::serve_files::{ServeAddress, ServeToken, SessionLine, random_hex};

/// How long a daemon has to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Maximum size of its answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// The files of a daemon in a home.
pub struct ServeFiles {
    home: Home,
    token_file: Option<PathBuf>,
}

impl ServeFiles {
    /// Those of a home, which is made if it is not there; `token_file` stands in for its token.
    ///
    /// # Errors
    /// The home cannot be used (kind: store).
    pub fn open(home: Option<&Path>, token_file: Option<&Path>) -> Result<Self, Error> {
        let home = Home::locate(home).map_err(Error::store)?;
        home.create().map_err(Error::store)?;
        let token_file = token_file.map(std::path::absolute).transpose();
        let token_file =
            token_file.map_err(|error| Error::invalid(format!("cannot use the token file: {error}")))?;
        Ok(Self { home, token_file })
    }

    /// The folder of the home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The file of the token.
    pub fn token_path(&self) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| serve_files::token_path(&self.home))
    }

    /// The token; made if the home has none.
    ///
    /// # Errors
    /// It cannot be made or read, or others may read the file.
    pub fn token(&self) -> Result<ServeToken, Error> {
        match &self.token_file {
            None => serve_files::home_token(&self.home)
                .map_err(|error| Error::store(format!("cannot use the token of the home: {error}"))),
            Some(path) => serve_files::token_in(path)
                .map_err(|error| Error::invalid(format!("cannot use the token file: {error}"))),
        }
    }

    /// Whether the file of the token is still the one that `token` was read from.
    pub fn is_current(&self, token: &ServeToken) -> bool {
        FileIdentity::at(&self.token_path()) == Some(token.file)
    }

    /// The sessions on record.
    ///
    /// # Errors
    /// They cannot be read (kind: store).
    pub fn sessions(&self) -> Result<Vec<SessionLine>, Error> {
        serve_files::sessions(&self.home)
            .map_err(|error| Error::store(format!("the sessions cannot be read: {error}")))
    }

    /// Puts `sessions` on record in the place of those that are there.
    ///
    /// # Errors
    /// They cannot be written (kind: store).
    pub fn write_sessions(&self, sessions: &[SessionLine]) -> Result<(), Error> {
        serve_files::write_sessions(&self.home, sessions)
            .map_err(|error| Error::store(format!("the sessions cannot be written: {error}")))
    }

    /// Notes in the home where this daemon answers.
    ///
    /// # Errors
    /// The note cannot be written (kind: store).
    pub fn write_address(&self, address: &ServeAddress) -> Result<(), Error> {
        serve_files::write_address(&self.home, address)
            .map_err(|error| Error::store(format!("the address of the daemon cannot be noted: {error}")))
    }

    /// Removes that note.
    pub fn remove_address(&self, address: &ServeAddress) {
        serve_files::remove_address(&self.home, address);
    }
}

/// A link that logs in once, and until when.
#[derive(Debug, Deserialize)]
pub struct LoginLink {
    pub url: String,
    /// RFC 3339; `None` where no login is needed.
    pub expires: Option<String>,
}

/// Asks the daemon of a home for a link to its page.
///
/// # Errors
/// None answers (kind: not found), or it refuses (kind: failed).
pub fn login_link(home: Option<&Path>) -> Result<LoginLink, Error> {
    let home = Home::locate(home).map_err(Error::store)?;
    home.check().map_err(Error::store)?;
    let none = || {
        Error::not_found(format!("no `runner serve` answers for the home {}", home.path().display()))
            .hint("start one with `runner serve`")
    };
    let noted = serve_files::address(&home)
        .map_err(|error| Error::store(format!("the address of the daemon cannot be read: {error}")))?;
    let address = noted.ok_or_else(none)?;
    if address.listen.starts_with("unix:") {
        return Ok(LoginLink { url: address.listen, expires: None });
    }
    let token = match address.token_file == serve_files::token_path(&home) {
        true => serve_files::home_token(&home),
        false => serve_files::token_in(&address.token_file),
    };
    let token = token.map_err(|error| Error::store(format!("cannot use the token: {error}")))?;
    let (status, body) = post(&address, &token.text).map_err(|_| none())?;
    match status {
        200 => serde_json::from_str(&body)
            .map_err(|_| Error::failed(format!("{} gave an answer that is no link", address.listen))),
        _ => Err(Error::failed(format!("{} refused to give a link (status {status})", address.listen))),
    }
}

/// Asks for a login code; the status and the body of the answer.
fn post(address: &ServeAddress, token: &str) -> io::Result<(u16, String)> {
    let ServeAddress { listen, base_path, .. } = address;
    let mut stream = TcpStream::connect(listen.as_str())?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    write!(
        stream,
        "POST {base_path}/api/login-codes HTTP/1.1\r\nHost: {listen}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
    let wrong = || io::Error::other("no answer in HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    Ok((status, body.to_owned()))
}
