//! The queue for slots: what waits, by what it requests. Equal requests are one class, so that whatever cannot
//! run now is passed over as a whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::Unit;
use super::pools::{Pools, Request};

/// So often others may start before a unit that does not fit; then everything waits until it does.
const PATIENCE: u32 = 64;

#[derive(Default)]
pub struct Queue {
    classes: Vec<Class>,
    /// Indices into the classes.
    by_request: BTreeMap<Request, usize>,
    /// The class of each unit that is queued or runs.
    of: HashMap<Unit, usize>,
    /// Counts what was ever added: who came first.
    added: u64,
    len: usize,
}

struct Class {
    request: Request,
    /// By priority, then by age. May hold units that have left the queue otherwise.
    waiting: BinaryHeap<(u64, Reverse<u64>, Unit)>,
    /// How often others went before its first.
    passed_over: u32,
}

impl Queue {
    pub fn add(&mut self, unit: Unit, request: &Request, priority: u64) {
        let class = match self.by_request.get(request) {
            Some(class) => *class,
            None => {
                let class = Class { request: request.clone(), waiting: BinaryHeap::new(), passed_over: 0 };
                self.classes.push(class);
                self.by_request.insert(request.clone(), self.classes.len() - 1);
                self.classes.len() - 1
            }
        };
        self.of.insert(unit, class);
        self.classes[class].waiting.push((priority, Reverse(self.added), unit));
        self.added += 1;
        self.len += 1;
    }

    /// Takes the first unit that fits.
    pub fn take(&mut self, pools: &Pools, is_queued: impl Fn(Unit) -> bool) -> Option<Unit> {
        let mut best: Option<(u64, Reverse<u64>, usize)> = None;
        let mut stuck: Vec<(u64, Reverse<u64>, usize)> = Vec::new();
        for (number, class) in self.classes.iter_mut().enumerate() {
            while class.waiting.peek().is_some_and(|(_, _, unit)| !is_queued(*unit)) {
                class.waiting.pop();
            }
            let Some((priority, age, _)) = class.waiting.peek() else { continue };
            let first = (*priority, *age, number);
            if !pools.fits(&class.request) {
                if class.passed_over >= PATIENCE {
                    return None;
                }
                stuck.push(first);
            } else if best.is_none_or(|best| first > best) {
                best = Some(first);
            }
        }
        let best = best?;
        for (_, _, number) in stuck.iter().filter(|first| **first > best) {
            self.classes[*number].passed_over += 1;
        }
        let class = &mut self.classes[best.2];
        class.passed_over = 0;
        class.waiting.pop().map(|(_, _, unit)| unit)
    }

    /// What a unit requested that is queued or runs.
    pub fn request(&self, unit: Unit) -> Option<&Request> {
        self.of.get(&unit).map(|class| &self.classes[*class].request)
    }

    /// Forgets a unit. Returns what it requested.
    pub fn forget(&mut self, unit: Unit) -> Option<&Request> {
        self.of.remove(&unit).map(|class| &self.classes[class].request)
    }

    /// A unit is no longer queued.
    pub fn left(&mut self) {
        self.len -= 1;
    }

    /// The first of each class that does not fit, and the resource it lacks.
    pub fn lacking(&self, pools: &Pools, is_queued: impl Fn(Unit) -> bool) -> Vec<(Unit, String)> {
        let first = |class: &Class| {
            let lacking = pools.lacks(&class.request)?.to_owned();
            let (_, _, unit) = class.waiting.peek().filter(|(_, _, unit)| is_queued(*unit))?;
            Some((*unit, lacking))
        };
        self.classes.iter().filter_map(first).collect()
    }

    pub fn len(&self) -> usize {
        self.len
    }
}
