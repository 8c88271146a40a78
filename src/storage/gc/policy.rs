//! What goes: a pure function from what there is, and limits, to a plan. Knows no files, rows or clocks.
//!
//! 1. What a kept run needs stays, whatever the limits say, and so do results that are still to be uploaded, and files that were there when a database was lost and
//!    that no later one knows.
//! 2. Results that cannot be used any more go, and results and runs that were not used for longer than the
//!    greatest age.
//! 3. Files that no result and no kept run names go.
//!
//! While that is not enough for the greatest size:
//!
//! 4. Files that are kept only to look into past work go, the largest first: inputs of results that no result has as an
//!    output.
//! 5. Old runs go, the oldest first, until history takes no more than a tenth of the greatest size.
//! 6. Results go, those first that are worth least: see `worth`.
//! 7. The other runs go, the oldest first.
//!
//! A file goes with the last result that has it as an output. Sizes are in bytes, times in milliseconds.

use std::collections::HashSet;

/// All there is. Files are numbered by their place in `files`, results by theirs in `results`.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// The size of each.
    pub files: Vec<u64>,
    pub results: Vec<Stored>,
    pub runs: Vec<StockedRun>,
    /// Files that no database knows since an earlier one was lost: they stay.
    pub unclaimed: Vec<usize>,
    /// What there is beside them and goes in any case.
    pub waste: u64,
}

/// A stored result.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Of its row.
    pub size: u64,
    /// Its output files, each once.
    pub outputs: Vec<usize>,
    /// The files that it was made from, as far as they are there, each once.
    pub inputs: Vec<usize>,
    /// What it took to make it.
    pub duration: u64,
    /// Since it was last used.
    pub idle: u64,
    /// Whether it cannot be used any more.
    pub broken: bool,
    /// Whether it stays, because it is still to be uploaded.
    pub kept: bool,
}

/// A past run.
#[derive(Clone, Debug, Default)]
pub struct StockedRun {
    /// The size of its logs, events and output files.
    pub size: u64,
    /// Since it ended.
    pub idle: u64,
    /// Whether it stays with everything that it needs.
    pub kept: bool,
    /// What a kept run needs: results,
    pub results: Vec<usize>,
    /// and files.
    pub files: Vec<usize>,
}

/// How much may stay; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub size: Option<u64>,
    pub age: Option<u64>,
}

/// What goes, each in the order in which it was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcPlan {
    pub results: Vec<usize>,
    pub runs: Vec<usize>,
    pub files: Vec<usize>,
    /// What all took, and will take.
    pub before: u64,
    pub after: u64,
}

/// History may take this part of the greatest size before results have to go.
const HISTORY: u64 = 10;
/// A result that was used just now counts as this old: an hour.
const FRESH: f64 = 3_600_000.0;

/// What a result is worth: the time that it saves for each byte that it takes, aged by the time since its last use.
///
/// This is how GreedyDual-Size ranks, whose "inflation" (the worth of what was last evicted, added to whatever is used)
/// stands for age; dividing by the age itself needs nothing to be kept between collections. `size` is the result's own
/// share: a file of several results is shared evenly, one that a kept run needs is free.
fn worth(duration: u64, size: f64, idle: u64) -> f64 {
    (duration as f64 + 1.0) / (size.max(1.0) * (idle as f64 + FRESH))
}

/// Decides what goes.
pub fn plan(stock: &Stock, limits: Limits) -> GcPlan {
    let mut plan = Planning::new(stock);
    let aged = |idle: u64| limits.age.is_some_and(|most| idle > most);
    for (i, result) in stock.results.iter().enumerate() {
        if result.broken || (aged(result.idle) && !plan.pinned_results.contains(&i)) {
            plan.drop_result(i);
        }
    }
    for (i, run) in stock.runs.iter().enumerate() {
        if !run.kept && aged(run.idle) {
            plan.drop_run(i);
        }
    }
    for file in 0..stock.files.len() {
        if plan.handed[file] == 0 && plan.used[file] == 0 {
            plan.drop_file(file);
        }
    }
    if let Some(size) = limits.size {
        plan.press(size);
    }
    plan.done
}

struct Planning<'a> {
    stock: &'a Stock,
    done: GcPlan,
    pinned_results: HashSet<usize>,
    pinned_files: HashSet<usize>,
    /// By file: how many results hand it out, and how many were made from it.
    handed: Vec<usize>,
    used: Vec<usize>,
    gone: Vec<bool>,
    /// What the runs take that stay.
    history: u64,
}

impl<'a> Planning<'a> {
    fn new(stock: &'a Stock) -> Self {
        let kept = || stock.runs.iter().filter(|run| run.kept);
        let queued = (0..stock.results.len()).filter(|i| stock.results[*i].kept);
        let needed_results = kept().flat_map(|run| run.results.iter().copied());
        let pinned_results: HashSet<usize> = needed_results.chain(queued).collect();
        let needed = pinned_results.iter().flat_map(|i| stock.results[*i].outputs.iter());
        let needed = needed.chain(&stock.unclaimed);
        let pinned_files = kept().flat_map(|run| run.files.iter()).chain(needed).copied().collect();
        let (mut handed, mut used) = (vec![0; stock.files.len()], vec![0; stock.files.len()]);
        for result in &stock.results {
            result.outputs.iter().for_each(|file| handed[*file] += 1);
            result.inputs.iter().for_each(|file| used[*file] += 1);
        }
        let history = stock.runs.iter().map(|run| run.size).sum();
        let rows: u64 = stock.results.iter().map(|result| result.size).sum();
        let before = stock.files.iter().sum::<u64>() + rows + history;
        let done = GcPlan { before: before + stock.waste, after: before, ..GcPlan::default() };
        let gone = vec![false; stock.files.len()];
        Self { stock, done, pinned_results, pinned_files, handed, used, gone, history }
    }

    fn drop_file(&mut self, file: usize) {
        if !self.gone[file] && !self.pinned_files.contains(&file) {
            self.gone[file] = true;
            self.done.files.push(file);
            self.done.after -= self.stock.files[file];
        }
    }

    fn drop_run(&mut self, i: usize) {
        self.done.runs.push(i);
        self.done.after -= self.stock.runs[i].size;
        self.history -= self.stock.runs[i].size;
    }

    fn drop_result(&mut self, i: usize) {
        let result = &self.stock.results[i];
        self.done.results.push(i);
        self.done.after -= result.size;
        result.outputs.iter().for_each(|file| self.handed[*file] -= 1);
        result.inputs.iter().for_each(|file| self.used[*file] -= 1);
    }

    /// Gets below `size`, or as near as it can.
    fn press(&mut self, size: u64) {
        let stock = self.stock;
        let fits = |plan: &Self| plan.done.after <= size;
        let mut files: Vec<usize> = (0..stock.files.len()).filter(|file| self.handed[*file] == 0).collect();
        files.sort_by_key(|file| std::cmp::Reverse(stock.files[*file]));
        for file in files {
            if fits(self) {
                return;
            }
            self.drop_file(file);
        }
        let gone: HashSet<usize> = self.done.runs.iter().copied().collect();
        let mut runs: Vec<usize> =
            (0..stock.runs.len()).filter(|i| !stock.runs[*i].kept && !gone.contains(i)).collect();
        runs.sort_by_key(|i| std::cmp::Reverse(stock.runs[*i].idle));
        let mut runs = runs.into_iter().peekable();
        while !fits(self)
            && self.history > size / HISTORY
            && let Some(run) = runs.next()
        {
            self.drop_run(run);
        }
        for i in self.by_worth() {
            if fits(self) {
                return;
            }
            self.drop_result(i);
            for file in &stock.results[i].outputs {
                if self.handed[*file] == 0 {
                    self.drop_file(*file);
                }
            }
        }
        while !fits(self)
            && let Some(run) = runs.next()
        {
            self.drop_run(run);
        }
    }

    /// The results that may go and have not gone yet, those that are worth least first.
    fn by_worth(&self) -> Vec<usize> {
        let gone: HashSet<usize> = self.done.results.iter().copied().collect();
        let share = |file: &usize| match self.pinned_files.contains(file) {
            true => 0.0,
            false => self.stock.files[*file] as f64 / self.handed[*file].max(1) as f64,
        };
        let worth = |i: usize| {
            let result = &self.stock.results[i];
            let size = result.size as f64 + result.outputs.iter().map(share).sum::<f64>();
            (worth(result.duration, size, result.idle), i)
        };
        let may_go = |i: &usize| !self.pinned_results.contains(i) && !gone.contains(i);
        let mut ranked: Vec<(f64, usize)> = (0..self.stock.results.len()).filter(may_go).map(worth).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked.into_iter().map(|(_, i)| i).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn result(outputs: &[usize], duration: u64, idle: u64) -> Stored {
        Stored { size: 10, outputs: outputs.to_vec(), duration, idle, ..Stored::default() }
    }

    fn size(size: u64) -> Limits {
        Limits { size: Some(size), age: None }
    }

    #[test]
    fn without_limits_only_what_nobody_names_goes() {
        let stock = Stock {
            files: vec![100, 200, 300, 400],
            results: vec![
                Stored { inputs: vec![1], ..result(&[0], 5, 0) },
                Stored { broken: true, ..result(&[2], 5, 0) },
            ],
            runs: vec![StockedRun { size: 1000, idle: 1 << 40, ..StockedRun::default() }],
            waste: 7,
            ..Stock::default()
        };
        let plan = plan(&stock, Limits::default());
        assert_eq!((plan.results, plan.runs, plan.files), (vec![1], vec![], vec![2, 3]));
        assert_eq!((plan.before, plan.after), (2027, 1310));
    }

    #[test]
    fn what_no_database_knows_stays_under_any_pressure() {
        let files = vec![100, 200, 300];
        let stock = Stock { files, unclaimed: vec![1], ..Stock::default() };
        for limits in [Limits::default(), size(0)] {
            let plan = plan(&stock, limits);
            assert_eq!((plan.files, plan.after), (vec![0, 2], 200));
        }
    }

    #[test]
    fn what_is_cheap_to_make_large_or_long_unused_goes_first() {
        let cases = [
            // Equal but for what they took: the quick one goes.
            (vec![100, 100], [result(&[0], 10_000, 0), result(&[1], 10, 0)], 1),
            // Equal but for size: the large one goes.
            (vec![1000, 100], [result(&[0], 1000, 0), result(&[1], 1000, 0)], 0),
            // Equal but for age: the old one goes.
            (vec![100, 100], [result(&[0], 1000, 100 * HOUR), result(&[1], 1000, HOUR)], 0),
            // A large one that took long is worth more than a small one that took no time.
            (vec![1000, 100], [result(&[0], 60_000, 0), result(&[1], 10, 0)], 1),
        ];
        for (files, results, first) in cases {
            let total = files.iter().sum::<u64>() + 20;
            let stock = Stock { files, results: results.into(), ..Stock::default() };
            assert_eq!(plan(&stock, size(total - 1)).results, [first]);
        }
    }

    #[test]
    fn a_shared_file_goes_with_the_last_result_that_hands_it_out() {
        let stock = Stock {
            files: vec![1000],
            results: vec![result(&[0], 10, 0), result(&[0], 20, 0)],
            ..Stock::default()
        };
        let both = plan(&stock, size(0));
        assert_eq!((both.results, both.files, both.after), (vec![0, 1], vec![0], 0));
    }

    #[test]
    fn inputs_that_nobody_hands_out_go_before_results_and_old_history_too() {
        let stock = Stock {
            files: vec![500, 100],
            results: vec![Stored { inputs: vec![0], ..result(&[1], 10, 0) }],
            runs: [3, 2, 1].map(|idle| StockedRun { size: 100, idle, ..StockedRun::default() }).into(),
            ..Stock::default()
        };
        assert_eq!(
            plan(&stock, size(500)),
            GcPlan { files: vec![0], before: 910, after: 410, ..GcPlan::default() }
        );
        // A tenth of 250 is less than one run: all go, then nothing else has to.
        assert_eq!(plan(&stock, size(250)).runs, [0, 1]);
        let tight = plan(&stock, size(100));
        assert_eq!((tight.runs.len(), tight.results.len()), (3, 1));
    }

    #[test]
    fn age_spares_nothing_but_what_kept_runs_need() {
        let stock = Stock {
            files: vec![100, 100],
            results: vec![result(&[0], 1 << 30, 100), result(&[1], 1, 100)],
            runs: vec![
                StockedRun { size: 5, idle: 100, kept: true, results: vec![1], ..StockedRun::default() },
                StockedRun { size: 5, idle: 100, ..StockedRun::default() },
            ],
            ..Stock::default()
        };
        let plan = plan(&stock, Limits { size: None, age: Some(99) });
        assert_eq!((plan.results, plan.runs, plan.files), (vec![0], vec![1], vec![0]));
    }

    fn stock() -> impl Strategy<Value = Stock> {
        let files = prop::collection::vec(0u64..1000, 1..12);
        files.prop_flat_map(|files| {
            let some = prop::collection::btree_set(0..files.len(), 0..4);
            let some = some.prop_map(|set| set.into_iter().collect::<Vec<usize>>());
            let result = (0u64..50, some.clone(), some.clone(), 0u64..5000, 0u64..100, 0u8..8);
            let result = result.prop_map(|(size, outputs, inputs, duration, idle, odds)| Stored {
                size,
                outputs,
                inputs,
                duration,
                idle,
                broken: odds == 0,
                kept: odds == 1,
            });
            let run = (0u64..100, 0u64..100, any::<bool>(), prop::collection::vec(0usize..10, 0..4), some);
            let run = run.prop_map(|(size, idle, kept, results, files)| StockedRun {
                size,
                idle,
                kept,
                results,
                files,
            });
            let parts = (prop::collection::vec(result, 0..10), prop::collection::vec(run, 0..5), 0u64..9);
            parts.prop_map(move |(results, mut runs, waste)| {
                for run in &mut runs {
                    run.results.retain(|i| results.get(*i).is_some_and(|result: &Stored| !result.broken));
                }
                Stock { files: files.clone(), results, runs, unclaimed: Vec::new(), waste }
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_needed_stays_and_the_limit_is_met_if_it_can_be(
            stock in stock(),
            limit in prop::option::of(0u64..6000),
            age in prop::option::of(0u64..100),
        ) {
            let plan = plan(&stock, Limits { size: limit, age });
            let gone = |list: &[usize], i: usize| list.contains(&i);
            let mut needed = HashSet::new();
            for run in stock.runs.iter().filter(|run| run.kept) {
                for i in &run.results {
                    prop_assert!(!gone(&plan.results, *i), "a kept run needs result {i}");
                    needed.extend(stock.results[*i].outputs.iter().copied());
                }
                needed.extend(run.files.iter().copied());
            }
            for (i, run) in stock.runs.iter().enumerate() {
                prop_assert!(!(run.kept && gone(&plan.runs, i)));
                prop_assert!(run.kept || age.is_none_or(|age| run.idle <= age) || gone(&plan.runs, i));
            }
            for (i, result) in stock.results.iter().enumerate() {
                prop_assert!(!result.kept || !gone(&plan.results, i), "result {i} is still to be uploaded");
                if !gone(&plan.results, i) {
                    prop_assert!(!result.broken);
                    // A result that stays can be used.
                    needed.extend(result.outputs.iter().copied());
                }
            }
            prop_assert!(plan.files.iter().all(|file| !needed.contains(file)));
            // The sums are those of what stays, and nothing goes twice.
            let left = |all: usize, gone: &[usize], size: &dyn Fn(usize) -> u64| -> u64 {
                (0..all).filter(|i| !gone.contains(i)).map(size).sum()
            };
            let after = left(stock.files.len(), &plan.files, &|i| stock.files[i])
                + left(stock.results.len(), &plan.results, &|i| stock.results[i].size)
                + left(stock.runs.len(), &plan.runs, &|i| stock.runs[i].size);
            prop_assert_eq!(after, plan.after);
            if let Some(limit) = limit && plan.after > limit {
                let kept = |i: usize| {
                    stock.results[i].kept || stock.runs.iter().any(|run| run.kept && run.results.contains(&i))
                };
                prop_assert!((0..stock.results.len()).all(|i| kept(i) || gone(&plan.results, i)));
                prop_assert!((0..stock.runs.len()).all(|i| stock.runs[i].kept || gone(&plan.runs, i)));
                prop_assert!((0..stock.files.len()).all(|i| needed.contains(&i) || gone(&plan.files, i)));
            }
        }
    }
}
