//! The shared cache: what uploading adds to a run in which everything is executed, in a folder on the same disk.

use std::path::Path;

use crate::field::{Field, JOBS, Tool, check_counts, runner};
use crate::generate::Shape;
use crate::measure::{self, median};
use crate::table::{Row, Table, Unit, seconds};

/// A key for nobody.
const KEY: &str = "hmac:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Prints a table of its own: there is no peer.
pub fn compare(root: &Path, size: usize, repetitions: usize) {
    let table = Table::begin(vec!["runner (files)", "uploading"], vec![1]);
    let field = Field::new(&root.join("shared"), Shape::Flat, size);
    let mut walls = [Vec::new(), Vec::new()];
    for repetition in 0..repetitions {
        for turn in [0, 1] {
            // Each of the two goes first as often as the other.
            let uploads = (turn + repetition) % 2;
            // Nothing is removed in between: some file systems are slow for minutes after many removals.
            let home = field.dir.join(format!("home-{uploads}-{repetition}"));
            let url = format!("file://{}/objects-{repetition}", field.dir.display());
            let mode = if uploads == 1 { "rw" } else { "off" };
            let mut command = runner(&home);
            command.current_dir(&field.dir).env("RUNNER_CACHE_KEY", KEY);
            command.args(["exec", "files.toml", "-q", JOBS, "--remote", &url, "--remote-mode", mode]);
            rustix::fs::sync();
            walls[uploads].push(seconds(measure::run(&mut command, &field.stdout(Tool::Files)).wall));
            let listing = runner(&home).args(["runs", "--limit", "1", "--json"]).output();
            let listing =
                String::from_utf8(listing.expect("runner can be run").stdout).expect("JSON is UTF-8");
            check_counts(&listing, size, Some(size));
        }
    }
    let cells = walls.into_iter().map(|values| Some(median(values))).collect();
    let case = format!("cold, {size} flat, to a shared folder");
    table.row(&Row { case, unit: Unit::Seconds, cells, yardstick: 0 });
}
