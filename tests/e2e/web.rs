//! `runner web`, without a daemon; what the daemon answers is held to its contract in `src/server/web/tests/`.

use crate::common::Lab;

#[test]
fn without_a_daemon_there_is_no_link() {
    let lab = Lab::new();
    for flags in [&["web"][..], &["web", "--open"], &["web", "--json"]] {
        let ended = lab.run(flags).expect_code(2);
        assert!(ended.stderr.contains("no `runner serve` answers for the home"), "{}", ended.stderr);
        assert!(ended.stderr.contains("start one with `runner serve`"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}
