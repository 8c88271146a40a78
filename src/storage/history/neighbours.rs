//! The runs before and after a run, of the same workflow in the same project and domain.

use rusqlite::{Connection, OptionalExtension, params};

use super::Run;
use crate::core::run_id::RunId;

/// Runs around another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    pub previous: Option<RunId>,
    pub next: Option<RunId>,
    /// The newest one before it that succeeded.
    pub last_success: Option<RunId>,
}

/// The runs around `run`.
///
/// # Errors
/// The database cannot be read.
pub fn neighbours(db: &Connection, run: &Run) -> rusqlite::Result<Neighbours> {
    let find = |condition: &str, order: &str| {
        db.query_row(
            &format!(
                "SELECT run FROM run WHERE workflow = ?1 AND project = ?2 AND domain = ?3 AND id {condition} \
                 ORDER BY id {order} LIMIT 1"
            ),
            params![run.workflow, run.project, run.domain, run.id],
            |row| row.get(0),
        )
        .optional()
    };
    let own = "(SELECT id FROM run WHERE run = ?4)";
    Ok(Neighbours {
        previous: find(&format!("< {own}"), "DESC")?,
        next: find(&format!("> {own}"), "ASC")?,
        last_success: find(&format!("< {own} AND status = 'succeeded'"), "DESC")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::super::tests::database;
    use super::*;

    #[test]
    fn neighbours_are_of_the_same_workflow_project_and_domain() {
        let db = database(&[
            ("a", "succeeded"),
            ("b", "failed"),
            ("other", "succeeded"),
            ("c", "failed"),
            ("d", "running"),
        ]);
        db.execute("UPDATE run SET domain = 'x' WHERE run = 'otherxxx'", []).unwrap();
        let around = |name: &str| neighbours(&db, &find(&db, name).unwrap()).unwrap();
        let id = |name: &str| Some(RunId::from(name));
        assert_eq!(around("c"), Neighbours { previous: id("b"), next: id("d"), last_success: id("a") });
        assert_eq!(around("a"), Neighbours { previous: None, next: id("b"), last_success: None });
        assert_eq!(around("other"), Neighbours::default());
    }
}
