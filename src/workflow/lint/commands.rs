//! Warnings about commands whose result depends on something outside the cache key: undeclared files, absolute paths,
//! network, clock and chance.

use std::collections::BTreeSet;
use std::path::Path;

use super::words::{Word, words};
use super::{Lint, Text};
use crate::workflow::definition::sources_of;
use crate::workflow::diagnostic::Diagnostic;
use crate::workflow::template::Template;
use crate::workflow::{Task, TaskCommand};

/// Where programs and devices lie: naming these is no use of a file.
const PROGRAMS: [&str; 8] =
    ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/opt/", "/dev/"];
/// The top folders of files that belong to one machine, whether or not this one has them.
const TOPS: [&str; 18] = [
    "data", "etc", "home", "media", "mnt", "net", "nfs", "opt", "proc", "root", "run", "scratch", "srv",
    "sys", "tmp", "usr", "var", "work",
];
/// Programs that ask the network.
const NETWORK: [&str; 14] = [
    "curl", "wget", "http", "ftp", "sftp", "scp", "ssh", "rsync", "nc", "aws", "gsutil", "gcloud", "rclone",
    "s3cmd",
];
/// Programs with one subcommand that uses the network.
const FETCHING: [(&str, &[&str]); 7] = [
    ("git", &["clone", "fetch", "pull", "ls-remote"]),
    ("pip", &["install", "download"]),
    ("pip3", &["install", "download"]),
    ("npm", &["install", "ci"]),
    ("apt-get", &["install", "update"]),
    ("docker", &["pull"]),
    ("cargo", &["install", "fetch"]),
];
/// Calls in other languages that read the clock, a random source or the network.
const CALLS: [(&str, &str); 17] = [
    ("datetime.now(", CLOCK),
    ("datetime.utcnow(", CLOCK),
    ("date.today(", CLOCK),
    ("time.time(", CLOCK),
    ("Date.now(", CLOCK),
    ("uuid.uuid4(", CHANCE),
    ("random.random(", CHANCE),
    ("random.randint(", CHANCE),
    ("random.choice(", CHANCE),
    ("random.shuffle(", CHANCE),
    ("random.uniform(", CHANCE),
    ("Math.random(", CHANCE),
    ("secrets.token_", CHANCE),
    ("urllib.request.", ASKS),
    ("requests.get(", ASKS),
    ("requests.post(", ASKS),
    ("urlopen(", ASKS),
];
/// The lint about files that a task reads and does not declare.
const UNDECLARED: &str = "undeclared-file";
const NOT_IN_KEY: &str = "not in the key";
const DECLARE: &str =
    "declare it as an input of type file or dir, or among `sources`: then a change of it counts";
/// The variable that names the workflow's folder.
const WORKFLOW_DIR: &str = "RUNNER_WORKFLOW_DIR";
const CLOCK: &str = "reads the clock";
const CHANCE: &str = "uses random numbers";
const ASKS: &str = "uses the network";

/// The warnings about a task's command.
pub fn of_task(task: &Task, text: &Text) -> Vec<Lint> {
    let (key, parts) = match &task.command {
        TaskCommand::Script { script, args, .. } => {
            ("run", std::iter::once(script.as_str()).chain(args.iter().map(Template::source)).collect())
        }
        TaskCommand::Program(argv) => ("argv", argv.iter().map(Template::source).collect::<Vec<_>>()),
        // Its code is looked at where it is described.
        TaskCommand::Function(_) => return Vec::new(),
    };
    let mut found = Found {
        task,
        text,
        key,
        script: "",
        in_workflow_dir: false,
        said: BTreeSet::new(),
        lints: Vec::new(),
    };
    for part in parts {
        found.script = part;
        found.in_workflow_dir = task.in_workflow_dir || part.contains(WORKFLOW_DIR);
        for word in words(part) {
            found.path(&word);
            if task.cache.enabled {
                found.program(&word);
            }
        }
        if task.cache.enabled {
            found.calls(part);
            found.workflow_dir(part);
        }
    }
    found.lints
}

/// The warnings about files that a cached task reads, but whose changes do not count.
pub fn undeclared(task: &Task, text: &Text) -> Vec<Lint> {
    let mut lints = of_task(task, text);
    let is_stale =
        |lint: &Lint| lint.diagnostic.primary.as_ref().is_some_and(|(_, label)| label == NOT_IN_KEY);
    lints.retain(|lint| lint.name == UNDECLARED && is_stale(lint));
    lints
}

struct Found<'t> {
    task: &'t Task,
    text: &'t Text<'t>,
    /// Where the command stands: `run` or `argv`.
    key: &'t str,
    /// The part of it that is looked at.
    script: &'t str,
    /// Whether that part may be in the workflow's folder when it names a file.
    in_workflow_dir: bool,
    /// The words that have been reported.
    said: BTreeSet<String>,
    lints: Vec<Lint>,
}

impl Found<'_> {
    /// `at` is where in the script the words stand.
    fn warn(
        &mut self,
        name: &'static str,
        (at, words): (usize, &str),
        message: String,
        label: &str,
        help: &str,
    ) {
        if self.said.insert(words.to_owned()) {
            let exact = self.text.place_in(self.script, at, words.len());
            let place = exact.unwrap_or_else(|| self.text.place(self.key, words));
            let diagnostic = Diagnostic::warning(place, message, label).help(help);
            self.lints.push(Lint { name, diagnostic });
        }
    }

    fn path(&mut self, word: &Word) {
        let path = word.text.trim_end_matches(['.', ':', '}']);
        if path.starts_with('/') {
            return self.absolute(word.at, path);
        }
        let below = |prefixes: &[&str]| {
            let rest = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix));
            rest.filter(|rest| !rest.is_empty())
        };
        let beside = below(&["$RUNNER_WORKFLOW_DIR/", "${RUNNER_WORKFLOW_DIR}/"]);
        let task = short(self.task);
        if beside.or(below(&["$HOME/", "${HOME}/", "~/"])).is_some() && self.task.cache.enabled {
            if beside.is_some_and(|rest| self.is_declared(rest)) {
                return;
            }
            let message = format!("cached task `{task}` reads `{path}`, which it does not declare");
            return self.warn(UNDECLARED, (word.at, path), message, NOT_IN_KEY, DECLARE);
        }
        if path.contains(['.', '/']) && !path.starts_with(['-', '$', '{', '.', '*']) {
            self.relative(word.at, path);
        }
    }

    fn absolute(&mut self, at: usize, path: &str) {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (Some(top), below) = (parts.next(), parts.next()) else { return };
        let is_path = TOPS.contains(&top) || Path::new("/").join(top).is_dir();
        if below.is_none() || !is_path || PROGRAMS.iter().any(|program| path.starts_with(program)) {
            return;
        }
        let task = short(self.task);
        let (message, help) = match self.task.cache.enabled {
            true => (
                format!("cached task `{task}` uses the absolute path `{path}`"),
                "its content is not in the key: make it an input of type file or dir",
            ),
            false => (
                format!("task `{task}` uses the absolute path `{path}`"),
                "on another machine it is another file: make it an input of the workflow",
            ),
        };
        self.warn("absolute-path", (at, path), message, "absolute", help);
    }

    /// A word that is the name of a file beside the task.
    fn relative(&mut self, at: usize, path: &str) {
        let beside = self.task.dir.join(path);
        if !beside.is_file() || self.is_declared(path) {
            return;
        }
        let task = short(self.task);
        match (self.in_workflow_dir, self.task.cache.enabled) {
            (true, false) => {}
            (true, true) => {
                let message = format!(
                    "cached task `{task}` names `{path}` of the workflow's folder, which it does not declare"
                );
                self.warn(UNDECLARED, (at, path), message, NOT_IN_KEY, DECLARE);
            }
            (false, _) => {
                let message = format!("task `{task}` names `{path}`, which it does not declare");
                let help = format!(
                    "a task runs in an empty folder: add sources = [\"{path}\"], or make it an input of type file"
                );
                self.warn(UNDECLARED, (at, path), message, "will not be there", &help);
            }
        }
    }

    /// Whether `path` below the task's folder is a source, or a folder of sources.
    fn is_declared(&self, path: &str) -> bool {
        let sources = sources_of(self.task).unwrap_or_default();
        sources.iter().any(|source| source.staged == Path::new(path) || source.staged.starts_with(path))
    }

    /// The use of the workflow's folder where no file of it is named in plain words.
    fn workflow_dir(&mut self, script: &str) {
        let is_named = self.lints.iter().any(|lint| lint.name == UNDECLARED);
        let Some(at) = script.find(WORKFLOW_DIR).filter(|_| !is_named && self.task.sources.is_empty()) else {
            return;
        };
        let message = format!(
            "cached task `{}` uses files of the workflow's folder, which it does not declare",
            short(self.task)
        );
        self.warn(UNDECLARED, (at, WORKFLOW_DIR), message, NOT_IN_KEY, DECLARE);
    }

    fn program(&mut self, word: &Word) {
        let text = word.text;
        let name = text.rsplit('/').next().unwrap_or(text);
        let mut says = |name, what: &str| {
            let help = "the result is cached anyway: make the value an input, or do not cache the task";
            let message = format!("cached task `{}` {what}: `{text}`", short(self.task));
            self.warn(name, (word.at, text), message, NOT_IN_KEY, help);
        };
        if ["$RANDOM", "${RANDOM}", "/dev/urandom", "/dev/random"].contains(&text) {
            return says("chance", CHANCE);
        }
        if !word.is_command {
            return;
        }
        let arguments = || word.rest.split_whitespace().skip(1);
        let fetches = |(program, subcommands): &(&str, &[&str])| {
            *program == name && arguments().next().is_some_and(|first| subcommands.contains(&first))
        };
        if NETWORK.contains(&name) || FETCHING.iter().any(fetches) {
            return says("network", ASKS);
        }
        let given = |flags: &[&str]| arguments().any(|word| flags.iter().any(|flag| word.starts_with(flag)));
        match name {
            // With a day or file of its own it says the same each time.
            "date" if !given(&["-d", "--date", "-r", "--reference", "-ud"]) => says("clock", CLOCK),
            "uuidgen" => says("chance", CHANCE),
            "shuf" if !given(&["--random-source"]) => says("chance", CHANCE),
            "hostname" | "whoami" | "uptime" => says("clock", "depends on the machine"),
            _ => {}
        }
    }

    fn calls(&mut self, script: &str) {
        let seeded = script.contains("seed(");
        for (call, what) in CALLS {
            let Some(at) = script.find(call).filter(|_| !(seeded && what == CHANCE)) else { continue };
            let name = match what {
                CLOCK => "clock",
                CHANCE => "chance",
                _ => "network",
            };
            let help = "the result is cached anyway: make the value an input, or do not cache the task";
            let message = format!("cached task `{}` {what}: `{call}...)`", short(self.task));
            self.warn(name, (at, call), message, NOT_IN_KEY, help);
        }
    }
}

/// The name that the file gives a task.
pub(super) fn short(task: &Task) -> &str {
    task.name.rsplit('.').next().unwrap_or_default()
}
