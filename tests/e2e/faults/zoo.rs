//! Odd files among outputs and inputs: each gets a defined verdict, and nothing hangs.

use super::ends;
use crate::common::Lab;

/// What a task leaves in its folder, and whether that is a directory that can be stored.
const OUTPUTS: [(&str, &str, Option<&str>); 12] = [
    ("a name that is not UTF-8", "touch $'\\xff\\xfe'", Some("UTF-8")),
    ("a name with a line break", "touch $'a\\nb'", None),
    ("a name of 255 bytes", "touch $(printf 'n%.0s' {1..255})", None),
    ("names with spaces, quotes and dashes", "touch -- ' ' '\"' \"'\" -rf '*' '$(x)'", None),
    ("a long path", "p=.; for i in {1..40}; do p=$p/$(printf 'd%.0s' {1..90}); done; mkdir -p $p", None),
    ("links in a circle", "ln -s b a; ln -s a b", None),
    ("a link to nothing", "ln -s nowhere a", None),
    ("a link to itself from below", "mkdir d; ln -s ../d d/up", None),
    ("a FIFO", "mkfifo f", Some("fifo")),
    ("a socket", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'", Some("socket")),
    ("a device", "mknod n c 1 3 2> /dev/null || mkfifo n", Some("is a ")),
    ("a sparse file of 2 MB", "truncate -s 2M big", None),
];

#[test]
fn among_outputs() {
    let lab = Lab::new();
    for (what, make, refused) in OUTPUTS {
        lab.write(
            "z.toml",
            &format!(
                "[workflow]\nname = 'z'\n[tasks.t]\ncache = true\noutputs = {{ d = 'dir' }}\n\
                 run = '''\nmkdir $OUT/d; cd $OUT/d\n{make}\n'''\n[nodes.t]\n[outputs]\nd = '{{{{ t.d }}}}'\n"
            ),
        );
        let run = ends(&mut lab.command(&["exec", "z.toml", "--json"]));
        match (run.code, refused) {
            (Some(0), None) => {
                let again = ends(&mut lab.command(&["exec", "z.toml", "--json"])).expect_code(0);
                assert_eq!(again.cache("t"), "hit", "{what}");
            }
            // A verdict that names the file is one as well.
            (Some(1), _) => {
                let message = run.node("t")["error"]["message"].as_str().unwrap().to_owned();
                assert!(message.contains(refused.unwrap_or("d")), "{what}: {message}");
                assert!(refused.is_some() || what.contains("link"), "{what}: {message}");
            }
            other => panic!("{what}: {other:?} {run:?}"),
        }
        lab.run(&["cache", "verify"]).expect_code(0);
    }
    assert!(lab.alive().is_empty());
}

#[test]
fn among_inputs() {
    let lab = Lab::new();
    lab.write(
        "i.toml",
        "[workflow]\nname = 'i'\n[inputs]\nd = 'dir'\n[tasks.t]\ncache = true\ninputs = { d = 'dir' }\n\
         outputs = { n = 'int' }\nrun = 'find $d | wc -l > $OUT/n'\n[nodes.t]\ninputs = { d = '{{ inputs.d }}' }\n",
    );
    for (i, (what, make, _)) in OUTPUTS.iter().enumerate() {
        let folder = lab.path(&format!("in{i}"));
        std::fs::create_dir(&folder).unwrap();
        let made = std::process::Command::new("bash").args(["-c", make]).current_dir(&folder).status();
        assert!(made.unwrap().success(), "{what}");
        let given = format!("d={}", folder.display());
        let run = ends(&mut lab.command(&["exec", "i.toml", "--json", "-i", &given]));
        match run.code {
            Some(0) => {}
            Some(1 | 2) => {
                let said = format!("{}{}", run.out, run.err);
                assert!(said.contains(&format!("in{i}")), "{what}: the file is named: {said}");
            }
            other => panic!("{what}: {other:?} {run:?}"),
        }
    }
}

#[test]
fn very_many_entries_and_very_large_files() {
    let lab = Lab::new();
    let (entries, size) = if super::count(0, 1) == 1 { (100_000, "10G") } else { (3000, "64M") };
    lab.write(
        "m.toml",
        &format!(
            "[workflow]\nname = 'm'\n[tasks.many]\ncache = true\noutputs = {{ d = 'dir' }}\n\
             run = 'mkdir $OUT/d; cd $OUT/d; seq {entries} | xargs touch'\n\
             [tasks.sparse]\ncache = true\noutputs = {{ f = 'file' }}\nrun = 'truncate -s {size} $OUT/f'\n\
             [nodes.many]\n[nodes.sparse]\n"
        ),
    );
    // Ten gigabytes are hashed for a while.
    let run = lab.ok("m.toml", &[]);
    assert_eq!((run.cache("many"), run.cache("sparse")), ("populated".into(), "populated".into()));
    let again = ends(&mut lab.command(&["exec", "m.toml", "--json"])).expect_code(0);
    assert_eq!((again.cache("many"), again.cache("sparse")), ("hit".into(), "hit".into()));
}
