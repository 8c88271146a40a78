//! What there is: results, runs and files, who names whom, and what the runs that are kept need.

use std::collections::{HashMap, HashSet};
use std::io;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Map as JsonMap, Value as Json};

use super::files::StoredFiles;
use super::footprint::ROW;
use super::policy::{Stock, StockedRun, Stored};
use super::{GcError, folders};
use crate::core::digest::Digest;
use crate::core::event::{Event, Status};
use crate::core::run_id::RunId;
use crate::storage::history::{self, HistoryError, RUNNING, Run, invocation};
use crate::storage::home::Home;
use crate::storage::memo::MemoEntry;
use crate::storage::memo::listing::{self, EntryFilter, Listed};
use crate::storage::recovery::unclaimed::Unclaimed;
use crate::storage::store::{BlobFile, Store};
use crate::storage::upload_queue;

/// Everything that is kept, as the policy numbers it.
#[derive(Debug)]
pub struct Inventory {
    pub stock: Stock,
    /// By number; without the texts of inputs and outputs.
    pub results: Vec<MemoEntry>,
    /// By number: their ids.
    pub runs: Vec<RunId>,
    /// By number.
    pub blobs: Vec<BlobFile>,
    /// Runs that have folders and no row, and were not there when a database was lost.
    pub strays: Vec<RunId>,
    /// What was there when a database was lost and no later one knows: the list for the next collection.
    pub unclaimed: Unclaimed,
    /// Runs that are under way.
    pub live: Vec<RunId>,
}

impl Inventory {
    /// Takes it. Rows are read before blobs are listed, so that each blob that a row names is seen.
    pub(super) fn take(
        home: &Home,
        db: &Connection,
        store: &Store,
        keep_runs: usize,
    ) -> Result<Self, GcError> {
        let now = Timestamp::now();
        let mut listed = Vec::new();
        listing::visit(db, &EntryFilter::default(), &mut |row| listed.push(row))?;
        let runs = history::latest(db, usize::MAX)?;
        let sizes = sizes(db)?;
        let mut live: Vec<RunId> = runs.iter().filter(|run| is_live(home, run)).map(|run| run.id).collect();
        let mut files = StoredFiles::new(store)?;
        let by_key: HashMap<Digest, usize> =
            listed.iter().enumerate().map(|(i, row)| (row.entry.key, i)).collect();
        let sources = sources(db)?;
        let none = Vec::new();
        let sources_of = |row: &Listed| sources.get(&row.entry.found.definition).unwrap_or(&none);
        let queued: HashSet<Digest> = upload_queue::keys(db)?.into_iter().collect();
        let results: Vec<Stored> = listed
            .iter()
            .map(|row| {
                let stored = stored(row, sources_of(row), &mut files, now)?;
                Ok(Stored { kept: queued.contains(&row.entry.key), ..stored })
            })
            .collect::<io::Result<_>>()?;
        let kept = newest(&runs, keep_runs);
        let past = runs.iter().enumerate().map(|(i, run)| -> Result<StockedRun, GcError> {
            let size = sizes.get(run.id.as_str()).copied().flatten();
            let mut past = StockedRun {
                size: size.unwrap_or_else(|| folders::of_run(home, run.id)),
                idle: since(run.finished.unwrap_or(run.started), now),
                kept: kept.contains(&i) || live.contains(&run.id),
                ..StockedRun::default()
            };
            if past.kept {
                let needs = Needs::of(home, db, run.id)?;
                let own = listed.iter().enumerate().filter(|(_, row)| row.entry.found.run == run.id);
                let named = needs.keys.iter().filter_map(|key| by_key.get(key).copied());
                past.results = named.chain(own.map(|(i, _)| i)).collect();
                for digest in &needs.files {
                    past.files.extend(files.with_parts(digest)?.0);
                }
            }
            Ok(past)
        });
        let past: Vec<StockedRun> = past.collect::<Result<_, _>>()?;
        let known: HashSet<RunId> = runs.iter().map(|run| run.id).collect();
        let mut strays = folders::strays(home, &known)?;
        let mut unclaimed = Unclaimed::read(home.path())?;
        unclaimed.runs.retain(|run| strays.contains(run));
        strays.retain(|run| !unclaimed.runs.contains(run));
        let named = results.iter().flat_map(|result| result.outputs.iter().chain(&result.inputs));
        let named: HashSet<usize> = named.chain(past.iter().flat_map(|run| &run.files)).copied().collect();
        unclaimed.blobs.retain(|digest| files.number(digest).is_some_and(|number| !named.contains(&number)));
        let kept_back = unclaimed.blobs.iter().filter_map(|digest| files.number(digest)).collect();
        live.extend(home.live_runs().into_iter().filter(|run| !known.contains(run)));
        let waste = store.damaged_size() + strays.iter().map(|run| folders::of_run(home, *run)).sum::<u64>();
        let blobs = files.into_blobs();
        let sizes = blobs.iter().map(|blob| blob.size).collect();
        let stock = Stock { files: sizes, results, runs: past, unclaimed: kept_back, waste };
        let results = listed.into_iter().map(|row| without_texts(row.entry)).collect();
        let runs = runs.into_iter().map(|run| run.id).collect();
        Ok(Self { stock, results, runs, blobs, strays, unclaimed, live })
    }

    /// The size of the files that no database knows, in bytes.
    pub fn unclaimed_size(&self) -> u64 {
        self.stock.unclaimed.iter().map(|file| self.stock.files[*file]).sum()
    }
}

fn is_live(home: &Home, run: &Run) -> bool {
    run.status == RUNNING && home.is_alive(run.id)
}

fn since(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond() - then.as_millisecond()).unwrap_or(0)
}

fn without_texts(mut entry: MemoEntry) -> MemoEntry {
    (entry.inputs, entry.found.outputs) = (String::new(), String::new());
    entry
}

/// `sources` are what its definition names.
fn stored(row: &Listed, sources: &[Digest], files: &mut StoredFiles, now: Timestamp) -> io::Result<Stored> {
    let Listed { entry, intact } = row;
    let mut broken = !intact;
    let mut named = |record: &str, must: bool| -> io::Result<Vec<usize>> {
        let mut numbers = Vec::new();
        for (_, artifact) in listing::files_in(record) {
            // A user's own file may have no copy here.
            let (found, complete) = files.with_parts(&artifact.digest)?;
            broken |= must && !complete && artifact.origin.is_none();
            numbers.extend(found);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    };
    let (outputs, mut inputs) = (named(&entry.found.outputs, true)?, named(&entry.inputs, false)?);
    for digest in sources {
        inputs.extend(files.with_parts(digest)?.0);
    }
    inputs.sort_unstable();
    inputs.dedup();
    Ok(Stored {
        size: ROW + (entry.inputs.len() + entry.found.outputs.len()) as u64,
        outputs,
        inputs,
        duration: entry.found.duration_ms,
        idle: since(entry.found.used, now),
        broken,
        kept: false,
    })
}

/// The files that definitions were made of, of which there may be copies: by the digest of the definition.
fn sources(db: &Connection) -> rusqlite::Result<HashMap<Digest, Vec<Digest>>> {
    let mut statement = db.prepare("SELECT digest, parts FROM definition")?;
    let mut rows = statement.query([])?;
    let mut sources = HashMap::new();
    while let Some(row) = rows.next()? {
        let parts: String = row.get(1)?;
        // Whatever else may look like a digest there is no file of the store.
        let words =
            parts.split(|c: char| !c.is_ascii_hexdigit()).filter_map(|word| word.parse::<Digest>().ok());
        sources.insert(Digest(row.get(0)?), words.collect());
    }
    Ok(sources)
}

/// What the folders of runs take, as far as it was recorded.
fn sizes(db: &Connection) -> rusqlite::Result<HashMap<String, Option<u64>>> {
    let mut statement = db.prepare("SELECT run, bytes FROM run")?;
    let sizes = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(i64::unsigned_abs))))?;
    sizes.collect()
}

/// The newest `n` runs of each workflow, in each project and domain; `runs` has the newest first.
fn newest(runs: &[Run], n: usize) -> HashSet<usize> {
    let mut seen: HashMap<(&str, &str, &str), usize> = HashMap::new();
    let mut kept = HashSet::new();
    for (i, run) in runs.iter().enumerate() {
        let count = seen.entry((&run.workflow, &run.project, &run.domain)).or_default();
        if *count < n {
            *count += 1;
            kept.insert(i);
        }
    }
    kept
}

/// What a run needs, by its events.
#[derive(Default)]
struct Needs {
    keys: HashSet<Digest>,
    files: HashSet<Digest>,
}

impl Needs {
    fn of(home: &Home, db: &Connection, run: RunId) -> Result<Self, GcError> {
        let mut needs = Self::default();
        match invocation::invocation(db, run) {
            Ok(invocation) => needs.add(&invocation.inputs),
            Err(HistoryError::Database(error)) => return Err(error.into()),
            Err(_) => {}
        }
        // Without all of its events it is unknown what it needs.
        for event in history::events_checked(&home.events(run))? {
            match event? {
                Event::NodeFinished(node) => {
                    needs.keys.extend(node.key.filter(|_| node.status == Status::Succeeded));
                    needs.add(&node.outputs);
                    needs.add(&node.inputs);
                }
                Event::RunFinished(run) => needs.add(&run.outputs),
                _ => {}
            }
        }
        Ok(needs)
    }

    fn add(&mut self, named: &JsonMap<String, Json>) {
        named.values().for_each(|value| self.add_value(value));
    }

    fn add_value(&mut self, value: &Json) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| self.add_value(item)),
            Json::Object(entries) => {
                // Written as `sha256:...` where it is for others to read.
                let digest = entries.get("digest").and_then(Json::as_str);
                let digest: Option<Digest> =
                    digest.and_then(|text| text.strip_prefix("sha256:").unwrap_or(text).parse().ok());
                self.files.extend(digest);
                self.add(entries);
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}
