//! What the script does: keys, forms, what goes on, logs.

use serde_json::Value;

use super::{Browser, Stage, scene, text};
use crate::common::Lab;
use crate::common::live::{Live, until};
use crate::web::ask;

/// Waits for a page that keys or presses led to, with its script.
fn arrives(browser: &mut Browser, path: &str) {
    browser.until(&format!("location.pathname === '{path}' && document.readyState === 'complete'"));
}

/// The path and query of the page.
fn place(browser: &mut Browser) -> String {
    browser.value("location.pathname + location.search").as_str().unwrap().to_owned()
}

#[test]
fn everything_is_done_by_keyboard() {
    let lab = Lab::new();
    scene::write(&lab);
    let history = scene::history(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    let browser = &mut stage.browser;
    arrives(browser, "/runs");
    browser.press("/");
    browser.until("document.activeElement.type === 'search'");
    // In a field keys are text.
    for key in ["b", "a", "d"] {
        browser.press(key);
    }
    browser.press("Enter");
    browser.until("location.search === '?q=bad'");
    browser.until(
        "document.querySelectorAll('tr[data-row]').length === 1 && document.readyState === 'complete'",
    );
    browser.press("j");
    browser.press("Enter");
    arrives(browser, &format!("/runs/{}", history.bad));
    browser.press("f");
    browser.until("document.activeElement.closest('.failure')");
    browser.press("l");
    browser.until("document.activeElement.matches('pre.log')");
    browser.press("?");
    browser.until("document.querySelector('dialog').open");
    browser.press("Escape");
    browser.until("!document.querySelector('dialog')");
    browser.look(1280, false, true);
    browser.value("document.querySelector('#node-rows a').click()");
    browser.until(
        "document.querySelector('dialog.panel')?.open && document.querySelector('dialog.panel pre.log')",
    );
    browser.press("Escape");
    browser.until("!document.querySelector('dialog')");
    browser.press("[");
    arrives(browser, &format!("/runs/{}", history.good));
    browser.press("]");
    arrives(browser, &format!("/runs/{}", history.bad));
    browser.press("d");
    arrives(browser, &format!("/runs/{}/compare/{}", history.bad, history.good));
    for (key, page) in [("w", "workflows"), ("s", "schedules"), ("c", "cache"), ("r", "runs")] {
        browser.press("g");
        browser.press(key);
        arrives(browser, &format!("/{page}"));
    }
    // The first thing that Tab reaches leads past the navigation, and it can be seen.
    browser.press("Tab");
    browser.until("document.activeElement.matches('a.skip') && document.activeElement.getBoundingClientRect().left >= 0");
    stage.all_is_well();
}

#[test]
fn what_goes_on_is_seen_as_it_happens_also_of_other_processes() {
    let lab = Lab::new();
    scene::write(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    let browser = &mut stage.browser;
    arrives(browser, "/runs");
    let other = Live::verb(&lab, "other", &["exec", "flows/wait.toml", "--json"]);
    other.until("node_started", "slow");
    browser.until("document.querySelector('tr[data-row] .st.busy')");
    browser.value("document.querySelector('tr[data-row] a').click()");
    browser.until("document.querySelector('#node-rows .st.busy')");
    browser.value("document.querySelector('#node-rows .st.busy').closest('tr').querySelector('a').click()");
    browser.until("document.querySelector('#lines')?.textContent.includes('it waits')");
    lab.write("say", "a line that comes later\n");
    browser.until("document.querySelector('#lines').textContent.includes('a line that comes later')");
    browser.value("history.back()");
    browser.until("document.querySelector('#node-rows .st.busy')");
    lab.write("go", "");
    browser.until("document.querySelector('#status').textContent === 'succeeded'");
    other.end().expect_code(0);
    assert!(browser.troubles.is_empty(), "{:?}", browser.troubles);
    stage.all_is_well();
}

#[test]
fn a_form_plans_runs_cancels_and_retries() {
    let lab = Lab::new();
    scene::write(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows", "--base-path", "/x"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    let (browser, url) = (&mut stage.browser, stage.url.clone());
    browser.open(&format!("{url}/workflows/shop"));
    browser.value("document.querySelector('[name=\"i.word\"]').focus()");
    browser.enter("bad");
    browser.value("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Plan').click()");
    browser.until("document.querySelector('#plan')");
    assert!(text(browser).contains("would run"), "{}", text(browser));
    browser.value("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Run').click()");
    browser.until("document.querySelector('#status')?.textContent === 'failed'");
    let failed = place(browser);
    assert!(failed.starts_with("/x/runs/"), "{failed}");
    browser.until("document.querySelector('.failure')");
    browser.open(&format!("{}{failed}", url.trim_end_matches("/x")));
    browser.value("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Retry').click()");
    browser.until(&format!("location.pathname !== '{failed}' && document.querySelector('#status')"));
    browser.open(&format!("{url}/workflows/wait"));
    browser.value("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Run').click()");
    browser.until("document.querySelector('#node-rows .st.busy')");
    let going = place(browser);
    browser.open(&format!("{}{going}", url.trim_end_matches("/x")));
    browser.value("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Cancel').click()");
    browser.until("document.querySelector('#status')?.textContent === 'cancelled'");
    // One of a shell as well.
    let shell = Live::verb(&lab, "shell", &["exec", "flows/wait.toml", "--json"]);
    shell.until("node_started", "slow");
    browser.open(&format!("{url}/runs/{}", shell.run()));
    browser.value("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Cancel').click()");
    browser.until("document.querySelector('#status')?.textContent === 'cancelled'");
    shell.end().expect_code(143);
    assert!(browser.troubles.is_empty(), "{:?}", browser.troubles);
    stage.all_is_well();
}

/// Notes in the page when a condition is first true.
fn watch(browser: &mut Browser, condition: &str) {
    let note = format!("if (!window.seen && ({condition})) window.seen = Date.now()");
    let observer = format!("window.seen = 0; const noted = () => {{ {note} }}; new MutationObserver(noted)");
    let all = "{subtree: true, childList: true, characterData: true}";
    browser.value(&format!("(() => {{ {observer}.observe(document.documentElement, {all}); }})()"));
}

/// How long after an event of a run the page had what was watched for, in milliseconds.
fn delay(browser: &mut Browser, lab: &Lab, run: &str, event: &str) -> i64 {
    browser.until("window.seen");
    let seen = browser.value("window.seen").as_i64().unwrap();
    let events = lab.read(&format!("home/logs/{run}/events.jsonl"));
    let mut events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let time = events.rfind(|line| line["event"] == event).unwrap()["time"].clone();
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    seen - time.as_millisecond()
}

/// Prints figures and asserts none: those depend on the machine.
#[test]
fn how_soon_events_are_on_the_screen_is_measured() {
    let lab = Lab::new();
    scene::write(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    let (browser, url) = (&mut stage.browser, stage.url.clone());
    let token = lab.read("home/serve.token");
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    for (whose, is_own) in [("of this daemon", true), ("of another process", false)] {
        let mut delays = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..5 {
            let _ = std::fs::remove_file(lab.path("go"));
            browser.open(&format!("{url}/runs"));
            watch(browser, "document.querySelector('tr[data-row] .st.busy')");
            let other = (!is_own).then(|| {
                let other = Live::verb(&lab, &format!("o{round}"), &["exec", "flows/wait.toml", "--json"]);
                other.until("node_started", "slow");
                other
            });
            let run = match &other {
                Some(other) => other.run(),
                None => {
                    let (_, _, body) = ask(&url, "POST", "/api/runs", &bearer, r#"{"workflow":"wait"}"#);
                    serde_json::from_str::<Value>(&body).unwrap()["run"].as_str().unwrap().to_owned()
                }
            };
            delays[0].push(delay(browser, &lab, &run, "run_started"));
            browser.open(&format!("{url}/runs/{run}"));
            browser.until("document.querySelector('#node-rows .st.busy')");
            watch(browser, "document.querySelector('#status').textContent === 'succeeded'");
            lab.write("go", "");
            delays[1].push(delay(browser, &lab, &run, "run_finished"));
            other.into_iter().for_each(|other| drop(other.end()));
            until("it has ended", || {
                let (_, _, body) = ask(&url, "GET", &format!("/api/runs/{run}"), &bearer, "");
                body.contains("\"succeeded\"")
            });
            // What the list has of a run that ends.
            let _ = std::fs::remove_file(lab.path("go"));
            browser.open(&format!("{url}/runs"));
            let last = Live::verb(&lab, &format!("l{round}"), &["exec", "flows/wait.toml", "--json"]);
            last.until("node_started", "slow");
            browser.until("document.querySelector('tr[data-row] .st.busy')");
            watch(browser, "!document.querySelector('tr[data-row] .st.busy')");
            lab.write("go", "");
            let run = last.run();
            delays[2].push(delay(browser, &lab, &run, "run_finished"));
            last.end().expect_code(0);
        }
        for (what, delays) in
            ["a run begins, list", "a run ends, its page", "a shell's run ends, list"].iter().zip(&mut delays)
        {
            delays.sort_unstable();
            println!("{whose}: {what}: median {} ms, most {} ms", delays[2], delays[4]);
        }
    }
    stage.all_is_well();
}
