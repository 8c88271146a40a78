//! `cache_aliases`: a renamed task keeps its results.

use crate::common::Lab;

/// A workflow of one task, under these names, with these further keys.
fn flow(name: &str, task: &str, more: &str) -> String {
    format!(
        "[workflow]\nname = \"{name}\"\n[inputs]\nx = {{ type = \"int\", default = 1 }}\n\
         [tasks.{task}]\ncache = true\n{more}\ninputs = {{ x = \"int\" }}\noutputs = {{ y = \"file\" }}\n\
         run = 'echo x >> \"@COUNT@\"; echo $x > \"$OUT/y\"'\n\
         [nodes.n]\ntask = \"{task}\"\ninputs = {{ x = \"{{{{ inputs.x }}}}\" }}\n[outputs]\ny = \"{{{{ n.y }}}}\"\n"
    )
}

#[test]
fn a_result_under_a_former_name_is_a_hit_and_stored_under_the_new_key() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("old-flow", "train", ""));
    let first = lab.ok("w.toml", &[]);
    lab.write("w.toml", &flow("flow", "fit", ""));
    assert_eq!(lab.run(&["plan", "w.toml", "--json"]).events("node_planned")[0]["cache"], "miss");
    for verb in [&["plan", "w.toml"][..], &["why", "w.toml", "n"]] {
        let hint = "cache_aliases = [\"old-flow.train\"]";
        assert!(
            lab.run(verb).out.split_whitespace().collect::<Vec<_>>().join(" ").contains(hint),
            "{verb:?}"
        );
    }
    lab.write("w.toml", &flow("flow", "fit", "cache_aliases = [\"nobody.knows\", \"old-flow.train\"]"));
    let plan = lab.run(&["plan", "w.toml", "--json"]).expect_code(0).events("node_planned")[0].clone();
    assert_eq!(plan["cache"], "hit");
    assert!(plan["reason"].as_str().unwrap().contains("stored as old-flow.train"), "{plan}");
    let hit = lab.ok("w.toml", &[]);
    let node = hit.node("n");
    assert_eq!(
        (node["cache"].as_str(), node["source"]["alias"].as_str()),
        (Some("hit"), Some("old-flow.train"))
    );
    assert_eq!(
        node["source"]["run"],
        first.node("n")["source"]["run"].as_str().map_or(first.finished()["run"].clone(), Into::into)
    );
    assert_ne!(hit.key("n"), first.key("n"));
    let show = lab.run(&["show", "@last", "n"]).expect_code(0);
    assert!(show.out.contains("stored as old-flow.train"), "{}", show.out);
    // The alias is not needed any more, and the entry still says where it is from.
    lab.write("w.toml", &flow("flow", "fit", ""));
    let again = lab.ok("w.toml", &[]).node("n");
    assert_eq!(
        (again["cache"].as_str(), again["source"]["alias"].as_str()),
        (Some("hit"), Some("old-flow.train"))
    );
    let why = lab.run(&["why", "w.toml", "n"]).expect_code(0);
    assert!(why.out.contains("stored as old-flow.train"), "{}", why.out);
    let entry = lab.run(&["cache", "show", &hit.key("n")[..12]]).expect_code(0);
    assert!(entry.out.contains("stored as old-flow.train"), "{}", entry.out);
    // Also where the old entry has gone.
    lab.run(&["cache", "evict", "--task", "old-flow.train"]).expect_code(0);
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "hit");
    assert_eq!(lab.ran(), 1);
}

#[test]
fn everything_else_must_be_equal_and_a_result_of_its_own_comes_first() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("old", "t", ""));
    lab.ok("w.toml", &[]);
    let alias = "cache_aliases = [\"old.t\"]";
    lab.write("w.toml", &flow("new", "t", alias));
    for args in [&["-i", "x=2"][..], &["--project", "other"], &["--domain", "production"]] {
        assert_eq!(lab.ok("w.toml", args).cache("n"), "populated", "{args:?}");
    }
    lab.write("w.toml", &flow("new", "t", alias).replace("echo $x", "echo  $x"));
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "populated");
    assert!(lab.ok("w.toml", &[]).node("n")["source"]["alias"].is_null());
    // Read-only: a hit that is not stored.
    lab.write("w.toml", &flow("third", "t", alias));
    assert_eq!(lab.ok("w.toml", &["--cache", "ro"]).cache("n"), "hit");
    lab.write("w.toml", &flow("third", "t", ""));
    assert_eq!(lab.ok("w.toml", &["--cache", "ro"]).cache("n"), "miss");
}

#[test]
fn they_join_no_key_and_are_checked() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("w", "t", ""));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &flow("w", "t", "cache_aliases = [\"old.t\"]"));
    assert_eq!(lab.ok("w.toml", &[]).cache("n"), "hit");
    for (alias, needle) in [
        ("train", "takes qualified names"),
        ("A.b", "takes qualified names"),
        ("w.t", "the name that the task has now"),
    ] {
        lab.write("w.toml", &flow("w", "t", &format!("cache_aliases = [\"{alias}\"]")));
        let done = lab.run(&["check", "w.toml"]).expect_code(2);
        assert!(done.err.contains(needle), "{alias}: {}", done.err);
    }
    let text = flow("w", "t", "") + "[defaults]\ncache_aliases = [\"old.t\"]\n";
    lab.write("w.toml", &text);
    let done = lab.run(&["check", "w.toml"]).expect_code(2);
    assert!(done.err.contains("belongs to one task"), "{}", done.err);
}

#[test]
fn a_task_that_was_renamed_and_edited_is_recognised_by_its_node() {
    let lab = Lab::new();
    lab.write("w.toml", &flow("flow", "train", ""));
    lab.ok("w.toml", &[]);
    lab.write("w.toml", &flow("flow", "fit", "").replace("echo $x >", "echo  $x >"));
    for verb in [&["plan", "w.toml"][..], &["why", "w.toml", "n"]] {
        let said = lab.run(verb).expect_code(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("task flow.train -> flow.fit") && said.contains("command"), "{verb:?}: {said}");
        assert!(!said.contains("cache_aliases"), "{verb:?}: {said}");
    }
    // Not so while the workflow has the other task as well.
    let both = flow("flow", "fit", "")
        .replace("[nodes.n]", "[tasks.train]\nrun = 'true'\n[nodes.other]\ntask = \"train\"\n[nodes.n]");
    lab.write("w.toml", &both.replace("echo $x >", "echo  $x >"));
    let said = lab.run(&["plan", "w.toml", "--json"]).events("node_planned");
    let node = said.iter().find(|node| node["node"] == "n").unwrap();
    assert_eq!(node["reason"], "no earlier result of flow.fit is stored", "{said:?}");
}
