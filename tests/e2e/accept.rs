//! `cache accept`: a user vouches for results whose cache version alone differs.

use crate::common::Lab;

/// Two tasks, one after the other; `train` has this comment in its command and these keys.
fn flow(comment: &str, keys: &str) -> String {
    format!(
        "[workflow]\nname = \"w\"\n[inputs]\nx = {{ type = \"int\", default = 1 }}\n\
         [tasks.train]\ncache = true\n{keys}\ninputs = {{ x = \"int\" }}\noutputs = {{ m = \"file\" }}\n\
         run = 'echo t >> \"@COUNT@\"; echo $x > \"$OUT/m\" # {comment}'\n\
         [tasks.test]\ncache = true\ninputs = {{ m = \"file\" }}\noutputs = {{ score = \"int\" }}\n\
         run = 'echo e >> \"@COUNT@\"; cp \"$m\" \"$OUT/score\" # {comment}'\n\
         [nodes.train]\ninputs = {{ x = \"{{{{ inputs.x }}}}\" }}\n\
         [nodes.test]\ninputs = {{ m = \"{{{{ train.m }}}}\" }}\n[outputs]\nscore = \"{{{{ test.score }}}}\"\n"
    )
}

#[test]
fn what_differs_in_its_version_alone_is_accepted_and_says_so() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("one", ""));
    let first = lab.ok("w.toml", &[]);
    let run = first.finished()["run"].clone();
    lab.write("w.toml", &flow("two", ""));
    let dry = lab.run(&["cache", "accept", "w.toml", "train", "test", "--dry-run"]).expect_code(0);
    assert_eq!(dry.out.matches("would be accepted").count(), 2, "{}", dry.out);
    assert_eq!(lab.run(&["plan", "w.toml", "--json"]).events("node_planned")[0]["cache"], "miss");
    // What hangs on an accepted result has its inputs then.
    let mut command = lab.command(&["cache", "accept", "w.toml", "train", "test", "--json"]);
    command.env("USER", "ada");
    let done = crate::common::finish(&mut command).expect_code(0).lines();
    assert_eq!(
        done.iter().map(|line| line["verdict"].as_str().unwrap()).collect::<Vec<_>>(),
        ["accepted", "accepted"]
    );
    assert_eq!(done[0]["source"]["accepted"]["by"], "ada");
    let hit = lab.ok("w.toml", &[]);
    for node in ["train", "test"] {
        let event = hit.node(node);
        assert_eq!(event["cache"], "hit");
        assert_eq!(event["source"]["run"], run);
        let accepted = &event["source"]["accepted"];
        assert_eq!(
            (accepted["by"].as_str(), accepted["from"].as_str()),
            (Some("ada"), Some(first.key(node).as_str()))
        );
        assert!(accepted["version"].as_str().unwrap().starts_with("auto:"), "{accepted}");
    }
    assert_eq!(lab.ran(), 2);
    for args in [
        &["why", "w.toml", "train"][..],
        &["show", "@last", "train"],
        &["cache", "show", &hit.key("train")[..12]],
    ] {
        let shown = lab.run(args).expect_code(0);
        assert!(shown.out.contains("accepted by ada"), "{args:?}: {}", shown.out);
    }
    let again = lab.run(&["cache", "accept", "w.toml", "train"]).expect_code(0);
    assert!(again.out.contains("has a result already"), "{}", again.out);
}

#[test]
fn a_bumped_version_is_accepted_and_its_edit_is_none() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("one", "cache_version = \"1\""));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &flow("two", "cache_version = \"2\""));
    lab.run(&["cache", "accept", "w.toml", "train"]).expect_code(0);
    let hit = lab.ok("w.toml", &[]);
    assert_eq!((hit.cache("train").as_str(), hit.warnings().as_str()), ("hit", ""));
}

#[test]
fn anything_else_that_differs_is_named_and_refused() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("one", ""));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &flow("two", ""));
    let refused = |args: &[&str]| {
        let done = lab.run(&[&["cache", "accept", "w.toml", "train"], args].concat()).expect_code(1);
        assert!(done.out.contains("refused"), "{}", done.out);
        done.out
    };
    let out = refused(&["-i", "x=2"]);
    assert!(out.contains("input x"), "{out}");
    let out = refused(&["--domain", "production"]);
    assert!(out.contains("domain"), "{out}");
    // Another type is another signature.
    lab.write("w.toml", &flow("two", "").replace("inputs = { x = \"int\" }", "inputs = { x = \"float\" }"));
    let out = refused(&[]);
    assert!(out.contains("float"), "{out}");
    // Below a node that would run, inputs are not known.
    let done = lab.run(&["cache", "accept", "w.toml", "test"]).expect_code(1);
    assert!(done.out.contains("waits for"), "{}", done.out);
    // A result that is gone cannot be vouched for.
    lab.write("w.toml", &flow("three", ""));
    std::fs::remove_dir_all(lab.home().join("store/blobs")).unwrap();
    let out = refused(&[]);
    assert!(out.contains("cannot be used"), "{out}");
    let done = lab.run(&["cache", "accept", "w.toml", "nobody"]);
    assert_ne!(done.code, Some(0));
}

#[test]
fn elements_are_accepted_each() {
    let lab = Lab::new();
    let text = |comment: &str| {
        format!(
            "[workflow]\nname = \"w\"\n[inputs]\nxs = {{ type = \"list<int>\", default = [1, 2, 3] }}\n\
             [tasks.t]\ncache = true\ninputs = {{ x = \"int\" }}\noutputs = {{ y = {{ type = \"int\", from = \"stdout\" }} }}\n\
             run = 'echo t >> \"@COUNT@\"; echo $x # {comment}'\n[nodes.t]\nforeach = [\"x\"]\n\
             inputs = {{ x = \"{{{{ inputs.xs }}}}\" }}\n[outputs]\nys = \"{{{{ t.y }}}}\"\n"
        )
    };
    lab.write("w.toml", &text("one"));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &text("two"));
    lab.run(&["cache", "accept", "w.toml", "t[1]"]).expect_code(0);
    assert_eq!(lab.ok("w.toml", &[]).finished()["executed"], 2);
    lab.write("w.toml", &text("three"));
    let done = lab.run(&["cache", "accept", "w.toml", "t", "--json"]).expect_code(0);
    assert_eq!(done.lines().len(), 3);
    let hit = lab.ok("w.toml", &[]);
    assert_eq!((&hit.finished()["cached"], &hit.outputs()["ys"]), (&3.into(), &serde_json::json!([1, 2, 3])));
}
