//! A home with runs of every kind, the daemon that serves it, and addresses of all its pages.

use std::fs;

use serde_json::Value;

use crate::common::Lab;
use crate::common::chromium::Browser;
use crate::common::live::{Live, until};

/// Elements, a task that fails for one word, a long log with colours and markup, values that look like markup.
const SHOP: &str = r#"
[workflow]
name = "shop"
description = "Prices & stock, <b>every</b> day"
[inputs]
word = { type = "string", default = "good", description = "what the check is about" }
rounds = { type = "int", default = 3 }
speed = { type = "string", default = "fast", one_of = ["fast", "slow"] }
tags = { type = "list<string>", default = ["new", "sale"] }
[tasks.fetch]
cache = true
inputs = { word = "string" }
outputs = { page = "file", parts = "list<string>" }
run = '''
printf '<script>document.title = "foreign"</script>\n\033[31mred\033[0m \033[1;32mbold\033[0m & "x"\n'
printf '<b>%s</b>' "$word" > "$OUT/page"
seq 40 | sed 's/.*/"part &"/' | paste -sd, | sed 's/.*/[&]/' > "$OUT/parts"
'''
[tasks.price]
cache = true
inputs = { part = "string" }
outputs = { text = { type = "string", from = "stdout" } }
run = 'echo "$part costs <1>"'
[tasks.check]
inputs = { page = "file", word = "string" }
outputs = { ok = "string" }
run = '''
for i in $(seq 3000); do echo "line $i of the check, which says what it looks at"; done
if [ "$word" != good ]; then echo "it is <$word>, which nobody expects" >&2; exit 3; fi
echo yes > "$OUT/ok"
'''
[tasks.publish]
inputs = { ok = "string", prices = "list<string>" }
run = 'echo "$ok"'
[nodes.fetch]
inputs = { word = "{{ inputs.word }}" }
[nodes.price]
foreach = ["part"]
inputs = { part = "{{ fetch.parts }}" }
[nodes.check]
inputs = { page = "{{ fetch.page }}", word = "{{ inputs.word }}" }
retries = 1
retry_delay = "1ms"
[nodes.publish]
inputs = { ok = "{{ check.ok }}", prices = "{{ price.text }}" }
[outputs]
page = "{{ fetch.page }}"
"#;

/// A schedule that fails on two of its days.
const ETL: &str = r#"
[workflow]
name = "etl"
[inputs]
day = "date"
[tasks.load]
cache = true
inputs = { day = "date" }
outputs = { text = { type = "string", from = "stdout" } }
run = 'echo "$day"; case "$day" in *-04|*-05) exit 1;; esac'
[nodes.load]
inputs = { day = "{{ inputs.day }}" }
[[schedules]]
name = "nightly"
cron = "0 2 * * *"
timezone = "Europe/Berlin"
scheduled_at_input = "day"
[[schedules]]
name = "hourly"
cron = "30 * * * *"
scheduled_at_input = "day"
"#;

/// Goes on until a file is there, and prints what is in another one.
const WAIT: &str = r#"
[workflow]
name = "wait"
[tasks.quick]
run = 'echo quick'
[tasks.slow]
run = '''
echo "it waits"
while [ -d "@DIR@" ] && [ ! -e "@DIR@/go" ]; do sleep 0.02; if [ -e "@DIR@/say" ]; then cat "@DIR@/say"; rm "@DIR@/say"; fi; done
'''
[nodes.quick]
[nodes.slow]
[nodes.last]
task = "quick"
needs = ["slow"]
"#;

/// Every workflow of the scene, in the folder `flows`.
pub fn write(lab: &Lab) {
    lab.write("flows/shop.toml", SHOP);
    lab.write("flows/etl.toml", ETL);
    lab.write("flows/wait.toml", WAIT);
    lab.write("flows/broken.toml", "[workflow]\nname = 'broken'\n[tasks.t]\nrum = 'true'\n");
}

/// Runs of every kind but one that goes on. The names of runs that pages are about.
pub struct History {
    pub good: String,
    pub bad: String,
}

pub fn history(lab: &Lab) -> History {
    let run = |args: &[&str], code| {
        let done = lab.exec("flows/shop.toml", args).expect_code(code);
        done.finished()["run"].as_str().unwrap().to_owned()
    };
    let days =
        ["schedule", "backfill", "etl/nightly", "flows", "--from", "2020-01-01", "--to", "2020-01-05", "-k"];
    let days: Vec<&str> = days.into_iter().filter(|word| *word != "flows").collect();
    let mut known = lab.command(&["serve", "flows", "--once", "--no-web"]);
    assert!(known.output().unwrap().status.code().is_some());
    lab.run(&days).expect_code(1);
    lab.run(&["schedule", "pause", "etl/hourly", "--reason", "the <source> is away"]).expect_code(0);
    for _ in 0..4 {
        // Only the task without a cache runs again.
        lab.exec("flows/shop.toml", &["--until", "price"]).expect_code(0);
    }
    let good = run(&[], 0);
    let bad = run(&["-i", "word=bad"], 1);
    History { good, bad }
}

/// One workflow of one node, run once, with one schedule; the name of its run.
pub fn one(lab: &Lab) -> String {
    let text = "[workflow]\nname = 'one'\n[tasks.only]\ncache = true\nrun = 'echo one line'\n[nodes.only]\n\
                [[schedules]]\nname = 'daily'\ncron = '@daily'\n";
    lab.write("flows/one.toml", text);
    lab.ok("flows/one.toml", &[]).finished()["run"].as_str().unwrap().to_owned()
}

/// Number of nodes of the run of [`many`]: more than are drawn or listed at once.
const MANY_NODES: usize = 330;

/// More runs than a page of the list has, some failed, and a run with more nodes than are drawn; its name.
pub fn many(lab: &Lab) -> String {
    lab.write("flows/etl.toml", ETL);
    let mut wide = "[workflow]\nname = 'wide'\n[tasks.t]\ncache = true\ninputs = { n = 'int' }\n\
                    run = 'echo $n; [ $((n % 80)) -ne 7 ]'\n"
        .to_owned();
    for n in 0..MANY_NODES {
        let needs = if n < 30 { String::new() } else { format!("needs = ['step_{}']\n", n - 30) };
        wide += &format!("[nodes.step_{n}]\ntask = 't'\ninputs = {{ n = {n} }}\n{needs}");
    }
    lab.write("flows/wide.toml", &wide);
    let known = lab.command(&["serve", "flows", "--once", "--no-web"]).output().unwrap();
    assert!(known.status.code().is_some());
    let days = ["--from", "2020-01-01", "--to", "2020-04-20", "-k", "-j2"];
    lab.run(&[&["schedule", "backfill", "etl/nightly"], &days[..]].concat()).expect_code(1);
    let run = lab.exec("flows/wide.toml", &["-k"]).expect_code(1);
    run.finished()["run"].as_str().unwrap().to_owned()
}

/// The daemon on a free port, and its URL without the `/` at its end.
pub fn serve<'l>(lab: &'l Lab, args: &[&str]) -> (Live<'l>, String) {
    let live = Live::verb(lab, "serve", &[&["serve", "--json", "--listen", "127.0.0.1:0"], args].concat());
    let mut url = String::new();
    until("it is ready", || {
        let serving = live.said().events("serving").pop();
        url = serving.as_ref().and_then(|event| event["url"].as_str()).unwrap_or_default().to_owned();
        !url.is_empty()
    });
    (live, url.trim_end_matches('/').to_owned())
}

/// Logs the browser in, as a person does with the link.
pub fn log_in(lab: &Lab, browser: &mut Browser) {
    let link: Value = serde_json::from_str(&lab.run(&["web", "--json"]).expect_code(0).out).unwrap();
    browser.open(link["url"].as_str().unwrap());
    browser.until("location.pathname.endsWith('/runs') && document.readyState === 'complete'");
}

/// The folder of the pictures.
pub fn pictures() -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("web-pictures");
    fs::create_dir_all(&folder).unwrap();
    folder
}
