//! Reports to a service manager that the daemon is ready, reloads its files, or ends.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;

/// The socket of the service manager, if there is one.
pub struct ServiceManager(Option<OsString>);

impl ServiceManager {
    /// The one that the environment names.
    pub fn from_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()))
    }

    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn reloading(&self) {
        self.send("RELOADING=1");
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Says it; a manager that does not listen is no fault of ours.
    fn send(&self, text: &str) {
        let Some(path) = &self.0 else { return };
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let _ = match path.as_bytes().strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                std::os::unix::net::SocketAddr::from_abstract_name(name)
                    .and_then(|address| socket.send_to_addr(text.as_bytes(), &address))
            }
            _ => socket.send_to(text.as_bytes(), path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_each_step() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager(Some(path.into_os_string()));
        let heard = || {
            let mut text = [0; 100];
            let length = socket.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..length]).into_owned()
        };
        manager.ready("serving 2 workflows");
        assert_eq!(heard(), "READY=1\nSTATUS=serving 2 workflows");
        manager.reloading();
        assert_eq!(heard(), "RELOADING=1");
        manager.stopping();
        assert_eq!(heard(), "STOPPING=1");
        ServiceManager(None).stopping();
    }
}
