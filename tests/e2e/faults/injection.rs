//! Values are data: whatever they hold reaches the task byte by byte, and nothing of it is run.

use std::fs;

use serde_json::json;

use super::{count, ends};
use crate::common::Lab;

/// What a shell, a template, a path or an option might make something of; `M` is the marker's path.
const PIECES: [&str; 30] = [
    "$(touch M)",
    "`touch M`",
    "; touch M;",
    "| touch M",
    "&& touch M",
    "\ntouch M\n#",
    "' ; touch M; '",
    "\" ; touch M; \"",
    "${IFS}touch${IFS}M",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# x #}",
    "-rf",
    "--help",
    "--",
    "../../M",
    "/M",
    "~",
    "*",
    "?[a-z]",
    "\\",
    "\\n",
    "\t",
    "%s%n",
    "\u{1b}[31m",
    "\u{202e}x",
    "é😀",
    "\u{0}",
    "!history",
    "a=b #c",
];

fn hostile(count: usize, marker: &str) -> Vec<String> {
    let piece = |i: usize| PIECES[i % PIECES.len()].replace('M', marker);
    // No variable of an environment can hold a NUL: it is refused, which is tested elsewhere.
    let text = |i: usize| match i / PIECES.len() {
        0 => piece(i),
        n => format!("{}{}", piece(i), piece(i * 7 + n)),
    };
    (0..count * 2).map(text).filter(|text| !text.contains('\0') && !text.is_empty()).take(count).collect()
}

#[test]
fn in_values_lists_maps_and_files() {
    let lab = Lab::new();
    let marker = lab.path("marker");
    let values = hostile(count(60, 500), marker.to_str().unwrap());
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[inputs]\nall = 'list<string>'\nby = 'map<string>'\n\
         [tasks.one]\ncache = true\ninputs = { v = 'string' }\noutputs = { o = 'string' }\nrun = 'printf %s \"$v\" > $OUT/o'\n\
         [tasks.sum]\ncache = true\ninputs = { all = 'list<string>', by = 'map<string>', again = 'list<string>' }\n\
         outputs = { all = 'json', by = 'json', again = 'json' }\n\
         run = 'printf %s \"$all\" > $OUT/all; printf %s \"$by\" > $OUT/by; printf %s \"$again\" > $OUT/again'\n\
         [nodes.one]\nforeach = ['v']\ninputs = { v = '{{ inputs.all }}' }\n\
         [nodes.sum]\ninputs = { all = '{{ inputs.all }}', by = '{{ inputs.by }}', again = '{{ one.o }}' }\n\
         [outputs]\nall = '{{ sum.all }}'\nby = '{{ sum.by }}'\nagain = '{{ sum.again }}'\none = '{{ one.o }}'\n",
    );
    let by: serde_json::Map<_, _> =
        values.iter().enumerate().map(|(i, value)| (format!("{i}{value}"), json!(value))).collect();
    lab.write_bytes("in.json", json!({ "all": values, "by": by }).to_string().as_bytes());
    for expected in ["populated", "hit"] {
        let run = ends(&mut lab.command(&["exec", "w.toml", "--json", "--inputs", "in.json"])).expect_code(0);
        let outputs = run.outputs();
        assert_eq!(outputs["all"], json!(values));
        assert_eq!(outputs["one"], json!(values));
        assert_eq!(outputs["again"], json!(values));
        assert_eq!(outputs["by"], serde_json::Value::Object(by.clone()));
        assert_eq!(run.cache("sum"), expected);
    }
    assert!(!marker.exists(), "something was run");
}

#[test]
fn in_names_of_files_and_folders() {
    let lab = Lab::new();
    let marker = lab.path("marker");
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[inputs]\nf = 'file'\nd = 'dir'\n\
         [tasks.t]\ncache = true\ninputs = { f = 'file', d = 'dir' }\noutputs = { o = 'string', n = 'int', c = 'file' }\n\
         run = 'cat -- \"$f\" > $OUT/o; ls -A -- \"$d\" | wc -l > $OUT/n; cp -- \"$f\" $OUT/c'\n\
         [nodes.t]\ninputs = { f = '{{ inputs.f }}', d = '{{ inputs.d }}' }\n[outputs]\no = '{{ t.o }}'\nc = '{{ t.c }}'\n",
    );
    let names = hostile(count(30, 500), "marker").into_iter().map(|name| name.replace('/', "_"));
    let names = names.filter(|name| name.len() < 200 && !matches!(name.as_str(), "." | ".."));
    for (i, name) in names.enumerate() {
        let folder = lab.path(&format!("d{i}/{name}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&name), &name).unwrap();
        let inputs = json!({ "f": folder.join(&name), "d": folder });
        lab.write_bytes("in.json", inputs.to_string().as_bytes());
        let run = ends(&mut lab.command(&["exec", "w.toml", "--json", "--inputs", "in.json"])).expect_code(0);
        assert_eq!(run.outputs()["o"], json!(name));
        assert_eq!(fs::read_to_string(run.outputs()["c"]["path"].as_str().unwrap()).unwrap(), name);
    }
    // The name of the workflow's own file and of the folder that it is started from.
    for name in ["-rf.toml", "$(touch marker).toml", "a b'\".toml", "--help"] {
        lab.write(name, "[workflow]\nname = 'w'\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
        ends(&mut lab.command(&["exec", "--json", "--", name])).expect_code(0);
    }
    assert!(!marker.exists(), "something was run");
}
