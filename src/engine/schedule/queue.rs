//! The queue for slots: what waits, by what it requests. Equal requests are one class, so that whatever cannot
//! run now is passed over as a whole. Knows nothing of states and graphs.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::UnitId;
use super::pools::{Pools, Reservation};

/// How many later units may overtake a unit that does not fit before it blocks the queue.
const MAX_OVERTAKES: u32 = 64;

#[derive(Default)]
pub struct Queue {
    classes: Vec<Class>,
    /// Indices into the classes.
    by_request: BTreeMap<Reservation, usize>,
    /// The class of each unit that waits.
    waiting: HashMap<UnitId, usize>,
    /// The class of each unit that was taken and holds what it requested.
    holding: HashMap<UnitId, usize>,
    /// Counts what was ever added: who came first.
    added: u64,
}

struct Class {
    request: Reservation,
    /// May hold units that were withdrawn, but never as its first.
    heap: BinaryHeap<Entry>,
}

/// The higher priority goes first, then the older.
type Rank = (u64, Reverse<u64>);

struct Entry {
    rank: Rank,
    unit: UnitId,
    /// How often units behind it have started before it, while it was the first of its class.
    passed_over: u32,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Entry {}

impl Queue {
    pub fn add(&mut self, unit: UnitId, request: &Reservation, priority: u64) {
        let class = match self.by_request.get(request) {
            Some(class) => *class,
            None => {
                self.classes.push(Class { request: request.clone(), heap: BinaryHeap::new() });
                self.by_request.insert(request.clone(), self.classes.len() - 1);
                self.classes.len() - 1
            }
        };
        self.waiting.insert(unit, class);
        let rank = (priority, Reverse(self.added));
        self.classes[class].heap.push(Entry { rank, unit, passed_over: 0 });
        self.added += 1;
    }

    /// Takes the first unit that fits, and what it requested out of the pools. One that does not fit is passed over,
    /// but not for ever: once it was [`MAX_OVERTAKES`] times, nothing behind it starts any more. What then runs ends some
    /// time, and the unit fits.
    pub fn take(&mut self, pools: &mut Pools) -> Option<UnitId> {
        let mut best: Option<(Rank, usize)> = None;
        let mut barrier: Option<Rank> = None;
        for (number, class) in self.classes.iter().enumerate() {
            let Some(first) = class.heap.peek() else { continue };
            if pools.fits(&class.request) {
                best = best.max(Some((first.rank, number)));
            } else if first.passed_over >= MAX_OVERTAKES {
                barrier = barrier.max(Some(first.rank));
            }
        }
        let (rank, number) = best.filter(|(rank, _)| barrier < Some(*rank))?;
        for class in &mut self.classes {
            if let Some(mut first) = class.heap.peek_mut()
                && first.rank > rank
            {
                first.passed_over += 1;
            }
        }
        let class = &mut self.classes[number];
        let Entry { unit, .. } = class.heap.pop()?;
        pools.take(&class.request);
        self.waiting.remove(&unit);
        self.holding.insert(unit, number);
        self.drop_withdrawn(number);
        Some(unit)
    }

    /// A unit gives back what it holds.
    pub fn release(&mut self, unit: UnitId, pools: &mut Pools) {
        if let Some(class) = self.holding.remove(&unit) {
            pools.give_back(&self.classes[class].request);
        }
    }

    /// A unit does not wait any more.
    pub fn withdraw(&mut self, unit: UnitId) {
        if let Some(class) = self.waiting.remove(&unit) {
            self.drop_withdrawn(class);
        }
    }

    fn drop_withdrawn(&mut self, class: usize) {
        let heap = &mut self.classes[class].heap;
        while let Some(first) = heap.peek_mut() {
            if self.waiting.contains_key(&first.unit) {
                break;
            }
            PeekMut::pop(first);
        }
    }

    /// The first of each class that does not fit, and the resource it lacks, in the order in which they would start.
    pub fn lacking(&self, pools: &Pools) -> Vec<(UnitId, String)> {
        let first = |class: &Class| {
            let first = class.heap.peek()?;
            Some((first.rank, first.unit, pools.lacks(&class.request)?.to_owned()))
        };
        let mut lacking: Vec<_> = self.classes.iter().filter_map(first).collect();
        lacking.sort_unstable_by_key(|(rank, ..)| Reverse(*rank));
        lacking.into_iter().map(|(_, unit, resource)| (unit, resource)).collect()
    }

    /// How many units wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools() -> Pools {
        Pools::new(1000, BTreeMap::from([("cpus".to_owned(), 100), ("gpu".to_owned(), 1)]))
    }

    fn cpus(amount: u64) -> Reservation {
        BTreeMap::from([("cpus".to_owned(), amount)])
    }

    #[test]
    fn equal_requests_share_a_class() {
        let mut queue = Queue::default();
        for unit in 0..100 {
            queue.add(unit, &cpus(u64::from(unit % 3)), 0);
        }
        queue.add(100, &Reservation::new(), 0);
        assert_eq!((queue.classes.len(), queue.len()), (4, 101));
    }

    #[test]
    fn the_highest_priority_goes_first_and_then_the_oldest_across_classes() {
        let (mut queue, mut pools) = (Queue::default(), pools());
        for (unit, priority) in [(0, 1), (1, 5), (2, 5), (3, 9), (4, 1)] {
            queue.add(unit, &cpus(u64::from(unit % 2)), priority);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.take(&mut pools)).collect();
        assert_eq!(order, [3, 1, 2, 0, 4]);
    }

    #[test]
    fn what_was_withdrawn_is_neither_taken_nor_shown() {
        let (mut queue, mut pools) = (Queue::default(), pools());
        let gpu = BTreeMap::from([("gpu".to_owned(), 1)]);
        for unit in 0..5 {
            queue.add(unit, &gpu, 0);
        }
        assert_eq!(queue.take(&mut pools), Some(0));
        queue.withdraw(2);
        queue.withdraw(1);
        assert_eq!(queue.lacking(&pools), [(3, "gpu".to_owned())]);
        queue.withdraw(4);
        queue.release(0, &mut pools);
        assert_eq!((queue.take(&mut pools), queue.take(&mut pools), queue.len()), (Some(3), None, 0));
    }

    /// 60 of 100 processors are taken by unit 1000; unit 0 wants 50.
    fn with_one_stuck() -> (Queue, Pools) {
        let (mut queue, mut pools) = (Queue::default(), pools());
        queue.add(1000, &cpus(60), 9);
        assert_eq!(queue.take(&mut pools), Some(1000));
        queue.add(0, &cpus(50), 5);
        (queue, pools)
    }

    #[test]
    fn one_that_does_not_fit_is_passed_over_only_so_often() {
        let (mut queue, mut pools) = with_one_stuck();
        for unit in 1..100 {
            queue.add(unit, &Reservation::new(), u64::from(unit % 6));
        }
        let passed = std::iter::from_fn(|| queue.take(&mut pools)).count();
        assert_eq!(passed, MAX_OVERTAKES as usize);
        queue.add(200, &cpus(1), 6);
        assert_eq!(queue.take(&mut pools), Some(200), "before it by right");
        assert_eq!(queue.take(&mut pools), None);
        queue.release(1000, &mut pools);
        assert_eq!(queue.take(&mut pools), Some(0));
        assert!(queue.take(&mut pools).is_some(), "then the others go on");
    }

    #[test]
    fn one_before_it_of_its_own_class_does_not_use_up_its_patience() {
        let (mut queue, mut pools) = with_one_stuck();
        queue.add(500, &cpus(50), 8);
        for unit in 1..200 {
            queue.add(unit, &cpus(0), 0);
        }
        let passed = std::iter::from_fn(|| queue.take(&mut pools)).count();
        assert_eq!(passed, MAX_OVERTAKES as usize);
        queue.withdraw(500);
        let passed = std::iter::from_fn(|| queue.take(&mut pools)).count();
        assert_eq!(passed, MAX_OVERTAKES as usize, "the next is as patient");
    }
}
