//! `runner web`, without a daemon; what the daemon answers is held to its contract in `src/server/web/tests/`.

use crate::common::Lab;

#[test]
fn without_a_daemon_there_is_no_link() {
    let lab = Lab::new();
    for flags in [&["web"][..], &["web", "--open"], &["web", "--json"]] {
        let ended = lab.run(flags).expect_code(2);
        assert!(ended.err.contains("no `runner serve` answers for the home"), "{}", ended.err);
        assert!(ended.err.contains("start one with `runner serve`"), "{}", ended.err);
        assert_eq!(ended.out, "");
    }
}
