//! Tries and their times, with commands and small receivers on this machine.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::core::notify::{NotifyChannel, NotifyEvent};
use crate::ops::notify::document::finished;
use crate::ops::notify::{BrokenNotifyFile, NotifyRules, broken, deliveries};

const QUICK: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(40)];

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        let place = Self { dir };
        db::open(&place.home()).unwrap();
        place
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn rules(&self, channel: NotifyChannel) -> NotifyRules {
        let rule = NotifyRule {
            name: Some("ops".into()),
            on: vec![NotifyEvent::Broken],
            channel,
            body: None,
            schedules: None,
            after: 1,
            repeat: None,
            timeout: Duration::from_secs(5),
            in_settings: false,
        };
        NotifyRules { workflow: self.dir.path().join("w.toml"), rules: vec![rule] }
    }

    fn post(&self, rules: &NotifyRules) {
        let file = BrokenNotifyFile { path: "/w.toml".into(), workflow: None, errors: vec!["bad".into()] };
        assert_eq!(broken(Some(&self.home()), rules, &file).unwrap(), 1);
    }

    /// State, number of tries and last fault of the newest message.
    fn newest(&self) -> (String, u32, String) {
        let row = deliveries(Some(&self.home()), None, 1).unwrap().remove(0);
        (row.state, row.tries, row.error.unwrap_or_default())
    }

    fn wait_for(&self, state: &str) -> (String, u32, String) {
        let begun = Instant::now();
        loop {
            let newest = self.newest();
            if newest.0 == state || begun.elapsed() > Duration::from_secs(30) {
                return newest;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn command(script: &str) -> NotifyChannel {
    NotifyChannel::Command(["sh", "-c", script].map(String::from).to_vec())
}

/// Answers each connection with the next of `answers`, and gives the requests.
fn receiver(answers: &[&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let thread = thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            requests.push(read_request(&mut stream));
            write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
        requests
    });
    (address, thread)
}

fn read_request(stream: &mut impl Read) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        text.extend(&buffer[..read]);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let length = shown.lines().find_map(|line| {
            line.to_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse::<usize>().ok())
        });
        let whole =
            shown.find("\r\n\r\n").zip(length).is_some_and(|(head, length)| text.len() >= head + 4 + length);
        if whole || read == 0 {
            return shown;
        }
    }
}

#[test]
fn three_tries_and_then_it_is_given_up() {
    let place = Place::new();
    place.post(&place.rules(command("echo no >&2; exit 3")));
    let deliverer = Deliverer::start(&place.home(), DeliveryPace { waits: QUICK.to_vec() }).unwrap();
    let (state, tries, fault) = place.wait_for("failed");
    deliverer.stop(Duration::from_secs(5));
    assert_eq!(
        (state.as_str(), tries, fault.as_str()),
        ("failed", 3, "the command ended with exit code 3: no")
    );
}

#[test]
fn what_is_left_goes_on_with_the_next_process_under_the_same_id() {
    let place = Place::new();
    let (seen, gate) = (place.path("seen"), place.path("gate"));
    let script = format!("message=$(cat); printf '%s\\n' \"$message\" >> '{seen}'; test -e '{gate}'");
    place.post(&place.rules(command(&script)));
    let long = DeliveryPace { waits: vec![Duration::from_millis(200); 2] };
    let first = Deliverer::start(&place.home(), long).unwrap();
    let begun = Instant::now();
    while place.newest().1 == 0 && begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(5));
    }
    first.stop(Duration::from_secs(5));
    assert_eq!(place.newest().0, "pending");
    fs::write(&gate, "").unwrap();
    let second = Deliverer::start(&place.home(), DeliveryPace { waits: QUICK.to_vec() }).unwrap();
    assert_eq!(place.wait_for("delivered").0, "delivered");
    second.stop(Duration::from_secs(5));
    let seen = fs::read_to_string(seen).unwrap();
    let ids: Vec<_> = seen
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(ids.len() >= 2 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_deliverer_is_woken_and_a_receiver_gets_document_headers_and_id() {
    let place = Place::new();
    let deliverer = Deliverer::start(&place.home(), DeliveryPace { waits: QUICK.to_vec() }).unwrap();
    let (url, requests) = receiver(&["500 No", "302 Found\r\nLocation: http://127.0.0.1:1/", "204 Fine"]);
    let headers = [("X-Own".to_owned(), "a b".to_owned())].into();
    place.post(&place.rules(NotifyChannel::Webhook { url, headers }));
    deliverer.wake();
    let requests = requests.join().unwrap();
    assert_eq!(place.wait_for("delivered").1, 3);
    deliverer.stop(Duration::from_secs(5));
    let id = |request: &String| {
        let body: serde_json::Value =
            serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let id = body["id"].as_str().unwrap().to_owned();
        assert!(request.to_lowercase().contains(&format!("runner-delivery: {id}\r\n")), "{request}");
        id
    };
    assert!(requests[0].starts_with("POST /hook ") && requests[0].to_lowercase().contains("x-own: a b"));
    assert!(requests[0].to_lowercase().contains("content-type: application/json"));
    assert_eq!(id(&requests[0]), id(&requests[2]));
}

#[test]
fn receivers_that_refuse_redirect_or_hang_are_faults() {
    let place = Place::new();
    let pace = DeliveryPace { waits: Vec::new() };
    let fault = |url: &str, timeout: u64| {
        let mut rules =
            place.rules(NotifyChannel::Webhook { url: url.to_owned(), headers: Default::default() });
        rules.rules[0].timeout = Duration::from_millis(timeout);
        place.post(&rules);
        let mut db = open(&place.home()).unwrap();
        deliver_due(&mut db, &pace).unwrap();
        let (state, _, fault) = place.newest();
        assert_eq!(state, "failed");
        fault
    };
    let (url, _requests) = receiver(&["307 Elsewhere\r\nLocation: http://127.0.0.1:1/"]);
    assert!(fault(&url, 5000).contains("redirects (307)"), "{url}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(fault(&format!("http://{closed}/"), 5000).contains("cannot be reached"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    assert!(fault(&format!("http://{address}/"), 100).contains("in time"));
    assert!(fault("http://[bad/", 100).contains("malformed"));
    assert!(fault("${NO_SUCH_HOOK}", 100).contains("the variable NO_SUCH_HOOK is not set"));
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let place = Place::new();
    let alive = place.path("alive");
    let mut rules =
        place.rules(command(&format!("(sleep 60; touch '{alive}') & echo $! > '{alive}.pid'; wait")));
    rules.rules[0].timeout = Duration::from_millis(500);
    place.post(&rules);
    deliver_due(&mut open(&place.home()).unwrap(), &DeliveryPace { waits: Vec::new() }).unwrap();
    assert!(place.newest().2.contains("did not end in time"));
    let pid = fs::read_to_string(format!("{alive}.pid")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z"), "{stat}");
}

#[test]
fn documents_survive_the_outbox() {
    let file = BrokenNotifyFile { path: "/w.toml".into(), workflow: None, errors: vec!["bad".into()] };
    let document = super::super::document::of_broken(&file, Timestamp::UNIX_EPOCH);
    let document = finished(document, NotifyEvent::Broken);
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<crate::core::notify::NotifyDocument>(&text).unwrap(), document);
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
    let mut expected = crate::core::notify::DOCUMENT_FIELDS.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}
