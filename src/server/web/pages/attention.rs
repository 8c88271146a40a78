//! What wants attention: schedules that fail or missed an instant, files that do not load.

use std::sync::Arc;

use super::parts::{TimePart, encode, in_file};
use super::schedules::address;
use crate::server::web::api::schedules::rows;
use crate::server::web::app::App;
use crate::server::web::problem::HttpProblem;
use crate::view::text::{count, inert};

/// Something that a person should look at.
pub struct Attention {
    /// The class of the note: `bad`, or none.
    pub class: &'static str,
    pub name: String,
    /// Below the base path.
    pub address: String,
    pub words: String,
    /// The instant that it is about.
    pub at: Option<TimePart>,
    /// Its run.
    pub run: Option<String>,
}

/// All of it, what fails first.
///
/// # Errors
/// The home cannot be read.
pub async fn attention(app: &Arc<App>) -> Result<Vec<Attention>, HttpProblem> {
    let clean = |text: &str| inert(text).into_owned();
    let mut all = Vec::new();
    let rows = rows(app).await?;
    for row in rows.iter().filter(|row| row.consecutive_failures > 0) {
        let last = row.last.as_ref();
        all.push(Attention {
            class: "bad",
            name: clean(&row.schedule),
            address: address(&row.schedule),
            words: match row.consecutive_failures {
                1 => "failed the last time:".into(),
                times => format!("has failed {} times in a row, the last time", count(times)),
            },
            at: last.map(|last| TimePart::new(last.at)),
            run: last.and_then(|last| last.run).map(String::from),
        });
    }
    for row in &rows {
        if let Some(last) = row.last.as_ref().filter(|last| last.became == "missed") {
            all.push(Attention {
                class: "",
                name: clean(&row.schedule),
                address: address(&row.schedule),
                words: "missed its instant of".into(),
                at: Some(TimePart::new(last.at)),
                run: None,
            });
        }
    }
    for file in app.daemon.snapshot().files.iter().filter(|file| !file.mistakes.is_empty()) {
        let name = file.opened.as_ref().map(|opened| opened.workflow.name.clone());
        let first = file.mistakes.first().and_then(|mistake| mistake.lines().next()).unwrap_or_default();
        let first = in_file(first, &file.path);
        all.push(Attention {
            class: "bad",
            address: name.as_ref().map_or("/workflows".into(), |name| format!("/workflows/{}", encode(name))),
            words: match &name {
                Some(_) => format!("does not load and goes on as it was: {first}"),
                None => format!("does not load: {first}"),
            },
            name: clean(&name.unwrap_or_else(|| file.path.display().to_string())),
            at: None,
            run: None,
        });
    }
    Ok(all)
}
