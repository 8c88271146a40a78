//! Schedules through the real binary: when they are due.

use std::process::Command;

use jiff::Timestamp;

use crate::common::{Lab, finish};

/// The instants of an expression after `from` and until `until`, as seconds.
fn instants(lab: &Lab, cron: &str, zone: &str, from: &str, until: &str) -> Vec<i64> {
    let done = lab
        .run(&[
            "schedule",
            "next",
            "--cron",
            cron,
            "--timezone",
            zone,
            "--from",
            from,
            "--until",
            until,
            "--json",
        ])
        .expect_code(0);
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let second =
        |line: serde_json::Value| line["at"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
    done.out.lines().map(line).map(second).collect()
}

/// `RUNNER_ORACLE=full` compares every expression in every zone.
#[test]
fn instants_equal_those_of_an_independent_oracle() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/schedules/oracle.py");
    let mut python = Command::new("python3");
    python.arg(script);
    if std::env::var("RUNNER_ORACLE").is_ok_and(|value| value == "full") {
        python.arg("full");
    }
    let Ok(oracle) = python.output() else {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("skipped: python3 is missing");
        return;
    };
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let lab = Lab::new();
    let mut compared = 0;
    for case in String::from_utf8(oracle.stdout).unwrap().lines() {
        let [cron, zone, from, until, expected] = case.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{case}")
        };
        let expected: Vec<i64> = expected.split_whitespace().map(|second| second.parse().unwrap()).collect();
        let ours = instants(&lab, cron, zone, from, until);
        let differs = expected.iter().zip(&ours).find(|(expected, ours)| expected != ours);
        assert!(
            expected.len() == ours.len() && differs.is_none(),
            "{cron} in {zone} from {from}: {} expected, {} found, the first pair that differs {differs:?}",
            expected.len(),
            ours.len()
        );
        compared += 1;
    }
    assert!(compared > 150, "{compared} cases only");
}

#[test]
fn the_next_instants_are_shown_with_what_the_clocks_did() {
    let lab = Lab::new();
    let berlin = ["schedule", "next", "--timezone", "Europe/Berlin", "--from", "2026-03-28", "--count", "2"];
    let done = lab.run(&[&berlin[..], &["--cron", "30 2 * * *"]].concat()).expect_code(0);
    assert!(done.err.contains("daily at 02:30, in Europe/Berlin"), "{}", done.err);
    let lines: Vec<_> = done.out.lines().collect();
    assert_eq!(lines[0].trim_end(), "Sat 2026-03-28 02:30:00 +01:00  2026-03-28T01:30:00Z");
    assert_eq!(
        lines[1],
        "Sun 2026-03-29 03:00:00 +02:00  2026-03-29T01:00:00Z  02:30 does not exist on this day"
    );
    let json = lab.run(&[&berlin[..], &["--cron", "30 2 * * *", "--json"]].concat()).expect_code(0);
    assert_eq!(
        json.out.lines().nth(1).unwrap(),
        "{\"v\":1,\"at\":\"2026-03-29T01:00:00Z\",\"local\":\"2026-03-29T03:00:00+02:00\",\
         \"fires\":\"2026-03-29T01:00:00Z\",\"note\":\"02:30 does not exist on this day\"}"
    );
    let every = lab
        .run(&[
            "schedule",
            "next",
            "--every",
            "90m",
            "--from",
            "1970-01-01T00:00:00Z",
            "--count",
            "1",
            "--json",
        ])
        .expect_code(0);
    assert!(every.out.contains("\"at\":\"1970-01-01T01:30:00Z\""), "{}", every.out);
    // Nothing of a home was made: none is asked.
    assert!(!lab.home().exists());
}

#[test]
fn what_is_no_rhythm_is_refused_by_its_place() {
    let lab = Lab::new();
    for (args, expected) in [
        (&["--cron", "0 22-2 * * *"][..], "write `22-23,0-2`"),
        (&["--cron", "@reboot"], "service manager"),
        (&["--cron", "0 0 31 2 *"], "never comes"),
        (&["--cron", "0 0 * * *", "--timezone", "Europe/Berlim"], "did you mean `Europe/Berlin`?"),
        (&["--every", "1500ms"], "whole seconds"),
        (&["--every", "0s"], "at least 1s"),
        (&["--every", "soon"], "expected a duration"),
        (&["--every", "1h", "--timezone", "UTC"], "cannot be used with"),
        (&["--every", "1h", "--from", "soon"], "--from: `soon` is no time"),
        (&[], "required"),
    ] {
        let done = lab.run(&[&["schedule", "next"][..], args].concat()).expect_code(2);
        assert!(done.err.contains(expected), "{args:?}: {}", done.err);
    }
}

const NIGHTLY: &str = "[workflow]\nname = \"etl\"\n[inputs]\nday = \"date\"\nrounds = { type = \"int\", default = 1 }\n\
    [tasks.t]\ncache = true\ninputs = { day = \"date\", rounds = \"int\" }\noutputs = { text = { type = \"string\", from = \"stdout\" } }\n\
    run = 'printf \"%s %s %s\" \"$day\" \"$rounds\" \"${RUNNER_SCHEDULED_AT-}\"'\n\
    [nodes.t]\ninputs = { day = \"{{ inputs.day }}\", rounds = \"{{ inputs.rounds }}\" }\n\
    [outputs]\ntext = \"{{ t.text }}\"\n\
    [[schedules]]\nname = \"nightly\"\ncron = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\njitter = \"10m\"\n\
    inputs = { rounds = 5 }\nscheduled_at_input = \"day\"\nproject = \"night\"\n";

#[test]
fn a_schedule_of_a_file_is_found_by_its_name() {
    let lab = Lab::new();
    lab.write("etl.toml", NIGHTLY);
    lab.write("lib.toml", "[library]\nname = \"lib\"\n");
    lab.write("broken.toml", "[workflow]\nname = 1\n");
    let next = |name: &str| {
        let args = ["schedule", "next", name, "--from", "2026-03-28", "--count", "2", "--json"];
        lab.run(&args).expect_code(0).out
    };
    let (whole, short) = (next("etl/nightly"), next("nightly"));
    assert_eq!(whole, short);
    let lines: Vec<serde_json::Value> =
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1]["at"], "2026-03-29T01:00:00Z");
    // Jitter moves when a run begins, and not the instant; the same each time that it is asked for.
    let time =
        |line: &serde_json::Value, key: &str| line[key].as_str().unwrap().parse::<Timestamp>().unwrap();
    for line in &lines {
        let delay = time(line, "fires").duration_since(time(line, "at"));
        assert!((0..600_000).contains(&delay.as_millis()), "{line}");
    }
    let unknown = lab.run(&["schedule", "next", "etl/nighly"]).expect_code(2);
    assert!(unknown.err.contains("did you mean `etl/nightly`?"), "{}", unknown.err);
    lab.write("two.toml", &NIGHTLY.replace("\"etl\"", "\"other\""));
    let several = lab.run(&["schedule", "next", "nightly"]).expect_code(2);
    assert!(several.err.contains("several schedules: etl/nightly, other/nightly"), "{}", several.err);
}

#[test]
fn a_run_of_a_schedule_takes_its_inputs_and_its_instant() {
    let lab = Lab::new();
    lab.write("etl.toml", NIGHTLY);
    let at = ["--schedule", "nightly", "--scheduled-at"];
    let first = lab.ok("etl.toml", &[&at[..], &["2026-03-28T02:30"]].concat());
    assert_eq!(first.outputs(), serde_json::json!({"text": "2026-03-28 5 2026-03-28T01:30:00Z"}));
    let begun = first.events("run_started").remove(0);
    assert_eq!(begun["project"], "night");
    assert_eq!(begun["trigger"], "schedule");
    assert_eq!(begun["schedule"], "etl/nightly");
    assert_eq!(begun["scheduled_at"], "2026-03-28T01:30:00Z");
    // The same instant in another form; flags win over what the schedule gives.
    let again = lab.ok("etl.toml", &[&at[..], &["2026-03-28T01:30:00Z", "-i", "rounds=6"]].concat());
    assert_eq!(again.outputs()["text"], "2026-03-28 6 2026-03-28T01:30:00Z");
    assert_eq!(lab.ok("etl.toml", &[&at[..], &["2026-03-28T01:30:00Z"]].concat()).cache("t"), "hit");
    // Without an instant: the newest one that has passed.
    let newest = lab.ok("etl.toml", &["--schedule", "etl/nightly"]);
    let scheduled: Timestamp =
        newest.events("run_started").remove(0)["scheduled_at"].as_str().unwrap().parse().unwrap();
    let age = Timestamp::now().duration_since(scheduled).as_hours();
    assert!((0..=25).contains(&age), "{scheduled}");
    // By hand there is neither.
    let by_hand = lab.ok("etl.toml", &["-i", "day=2026-03-28"]);
    let begun = by_hand.events("run_started").remove(0);
    assert_eq!(begun["trigger"], "manual");
    assert!(begun["schedule"].is_null() && begun["scheduled_at"].is_null(), "{begun}");
    assert_eq!(by_hand.outputs()["text"], "2026-03-28 1 ");

    let listed = |args: &[&str]| {
        let done = lab.run(&[&["runs", "--json"], args].concat()).expect_code(0);
        done.out.lines().count()
    };
    assert_eq!(listed(&["--schedule", "nightly"]), 4);
    assert_eq!(listed(&["--schedule", "etl/nightly", "--no-op"]), 1);
    assert_eq!(listed(&["--trigger", "manual"]), 1);
    assert_eq!(listed(&["--trigger", "schedule", "--no-no-ops"]), 3);
    assert_eq!(listed(&["--schedule", "hourly"]), 0);

    let unknown = lab.run(&["exec", "etl.toml", "--schedule", "nighly"]).expect_code(2);
    assert!(unknown.err.contains("has no schedule \"nighly\""), "{}", unknown.err);
    assert!(unknown.err.contains("did you mean `nightly`?"), "{}", unknown.err);
}

#[test]
fn a_retry_keeps_the_instant_and_the_values_of_the_schedule_as_they_were() {
    let lab = Lab::new();
    let fails =
        NIGHTLY.replace("run = 'printf", "run = '[ -e \"$RUNNER_WORKFLOW_DIR/go\" ] || exit 3; printf");
    lab.write("etl.toml", &fails);
    let at =
        ["exec", "etl.toml", "--json", "--schedule", "nightly", "--scheduled-at", "2026-03-28T01:30:00Z"];
    lab.run(&at).expect_code(1);
    lab.write("go", "");
    lab.write("etl.toml", &fails.replace("rounds = 5", "rounds = 7"));
    let retried = lab.run(&["retry", "@last", "--json"]).expect_code(0);
    assert_eq!(retried.outputs()["text"], "2026-03-28 5 2026-03-28T01:30:00Z");
    let begun = retried.events("run_started").remove(0);
    assert_eq!((&begun["trigger"], &begun["schedule"]), (&"retry".into(), &"etl/nightly".into()));
    assert_eq!(begun["scheduled_at"], "2026-03-28T01:30:00Z");
}

/// A program of the system, if there is one.
fn which(program: &str) -> Result<Command, ()> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    found.then(|| Command::new(program)).ok_or(())
}

#[test]
fn what_a_schedule_says_of_zone_overlap_and_start_shows_in_its_line() {
    let lab = Lab::new();
    let text = |extra: &str| {
        format!(
            "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n[[schedules]]\nname = \"s\"\ncatch_up = \"none\"\n{extra}\n"
        )
    };
    let line = |extra: &str, zone: &str| {
        lab.write("w.toml", &text(extra));
        let done = finish(lab.command(&["schedule", "crontab"]).env("TZ", zone)).expect_code(0);
        done.out.replace(&*lab.path("w.toml").to_string_lossy(), "FILE")
    };
    let daily = "cron = \"0 2 * * *\"";
    // Two names of one zone.
    assert!(!line(daily, "Etc/UTC").contains("CRON_TZ"));
    assert!(line(daily, "Asia/Tokyo").contains("\nCRON_TZ=UTC\n0 2 * * * /"));
    let with = |extra: &str| line(&format!("{daily}\n{extra}"), "UTC");
    assert!(with("").contains(" exec FILE --schedule s --lock w/s -q --notify"));
    assert!(with("overlap = \"queue\"").contains(" --lock 'w/s=wait' -q"));
    assert!(!with("overlap = \"allow\"").contains("--lock"));
    assert!(with("overlap = \"replace\"").contains("# cron has no overlap = \"replace\""));
    assert!(with("start = 2026-01-01T00:00:00Z").contains("\n0 2 * * * /"));
    let future = with("start = 2099-01-01T00:00:00Z");
    assert!(
        future.contains("# left out: a crontab cannot say `start`") && !future.contains("exec"),
        "{future}"
    );
    assert!(line("every = \"1h\"\nstart = 2026-01-01T00:00:00Z", "UTC").contains("\n0 */1 * * * /"));
    assert!(line("every = \"1h\"\nstart = 2026-01-01T00:00:10Z", "UTC").contains("cannot say `start`"));
    // The home that is in force is named: the variable is not set where cron runs the line.
    assert!(with("").contains(&format!(" --home {} exec", lab.home().display())));
    lab.write("odd\nname.toml", &text(daily));
    let refused = lab.run(&["schedule", "crontab"]).expect_code(2);
    assert!(refused.err.contains("no line of a crontab"), "{}", refused.err);
}

#[test]
fn schedules_become_lines_of_a_crontab_or_timers_of_systemd() {
    let lab = Lab::new();
    let odd = "[[schedules]]\nname = \"odd\"\ncron = \"0 9 15W * *\"\nscheduled_at_input = \"day\"\n";
    let file = lab.write("my etl.toml", &format!("{NIGHTLY}{odd}"));
    let tz = |verb: &[&str]| {
        let mut command = lab.command(verb);
        finish(command.env("TZ", "Europe/Berlin"))
    };
    let crontab = tz(&["schedule", "crontab"]).expect_code(0).out;
    let call = format!("exec '{}' --schedule nightly --lock etl/nightly -q --notify", file.display());
    for expected in [
        "# etl/nightly: daily at 02:30, in Europe/Berlin\n",
        "# cron has no jitter, no catching up on missed instants\n",
        "\n30 2 * * * /",
        &call,
        "# left out: a crontab cannot say `15W`",
    ] {
        assert!(crontab.contains(expected), "{expected:?} is missing in\n{crontab}");
    }
    assert!(!crontab.contains("CRON_TZ"), "{crontab}");
    let elsewhere = finish(lab.command(&["schedule", "crontab"]).env("TZ", "UTC")).expect_code(0).out;
    assert!(elsewhere.starts_with("# CRON_TZ is known to cronie"), "{elsewhere}");
    assert!(elsewhere.contains("\nCRON_TZ=Europe/Berlin\n30 2 * * * "), "{elsewhere}");

    let refused = lab.run(&["schedule", "crontab", "--systemd"]).expect_code(2);
    assert!(
        refused.err.contains("schedule `etl/odd`: systemd's OnCalendar cannot say `15W`"),
        "{}",
        refused.err
    );
    lab.write("my etl.toml", NIGHTLY);
    let written = lab.run(&["schedule", "crontab", "--systemd", "-o", "units"]).expect_code(0);
    let units = ["runner-serve.service", "runner-etl.nightly.service", "runner-etl.nightly.timer"];
    assert_eq!(written.out, units.map(|unit| format!("units/{unit}\n")).concat());
    let timer = lab.read("units/runner-etl.nightly.timer");
    for line in [
        "OnCalendar=*-*-* 2:30:0 Europe/Berlin",
        "Persistent=true",
        "RandomizedDelaySec=600",
        "FixedRandomDelay=true",
    ] {
        assert!(timer.lines().any(|other| other == line), "{line} is missing in\n{timer}");
    }
    let service = lab.read("units/runner-etl.nightly.service");
    assert!(service.contains(&format!("exec \"{}\" --schedule nightly", file.display())), "{service}");
    let serve = lab.read("units/runner-serve.service");
    let here = lab.dir().canonicalize().unwrap();
    for line in ["Type=notify", "NoNewPrivileges=true", &format!(" serve {}", here.display())] {
        assert!(serve.contains(line), "{line} is missing in\n{serve}");
    }
    if let Ok(mut verify) = which("systemd-analyze") {
        let paths = units.map(|unit| lab.path("units").join(unit));
        let verified = finish(verify.arg("verify").args(paths));
        let complaints: Vec<_> = verified.err.lines().filter(|line| line.contains("runner-")).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
    // Its own files are replaced, and no others.
    lab.run(&["schedule", "crontab", "--systemd", "-o", "units"]).expect_code(0);
    lab.write("units/runner-etl.nightly.timer", "# mine\n");
    let kept = lab.run(&["schedule", "crontab", "--systemd", "-o", "units"]).expect_code(2);
    assert!(kept.err.contains("is not a unit that runner made"), "{}", kept.err);
    assert_eq!(lab.read("units/runner-etl.nightly.timer"), "# mine\n");

    // The line does what it says.
    let line =
        elsewhere.lines().find(|line| line.starts_with("30 2 ")).unwrap().replacen("30 2 * * * ", "", 1);
    let mut shell = Command::new("sh");
    finish(shell.args(["-c", &line]).env("RUNNER_HOME", lab.home())).expect_code(0);
    assert_eq!(lab.run(&["runs", "--schedule", "nightly", "--json"]).out.lines().count(), 1);
}
