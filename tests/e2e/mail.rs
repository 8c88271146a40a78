//! Mail over an encrypted connection, against a server of this machine with a certificate of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use crate::common::live::until;
use crate::common::{Lab, finish};

/// A mail server that takes one mail.
struct MailServer {
    child: Child,
    port: u16,
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/mail").join(name)
}

impl MailServer {
    fn begin(mode: &str) -> Self {
        let mut server = Command::new("python3");
        server.arg(beside("server.py")).arg(mode).arg(beside("server.pem"));
        let mut child = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        Self { port: first.trim().parse().unwrap(), child }
    }

    /// What it was told.
    fn end(mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        self.child.wait().unwrap();
        text
    }
}

const WORKFLOW: &str = "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'exit 3'\n[nodes.t]\n\
                        [[notify]]\nemail = ['ops@example.org']\n";

/// A laboratory whose workflow fails, and whose mail goes this way to the server.
fn lab(server: &MailServer, mode: &str) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", WORKFLOW);
    let settings = format!(
        "[smtp]\nhost = 'localhost'\nport = {}\ntls = '{mode}'\nuser = 'u'\npassword = 'hush-hush'\nfrom = 'r@example.org'\n",
        server.port
    );
    lab.write("runner.toml", &settings);
    lab
}

fn exec(lab: &Lab) -> Command {
    let mut command = lab.command(&["exec", "w.toml", "--notify", "-q"]);
    command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE").env("XDG_CONFIG_HOME", lab.path("config"));
    command
}

#[test]
fn mail_goes_encrypted_by_both_ways_to_a_server_that_the_system_trusts() {
    for mode in ["tls", "starttls"] {
        let server = MailServer::begin(mode);
        let lab = lab(&server, mode);
        let done = finish(exec(&lab).env("SSL_CERT_FILE", beside("authority.pem"))).expect_code(1);
        assert!(!done.err.contains("notif"), "{mode}: {}", done.err);
        let heard = server.end();
        for line in ["encrypted AUTH PLAIN", "encrypted RCPT TO:<ops@example.org>", "encrypted Subject: "] {
            assert!(heard.contains(line), "{mode}: {heard}");
        }
        // Before the encryption nothing of it is said.
        assert!(!heard.contains("plain AUTH") && !heard.contains("plain MAIL"), "{mode}: {heard}");
    }
}

#[test]
fn a_server_that_the_system_does_not_trust_gets_nothing_and_the_fault_says_why() {
    for mode in ["tls", "starttls"] {
        let server = MailServer::begin(mode);
        let lab = lab(&server, mode);
        let mut running = exec(&lab).spawn().unwrap();
        let mut fault = None;
        until("the first try is noted", || {
            let db = Connection::open(lab.home().join("runner.db"));
            let read = db.and_then(|db| db.query_row("SELECT error FROM outbox", [], |row| row.get(0)));
            fault = read.unwrap_or(None);
            fault.is_some()
        });
        // It would try again in five seconds.
        let pid = rustix::process::Pid::from_child(&running);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        running.wait().unwrap();
        let (fault, heard): (String, String) = (fault.unwrap(), server.end());
        assert!(fault.contains("certificate") && fault.contains("trust"), "{mode}: {fault}");
        assert!(
            !heard.contains("AUTH") && !heard.contains("MAIL") && heard.contains("refused"),
            "{mode}: {heard}"
        );
    }
}
