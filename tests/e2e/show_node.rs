//! `runner show RUN NODE`: one node in full.

use crate::common::Lab;
use serde_json::{Value, json};

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = 'w'\n[defaults]\ncache = true\n\
         [tasks.make]\ninputs = { n = 'int' }\noutputs = { o = 'int' }\nrun = 'echo $((n * 2)) > \"$OUT/o\"'\n\
         [tasks.bad]\nretries = 1\nretry_delay = '0s'\ninputs = { o = 'int' }\nrun = 'echo attempt $RUNNER_ATTEMPT; exit 3'\n\
         [nodes.make]\ninputs = { n = 21 }\n\
         [nodes.each]\ntask = 'make'\nforeach = ['n']\ninputs = { n = [1, 2] }\n\
         [nodes.bad]\ninputs = { o = '{{ make.o }}' }\n",
    );
    lab.exec("w.toml", &["-k"]).expect_code(1);
    lab
}

#[test]
fn a_node_is_shown_with_all_that_is_known_of_it() {
    let lab = lab();
    let text = lab.run(&["show", "@last", "bad"]).expect_code(0).out;
    for line in [
        "bad  w.bad  in run ",
        "✗ failed: exit 3 after 2 attempts; took ",
        "\ncache  miss",
        "\nkey    ",
        "\nattempts\n  1  exit 3 ",
        "\n  2  exit 3 ",
        "\ninputs\n  o = 42\n",
        "  │ attempt 2\n",
    ] {
        assert!(text.contains(line), "{line:?}\n{text}");
    }
    let made = lab.run(&["show", "@last", "make"]).expect_code(0).out;
    assert!(made.contains("✓ succeeded: took ") && made.contains("\noutputs\n  o = 42\n"), "{made}");
    let element = lab.run(&["show", "@last", "each", "--index", "1"]).expect_code(0).out;
    assert!(element.starts_with("each[1]  w.make  in run ") && element.contains("\n  o = 4\n"), "{element}");
    assert_eq!(lab.run(&["show", "@last", "each[1]"]).expect_code(0).out, element);
    assert!(lab.run(&["show", "@last", "each"]).expect_code(0).out.contains("2 elements: 2 executed"));
}

#[test]
fn its_document_is_its_end_with_what_came_before() {
    let lab = lab();
    let document = |args: &[&str]| -> Value {
        serde_json::from_str(&lab.run(&[&["show", "@last", "--json"], args].concat()).expect_code(0).out)
            .unwrap()
    };
    let bad = document(&["bad"]);
    assert_eq!((&bad["v"], &bad["status"], &bad["attempts"]), (&json!(1), &json!("failed"), &json!(2)));
    assert_eq!(bad["failed_attempts"].as_array().unwrap().len(), 2);
    assert!(bad["waited_ms"].is_u64() && bad["log"].as_str().unwrap().ends_with("/bad.2.log"), "{bad}");
    let whole = document(&[]);
    let nodes = whole["nodes"].as_array().unwrap();
    let labels: Vec<_> = nodes.iter().map(|node| format!("{}{}", node["node"], node["index"])).collect();
    assert_eq!(labels.len(), 5);
    let at = |label: &str| labels.iter().position(|found| found == label).unwrap();
    assert!(at("\"each\"0") < at("\"each\"1") && at("\"each\"1") < at("\"each\"null"), "{labels:?}");
    assert_eq!(nodes[at("\"bad\"null")]["failed_attempts"], bad["failed_attempts"]);
}

#[test]
fn a_name_that_is_not_there_has_a_near_one() {
    let lab = lab();
    for (args, expected) in [
        (&["mkae"][..], "did you mean `make`?"),
        (&["each", "--index", "7"], "`each` has 2 elements, 0 to 1: there is no 7"),
        (&["each[1]", "--index", "0"], "name two elements"),
    ] {
        let done = lab.run(&[&["show", "@last"], args].concat()).expect_code(2);
        assert!(done.err.contains(expected), "{}", done.err);
    }
}
