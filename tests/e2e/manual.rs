//! `runner help` and `runner man`: the manual in the terminal and as man pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Lab, finish};

fn docs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_page_is_a_topic_that_help_lists_and_shows() {
    let lab = Lab::new();
    let contents = lab.run(&["help"]).expect_code(0).out;
    for page in docs() {
        assert!(contents.lines().any(|line| line.trim_start().starts_with(&page)), "{page} in\n{contents}");
        let shown = lab.run(&["help", &page]).expect_code(0).out;
        assert!(!shown.contains('\u{1b}') && !shown.contains("```") && !shown.contains("<!--"), "{shown}");
        // Code keeps its lines, and so do words too long for the page.
        let prose = shown.lines().filter(|line| !line.starts_with("      "));
        let long: Vec<_> = prose.filter(|line| line.chars().count() > 80 && line.contains("  ")).collect();
        assert_eq!(long.len(), 0, "{page}: {long:#?}");
    }
}

#[test]
fn help_takes_the_beginning_of_a_topic_and_colours_on_request() {
    let lab = Lab::new();
    let whole = lab.run(&["help", "templates"]).expect_code(0).out;
    assert_eq!(lab.run(&["help", "templ"]).expect_code(0).out, whole);
    let bold = lab.run(&["help", "templates", "--color", "always"]).expect_code(0).out;
    assert!(bold.starts_with("\u{1b}[1mTemplates\u{1b}[0m\n"), "{bold}");
}

#[test]
fn help_of_a_verb_is_that_of_its_flag() {
    let lab = Lab::new();
    for verb in [&["exec"][..], &["lint"], &["cache", "gc"]] {
        let asked = lab.run(&[&["help"], verb].concat()).expect_code(0).out;
        assert_eq!(asked, lab.run(&[verb, &["--help"]].concat()).expect_code(0).out);
    }
}

#[test]
fn help_for_what_does_not_exist_suggests_what_does() {
    let lab = Lab::new();
    for (words, hint) in [
        (&["templets"][..], "no topic or verb `templets`; did you mean `templates`?"),
        (&["exce"], "did you mean `exec`?"),
        (&["cache", "gcc"], "no topic or verb `cache gcc`; did you mean `gc`?"),
        (&["zzzzzz"], "`runner help` lists all of them"),
    ] {
        let done = lab.run(&[&["help"], words].concat()).expect_code(2);
        assert!(done.err.contains(hint) && done.out.is_empty(), "{}", done.err);
    }
}

#[test]
fn man_writes_a_page_for_each_verb() {
    let lab = Lab::new();
    let first = lab.run(&["man"]).expect_code(0).out;
    lab.run(&["man", "share/man1"]).expect_code(0);
    assert_eq!(lab.read("share/man1/runner.1"), first);
    for part in ["RUNNER 1", ".SH \"EXIT STATUS\"", ".SH ENVIRONMENT", ".SH FILES", "runner\\-exec(1)"] {
        assert!(first.contains(part), "{part} in\n{first}");
    }
    let gc = lab.read("share/man1/runner-cache-gc.1");
    for part in [
        ".SH NAME\nrunner\\-cache\\-gc \\- ",
        ".SH SYNOPSIS",
        ".SH OPTIONS",
        ".SH EXAMPLES",
        ".SH \"SEE ALSO\"",
    ] {
        assert!(gc.contains(part), "{part} in\n{gc}");
    }
    // Nothing that a linter finds.
    let pages = fs::read_dir(lab.path("share/man1")).unwrap().map(|page| page.unwrap().path());
    let mut lint = Command::new("mandoc");
    lint.args(["-T", "lint"]).args(pages);
    let found = finish(&mut lint).expect_code(0);
    assert_eq!(found.out + &found.err, "");
}
