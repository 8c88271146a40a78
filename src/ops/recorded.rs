//! A run's workflow as it was, from what the run remembered; its files may have changed or gone meanwhile.

use std::path::PathBuf;

use crate::ops::Error;
use crate::ops::home::HomeReader;
use crate::ops::open::{Opened, check};
use crate::storage::history::Run;
use crate::storage::history::invocation::{self, Invocation};
use crate::workflow::documents::{Document, Texts};
use crate::workflow::load::load_requested;

/// What a run was asked for, and the workflow that it ran.
pub struct Again {
    pub invocation: Invocation,
    /// Policies are as the run had them, `--set` included.
    pub opened: Opened,
}

/// The workflow of a run as it was when it ran. Nothing is read but the history: paths in it mean what they meant then,
/// and what they lead to may be gone.
///
/// ```ignore
/// let view = HomeReader::open(home)?;
/// let run = view.find("@last")?;
/// let Again { invocation, opened } = as_it_was(&view, &run)?;
/// ```
///
/// # Errors
/// The run is older than that record or what it read is not kept any more (kind: not found), the database cannot be read
/// (kind: store), or the workflow does not fit this version of the program (kind: invalid).
pub fn as_it_was(view: &HomeReader, run: &Run) -> Result<Again, Error> {
    let db = view.db.as_ref().ok_or_else(|| Error::not_found("there is no history"))?;
    let invocation = invocation::invocation(db, run.id)?;
    let texts = invocation::texts(db, &invocation.files)?;
    let documents = texts.into_iter().map(|text| Document {
        path: text.path.into(),
        asked: text.asked.into_iter().map(PathBuf::from).collect(),
        text: text.text,
    });
    let loaded = load_requested(Texts::recorded(documents), &invocation.request);
    let opened = check(loaded).map_err(|errors| {
        let errors = errors.render(false);
        Error::invalid(format!(
            "the workflow that run {} ran does not fit this version of runner:\n{errors}",
            run.id
        ))
    })?;
    Ok(Again { invocation, opened })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::core::run_request::RunRequest;
    use crate::ops::ErrorKind;
    use crate::storage::db;
    use crate::storage::history::invocation::{Beginning, Text, record_beginning};
    use crate::storage::history::{RUNNING, record_run};
    use crate::workflow::load::load_from;

    #[test]
    fn a_workflow_is_had_as_it_was_when_its_files_are_gone() -> Result<(), Error> {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        };
        write(
            "flows/main.toml",
            "import = [\"../lib/a.toml\"]\n[workflow]\nname = \"main\"\n[nodes.x]\ntask = \"a.t\"\n\
             inputs = { f = \"data.csv\" }\n[nodes.inner]\nworkflow = \"sub/inner.toml\"\n",
        );
        write("flows/sub/inner.toml", "[workflow]\nname = \"inner\"\n[tasks.u]\nrun = \"true\"\n[nodes.u]\n");
        write(
            "lib/a.toml",
            "[library]\nname = \"a\"\n[tasks.t]\ninputs = { f = \"file\" }\nrun = \"true\"\n",
        );
        let settings = vec!["nodes.x.retries=7".to_owned()];
        let path = root.join("flows/main.toml");
        let first =
            check(load_from(Texts::default(), &path, &settings)).map_err(|m| m.render(false)).unwrap();
        let home = root.join("home");
        fs::create_dir(&home).unwrap();
        let (database, _) = db::open(&home).unwrap();
        let run = |id: &str| Run {
            id: id.into(),
            workflow: "main".into(),
            path: path.display().to_string(),
            project: "p".into(),
            domain: "d".into(),
            status: RUNNING.into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            finished: None,
            counts: crate::core::event::Counts::default(),
            saved_ms: 0,
        };
        let text = |document: &Document| Text {
            path: document.path.display().to_string(),
            asked: Vec::new(),
            text: document.text.clone(),
        };
        let mut beginning = Beginning {
            run: run("new"),
            invocation: Invocation {
                request: RunRequest { workflow: path.clone(), settings, ..RunRequest::default() },
                ..Invocation::default()
            },
            texts: first.documents.iter().map(text).collect(),
        };
        beginning.digest_texts();
        record_beginning(&database, &beginning).unwrap();
        record_run(&database, &run("old")).unwrap();
        fs::remove_dir_all(root.join("flows")).unwrap();
        fs::remove_dir_all(root.join("lib")).unwrap();

        let view = HomeReader::open(Some(&home))?;
        let again = as_it_was(&view, &view.find("new")?)?;
        assert_eq!(again.opened.documents, first.documents);
        assert_eq!(again.opened.outline.name(2), "inner/u");
        let x = &again.opened.workflow.nodes[0];
        assert_eq!(x.execution().map(|execution| execution.retries), Some(7));
        assert_eq!(format!("{:?}", x.inputs), format!("{:?}", first.workflow.nodes[0].inputs));
        let error = as_it_was(&view, &view.find("old")?).err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.message.contains("older"), "{error}");
        Ok(())
    }
}
