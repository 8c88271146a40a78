//! `[[notify]]`: who is told of a run, how, and what a receiver that fails does to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::common::{Done, Lab, MESSAGE_TO_FILE, finish};

/// A workflow that fails while a file `broken` is there, with a schedule and further text.
fn workflow(more: &str) -> String {
    format!(
        r#"
[workflow]
name = "etl"
[inputs]
day = {{ type = "date", default = "2026-01-01" }}
rounds = {{ type = "int", default = 1 }}
[tasks.clean]
inputs = {{ rounds = "int" }}
run = 'echo "reading page $rounds" >&2; test ! -e @DIR@/broken || exit 7'
[nodes.clean]
inputs = {{ rounds = "{{{{ inputs.rounds }}}}" }}
[[schedules]]
name = "nightly"
cron = "0 2 * * *"
scheduled_at_input = "day"
{more}
"#
    )
}

fn lab(more: &str) -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", &workflow(more));
    lab
}

fn command(lab: &Lab, args: &[&str]) -> Command {
    let mut command = lab.command(args);
    command.env("XDG_CONFIG_HOME", lab.path("config"));
    command
}

/// A run of the schedule, told.
fn nightly(lab: &Lab, day: &str, args: &[&str]) -> Done {
    let at = format!("2026-02-{day}T02:00:00Z");
    let exec = ["exec", "w.toml", "--schedule", "nightly", "--scheduled-at", &at, "--notify", "-q"];
    finish(&mut command(lab, &[&exec[..], args].concat()))
}

/// A rule whose messages become lines of a file.
fn to_file() -> String {
    format!("[[notify]]\n{MESSAGE_TO_FILE}\n")
}

fn told(lab: &Lab) -> Vec<Value> {
    let text = std::fs::read_to_string(lab.path("told")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(lab: &Lab) -> Vec<String> {
    told(lab).iter().map(|told| told["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_failure_its_change_and_its_end_are_told() {
    let lab = lab(&to_file());
    nightly(&lab, "01", &[]).expect_code(0);
    assert!(events(&lab).is_empty());
    lab.write("broken", "");
    nightly(&lab, "02", &["-i", "rounds=2"]).expect_code(1);
    nightly(&lab, "03", &["-i", "rounds=2"]).expect_code(1);
    assert_eq!(events(&lab), ["failure"]);
    // Other inputs, then another definition: another failure.
    nightly(&lab, "04", &["-i", "rounds=3"]).expect_code(1);
    let text = lab.read("w.toml").replace("exit 7", "exit  7");
    std::fs::write(lab.path("w.toml"), text).unwrap();
    nightly(&lab, "05", &["-i", "rounds=3"]).expect_code(1);
    std::fs::remove_file(lab.path("broken")).unwrap();
    nightly(&lab, "06", &[]).expect_code(0);
    nightly(&lab, "07", &[]).expect_code(0);
    assert_eq!(events(&lab), ["failure", "failure", "failure", "recovery"]);

    let told = told(&lab);
    let first = &told[0];
    assert_eq!(
        (&first["v"], &first["schedule"], &first["workflow"]),
        (&1.into(), &"etl/nightly".into(), &"etl".into())
    );
    assert_eq!((&first["project"], &first["domain"]), (&"default".into(), &"development".into()));
    assert_eq!(
        (&first["status"], &first["scheduled_at"]),
        (&"failed".into(), &"2026-02-02T02:00:00Z".into())
    );
    assert_eq!(first["title"], "✗ etl/nightly failed: clean, exit code 7");
    let failure = &first["failures"][0];
    assert_eq!(
        (&failure["node"], &failure["kind"], &failure["exit_code"]),
        (&"clean".into(), &"exit".into(), &7.into())
    );
    assert_eq!(failure["tail"][0], "reading page 2");
    assert_eq!(
        (&first["consecutive"], &first["no_op"], &first["url"]),
        (&1.into(), &false.into(), &Value::Null)
    );
    assert!(first["run"].is_string() && first["last_success"].is_string() && first["id"].is_string());
    let changed = first["changed"].to_string();
    assert!(changed.contains("inputs.rounds: 1 → 2") && changed.contains("inputs.day"), "{changed}");
    assert!(told[2]["changed"].to_string().contains("clean: edited run"), "{}", told[2]["changed"]);
    assert_eq!(
        (&told[3]["consecutive"], &told[3]["title"]),
        (&4.into(), &"✓ etl/nightly recovered after 4 failures".into())
    );
    assert!(first["text"].as_str().unwrap().contains("    reading page 2\n"), "{}", first["text"]);
    let ids: std::collections::BTreeSet<_> = told.iter().map(|told| told["id"].to_string()).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn runs_without_notify_are_not_told_and_runs_without_a_schedule_can_be() {
    let lab = lab(&to_file());
    lab.write("broken", "");
    lab.exec("w.toml", &["--schedule", "nightly"]).expect_code(1);
    assert!(events(&lab).is_empty());
    lab.exec("w.toml", &["--notify"]).expect_code(1);
    lab.exec("w.toml", &["--notify"]).expect_code(1);
    assert_eq!((events(&lab), &told(&lab)[0]["schedule"]), (vec!["failure".to_owned()], &Value::Null));
    // The schedule's runs are another series.
    nightly(&lab, "01", &[]).expect_code(1);
    assert_eq!(events(&lab).len(), 2);
    let done = Lab::new();
    done.write("w.toml", &workflow(""));
    let done = done.run(&["exec", "w.toml", "--notify"]).expect_code(0);
    assert!(done.err.contains("--notify tells nobody"), "{}", done.err);
}

#[test]
fn rules_choose_events_schedules_and_how_many_failures() {
    let rule = |name: &str, keys: &str| {
        format!(
            "[[notify]]\nname = \"{name}\"\n{keys}\ncommand = [\"sh\", \"-c\", 'echo {name}-$RUNNER_EVENT >> @DIR@/log']\n"
        )
    };
    let lab = lab(&[
        rule("beat", "on = [\"success\"]"),
        rule("patient", "after = 2"),
        rule("other", "schedules = [\"hourly\"]\non = [\"failure\", \"recovery\", \"success\"]"),
        rule("own", "schedules = [\"etl/nightly\"]\non = [\"failure\"]"),
    ]
    .concat());
    nightly(&lab, "01", &[]).expect_code(0);
    lab.write("broken", "");
    nightly(&lab, "02", &[]).expect_code(1);
    nightly(&lab, "03", &[]).expect_code(1);
    std::fs::remove_file(lab.path("broken")).unwrap();
    nightly(&lab, "04", &[]).expect_code(0);
    let mut log: Vec<_> = lab.read("log").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["beat-success", "beat-success", "own-failure", "patient-failure", "patient-recovery"]);
}

#[test]
fn layers_add_up_and_nearer_names_replace_or_silence() {
    let lab = lab(
        "[[notify]]\nname = \"mine\"\ndisabled = true\n[[notify]]\nname = \"team\"\ncommand = [\"sh\", \"-c\", 'echo near >> @DIR@/log']\n",
    );
    lab.write(
        "runner.toml",
        "[[notify]]\nname = \"team\"\ncommand = [\"sh\", \"-c\", 'echo far >> @DIR@/log']\n",
    );
    lab.write(
        "config/runner/config.toml",
        "[[notify]]\nname = \"mine\"\ncommand = [\"sh\", \"-c\", 'echo mine >> @DIR@/log']\n\
         [[notify]]\ncommand = [\"sh\", \"-c\", 'echo all >> @DIR@/log']\n",
    );
    lab.write("broken", "");
    nightly(&lab, "01", &[]).expect_code(1);
    let mut log: Vec<_> = lab.read("log").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["all", "near"]);
    let shown = finish(&mut command(&lab, &["config", "w.toml"])).expect_code(0).out;
    assert!(
        shown.contains("notify.team") && shown.contains("w.toml:19") && !shown.contains("notify.mine"),
        "{shown}"
    );
}

/// Answers each connection with the next of `answers`, and gives the requests.
fn receiver(answers: &[&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let thread = thread::spawn(move || {
        answers.into_iter().map(|answer| answer_one(&mut listener.accept().unwrap().0, answer)).collect()
    });
    (url, thread)
}

fn answer_one(stream: &mut TcpStream, answer: &str) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        request += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    request + &String::from_utf8(body).unwrap()
}

#[test]
fn a_webhook_gets_the_body_that_its_template_makes_and_secrets_stay_hidden() {
    let (url, requests) = receiver(&["503 Later", "200 Fine"]);
    let lab = lab(
        "[[notify]]\nname = \"ops\"\nwebhook = \"${OPS_HOOK}\"\nheaders = { Authorization = \"Bearer ${file:token}\" }\n\
         body = '{\"say\": {{ title | tojson }}, \"n\": {{ consecutive }}}'\n",
    );
    lab.write("token", "s3cret-token\n");
    lab.write("broken", "");
    let at = ["exec", "w.toml", "--schedule", "nightly", "--notify", "-q"];
    // The first answer is a fault: the second try comes five seconds later.
    finish(command(&lab, &at).env("OPS_HOOK", &url)).expect_code(1);
    let requests = requests.join().unwrap();
    for request in &requests {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1") && head.contains("Bearer s3cret-token"), "{head}");
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, serde_json::json!({"say": "✗ etl/nightly failed: clean, exit code 7", "n": 1}));
    }
    let id = |request: &String| {
        let line = request.lines().find(|line| line.to_lowercase().starts_with("runner-delivery:"));
        line.unwrap().to_owned()
    };
    assert_eq!(id(&requests[0]), id(&requests[1]));
    let shown =
        finish(command(&lab, &["config", "w.toml", "--json"]).env("OPS_HOOK", &url)).expect_code(0).out;
    assert!(shown.contains("\"webhook\":\"***\"") && shown.contains("\"Authorization\":\"***\""), "{shown}");
    let home = std::fs::read(lab.home().join("runner.db")).unwrap();
    let log = std::fs::read(lab.home().join("runner.db-wal")).unwrap_or_default();
    for secret in [url.as_bytes(), b"s3cret-token"] {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!holds(&home) && !holds(&log), "{}", String::from_utf8_lossy(secret));
    }
}

#[test]
fn what_is_not_delivered_goes_with_the_next_run_and_changes_no_exit_code() {
    let lab = lab(&format!(
        "{}timeout = \"1s\"\n[[notify]]\nname = \"gone\"\nwebhook = \"${{NOT_SET_ANYWHERE}}\"\n",
        to_file()
    ));
    lab.write("broken", "");
    // Stopped while it waits for the second try of the one that fails.
    let mut running =
        command(&lab, &["exec", "w.toml", "--schedule", "nightly", "--notify", "-q"]).spawn().unwrap();
    while events(&lab).is_empty() {
        thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&running);
    thread::sleep(std::time::Duration::from_millis(300));
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let done = Done::new(running.wait_with_output_of());
    assert_eq!(done.code, Some(1), "{}", done.err);
    assert!(done.err.contains("may not have been delivered yet"), "{}", done.err);
}

/// Waiting for a child that was spawned with pipes.
trait Ends {
    fn wait_with_output_of(&mut self) -> std::process::Output;
}

impl Ends for std::process::Child {
    fn wait_with_output_of(&mut self) -> std::process::Output {
        let read = |stream: &mut dyn Read| {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let stdout = read(self.stdout.as_mut().unwrap());
        let stderr = read(self.stderr.as_mut().unwrap());
        std::process::Output { status: self.wait().unwrap(), stdout, stderr }
    }
}

/// A mail server that takes one mail; the lines that it got.
fn mail_server() -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut lines, mut in_mail) = (Vec::new(), false);
        stream.write_all(b"220 ready\r\n").unwrap();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap() == 0 {
                return lines;
            }
            let line = line.trim_end().to_owned();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let answer: &str = match verb.as_str() {
                _ if in_mail && line == "." => {
                    in_mail = false;
                    "250 taken\r\n"
                }
                _ if in_mail => "",
                "EHLO" => "250-here\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n",
                "DATA" => {
                    in_mail = true;
                    "354 go on\r\n"
                }
                "AUTH" => "235 welcome\r\n",
                "QUIT" => "221 bye\r\n",
                _ => "250 fine\r\n",
            };
            lines.push(line);
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.starts_with("221") {
                return lines;
            }
        }
    });
    (port, thread)
}

#[test]
fn mail_goes_by_the_server_of_the_settings() {
    let (port, mail) = mail_server();
    let lab = lab("[[notify]]\nemail = [\"ops@example.org\", \"Ada <ada@example.org>\"]\n");
    lab.write(
        "runner.toml",
        &format!(
            "[smtp]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nuser = \"u\"\npassword = \"${{MAIL_PASSWORD}}\"\nfrom = \"runner@example.org\"\n"
        ),
    );
    lab.write("broken", "");
    let exec = ["exec", "w.toml", "--schedule", "nightly", "--notify", "-q"];
    finish(command(&lab, &exec).env("MAIL_PASSWORD", "hush-hush")).expect_code(1);
    let lines = mail.join().unwrap();
    let text = lines.join("\n");
    assert!(
        text.contains("MAIL FROM:<runner@example.org>") && text.contains("RCPT TO:<ada@example.org>"),
        "{text}"
    );
    assert!(
        text.contains("AUTH PLAIN") && text.contains("Runner-Delivery: ") && text.contains("Subject: "),
        "{text}"
    );
    assert!(text.contains("To: ops@example.org, Ada <ada@example.org>"), "{text}");
    // Without a server the fault says what is missing, and the run ends as it would.
    let lab = self::lab("[[notify]]\nemail = [\"ops@example.org\"]\n");
    lab.write("broken", "");
    lab.write("runner.toml", "[smtp]\nhost = \"127.0.0.1\"\n");
    let done = lab.exec("w.toml", &["--schedule", "nightly", "--dry-run", "--notify"]).expect_code(0);
    assert!(!lab.home().exists(), "{}", done.err);
}

#[test]
fn errors_of_notify_are_shown_in_their_place() {
    for (entry, expected) in [
        ("on = [\"failures\"]\nemail = [\"a@b.c\"]", "did you mean `failure`?"),
        ("", "says nowhere to send to"),
        ("webhook = \"https://x\"\nemail = [\"a@b.c\"]", "this one has webhook and email"),
        ("webhook = \"ftp://x\"", "is no address of the web"),
        ("webhook = \"https://${x\"", "never closed"),
        ("command = []", "`command` is empty"),
        ("email = [\"nobody\"]", "is no address"),
        ("email = [\"a@b.c\"]\nheaders = { A = \"b\" }", "`headers` are for a webhook"),
        ("webhook = \"https://x\"\nheaders = { \"A b\" = \"b\" }", "no name of a header"),
        ("webhook = \"https://x\"\nbody = '{{ titel }}'", "did you mean `title`?"),
        ("webhook = \"https://x\"\nbody = '{{ title | upercase }}'", "upercase"),
        ("email = [\"a@b.c\"]\nafter = 0", "at least 1"),
        ("email = [\"a@b.c\"]\nrepeat = 3", "did you mean \"3s\"?"),
        ("email = [\"a@b.c\"]\nrepeats = \"1d\"", "did you mean `repeat`?"),
        ("name = \"A\"\nemail = [\"a@b.c\"]", "cannot be the name"),
        ("disabled = true", "silences one by its name"),
        (
            "name = \"a\"\nemail = [\"a@b.c\"]\n[[notify]]\nname = \"a\"\nemail = [\"a@b.c\"]",
            "the second one",
        ),
    ] {
        let lab = lab(&format!("[[notify]]\n{entry}\n"));
        let done = lab.run(&["check", "w.toml"]).expect_code(2);
        assert!(done.err.contains(expected) && done.err.contains("w.toml:"), "{entry}: {}", done.err);
    }
    let lab = lab("notify = 3");
    assert!(lab.run(&["check", "w.toml"]).expect_code(2).err.contains("w.toml:"));
}

#[test]
fn a_run_that_cannot_begin_is_a_failure_that_is_told_once_with_its_reason_and_its_end() {
    let lab = lab(&to_file());
    nightly(&lab, "01", &[]).expect_code(0);
    let done = nightly(&lab, "02", &["-i", "rounds=many"]).expect_code(2);
    assert!(done.err.contains("rounds"), "{}", done.err);
    nightly(&lab, "03", &["-i", "rounds=many"]).expect_code(2);
    assert_eq!(events(&lab), ["failure"]);
    // A file that does not load is told of as its last run says.
    let text = lab.read("w.toml");
    std::fs::write(lab.path("w.toml"), "nonsense = [").unwrap();
    nightly(&lab, "04", &[]).expect_code(2);
    assert_eq!(events(&lab), ["failure", "failure"]);
    std::fs::write(lab.path("w.toml"), &text).unwrap();
    // Nor is it told where nobody wants it.
    lab.run(&["exec", "w.toml", "--schedule", "nightly", "-i", "rounds=many", "-q"]).expect_code(2);
    lab.run(&["exec", "w.toml", "--schedule", "nightly", "-i", "rounds=many", "--notify", "-n"])
        .expect_code(2);
    nightly(&lab, "05", &[]).expect_code(0);
    nightly(&lab, "06", &["-i", "rounds=many"]).expect_code(2);
    assert_eq!(events(&lab), ["failure", "failure", "recovery", "failure"]);

    let told = told(&lab);
    let first = &told[0];
    assert_eq!((&first["schedule"], &first["workflow"]), (&"etl/nightly".into(), &"etl".into()));
    assert_eq!((&first["project"], &first["domain"]), (&"default".into(), &"development".into()));
    assert_eq!(
        (&first["title"], &first["status"]),
        (&"✗ etl/nightly could not begin".into(), &"failed".into())
    );
    assert_eq!((&first["run"], &first["scheduled_at"]), (&Value::Null, &"2026-02-02T02:00:00Z".into()));
    assert!(first["reason"].as_str().unwrap().contains("rounds"), "{first}");
    assert!(first["text"].as_str().unwrap().contains("scheduled for 2026-02-02T02:00:00Z\n"), "{first}");
    assert_eq!((&first["consecutive"], &told[1]["consecutive"]), (&1.into(), &3.into()));
    assert!(told[1]["reason"].as_str().unwrap().contains("w.toml:1:"), "{}", told[1]);
    assert_eq!((&told[1]["schedule"], &told[1]["workflow"]), (&"etl/nightly".into(), &"etl".into()));
    assert_eq!(told[2]["title"], "✓ etl/nightly recovered after 3 failures");
    assert!(told[3]["last_success"].is_string());
    // It is in no history.
    assert_eq!(lab.run(&["runs", "--json"]).lines().len(), 2);
}

#[test]
fn runs_that_cannot_begin_count_with_those_that_fail_also_without_a_schedule() {
    let lab = lab(&format!("[[notify]]\nafter = 2\n{MESSAGE_TO_FILE}\n"));
    let exec = |args: &[&str]| lab.run(&[&["exec", "w.toml", "--notify", "-q"], args].concat());
    exec(&["-i", "rounds=many"]).expect_code(2);
    assert!(events(&lab).is_empty());
    lab.write("broken", "");
    exec(&[]).expect_code(1);
    assert_eq!((events(&lab), &told(&lab)[0]["consecutive"]), (vec!["failure".to_owned()], &2.into()));
    std::fs::remove_file(lab.path("broken")).unwrap();
    exec(&[]).expect_code(0);
    assert_eq!(told(&lab)[1]["title"], "✓ etl recovered after 2 failures");
}

#[test]
fn a_file_that_never_ran_is_told_of_by_the_settings_and_without_rules_nothing_is_made() {
    let lab = Lab::new();
    lab.write("w.toml", "nonsense = [");
    let exec =
        |args: &[&str]| finish(&mut command(&lab, &[&["exec", "w.toml", "--notify", "-q"], args].concat()));
    let done = exec(&[]).expect_code(2);
    assert!(!done.err.contains("nobody was told") && !lab.home().exists(), "{}", done.err);
    lab.write("runner.toml", &to_file());
    exec(&["--schedule", "nightly"]).expect_code(2);
    let message = told(&lab).remove(0);
    assert_eq!(
        (&message["title"], &message["workflow"]),
        (&"✗ nightly could not begin".into(), &"w.toml".into())
    );
    exec(&["--schedule", "nightly"]).expect_code(2);
    exec(&[]).expect_code(2);
    assert_eq!(told(&lab).len(), 2);
    assert_eq!(told(&lab)[1]["title"], "✗ w.toml could not begin");
}
