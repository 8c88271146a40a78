//! By which names this server may be asked for: what `Host` and `Origin` may say.
//!
//! A page elsewhere whose name leads to this machine (DNS rebinding) sends its own name, and is refused here.

use std::net::SocketAddr;

use super::options::PublicUrl;

/// The names that the server answers to.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Host and port as `Host` has them; lower case.
    names: Vec<String>,
    /// Whether any name will do, as over a socket in the file system.
    pub any: bool,
}

impl Hosts {
    /// Any name; `Origin` has to be one of the others all the same.
    pub fn of_socket(allowed: &[String], public: Option<&PublicUrl>) -> Self {
        Self { names: given(allowed, public, None), any: true }
    }

    /// The names for an address that is listened on.
    pub fn of_address(address: SocketAddr, allowed: &[String], public: Option<&PublicUrl>) -> Self {
        let port = address.port();
        let own = ["localhost".to_owned(), "127.0.0.1".into(), "[::1]".into()].into_iter();
        // `0.0.0.0` is no name that anybody should ask for.
        let listened = (!address.ip().is_unspecified()).then(|| match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        });
        let mut names: Vec<String> = Vec::new();
        for name in own.chain(listened) {
            names.push(format!("{name}:{port}"));
            if port == 80 {
                names.push(name);
            }
        }
        names.extend(given(allowed, public, Some(port)));
        Self { names, any: false }
    }

    /// Whether `Host` may say this.
    pub fn allows(&self, host: &str) -> bool {
        self.any || self.knows(host)
    }

    /// Whether `Origin` may say this.
    pub fn allows_origin(&self, origin: &str) -> bool {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| self.knows(authority))
    }

    fn knows(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// The names that were given by hand: as they stand, and with the port that is listened on.
fn given(allowed: &[String], public: Option<&PublicUrl>, port: Option<u16>) -> Vec<String> {
    let mut names = Vec::new();
    for name in allowed {
        names.push(name.clone());
        if let (Some(port), false) = (port, has_port(name)) {
            names.push(format!("{name}:{port}"));
        }
    }
    if let Some(public) = public {
        let usual = if public.is_https { ":443" } else { ":80" };
        names.push(public.authority.clone());
        match public.authority.strip_suffix(usual) {
            Some(bare) => names.push(bare.to_owned()),
            None if !has_port(&public.authority) => names.push(format!("{}{usual}", public.authority)),
            None => {}
        }
    }
    names
}

fn has_port(name: &str) -> bool {
    // The colons in brackets are those of an address.
    name.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_with_their_port_and_given_ones_are_known() {
        let public = PublicUrl { is_https: true, authority: "ci.example.org".into(), path: "/x".into() };
        let hosts = Hosts::of_address(
            "127.0.0.2:7070".parse().unwrap(),
            &["box".into(), "b:1".into()],
            Some(&public),
        );
        for host in [
            "localhost:7070",
            "LOCALHOST:7070",
            "127.0.0.1:7070",
            "[::1]:7070",
            "127.0.0.2:7070",
            "box",
            "box:7070",
            "b:1",
            "ci.example.org",
            "ci.example.org:443",
        ] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "",
            "localhost",
            "localhost:80",
            "evil.example",
            "evil.example:7070",
            "b",
            "localhost:7070.",
            "localhost:7070@evil",
            "127.0.0.3:7070",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
        assert!(
            hosts.allows_origin("http://localhost:7070") && hosts.allows_origin("https://ci.example.org")
        );
        for origin in
            ["null", "", "localhost:7070", "file://localhost:7070", "http://localhost:7070/", "https://e.org"]
        {
            assert!(!hosts.allows_origin(origin), "{origin}");
        }
    }

    #[test]
    fn the_usual_port_may_be_left_out_and_no_address_is_no_name() {
        let hosts = Hosts::of_address("0.0.0.0:80".parse().unwrap(), &[], None);
        assert!(hosts.allows("localhost") && hosts.allows("[::1]:80"));
        assert!(!hosts.allows("0.0.0.0:80") && !hosts.allows("0.0.0.0"));
    }

    #[test]
    fn over_a_socket_any_host_will_do_but_not_any_origin() {
        let hosts = Hosts::of_socket(&["box".into()], None);
        assert!(hosts.allows("anything") && hosts.allows_origin("http://box"));
        assert!(!hosts.allows_origin("http://anything"));
    }
}
