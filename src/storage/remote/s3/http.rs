//! Requests over HTTP whose time is bounded: the connection as a whole, and then the time without progress, however long the
//! whole takes. Connections are kept for the next request.

use std::time::Duration;

use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::time::Duration as Patience;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use crate::core::tls;
use crate::storage::remote::backend::RemoteFault;

/// Maximum connections that are kept for later.
const MAX_KEPT: usize = 64;

/// How long requests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patiences {
    /// A connection, with the look-up of its name and its encryption.
    pub connect: Duration,
    /// A request without progress.
    pub idle: Duration,
}

/// An agent for requests to `url`.
pub fn agent(url: &str, patience: Patiences) -> Agent {
    let config: Config = Agent::config_builder()
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(MAX_KEPT)
        .max_idle_connections_per_host(MAX_KEPT)
        .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls::config(url))
        .build();
    let connector = IdleConnector { inner: DefaultConnector::new(), idle: patience.idle };
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// Connects so that no wait is longer than `idle`.
#[derive(Debug)]
struct IdleConnector {
    inner: DefaultConnector,
    idle: Duration,
}

impl Connector<()> for IdleConnector {
    type Out = IdleTransport;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let inner = self.inner.connect(details, chained)?;
        Ok(inner.map(|inner| IdleTransport { inner, idle: self.idle }))
    }
}

#[derive(Debug)]
struct IdleTransport {
    inner: Box<dyn Transport>,
    idle: Duration,
}

impl IdleTransport {
    fn bounded(&self, timeout: NextTimeout) -> NextTimeout {
        match *timeout.after <= self.idle {
            true => timeout,
            false => NextTimeout { after: Patience::Exact(self.idle), ..timeout },
        }
    }
}

impl Transport for IdleTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = self.bounded(timeout);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = self.bounded(timeout);
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// What kept a request from being answered. Waiting as long again is no use: only what failed at once may pass.
pub fn fault(error: &Error) -> RemoteFault {
    match error {
        Error::Timeout(_) => RemoteFault::timeout(),
        Error::HostNotFound => RemoteFault::lasting("there is no such host"),
        Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => RemoteFault::timeout(),
        error => RemoteFault::passing(format!("no answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    const PATIENCE: Patiences =
        Patiences { connect: Duration::from_millis(500), idle: Duration::from_millis(200) };

    /// An address whose only connection is served by `serve`.
    fn served(serve: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            serve(stream);
        });
        url
    }

    #[test]
    fn a_silent_server_is_left_after_the_time_without_progress() {
        let url = served(|stream| {
            let mut end = Vec::new();
            let _ = (&stream).read_to_end(&mut end);
        });
        let error = agent(&url, PATIENCE).get(&url).call().unwrap_err();
        assert_eq!(fault(&error), RemoteFault::timeout());
    }

    #[test]
    fn a_slow_answer_that_goes_on_is_awaited() {
        let url = served(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n").unwrap();
            for _ in 0..8 {
                std::thread::sleep(PATIENCE.idle / 4);
                stream.write_all(b"x").unwrap();
            }
        });
        let mut response = agent(&url, PATIENCE).get(&url).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), "xxxxxxxx");
    }

    #[test]
    fn an_answer_that_stops_is_not() {
        let url = served(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nxx").unwrap();
            let mut end = Vec::new();
            let _ = (&stream).read_to_end(&mut end);
        });
        let mut response = agent(&url, PATIENCE).get(&url).call().unwrap();
        assert!(response.body_mut().read_to_string().is_err());
    }
}
