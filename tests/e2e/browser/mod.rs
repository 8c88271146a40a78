//! The pages in a browser: all of them wide, on a phone, dark, light and without script, with none, one and many, with what failed
//! and what goes on. Nothing may be complained of, nothing be wider than the window; each is photographed.

mod live;
mod scene;

use serde_json::Value;

use self::scene::History;
use crate::common::Lab;
use crate::common::chromium::Browser;
use crate::common::live::Live;

/// How a page is looked at: its name in pictures, width, dark or light, with or without script.
const MODES: [(&str, u32, bool, bool); 5] = [
    ("wide-light", 1280, false, true),
    ("wide-dark", 1280, true, true),
    ("phone-light", 390, false, true),
    ("phone-dark", 390, true, true),
    ("no-script", 1280, false, false),
];
/// Maximum size of a page, in bytes.
const MAX_PAGE_BYTES: u64 = 100 << 10;

/// What is wrong with a page, as far as it can be measured: a list of sentences.
const CHECK: &str = r#"(() => {
const wrong = [], all = (selector) => [...document.querySelectorAll(selector)];
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) {
  const wide = all('body *').filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest('.scroll, pre, .tabs, svg'));
  wrong.push('wider than the window: ' + wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 90)).join(' | '));
}
for (const [selector, number] of [['h1', 1], ['main', 1], ['title', 1], ['header.bar', 1]])
  if (all(selector).filter((e) => !e.closest('svg')).length !== number) wrong.push('not ' + number + ' ' + selector);
if (!root.lang) wrong.push('no language');
const ids = all('[id]').map((e) => e.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push('twice the id ' + id);
const named = (e) => e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length);
for (const e of all('a[href], button, summary, input:not([type=hidden]), select, textarea')) if (!named(e)) wrong.push('no name: ' + e.outerHTML.slice(0, 120));
for (const e of all('svg:not([aria-hidden]):not(svg svg)')) if (!e.getAttribute('aria-label') && !e.querySelector(':scope > title')) wrong.push('no name: ' + e.outerHTML.slice(0, 120));
for (const e of all('[aria-labelledby]')) if (!document.getElementById(e.getAttribute('aria-labelledby'))) wrong.push('label of nothing: ' + e.outerHTML.slice(0, 120));
for (const e of all('.scroll, pre')) if ((e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1) && getComputedStyle(e).overflow !== 'visible' && e.tabIndex < 0) wrong.push('cannot be scrolled by keyboard: ' + e.outerHTML.slice(0, 120));
if (all('[style]').length) wrong.push('inline style');
if (document.title.includes('foreign')) wrong.push('a script of a task ran');
let level = 0;
for (const h of all('h1, h2, h3, h4')) { const next = Number(h.tagName[1]); if (next > level + 1) wrong.push('heading after a gap: ' + h.outerHTML); level = next; }
if (innerWidth < 600) for (const e of all('button, .btn, input:not([type=hidden]):not([type=checkbox]), select, textarea, summary, nav a:not(.crumbs a)')) {
  const box = e.getBoundingClientRect();
  if (box.height && box.height < 37.5) wrong.push('small target of ' + box.height + ': ' + e.outerHTML.slice(0, 120));
}
return wrong;
})()"#;

struct Stage<'l> {
    browser: Browser,
    url: String,
    live: Live<'l>,
    wrong: Vec<String>,
}

impl<'l> Stage<'l> {
    fn new(lab: &'l Lab, args: &[&str]) -> Option<Stage<'l>> {
        let browser = Browser::start(lab.dir())?;
        let (live, url) = scene::serve(lab, args);
        Some(Stage { browser, url, live, wrong: Vec::new() })
    }

    /// Looks at a page in every way.
    fn look(&mut self, name: &str, path: &str) {
        for (mode, width, is_dark, has_script) in MODES {
            // What the page before asks for is not counted.
            self.browser.open("about:blank");
            self.browser.look(width, is_dark, has_script);
            self.browser.open(&format!("{}{path}", self.url));
            let found = self.browser.value(CHECK);
            let size = self.browser.value("performance.getEntriesByType('navigation')[0].decodedBodySize");
            let mut wrong: Vec<String> =
                found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
            if size.as_u64().unwrap() > MAX_PAGE_BYTES {
                wrong.push(format!("{size} bytes"));
            }
            wrong.append(&mut self.browser.troubles);
            wrong.extend(self.wrong_requests());
            if has_script {
                self.browser.picture(&scene::pictures().join(format!("{name}-{mode}.png")));
            }
            self.wrong.extend(wrong.into_iter().map(|what| format!("{path} {mode}: {what}")));
        }
        self.browser.look(1280, false, true);
    }

    /// One request for the page, one each for style and script, one for the icon and one stream; none elsewhere.
    fn wrong_requests(&self) -> Option<String> {
        let requests = &self.browser.requests;
        let is_known = |address: &&String| address.contains("/assets/icon") || address.contains("/events");
        let number = requests.iter().filter(|address| !is_known(address)).count();
        let streams = requests.iter().filter(|address| address.contains("/events")).count();
        let is_ours = requests.iter().all(|address| address.starts_with(&self.url));
        (number > 3 || streams > 1 || !is_ours).then(|| format!("asks for {requests:?}"))
    }

    #[track_caller]
    fn all_is_well(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        drop(self.live);
    }
}

#[test]
fn pages_with_nothing_to_show_are_whole() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("flows")).unwrap();
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    stage.look("none-login", "/login");
    scene::log_in(&lab, &mut stage.browser);
    for page in ["runs", "workflows", "schedules", "cache"] {
        stage.look(&format!("none-{page}"), &format!("/{page}"));
    }
    // What the suite looks for can be seen.
    stage.browser.value("document.body.setAttribute('style', 'color: red')");
    stage.browser.value("setTimeout(() => { throw new Error('seen') })");
    stage.browser.until("document.body.hasAttribute('style')");
    let seen = stage.browser.troubles.join("\n");
    assert!(seen.contains("Content Security Policy") && seen.contains("seen"), "{seen}");
    stage.all_is_well();
}

#[test]
fn pages_with_runs_of_every_kind_are_whole() {
    let lab = Lab::new();
    scene::write(&lab);
    let history = scene::history(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    let going = Live::verb(&lab, "going", &["exec", "flows/wait.toml", "--json"]);
    going.until("node_started", "slow");
    let (going, History { good, bad }) = (going.run(), history);
    stage.look("runs", "/runs");
    stage.look("runs-failed", "/runs?status=failed,interrupted");
    stage.look("run-good", &format!("/runs/{good}"));
    stage.look("run-bad", &format!("/runs/{bad}"));
    stage.look("run-going", &format!("/runs/{going}"));
    stage.look("run-elements", &format!("/runs/{good}?node=price&sort=name"));
    stage.look("node-bad", &format!("/runs/{bad}/nodes/check"));
    stage.look("node-found", &format!("/runs/{bad}/nodes/check?q=line+29"));
    stage.look("node-hostile", &format!("/runs/{good}/nodes/fetch"));
    stage.look("node-elements", &format!("/runs/{good}/nodes/price"));
    stage.look("compare", &format!("/runs/{bad}/compare/{good}"));
    stage.look("workflows", "/workflows");
    stage.look("workflow", "/workflows/shop");
    stage.look("schedules", "/schedules");
    stage.look("schedule", "/schedules/etl/nightly");
    stage.look("cache", "/cache?preview=1");
    let key = stage.browser.value("document.querySelector('#entries a.mono').getAttribute('href')");
    stage.look("entry", key.as_str().unwrap());
    stage.all_is_well();
}

#[test]
fn pages_with_one_thing_of_each_are_whole() {
    let lab = Lab::new();
    let run = scene::one(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    for page in ["runs", "workflows", "schedules", "cache"] {
        stage.look(&format!("one-{page}"), &format!("/{page}"));
    }
    stage.look("one-run", &format!("/runs/{run}"));
    stage.look("one-node", &format!("/runs/{run}/nodes/only"));
    stage.look("one-workflow", "/workflows/one");
    stage.look("one-schedule", "/schedules/one/daily");
    stage.all_is_well();
}

#[test]
fn pages_with_many_things_are_whole() {
    let lab = Lab::new();
    let run = scene::many(&lab);
    let Some(mut stage) = Stage::new(&lab, &["flows"]) else { return };
    scene::log_in(&lab, &mut stage.browser);
    for page in ["runs", "workflows", "schedules", "cache"] {
        stage.look(&format!("many-{page}"), &format!("/{page}"));
    }
    stage.look("many-run", &format!("/runs/{run}"));
    stage.look("many-run-failed", &format!("/runs/{run}?status=failed"));
    stage.look("many-schedule", "/schedules/etl/nightly");
    stage.all_is_well();
}

/// The text of a page.
fn text(browser: &mut Browser) -> String {
    let found: Value = browser.value("document.body.innerText");
    found.as_str().unwrap().to_owned()
}
