//! A workflow of twenty quick tasks for tests that disturb it, and the oracle: after any fault, running it
//! again, plainly, is all that is ever needed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{Done, Lab, finish};

/// Ten tasks that make a file each, and ten that join two of them.
const HALF: usize = 10;

/// What an undisturbed run hands back and how long it takes: the same for every trial.
static UNDISTURBED: OnceLock<(BTreeMap<String, Vec<u8>>, Duration)> = OnceLock::new();

pub struct Trial {
    pub lab: Lab,
    /// The content of each output after an undisturbed run,
    undisturbed: BTreeMap<String, Vec<u8>>,
    /// which took so long.
    pub duration: Duration,
}

impl Trial {
    pub fn new() -> Trial {
        let lab = Lab::new();
        lab.write("w.toml", &workflow());
        let (undisturbed, duration) = UNDISTURBED
            .get_or_init(|| {
                let begin = Instant::now();
                let mut elsewhere = lab.command(&["exec", "w.toml", "--json"]);
                let run = finish(elsewhere.env("RUNNER_HOME", lab.path("elsewhere"))).expect_code(0);
                (contents(&run), begin.elapsed())
            })
            .clone();
        assert_eq!(undisturbed.len(), HALF);
        Trial { lab, undisturbed, duration }
    }

    /// The database of the home.
    pub fn database(&self) -> PathBuf {
        self.lab.home().join("runner.db")
    }

    /// Every blob of the store.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let all = walkdir::WalkDir::new(self.lab.home().join("store")).sort_by_file_name().into_iter();
        let files = all.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
        files.map(walkdir::DirEntry::into_path).filter(|path| fs::metadata(path).unwrap().len() > 0).collect()
    }

    /// Starts a run and does not wait for it.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.lab.command(&[&["exec", "w.toml", "--json"], args].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Whether a run handed back what an undisturbed one does.
    #[track_caller]
    pub fn expect_outputs(&self, run: &Done) {
        assert!(contents(run) == self.undisturbed, "other outputs than undisturbed: {run:?}");
    }

    /// The oracle. Hands back the first of the plain runs that came after the fault.
    #[track_caller]
    pub fn settles(&self) -> Done {
        let first = self.heals();
        self.is_clean();
        first
    }

    /// The part of the oracle that looks at results only.
    #[track_caller]
    pub fn heals(&self) -> Done {
        let first = self.lab.ok("w.toml", &[]);
        self.expect_outputs(&first);
        let second = self.lab.ok("w.toml", &[]);
        self.expect_outputs(&second);
        assert_eq!(second.finished()["cached"], 2 * HALF, "healed for good\n{first:?}\n{second:?}");
        assert_eq!(second.warnings(), "", "the first run says it, and then it is over");
        first
    }

    #[track_caller]
    fn is_clean(&self) {
        let home = self.lab.home();
        for folder in ["scratch", "store/tmp"] {
            let left: Vec<_> = fs::read_dir(home.join(folder)).into_iter().flatten().flatten().collect();
            assert!(left.is_empty(), "left in {folder}: {left:?}");
        }
        assert_eq!(processes(self.lab.dir().to_str().unwrap()), Vec::<String>::new(), "left running");
        let lock = File::options().write(true).open(home.join("runner.db.lock")).unwrap();
        assert!(lock.try_lock().is_ok(), "a lock outlived its holder");
        let db = rusqlite::Connection::open(self.database()).unwrap();
        let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal", "a run's own reader and writer would wait for each other");
    }
}

fn workflow() -> String {
    let mut text = String::from(
        "[workflow]\nname = \"trial\"\n[defaults]\ncache = true\n\
         [tasks.make]\ninputs = { i = \"int\" }\noutputs = { g = \"file\" }\n\
         run = 'seq -f \"line $i.%g\" 500 > \"$OUT/g\"'\n\
         [tasks.join]\ninputs = { a = \"file\", b = \"file\" }\noutputs = { g = \"file\" }\n\
         run = 'cat \"$a\" \"$b\" > \"$OUT/g\"'\n",
    );
    for i in 0..HALF {
        let next = (i + 1) % HALF;
        text += &format!("[nodes.make_{i}]\ntask = \"make\"\ninputs = {{ i = {i} }}\n");
        text += &format!("[nodes.join_{i}]\ntask = \"join\"\n");
        text += &format!("inputs = {{ a = \"{{{{ make_{i}.g }}}}\", b = \"{{{{ make_{next}.g }}}}\" }}\n");
    }
    text += "[outputs]\n";
    (0..HALF).for_each(|i| text += &format!("g{i} = \"{{{{ join_{i}.g }}}}\"\n"));
    text
}

/// What a run handed back, read now.
fn contents(run: &Done) -> BTreeMap<String, Vec<u8>> {
    let outputs = run.outputs();
    let read = |path: &serde_json::Value| fs::read(path["path"].as_str().unwrap()).unwrap();
    outputs.as_object().unwrap().iter().map(|(name, path)| (name.clone(), read(path))).collect()
}

/// The command lines of processes whose environment names `text`.
fn processes(text: &str) -> Vec<String> {
    let read = |pid: &PathBuf, file: &str| {
        let bytes = fs::read(pid.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    pids.filter(|pid| read(pid, "environ").contains(text)).map(|pid| read(&pid, "cmdline")).collect()
}
