//! Publishing never destroys what `runner` did not publish.

use std::fs;

use crate::common::Lab;

/// A task that makes a file and a directory whose content follows the input `v`, and outputs as given.
fn flow(outputs: &str) -> String {
    format!(
        "[workflow]\nname = 'w'\n[inputs]\nv = {{ type = 'string', default = '1' }}\n\
         [tasks.t]\ncache = true\ninputs = {{ v = 'string' }}\n\
         outputs = {{ f = 'file', d = 'dir', l = 'list<file>', m = 'map<file>' }}\n\
         run = \"\"\"\necho $v > $OUT/f; mkdir $OUT/d; echo $v > $OUT/d/a; echo $v > $OUT/d/only-$v\n\
         mkdir -p $OUT/x $OUT/y; echo 1 > $OUT/x/p.csv; echo 2 > $OUT/y/p.csv\n\
         echo '[\"x/p.csv\", \"y/p.csv\"]' > $OUT/l; echo '{{\"de\": \"x/p.csv\"}}' > $OUT/m\n\"\"\"\n\
         [nodes.t]\ninputs = {{ v = '{{{{ inputs.v }}}}' }}\n[outputs]\n{outputs}"
    )
}

#[test]
fn a_project_survives_being_the_folder_of_an_output() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("d = { value = '{{ t.d }}', path = '.' }\n"));
    lab.write(".git/HEAD", "mine");
    lab.ok("w.toml", &[]);
    lab.ok("w.toml", &["-i", "v=2"]);
    assert_eq!((lab.read("a").as_str(), lab.read(".git/HEAD").as_str()), ("2\n", "mine"));
    assert!(lab.path("w.toml").exists() && lab.path("only-2").exists() && !lab.path("only-1").exists());
}

#[test]
fn a_users_file_in_the_way_fails_the_run_by_name_until_it_is_given_up() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("f = { value = '{{ t.f }}', path = 'results/r.txt' }\n"));
    lab.write("results/r.txt", "mine");
    let done = lab.run(&["exec", "w.toml"]).expect_code(1);
    assert!(done.err.contains("results/r.txt (runner did not put it there)"), "{}", done.err);
    assert!(done.err.contains("--replace-outputs"), "{}", done.err);
    assert_eq!(lab.read("results/r.txt"), "mine");
    lab.run(&["exec", "w.toml", "--replace-outputs"]).expect_code(0);
    assert_eq!(lab.read("results/r.txt"), "1\n");
    lab.ok("w.toml", &["-i", "v=2"]);
    fs::write(lab.path("results/r.txt"), "edited").unwrap();
    let done = lab.ok("w.toml", &["-i", "v=2"]);
    assert!(done.warnings().contains("r.txt was edited after it was published: replaced"), "{done:?}");
    assert_eq!(lab.read("results/r.txt"), "2\n");
}

#[test]
fn what_the_run_is_made_of_is_refused_before_anything_runs() {
    let lab = Lab::new();
    lab.write("lib.toml", "[library]\nname = 'lib'\n[tasks.x]\nrun = 'true'\n");
    lab.write("s.py", "source");
    lab.write("in.txt", "input");
    for (path, what) in [
        ("w.toml", "a workflow file of the run"),
        ("./sub/../lib.toml", "a library of the run"),
        ("s.py", "a source of the task `w.t`"),
        ("in.txt", "the input `i` of the run"),
    ] {
        let text = format!(
            "import = ['lib.toml']\n[workflow]\nname = 'w'\n[inputs]\ni = 'file'\n[tasks.t]\n\
             inputs = {{ i = 'file' }}\noutputs = {{ f = 'file' }}\nsources = ['s.py']\n\
             run = 'echo t >> @COUNT@; echo > $OUT/f'\n[nodes.t]\ninputs = {{ i = '{{{{ inputs.i }}}}' }}\n\
             [outputs]\nf = {{ value = '{{{{ t.f }}}}', path = '{path}' }}\n"
        );
        lab.write("w.toml", &text);
        let done = lab.run(&["exec", "w.toml", "-i", "i=in.txt", "--replace-outputs"]).expect_code(2);
        assert!(done.err.contains(what), "{path}: {}", done.err);
        assert_eq!(
            (lab.ran(), lab.read("s.py").as_str(), lab.read("in.txt").as_str()),
            (0, "source", "input")
        );
        let checked = lab.run(&["check", "w.toml"]);
        assert_eq!(checked.code, Some(if path == "in.txt" { 0 } else { 2 }), "{path}: {}", checked.err);
    }
}

#[test]
fn outputs_inside_of_each_other_and_folders_of_files() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        &flow(
            "b = { value = '{{ t.f }}', path = 'o/b.txt' }\nd = { value = '{{ t.d }}', path = 'o' }\n\
             l = { value = '{{ t.l }}', path = 'list' }\nm = { value = '{{ t.m }}', path = 'map' }\n",
        ),
    );
    for v in ["v=1", "v=2"] {
        let done = lab.ok("w.toml", &["-i", v]);
        assert_eq!(
            (lab.read("o/b.txt"), lab.read("o/a")),
            (format!("{}\n", &v[2..]), format!("{}\n", &v[2..]))
        );
        assert_eq!((lab.read("list/p.csv"), lab.read("list/2-p.csv")), ("1\n".into(), "2\n".into()));
        assert_eq!(lab.read("map/de.csv"), "1\n");
        assert!(done.outputs()["l"][1]["path"].as_str().unwrap().ends_with("list/2-p.csv"));
        assert!(done.outputs()["m"]["de"]["path"].as_str().unwrap().ends_with("map/de.csv"));
    }
}

#[test]
fn check_warns_of_a_path_outside() {
    let lab = Lab::new();
    lab.write("sub/w.toml", &flow("f = { value = '{{ t.f }}', path = '../r.txt' }\n"));
    let done = lab.run(&["check", "sub/w.toml"]).expect_code(0);
    assert!(done.err.contains("output `f` is published outside the workflow's folder"), "{}", done.err);
}
