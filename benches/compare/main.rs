//! Compares `runner` with `ninja` and `make`: the same graphs, the same shell commands, in the same run.
//!
//! ```sh
//! cargo bench --bench compare                          # the table of docs/performance.md
//! cargo bench --bench compare -- --quick
//! cargo bench --bench compare -- --sizes 1,1000,100000 --chain 10000 --no-bulk
//! cargo bench --bench compare -- --dir /dev/shm        # on another file system
//! cargo bench --bench compare -- --generate layered 10000 DIR
//! ```
//! Repetitions are interleaved, so that a slow minute of the machine hits everyone, and the median counts.
//! A cold run starts from an empty home or output folder. Every run's results are checked.

mod bulk;
mod field;
mod generate;
mod measure;
mod shared;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use field::{Edit, Field, Tool};
use generate::{Graph, Shape};
use measure::median;
use table::{Row, Table, Unit, seconds};

/// From this size on a run that executes everything is repeated three times, not five.
const LARGE: usize = 10_000;

struct Options {
    sizes: Vec<usize>,
    chain: usize,
    /// How many tasks whose results go into a shared cache.
    shared: usize,
    /// How many large files; 0 leaves that part out.
    bulk: usize,
    /// Where to work: the file system matters.
    dir: PathBuf,
}

fn main() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut options =
        Options { sizes: vec![1, 1_000, 10_000], chain: 2_000, shared: 2_000, bulk: 1_000, dir };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| usage(&format!("{arg} needs a value")));
        match arg.as_str() {
            "--bench" => {} // From cargo.
            "--quick" => {
                options = Options { sizes: vec![1, 1_000], chain: 200, shared: 500, bulk: 100, ..options }
            }
            "--no-bulk" => options.bulk = 0,
            "--sizes" => options.sizes = value().split(',').map(number).collect(),
            "--dir" => options.dir = PathBuf::from(value()),
            "--chain" => options.chain = number(&value()),
            "--generate" => {
                let shape =
                    Shape::parse(&value()).unwrap_or_else(|| usage("a shape is flat, chain or layered"));
                let (size, dir) = (number(&value()), PathBuf::from(value()));
                return Graph::new(shape, size).write(&dir).expect("the folder can be written");
            }
            other => usage(&format!("unknown argument {other}")),
        }
    }
    let root = options.dir.join(format!("compare-{}", std::process::id()));
    fs::create_dir_all(&root).expect("the folder can be written");
    field::copy_runner(&root);
    compare(&options, &root);
    fs::remove_dir_all(&root).expect("what was written can be removed");
}

fn usage(problem: &str) -> ! {
    eprintln!("{problem}; see the top of benches/compare/main.rs");
    std::process::exit(2)
}

fn number(text: &str) -> usize {
    match text.replace('_', "").parse() {
        Ok(number) if number > 0 => number,
        _ => usage(&format!("{text} is no number of nodes")),
    }
}

fn compare(options: &Options, root: &Path) {
    let tools = Tool::present();
    let bench = Bench {
        table: Table::begin(
            vec!["bare spawns", "make", "ninja", "runner (values)", "runner (files)"],
            vec![3, 4],
        ),
        root,
        tools: &tools,
    };
    for &size in &options.sizes {
        if size > 1 {
            bench.cold(Shape::Flat, size);
        }
        bench.layered(size);
    }
    if options.chain > 0 {
        bench.cold(Shape::Chain, options.chain);
    }
    if options.shared > 0 {
        shared::compare(root, options.shared, 5);
    }
    if options.bulk > 0 {
        bulk::Bulk::new(root, options.bulk).compare(5, tools.contains(&Tool::Ninja));
    }
}

/// Measurements of one quantity, by tool.
#[derive(Default)]
struct Samples([Vec<f64>; Tool::ALL.len()]);

impl Samples {
    fn add(&mut self, tool: Tool, value: f64) {
        self.0[tool as usize].push(value);
    }

    fn row(self, case: String, unit: Unit, yardstick: Tool) -> Row {
        let cells = self.0.into_iter().map(|values| (!values.is_empty()).then(|| median(values))).collect();
        Row { case, unit, cells, yardstick: yardstick as usize }
    }
}

struct Bench<'a> {
    table: Table,
    root: &'a Path,
    tools: &'a [Tool],
}

impl Bench<'_> {
    /// Everything runs.
    fn cold(&self, shape: Shape, size: usize) {
        let field = Field::new(self.root, shape, size);
        let edit = (0, 0);
        let (mut wall, mut own) = (Samples::default(), Samples::default());
        for _ in 0..if size < LARGE { 5 } else { 3 } {
            if shape == Shape::Flat {
                field.forget(Tool::Bare);
                wall.add(Tool::Bare, seconds(measure::bare_spawns(&field.dir, size)));
                field.verify(Tool::Bare, edit, None);
            }
            for &tool in self.tools {
                field.forget(tool);
                let cost = measure::run(&mut field.command(tool, edit), &field.stdout(tool));
                field.verify(tool, edit, Some(size));
                wall.add(tool, seconds(cost.wall));
                own.add(tool, seconds(cost.own) / size as f64);
            }
        }
        let case = format!("cold, {} {}", thousands(size), shape.name());
        self.table.row(&wall.row(case.clone(), Unit::Seconds, Tool::Ninja));
        self.table.row(&own.row(format!("{case}: own processor time a task"), Unit::Micros, Tool::Ninja));
    }

    /// What changes little or nothing, over a layered graph; and peak memory.
    fn layered(&self, size: usize) {
        let field = Field::new(self.root, Shape::Layered, size);
        let last = field.graph.last();
        let built = (last, last as i64);
        let many = thousands(size);
        let (mut cold, mut idle) = (Samples::default(), Samples::default());
        for &tool in self.tools {
            let memory = |executed| {
                let peak = measure::peak_memory(&field.command(tool, built), &field.stdout(tool));
                field.verify(tool, built, peak.map(|_| executed));
                peak.map(|bytes| bytes as f64)
            };
            field.forget(tool);
            memory(size).into_iter().for_each(|peak| cold.add(tool, peak));
            memory(0).into_iter().for_each(|peak| idle.add(tool, peak));
            if tool.is_runner() {
                field.verify_idle(tool, built);
            }
        }
        let no_op = if size == 1 { "no-op, 1 task".into() } else { format!("no-op, {many} layered") };
        let yardstick = if size == 1 { Tool::Make } else { Tool::Ninja };
        self.repeat(&field, &no_op, yardstick, 5, |_| (built, Some(0)));
        if size > 1 {
            // Values that nobody read before: what was read once is in the cache.
            let edited = |source: usize, repetition: usize| (source + 1_000_000 * (repetition + 1)) as i64;
            self.repeat(&field, &format!("one stale leaf, {many} layered"), yardstick, 5, |repetition| {
                ((last, edited(last, repetition)), Some(1))
            });
            self.restore(&field, built);
            let few = if size < LARGE { 5 } else { 3 };
            let reached = field.graph.reached_by_first();
            let case = format!("one stale root ({} run), {many} layered", thousands(reached));
            self.repeat(&field, &case, yardstick, few, |repetition| {
                ((0, edited(0, repetition)), Some(reached))
            });
            self.table.row(&cold.row(
                format!("peak memory, cold, {many} layered"),
                Unit::Megabytes,
                yardstick,
            ));
        }
        self.table.row(&idle.row(format!("peak memory, {no_op}"), Unit::Megabytes, yardstick));
    }

    /// Measures `repetitions` runs of each tool; `change` says, for each repetition, which source is edited and
    /// how many nodes must run.
    fn repeat(
        &self,
        field: &Field,
        case: &str,
        yardstick: Tool,
        repetitions: usize,
        change: impl Fn(usize) -> (Edit, Option<usize>),
    ) {
        let mut wall = Samples::default();
        for repetition in 0..repetitions {
            let (edit, executed) = change(repetition);
            if executed != Some(0) {
                field.edit(edit);
            }
            for &tool in self.tools {
                let cost = measure::run(&mut field.command(tool, edit), &field.stdout(tool));
                field.verify(tool, edit, executed);
                wall.add(tool, seconds(cost.wall));
            }
        }
        self.table.row(&wall.row(case.into(), Unit::Seconds, yardstick));
    }

    /// Takes an edit back, everywhere.
    fn restore(&self, field: &Field, edit: Edit) {
        field.edit(edit);
        for &tool in self.tools {
            measure::run(&mut field.command(tool, edit), &field.stdout(tool));
            field.verify(tool, edit, None);
        }
    }
}

fn thousands(number: usize) -> String {
    match number {
        1_000.. => format!("{},{:03}", number / 1_000, number % 1_000),
        _ => number.to_string(),
    }
}
