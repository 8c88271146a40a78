//! Executors: which node runs where, and what the settings say of each.

mod command;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::command::command_system;
use crate::core::chunk::ChunkSize;
use crate::core::closest::closest;
use crate::core::run_id::RunId;
use crate::core::time_text::parse_duration;
use crate::engine::MAX_ELSEWHERE;
use crate::engine::attempt::environment;
use crate::engine::attempt::job_script::script_maker;
use crate::engine::attempt::ledger::HomeLedger;
use crate::engine::attempt::placement::BatchPlace;
use crate::engine::schedule::pools::ELSEWHERE;
use crate::exec::batch::{Batch, BatchParts, BatchSettings, BatchSystem, Chunking};
use crate::exec::slurm::{MemoryUnit, Slurm, refused_argument};
use crate::ops::Error;
use crate::ops::open::Opened;
use crate::storage::home::Home;
use crate::workflow::config::Config;
use crate::workflow::graph::outline::Outline;
use crate::workflow::graph::select::matching;

/// The executor of this machine, which needs no settings.
pub const LOCAL: &str = "local";

/// Jobs of one run that are submitted and not ended, where the settings do not say.
const MAX_IN_FLIGHT: u64 = 100;
/// Attempts that are made ready or taken in at once: each is a thread that works with files.
const HANDS: usize = 8;

/// The flag that names executors.
const FLAG: &str = "--executor";

/// The executor of each node of the outline that does not run on this machine; empty if there is none. `asked` are
/// `NAME` or `GLOB=NAME`; the last that matches wins, over what node, task, defaults and settings say.
///
/// # Errors
/// An executor that no settings define or that cannot be used; a glob that matches no node.
pub fn choose(outline: &Outline, asked: &[String], config: &Config) -> Result<Vec<Option<Arc<str>>>, Error> {
    let general = config.text("executor");
    let in_file = |named: Option<&str>| named.or(general).unwrap_or(LOCAL).to_owned();
    let mut names: Vec<String> = outline
        .places()
        .map(|place| in_file(place.node().execution().and_then(|execution| execution.executor.as_deref())))
        .collect();
    for text in asked {
        match text.rsplit_once('=') {
            None => names.fill(text.clone()),
            Some((glob, name)) => {
                let matched = matching(outline, FLAG, &[glob.to_owned()]).map_err(Error::invalid)?;
                names
                    .iter_mut()
                    .zip(matched)
                    .filter(|(_, matched)| *matched)
                    .for_each(|(own, _)| *own = name.into());
            }
        }
    }
    let mut known: BTreeMap<String, Option<Arc<str>>> = BTreeMap::new();
    for name in names.iter().collect::<BTreeSet<_>>() {
        known.insert(name.clone(), elsewhere(name, config)?);
    }
    if known.values().all(Option::is_none) {
        return Ok(Vec::new());
    }
    Ok(names.iter().map(|name| known[name].clone()).collect())
}

/// An executor by its name; none if it is this machine.
fn elsewhere(name: &str, config: &Config) -> Result<Option<Arc<str>>, Error> {
    match kind(name, config) {
        Some("local") => Ok(None),
        // The reader of the settings knows all kinds. What else is wrong is said before anything runs.
        Some(_) => {
            system(&Named { config, name }, Path::new(""), Vec::new())?;
            Ok(Some(name.into()))
        }
        None => {
            let all: BTreeSet<&str> = defined(config).chain([LOCAL]).collect();
            let near = closest(name, all.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let list = all.into_iter().collect::<Vec<_>>().join(", ");
            Err(Error::invalid(format!(
                "there is no executor `{name}`{near} The executors there are: {list}. Define one as \
                 [executors.{name}] in runner.toml"
            )))
        }
    }
}

/// The executors that the settings define.
pub fn defined(config: &Config) -> impl Iterator<Item = &str> {
    config.values().filter_map(|(name, _)| name.strip_prefix("executors.")?.split('.').next())
}

fn kind<'c>(name: &str, config: &'c Config) -> Option<&'c str> {
    config.text(&format!("executors.{name}.kind")).or((name == LOCAL).then_some(LOCAL))
}

/// The attempts on each executor that a run may have at once, as resources: as many as share the jobs that it may have.
pub fn capacities(
    outline: &Outline,
    executors: &[Option<Arc<str>>],
    config: &Config,
) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (place, name) in outline.places().zip(executors) {
        let Some(name) = name else { continue };
        let named = Named { config, name };
        let Chunking { size, max, .. } = named.chunking();
        let own = place.node().execution().and_then(|policy| policy.chunk);
        let sharing = match own.unwrap_or(size) {
            ChunkSize::Of(size) => size,
            ChunkSize::Auto => max,
        };
        let jobs = named.count("max_in_flight", MAX_IN_FLIGHT);
        let attempts = jobs.saturating_mul(sharing).min(jobs.max(MAX_ELSEWHERE)) as u64;
        let capacity = all.entry(format!("{ELSEWHERE}{name}")).or_insert(attempts);
        *capacity = attempts.max(*capacity);
    }
    all
}

/// What a run's attempts need of each executor that it uses. `round` says how often the run was begun before.
///
/// # Errors
/// Settings that cannot be used.
pub fn places(
    executors: &[Option<Arc<str>>],
    config: &Config,
    home: &Home,
    run: RunId,
    round: usize,
    opened: &Opened,
) -> Result<HashMap<Arc<str>, Arc<BatchPlace>>, Error> {
    let used: BTreeSet<&Arc<str>> = executors.iter().flatten().collect();
    let place = |name: &Arc<str>| {
        Ok((name.clone(), Arc::new(batch_place(name, config, home, (run, round), opened)?)))
    };
    used.into_iter().map(place).collect()
}

fn batch_place(
    name: &Arc<str>,
    config: &Config,
    home: &Home,
    (run, round): (RunId, usize),
    opened: &Opened,
) -> Result<BatchPlace, Error> {
    let named = Named { config, name };
    let work_dir = work_dir(&named, home.path());
    if !work_dir.is_absolute() {
        let shown = work_dir.display();
        let message = format!("`executors.{name}.work_dir` must be an absolute path, found {shown}");
        return Err(Error::invalid(message));
    }
    let prefix = named.text("job_prefix").unwrap_or("r-").to_owned();
    let settings = BatchSettings {
        max_in_flight: named.count("max_in_flight", MAX_IN_FLIGHT),
        submits_per_minute: named.count("submits_per_minute", 300),
        poll_interval: named.time("poll_interval", 15).max(Duration::from_secs(1)),
        record_interval: named.time("record_interval", 1),
        record_wait: named.time("record_wait", 60),
        lost_after: named.time("lost_after", 120),
        stuck_after: named.time("stuck_after", 600),
        folder: work_dir.join("jobs"),
        // Of a run that was taken up again the names are others.
        prefix: match round {
            0 => format!("{prefix}{run}-"),
            _ => format!("{prefix}{run}-{}.", round + 1),
        },
    };
    let secrets = environment::secrets_of(opened.tasks());
    let ledger = Arc::new(HomeLedger::new(home.clone(), run, name.clone()));
    let runner = named.text("runner_path").map(PathBuf::from);
    let prelude = named.text("prelude").unwrap_or_default().to_owned();
    let parts = BatchParts {
        system: system(&named, &work_dir, secrets.keys().map(ToString::to_string).collect())?,
        ledger: Box::new(Arc::clone(&ledger)),
        script: script_maker(runner, work_dir.clone(), prelude),
    };
    Ok(BatchPlace {
        name: name.clone(),
        batch: Batch::new(settings, parts),
        ledger,
        work_dir,
        prefix,
        lost_retries: u32::try_from(named.whole("lost_retries", 3)).unwrap_or(u32::MAX),
        time: named.duration("time"),
        chunking: named.chunking(),
        secrets: secrets.into_values().collect(),
        hands: Semaphore::new(HANDS),
    })
}

/// The batch system behind an executor of the settings, by its name.
///
/// # Errors
/// There is none, or its settings cannot be used.
pub fn batch_system(name: &str, config: &Config, home: &Path) -> Result<Box<dyn BatchSystem>, Error> {
    let named = Named { config, name };
    match elsewhere(name, config)? {
        Some(_) => system(&named, &work_dir(&named, home), Vec::new()),
        None => Err(Error::invalid(format!("the executor `{name}` runs on this machine now"))),
    }
}

fn system(named: &Named, work_dir: &Path, hidden: Vec<String>) -> Result<Box<dyn BatchSystem>, Error> {
    if kind(named.name, named.config) != Some("command") {
        return Ok(Box::new(slurm(named)?));
    }
    let system = command_system(named.name, named.config, work_dir, hidden);
    Ok(Box::new(system.map_err(Error::invalid)?))
}

fn work_dir(named: &Named, home: &Path) -> PathBuf {
    named.text("work_dir").map_or_else(|| home.join("work"), PathBuf::from)
}

fn slurm(named: &Named) -> Result<Slurm, Error> {
    const OPTIONS: [(&str, &str); 6] = [
        ("partition", "--partition"),
        ("account", "--account"),
        ("qos", "--qos"),
        ("constraint", "--constraint"),
        ("reservation", "--reservation"),
        ("cluster", "--clusters"),
    ];
    let options = OPTIONS.into_iter().filter_map(|(key, flag)| Some((flag, named.text(key)?.to_owned())));
    let extra_args = named.texts("extra_args");
    if let Some(refused) = refused_argument(&extra_args) {
        let message = format!("`executors.{}.extra_args`: {refused} is said by runner itself", named.name);
        return Err(Error::invalid(message));
    }
    Ok(Slurm {
        options: options.collect(),
        memory: match named.text("memory") {
            Some("none") => None,
            Some("cpu") => Some(MemoryUnit::Cpu),
            _ => Some(MemoryUnit::Node),
        },
        by_gpus: named.text("gpus") == Some("gpus"),
        gpu_type: named.text("gpu_type").map(str::to_owned),
        extra_args,
        bin_dir: named.text("bin_dir").map(PathBuf::from),
    })
}

/// Tries the executor of a batch system: its programs answer, and its folder can be used.
///
/// # Errors
/// A sentence about what cannot be used.
pub fn try_batch(name: &str, config: &Config, home: &Path) -> Result<(), String> {
    let named = Named { config, name };
    let work_dir = work_dir(&named, home);
    system(&named, &work_dir, Vec::new()).map_err(|error| error.to_string())?.status()?;
    std::fs::create_dir_all(&work_dir)
        .map_err(|error| format!("{} cannot be used: {error}", work_dir.display()))
}

/// The settings of one executor.
struct Named<'c> {
    config: &'c Config,
    name: &'c str,
}

impl<'c> Named<'c> {
    fn get(&self, key: &str) -> Option<&'c serde_json::Value> {
        Some(&self.config.get(&format!("executors.{}.{key}", self.name))?.value)
    }

    fn text(&self, key: &str) -> Option<&'c str> {
        self.get(key)?.as_str()
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let list = self.get(key).and_then(serde_json::Value::as_array);
        list.into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    }

    fn whole(&self, key: &str, default: u64) -> u64 {
        self.get(key).and_then(serde_json::Value::as_u64).unwrap_or(default)
    }

    fn count(&self, key: &str, default: u64) -> usize {
        usize::try_from(self.whole(key, default)).unwrap_or(usize::MAX)
    }

    fn chunking(&self) -> Chunking {
        let size = self.get("chunk").and_then(|value| ChunkSize::from_json(value).ok());
        Chunking {
            size: size.unwrap_or_default(),
            time: self.time("chunk_time", 300),
            max: self.count("chunk_max", 500),
            parallel: self.count("chunk_parallel", 1),
        }
    }

    /// The reader of the settings has checked it.
    fn duration(&self, key: &str) -> Option<Duration> {
        Duration::try_from(parse_duration(self.text(key)?).ok()?).ok()
    }

    fn time(&self, key: &str, default: u64) -> Duration {
        self.duration(key).unwrap_or(Duration::from_secs(default))
    }
}
