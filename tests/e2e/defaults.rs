//! `[defaults]`, sources from above the folder, and scripts with Windows line ends.

use crate::common::{Lab, finish};

#[test]
fn defaults_hold_for_tasks_that_say_nothing_and_env_is_merged() {
    let lab = Lab::new();
    let show = "run = 'm=lax; case $- in *e*) m=strict;; esac; echo \"$m ${A-} ${B-} ${PASSED-} $(test -e w.toml && echo here)\"'\noutputs = { o = { type = \"string\", from = \"stdout\" } }\n";
    lab.write(
        "lib.toml",
        &format!("[library]\nname = \"lib\"\n[defaults]\nenv = {{ A = \"library\" }}\n[tasks.t]\n{show}"),
    );
    lab.write(
        "w.toml",
        &format!(
            "import = [\"lib.toml\"]\n[workflow]\nname = \"w\"\n[defaults]\nshell = [\"bash\", \"-u\"]\n\
             env = {{ A = \"default\", B = \"default\" }}\npass_env = [\"PASSED\"]\ncwd = \"workflow\"\n\
             [tasks.plain]\n{show}[tasks.own]\nenv = {{ B = \"task\" }}\npass_env = []\ncwd = \"scratch\"\nshell = [\"bash\", \"-eu\"]\n{show}\
             [nodes.plain]\n[nodes.own]\n[nodes.t]\ntask = \"lib.t\"\n\
             [outputs]\nplain = \"{{{{ plain.o }}}}\"\nown = \"{{{{ own.o }}}}\"\nt = \"{{{{ t.o }}}}\"\n"
        ),
    );
    let done = finish(lab.command(&["exec", "w.toml", "--json"]).env("PASSED", "passed")).expect_code(0);
    let outputs = done.outputs();
    let words = |name: &str| {
        let text = outputs[name].as_str().unwrap().to_owned();
        text.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(words("plain"), ["default", "default", "passed", "here"]);
    assert!(outputs["plain"].as_str().unwrap().starts_with("lax "), "{outputs}");
    assert_eq!(words("own"), ["default", "task"]);
    // A library's tasks go by the library's own defaults.
    assert_eq!(words("t"), ["library"]);
    for own in ["own", "t"] {
        assert!(outputs[own].as_str().unwrap().starts_with("strict "), "{outputs}");
    }
}

#[test]
fn errors_in_defaults_have_a_place() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"w\"\n[defaults]\nshell = []\nenv = { OUT = \"x\" }\ncwd = \"here\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n";
    lab.write("w.toml", text);
    let done = lab.run(&["check", "w.toml"]).expect_code(2);
    for says in ["`shell` must name a program", "`OUT` is set by the runner itself", "`cwd` must be"] {
        assert!(done.err.contains(says), "{says}: {}", done.err);
    }
    // `--set` changes policies alone.
    lab.write("w.toml", "[workflow]\nname = \"w\"\n[tasks.t]\nrun = 'true'\n[nodes.t]\n");
    let done = lab.run(&["exec", "w.toml", "--set", "defaults.cwd=workflow"]).expect_code(2);
    assert!(done.err.contains("unknown key `cwd`"), "{}", done.err);
}

#[test]
fn sources_from_above_the_folder_say_where_they_go() {
    let lab = Lab::new();
    lab.write("scripts/a.py", "print('a')");
    lab.write("scripts/deep/b.py", "print('b')");
    lab.write("one.txt", "one");
    let text = "[workflow]\nname = \"w\"\n[tasks.t]\ncache = true\nrun = '''\necho x >> @COUNT@\nfind . -type f | sort\n'''\n\
        outputs = { o = { type = \"string\", from = \"stdout\" } }\n\
        sources = [{ path = \"../scripts/**/*.py\", as = \"lib/py\" }, { path = \"../one.txt\", as = \"two.txt\" }]\n\
        [nodes.t]\n[outputs]\no = \"{{ t.o }}\"\n";
    lab.write("flows/w.toml", text);
    let first = lab.ok("flows/w.toml", &[]);
    assert_eq!(first.outputs()["o"], "./lib/py/a.py\n./lib/py/deep/b.py\n./two.txt");
    assert_eq!(lab.ok("flows/w.toml", &[]).cache("t"), "hit");
    lab.write("scripts/deep/b.py", "print('c')");
    assert_eq!(lab.ok("flows/w.toml", &[]).cache("t"), "populated");
    assert_eq!(lab.ran(), 2);
    lab.write("flows/w.toml", &text.replace("two.txt", "lib/py/a.py"));
    let clash = lab.exec("flows/w.toml", &[]);
    assert_ne!(clash.code, Some(0));
    assert!(
        format!("{}{}", clash.out, clash.err).contains("would both be staged as lib/py/a.py"),
        "{}",
        clash.err
    );
    lab.write("flows/w.toml", &text.replace("\"lib/py\"", "\"../x\""));
    let done = lab.run(&["check", "flows/w.toml"]).expect_code(2);
    assert!(done.err.contains("`as` of source `../scripts/**/*.py`: `..` leads outside"), "{}", done.err);
}

#[test]
fn windows_line_ends_of_a_script_are_plain_ones() {
    let lab = Lab::new();
    let text = "[workflow]\nname = \"w\"\n[tasks.t]\ncache = true\nrun = '''\necho x >> @COUNT@\nif true; then\n  printf %s yes\nfi\n'''\n\
        outputs = { o = { type = \"string\", from = \"stdout\" } }\n[nodes.t]\n[outputs]\no = \"{{ t.o }}\"\n";
    lab.write("w.toml", &text.replace('\n', "\r\n"));
    let first = lab.ok("w.toml", &[]);
    assert_eq!(first.outputs()["o"], "yes");
    assert!(first.warnings().contains("`run` of task `t` has Windows line ends"), "{first:?}");
    assert_eq!(lab.ok("w.toml", &[]).warnings(), "", "said once for this text");
    let checked = lab.run(&["check", "w.toml"]).expect_code(0);
    assert!(checked.err.contains("`run` of task `t` has Windows line ends"), "{}", checked.err);
    // The same key with plain ones.
    lab.write("w.toml", text);
    assert_eq!(lab.ok("w.toml", &[]).cache("t"), "hit");
    assert!(!lab.run(&["check", "w.toml"]).expect_code(0).err.contains("Windows"));
}
