//! Pages of every kind of run, and that nothing in them can act.

use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::core::event::{Counts, NodeFinished, NodeKind, Warning};
use crate::view::draw::tests::picture;
use crate::view::sample::*;

/// Files and logs by what they are asked for.
pub struct Kept {
    blobs: HashMap<String, Vec<u8>>,
    logs: HashMap<String, Vec<u8>>,
}

impl Kept {
    pub fn of(texts: &[&str]) -> Self {
        let blobs = texts.iter().map(|text| (Self::digest(text), text.as_bytes().to_vec()));
        Self { blobs: blobs.collect(), logs: HashMap::new() }
    }

    pub fn digest(text: &str) -> String {
        Digest::of(text).hex()
    }
}

impl PageSources for Kept {
    fn log(&self, path: &str, limit: u64) -> Option<(Vec<u8>, bool)> {
        let log = self.logs.get(path)?;
        let from = log.len().saturating_sub(limit as usize);
        Some((log[from..].to_vec(), from == 0))
    }

    fn blob(&self, digest: &str, _size: u64) -> Option<Vec<u8>> {
        self.blobs.get(digest).cloned()
    }
}

fn render(events: impl IntoIterator<Item = Event>, unfinished: &str) -> String {
    let now = at(16 + 180).to_zoned(jiff::tz::TimeZone::UTC);
    let picture = Err("its workflow is not known".into());
    page(RUN.into(), events, unfinished, None, picture, &Kept::of(&[]), &now)
}

/// The row of a node, and what is behind it.
fn row<'p>(page: &'p str, label: &str) -> &'p str {
    let marks = [format!("<td>{label}</td>"), format!("<td class=\"inside\">{label}</td>")];
    let at = marks.iter().find_map(|mark| page.find(mark.as_str()));
    let rest = &page[at.unwrap_or_else(|| panic!("no row of {label}\n{page}"))..];
    &rest[..rest.find("</tbody>").unwrap()]
}

#[test]
fn a_failed_run_says_first_what_failed() {
    let page = render(failed_run(), "running");
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("no {part}\n{page}"));
    assert!(at("exit 3 after 2 attempts") < at("<h2>Graph</h2>"));
    assert!(at("<h2>Failures</h2>") < at("<h2>Warnings</h2>"));
    at("1 failed, 1 executed, 1 cached (saved 1.5s), 1 skipped, 1 cancelled");
    at("ValueError: no data");
    at("<code>runner logs k3v9x2qm train</code>");
    at("Not drawn: its workflow is not known");
    assert!(row(&page, "fetch").contains("from run a1b2c3d4, node fetch, yesterday 03:00"), "{page}");
    assert!(row(&page, "fetch").contains("<span class=\"badge cached\">succeeded</span></td><td>hit</td>"));
    assert!(row(&page, "train").contains("attempt 1: exit 3, 2.0s"), "{}", row(&page, "train"));
    assert!(row(&page, "notify").contains("its condition is false"));
    assert!(!page.contains('\x1b'));
}

#[test]
fn a_run_without_an_end_shows_how_far_it_is() {
    let events = || [run_started(2), node_started("hash", 1, 2), expanded("each", 9, 10)];
    let running = render(events(), "running");
    assert!(row(&running, "hash").contains("<span class=\"badge running\">running</span>"), "{running}");
    assert!(row(&running, "each").contains("0 of 9 elements"));
    assert!(running.contains("<rect class=\"running\""));
    let interrupted = render(events(), "interrupted");
    assert!(row(&interrupted, "hash").contains("<span class=\"badge cancelled\">interrupted</span>"));
    assert!(render([], "interrupted").contains("interrupted</span>"));
}

#[test]
fn the_drawing_is_coloured_and_leads_to_rows() {
    let mut drawn = picture(3, &[(0, 1), (1, 2)]);
    for (node, name) in drawn.nodes.iter_mut().zip(["fetch", "train", "later"]) {
        (node.name, node.label) = (name.into(), name.into());
    }
    drawn.nodes[2].inside = Some(picture(1, &[]));
    drawn.nodes[2].inside.as_mut().unwrap().nodes[0].name = "later/n0".into();
    let now = at(200).to_zoned(jiff::tz::TimeZone::UTC);
    let mut events = failed_run();
    let mut element = executed("later[1]/n0");
    element.time = at(6);
    events.insert(1, Event::NodeFinished(element));
    let page = page(RUN.into(), events, "running", None, Ok(drawn), &Kept::of(&[]), &now);
    assert!(page.contains("<g class=\"node cached\"><title>fetch\n"), "{page}");
    assert!(page.contains("<g class=\"node failed\"><title>train\n"));
    assert!(page.contains("<g class=\"node executed\"><title>later/n0\n"));
    assert!(page.contains("<a href=\"#n0\">"));
    assert!(!page.contains("Not drawn"));
}

#[test]
fn many_elements_make_no_large_page() {
    let mut events = vec![run_started(1), expanded("each", 100_000, 100_000)];
    events.extend((0..100_000).map(|i| {
        let node = if i % 100 == 7 { failed("each") } else { executed("each") };
        element(i, node)
    }));
    let counts = Counts { nodes: 100_000, executed: 99_000, failed: 1000, ..Counts::default() };
    events.push(Event::NodeFinished(sum("each", NodeKind::Elements, counts)));
    let page = render(events, "running");
    assert!(page.len() < 400_000, "{}", page.len());
    assert!(page.contains("99,900 more nodes and elements are not listed"), "{}", &page[..9000]);
    assert!(row(&page, "each[7]").contains("exit 3"));
    assert!(row(&page, "each").contains("100,000 elements"), "{}", row(&page, "each"));
}

#[test]
fn what_is_hostile_is_text() {
    let evil = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(1)>{{ 7 * 7 }}\x1b[2J\u{202e}";
    let mut node = NodeFinished { task: evil.into(), reason: Some(evil.into()), ..failed("train") };
    node.inputs = json!({evil: evil, "list": [evil]}).as_object().unwrap().clone();
    let path = format!("/x/{evil}");
    let content = "<script>alert(2)</script>";
    node.outputs = json!({"page": {"digest": Kept::digest(content), "size": content.len(), "path": path}})
        .as_object()
        .unwrap()
        .clone();
    let error = node.error.as_mut().unwrap();
    (error.message, error.tail) = (evil.into(), vec![evil.into()]);
    let warning = Warning { time: at(1), message: evil.into(), node: Some("train".into()) };
    let mut started = node_started("train", 2, 1);
    if let Event::NodeStarted(started) = &mut started {
        started.log = Some("/log".into());
    }
    let events = [run_started(1), started, Event::Warning(warning), Event::NodeFinished(node)];
    let mut kept = Kept::of(&[content]);
    kept.logs.insert("/log".into(), evil.as_bytes().to_vec());
    let mut drawn = picture(1, &[]);
    drawn.nodes[0].remarks.push(evil.into());
    drawn.nodes[0].name = "train".into();
    let now = at(200).to_zoned(jiff::tz::TimeZone::UTC);
    let page = page(RUN.into(), events, "running", None, Ok(drawn), &kept, &now);
    let own = page.replace(JS, "").replace(CSS, "");
    assert_eq!(own.matches("<script").count(), 1, "{page}");
    assert!(!own.contains("<img") && !own.contains("\u{202e}") && !own.contains('\x1b'), "{page}");
    assert!(own.matches("alert(1)").count() > 5 && own.contains("alert(2)"));
    assert!(own.contains("{{ 7 * 7 }}"));
}

#[test]
fn the_policy_names_the_page_s_own_style_and_script_only() {
    let page = render(failed_run(), "running");
    let policy =
        page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let policy = policy.replace("&#39;", "'");
    assert!(policy.starts_with("default-src 'none'; img-src data:; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        page.contains(&format!("<script>{JS}</script>")) && page.contains(&format!("<style>{CSS}</style>"))
    );
    assert!(!page.contains(" style=") && !page.contains("http://") && !page.contains("https://"));
}
