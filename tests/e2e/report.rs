//! `report`: one page of HTML about a run. What the page looks like is tested where it is made; here it is made of real
//! runs, and opened in a browser where there is one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Lab, chromium};
use serde_json::{Value, json};

const MANY: &str = "\
[workflow]
name = \"many\"
[inputs]
unlucky = { type = \"string\", default = \"c\" }
[defaults]
cache = true
[tasks.draw]
outputs = { picture = \"file\", note = \"string\", folder = \"dir\" }
run = '''
echo '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"40\"><script>alert(1)</script><rect width=\"40\" height=\"40\" fill=\"red\"/></svg>' > \"$OUT/picture\"
echo '<b>bold</b>' > \"$OUT/note\"
mkdir \"$OUT/folder\"; echo entry > \"$OUT/folder/entry\"
echo 'a line </pre><script>alert(2)</script>'
'''
[tasks.try]
inputs = { word = \"string\", unlucky = \"string\", note = \"string\" }
outputs = { loud = \"string\" }
run = 'echo \"trying $word\"; [ \"$word\" != \"$unlucky\" ]; echo \"$word!\" > \"$OUT/loud\"'
[tasks.tell]
inputs = { all = \"list<string>\" }
run = 'echo \"$all\"'
[nodes.draw]
[nodes.try]
foreach = [\"word\"]
retries = 1
retry_delay = \"1ms\"
inputs = { word = [\"a\", \"b\", \"c\"], unlucky = \"{{ inputs.unlucky }}\", note = \"{{ draw.note }}\" }
[nodes.tell]
inputs = { all = \"{{ try.loud }}\" }
[outputs]
picture = \"{{ draw.picture }}\"
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("w.toml", MANY);
    lab
}

/// The page of the last run.
fn report(lab: &Lab) -> String {
    lab.run(&["report", "@last", "-o", "r.html"]).expect_code(0);
    lab.read("r.html")
}

#[test]
fn the_path_is_printed_and_the_page_is_one_file() {
    let lab = lab();
    let run = lab.ok("w.toml", &["-i", "unlucky=z"]).finished()["run"].as_str().unwrap().to_owned();
    let done = lab.run(&["report", "@last"]).expect_code(0);
    let name = format!("report-{run}.html");
    assert_eq!((done.out, done.err.as_str()), (format!("{name}\n"), ""));
    assert!(std::fs::metadata(lab.path(&name)).unwrap().permissions().mode() & 0o044 != 0);
    let done = lab.run(&["report", &run[..6], "-o", "x.html", "--json"]).expect_code(0);
    let document: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document, json!({"v": 1, "run": run, "path": "x.html"}));
    for wrong in [&["report", "nope"][..], &["report", "@last", "-o", "no/such/x.html"]] {
        assert!(!lab.run(wrong).expect_code(2).err.is_empty());
    }
    let left: Vec<_> =
        std::fs::read_dir(lab.dir()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".report")), "{left:?}");
}

#[test]
fn a_failed_run_is_told_with_its_logs_and_images() {
    let lab = lab();
    lab.exec("w.toml", &[]).expect_code(1);
    // The drawing is of the workflow as it was.
    lab.write("w.toml", "no workflow any more");
    let page = report(&lab);
    for part in [
        "<h2>Failures</h2>",
        ">try[2]</a>",
        "attempt 1: exit 1",
        "attempt 2: exit 1",
        "trying c",
        "<g class=\"node failed\"><title>try\n",
        "<g class=\"node executed\"><title>draw\n",
        "<title>draw.note → try.note</title>",
        "src=\"data:image/svg+xml;base64,",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains("<b>bold"), "{page}");
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("xmlns=").count());
}

#[test]
fn a_cached_run_says_where_results_came_from_and_a_damaged_image_is_not_shown() {
    let lab = lab();
    let first = lab.ok("w.toml", &["-i", "unlucky=z"]);
    let run = first.finished()["run"].as_str().unwrap().to_owned();
    let blob = PathBuf::from(first.node("draw")["outputs"]["picture"]["path"].as_str().unwrap());
    lab.ok("w.toml", &["-i", "unlucky=z"]);
    let page = report(&lab);
    assert!(page.contains(&format!("from run {run}, node draw")), "{page}");
    assert!(page.contains("<rect class=\"cached\"") && page.contains("saved by the cache"), "{page}");
    assert!(page.contains("<g class=\"node cached\"><title>draw\n"));
    let bytes = std::fs::read(&blob).unwrap();
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, vec![b'<'; bytes.len()]).unwrap();
    assert!(!report(&lab).contains("<img"));
    std::fs::remove_file(&blob).unwrap();
    assert!(!report(&lab).contains("<img"));
}

#[test]
fn a_run_that_remembers_no_workflow_has_no_drawing_and_says_why() {
    let lab = lab();
    lab.ok("w.toml", &["-i", "unlucky=z"]);
    let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
    db.execute("UPDATE run SET invocation = ''", []).unwrap();
    drop(db);
    let page = report(&lab);
    assert!(page.contains("Not drawn: ") && page.contains("is older than"), "{page}");
    assert!(page.contains("<h2>Timeline</h2>"));
}

#[test]
fn a_browser_shows_the_page_and_refuses_what_is_foreign() {
    let Some(browser) = chromium::program() else { return };
    let lab = lab();
    lab.exec("w.toml", &[]).expect_code(1);
    let page = report(&lab);
    // A script that the page did not come with must not run; the page's own adds the filter.
    let foreign = "<script>document.title = 'foreign'</script><img src='http://127.0.0.1:9/x.png'></body>";
    lab.write("r.html", &page.replace("</body>", foreign));
    let profile = lab.path("profile");
    let done = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}#n0", lab.path("r.html").display()))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(dom.contains("<input id=\"filter\""), "the page's own script did not run\n{log}\n{dom}");
    assert!(dom.contains("<details open=\"\">"), "{dom}");
    assert!(dom.contains("<title>many") && !dom.contains("<title>foreign"), "{dom}");
    let refused = log.lines().filter(|line| line.contains("Content Security Policy")).count();
    assert_eq!(refused, 2, "only what is foreign is refused, and nothing else goes wrong\n{log}");
}

#[test]
fn nothing_is_wider_than_a_telephone() {
    let Some(browser) = chromium::program() else { return };
    let lab = lab();
    lab.exec("w.toml", &[]).expect_code(1);
    let page = report(&lab);
    // The page's policy allows no script of a test.
    let (head, rest) = page.split_once("<meta http-equiv").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let measure = "<script>addEventListener('load', () => { const root = document.documentElement; \
                   document.title = `wide ${root.scrollWidth} of ${root.clientWidth}`; })</script></body>";
    lab.write("r.html", &format!("{head}{}", rest.replace("</body>", measure)));
    let profile = lab.path("narrow");
    let done = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--window-size=390,3000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", lab.path("r.html").display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&done.stdout);
    let title =
        dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or_default();
    let (wide, window) = title.trim_start_matches("wide ").split_once(" of ").unwrap_or_default();
    assert!(!wide.is_empty() && wide == window, "{title}");
}

#[test]
fn what_stands_behind_o_is_written_through_and_never_replaced_by_a_file() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let lab = Lab::new();
    lab.write("w.toml", "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    lab.ok("w.toml", &[]);
    lab.write("real", "old");
    symlink("real", lab.path("link")).unwrap();
    for args in [&["report", "@last"][..], &["export", "@last", "t"], &["graph", "w.toml", "--format", "svg"]]
    {
        let to = |path: &str| lab.run(&[args, &["-o", path]].concat());
        lab.write("real", "old");
        to("link").expect_code(0);
        assert!(std::fs::symlink_metadata(lab.path("link")).unwrap().is_symlink(), "{args:?}");
        assert_ne!(std::fs::read(lab.path("real")).unwrap(), b"old", "{args:?}");
        to("/dev/null").expect_code(0);
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device(), "{args:?}");
        // A pipe behind standard output gets the content and nothing else.
        let piped = to("/dev/stdout").expect_code(0);
        assert!(piped.out.len() > 500 && !piped.out.contains("/dev/stdout"), "{args:?}: {}", piped.out);
        let full = to("/dev/full").expect_code(2);
        assert!(full.err.contains("No space left"), "{args:?}: {}", full.err);
        assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device(), "{args:?}");
    }
}
