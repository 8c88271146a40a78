//! What can be set of the HTTP interface, and what of it is refused before anything listens.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::ops::Error;

/// Settings of the HTTP interface, as `serve` has them.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// The home folder; `None` for the usual one.
    pub home: Option<PathBuf>,
    /// `ADDRESS:PORT` or `unix:PATH`.
    pub listen: String,
    pub token_file: Option<PathBuf>,
    /// What every path begins with, such as `/runner`; empty for nothing.
    pub base_path: String,
    /// How browsers reach the page through a proxy, such as `https://host/runner`.
    pub public_url: Option<String>,
    /// Names that `Host` may have beside those of this machine.
    pub allow_host: Vec<String>,
    pub read_only: bool,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The public URL, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    pub is_https: bool,
    /// Host, and port if one is given; lower case.
    pub authority: String,
    pub path: String,
}

impl WebOptions {
    /// The address to listen on.
    ///
    /// # Errors
    /// It is no address, or one that is not loopback and nothing says by which name it is reached.
    pub fn address(&self) -> Result<Listen, Error> {
        if let Some(path) = self.listen.strip_prefix("unix:") {
            return match path {
                "" => Err(Error::invalid("--listen: `unix:` needs a path, as in `unix:/run/runner.sock`")),
                path => Ok(Listen::Unix(path.into())),
            };
        }
        let wrong = |why: &str| {
            let sample = "expected ADDRESS:PORT, as in 127.0.0.1:7070, or unix:PATH";
            Error::invalid(format!("--listen {}: {why}{sample}", self.listen))
        };
        let address = match self.listen.parse() {
            Ok(address) => address,
            Err(_) if !self.listen.contains(':') => return Err(wrong("")),
            Err(_) => {
                let found = self.listen.to_socket_addrs().ok().and_then(|mut found| found.next());
                found.ok_or_else(|| wrong("no such address; "))?
            }
        };
        if !is_loopback(address.ip()) && self.public_url.is_none() && self.allow_host.is_empty() {
            let problem = format!("--listen {}: other machines can reach this address", self.listen);
            return Err(Error::invalid(problem)
                .hint("name the host that they ask for with --allow-host or --public-url"));
        }
        Ok(Listen::Tcp(address))
    }

    /// The base path: empty, or with a `/` in front and none behind. Without one, that of the public URL.
    ///
    /// # Errors
    /// It is no plain path.
    pub fn base(&self) -> Result<String, Error> {
        let path = match (&*self.base_path, self.public()?) {
            ("", Some(public)) => public.path,
            (path, _) => path.trim_end_matches('/').to_owned(),
        };
        let is_plain = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed)
        };
        match path.strip_prefix('/').map(|rest| rest.split('/').all(is_plain)) {
            None if path.is_empty() => Ok(path),
            Some(true) => Ok(path),
            _ => Err(Error::invalid(format!(
                "--base-path {}: expected a path of letters, digits, `-`, `.` and `_`, as in /runner",
                self.base_path
            ))),
        }
    }

    /// The public URL in its parts.
    ///
    /// # Errors
    /// It is no such URL.
    pub fn public(&self) -> Result<Option<PublicUrl>, Error> {
        let Some(url) = &self.public_url else { return Ok(None) };
        let wrong =
            || Error::invalid(format!("--public-url {url}: expected http://HOST/ or https://HOST/PATH"));
        let (is_https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() || authority.contains(['@', '?', '#', ' ']) || path.contains(['?', '#']) {
            return Err(wrong());
        }
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Some(PublicUrl { is_https, authority: authority.to_ascii_lowercase(), path }))
    }
}

/// Whether only this machine can reach an address.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(listen: &str) -> WebOptions {
        WebOptions { listen: listen.into(), ..WebOptions::default() }
    }

    #[test]
    fn addresses_are_read_and_open_ones_want_a_name() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        for (text, expected) in [
            ("127.0.0.1:7070", tcp("127.0.0.1:7070")),
            ("[::1]:0", tcp("[::1]:0")),
            ("unix:/run/x.sock", Listen::Unix("/run/x.sock".into())),
        ] {
            assert_eq!(options(text).address().unwrap(), expected);
        }
        for (text, expected) in [
            ("7070", "expected ADDRESS:PORT"),
            ("unix:", "needs a path"),
            ("127.0.0.1:99999", "no such address"),
            ("0.0.0.0:7070", "other machines can reach this address: name the host"),
            ("[::]:7070", "other machines"),
        ] {
            let problem = options(text).address().unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let open = WebOptions { allow_host: vec!["box".into()], ..options("0.0.0.0:1") };
        assert_eq!(open.address().unwrap(), tcp("0.0.0.0:1"));
    }

    #[test]
    fn the_base_path_is_plain_or_that_of_the_public_url() {
        let base = |base: &str, public: Option<&str>| {
            let options = WebOptions {
                base_path: base.into(),
                public_url: public.map(str::to_owned),
                ..WebOptions::default()
            };
            options.base().map_err(|error| error.to_string())
        };
        assert_eq!(base("", None).unwrap(), "");
        assert_eq!(base("/", None).unwrap(), "");
        assert_eq!(base("/a/b/", None).unwrap(), "/a/b");
        assert_eq!(base("", Some("https://h/x/")).unwrap(), "/x");
        assert_eq!(base("/y", Some("https://h:1/x")).unwrap(), "/y");
        for wrong in ["x", "/a//b", "/../b", "/a b", "/\"", "/é"] {
            assert!(base(wrong, None).unwrap_err().contains("--base-path"), "{wrong}");
        }
        for wrong in ["h", "ftp://h", "https://", "https://a@b/", "http://h/?q"] {
            assert!(base("", Some(wrong)).unwrap_err().contains("--public-url"), "{wrong}");
        }
    }
}
