//! Random trees of frames and elements, driven to their ends with random outcomes beside a model that knows what
//! may happen.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;

const SLOTS: usize = 3;
const CPUS: u64 = 4;

/// A linear congruential generator: the same numbers everywhere.
struct Random(u64);

impl Random {
    /// Below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What the model knows of a group.
struct Known {
    parent: Option<UnitId>,
    base: UnitId,
    part: Vec<bool>,
    edges: Vec<(u32, u32, bool)>,
    /// For elements: how many may be in hand.
    at_once: Option<usize>,
}

struct Model {
    scheduler: Scheduler,
    random: Random,
    groups: Vec<Known>,
    /// By unit; elements that were never started are only counted.
    ends: HashMap<UnitId, UnitState>,
    never: usize,
    taken: HashSet<UnitId>,
    queued: HashSet<UnitId>,
    running: BTreeMap<UnitId, u64>,
    inside: HashSet<UnitId>,
    requests: HashMap<UnitId, u64>,
    units: u32,
}

impl Model {
    fn new(seed: u64) -> Self {
        let pools = Pools::new(SLOTS, BTreeMap::from([("cpus".to_owned(), CPUS)]));
        Self {
            scheduler: Scheduler::new(pools),
            random: Random(seed),
            groups: Vec::new(),
            ends: HashMap::new(),
            never: 0,
            taken: HashSet::new(),
            queued: HashSet::new(),
            running: BTreeMap::new(),
            inside: HashSet::new(),
            requests: HashMap::new(),
            units: 0,
        }
    }

    fn open_frame(&mut self, parent: Option<UnitId>) {
        let n = self.random.below(7) as u32;
        let mut edges = Vec::new();
        for (to, from) in (1..n).flat_map(|to| (0..to).map(move |from| (to, from))) {
            if self.random.below(3) == 0 {
                edges.push((from, to, self.random.below(2) == 0));
            }
        }
        let part: Vec<bool> = (0..n).map(|_| self.random.below(5) > 0).collect();
        let graph = Arc::new(Graph::from_edges(n as usize, &edges));
        let group = self.scheduler.open_frame(parent, graph, |node| part[node], |node| node as u64 % 3);
        self.opened(group, Known { parent, base: self.units, part, edges, at_once: None });
    }

    fn open_elements(&mut self, parent: UnitId) {
        let (count, at_once) = (self.random.below(6) as usize, 1 + self.random.below(3) as usize);
        let group = self.scheduler.open_elements(parent, count, at_once);
        let part = vec![true; count];
        let known =
            Known { parent: Some(parent), base: self.units, part, edges: vec![], at_once: Some(at_once) };
        self.opened(group, known);
    }

    fn opened(&mut self, group: usize, known: Known) {
        assert_eq!(group, self.groups.len());
        for i in 0..known.part.len() {
            assert_eq!(self.scheduler.locate(known.base + i as UnitId), (group, i));
            assert_eq!(self.scheduler.unit(group, i), known.base + i as UnitId);
        }
        if let Some(parent) = known.parent {
            assert!(self.taken.remove(&parent) && self.inside.insert(parent));
        }
        self.units += known.part.len() as u32;
        self.groups.push(known);
    }

    fn ended(&mut self, unit: UnitId, end: UnitState) {
        assert_eq!(self.ends.insert(unit, end), None, "{unit} ended twice");
        assert_eq!(self.scheduler.state(unit), end);
    }

    /// Checks that a unit that was started was allowed to start.
    fn took(&mut self, unit: UnitId) {
        assert!(self.taken.insert(unit) && !self.ends.contains_key(&unit));
        let (group, i) = self.scheduler.locate(unit);
        let known = &self.groups[group];
        assert!(known.part[i]);
        for (from, _, tolerant) in
            known.edges.iter().filter(|(from, to, _)| *to as usize == i && known.part[*from as usize])
        {
            let end = self.ends.get(&(known.base + from));
            let fine = end == Some(&UnitState::Succeeded) || (*tolerant && end == Some(&UnitState::Skipped));
            assert!(fine, "{unit} before {from}: {end:?}");
        }
        if let Some(at_once) = known.at_once {
            let all = known.base..known.base + known.part.len() as UnitId;
            let in_hand = |unit: &UnitId| {
                !self.ends.contains_key(unit) && self.scheduler.state(*unit) != UnitState::Waiting
            };
            assert!(all.clone().filter(in_hand).count() <= at_once);
            assert!(all.take(i).all(|before| self.scheduler.state(before) != UnitState::Waiting), "in order");
        }
    }

    fn finish(&mut self, unit: UnitId, end: UnitState) {
        assert!(self.taken.remove(&unit));
        let skipped = self.scheduler.finish(unit, end);
        self.ended(unit, end);
        for dependent in skipped {
            let (group, i) = self.scheduler.locate(dependent);
            let known = &self.groups[group];
            let ended = |from: &u32| self.ends.contains_key(&(known.base + from));
            assert!(known.edges.iter().any(|(from, to, _)| *to as usize == i && ended(from)), "has a cause");
            self.ended(dependent, UnitState::Skipped);
        }
    }

    fn abandoned(&mut self, (units, never): (Vec<UnitId>, usize), below: Option<UnitId>) {
        self.never += never;
        for unit in units {
            self.queued.remove(&unit);
            assert!(!self.taken.contains(&unit) && !self.inside.contains(&unit));
            assert!(below.is_none_or(|above| self.is_below(unit, above)), "{unit} is not below {below:?}");
            self.ended(unit, UnitState::Cancelled);
        }
    }

    fn is_below(&self, mut unit: UnitId, above: UnitId) -> bool {
        while let Some(parent) = self.groups[self.scheduler.locate(unit).0].parent {
            if parent == above {
                return true;
            }
            unit = parent;
        }
        false
    }

    fn close_all(&mut self) {
        while let Some(unit) = self.scheduler.take_closed() {
            assert!(self.inside.remove(&unit), "{unit} was closed twice, or never opened");
            assert!(self.taken.insert(unit));
            let group =
                (0..self.groups.len()).rfind(|group| self.groups[*group].parent == Some(unit)).unwrap();
            self.check_ended(group);
            match self.random.below(8) {
                0 => self.open_elements(unit),
                1 => self.finish(unit, UnitState::Failed),
                _ => self.finish(unit, UnitState::Succeeded),
            }
        }
    }

    /// The counts of a group that has ended are those of its units.
    fn check_ended(&self, group: usize) {
        let known = &self.groups[group];
        let mut counted = EndCounts::default();
        for i in (0..known.part.len()).filter(|i| known.part[*i]) {
            match self.scheduler.state(known.base + i as UnitId) {
                UnitState::Succeeded => counted.succeeded += 1,
                UnitState::Failed => counted.failed += 1,
                UnitState::Skipped => counted.skipped += 1,
                UnitState::Cancelled => counted.cancelled += 1,
                state => panic!("closed over one that is {state:?}"),
            }
        }
        assert_eq!(self.scheduler.ended(group), counted);
    }

    /// Something at random that can be done now; whether there was anything.
    fn step(&mut self, may_grow: bool) -> bool {
        let has_ready = self.scheduler.has_ready();
        if self.random.below(2) == 0
            && let Some(unit) = self.scheduler.take_ready()
        {
            assert!(has_ready);
            self.took(unit);
            match self.random.below(9) {
                0 | 1 if may_grow => self.open_elements(unit),
                2 | 3 if may_grow => self.open_frame(Some(unit)),
                4 => self.finish(unit, UnitState::Skipped),
                _ => self.enqueue(unit),
            }
            return true;
        }
        if self.random.below(2) == 0
            && let Some(unit) = self.scheduler.take_start()
        {
            assert!(self.queued.remove(&unit));
            self.running.insert(unit, self.requests[&unit]);
            assert!(self.running.len() <= SLOTS && self.running.values().sum::<u64>() <= CPUS);
            return true;
        }
        let running: Vec<UnitId> = self.running.keys().copied().collect();
        if !running.is_empty() {
            let unit = self.random.pick(&running);
            self.running.remove(&unit);
            self.scheduler.release(unit);
            self.taken.insert(unit);
            match self.random.below(6) {
                0 if !self.scheduler.is_stopped() => self.enqueue(unit),
                1 => self.finish(unit, UnitState::Failed),
                2 => self.finish(unit, UnitState::Cancelled),
                _ => self.finish(unit, UnitState::Succeeded),
            }
            return true;
        }
        has_ready || (!self.queued.is_empty() && !self.scheduler.is_stopped())
    }

    fn enqueue(&mut self, unit: UnitId) {
        let cpus = self.random.below(CPUS + 1);
        self.taken.remove(&unit);
        self.queued.insert(unit);
        self.requests.insert(unit, cpus);
        self.scheduler.enqueue(unit, &Reservation::from([("cpus".to_owned(), cpus)]));
    }

    /// Whether anything was abandoned, so that more may be closed.
    fn stop(&mut self) -> bool {
        self.scheduler.stop();
        let abandoned = self.scheduler.abandon();
        let any = abandoned.1 > 0 || !abandoned.0.is_empty();
        self.abandoned(abandoned, None);
        any
    }

    /// Until all has ended; sometimes a part is abandoned on the way, sometimes all.
    fn run(&mut self) {
        self.open_frame(None);
        let stops = self.random.below(3) == 0;
        for turn in 0.. {
            self.close_all();
            let s = &self.scheduler;
            assert_eq!((s.queued(), s.running()), (self.queued.len(), self.running.len()));
            let all = self.groups.iter().flat_map(|group| &group.part).filter(|part| **part).count();
            assert_eq!(s.open(), all - self.ends.len() - self.never);
            for (unit, resource) in s.lacking() {
                assert!(self.queued.contains(&unit) && resource == "cpus");
            }
            if s.open() == 0 {
                break;
            }
            if stops && turn >= 60 && self.stop() {
                continue;
            }
            assert!(self.step(turn < 150), "nothing can be done, and not all has ended");
            if self.random.below(20) == 0 && !self.inside.is_empty() {
                let mut inside: Vec<UnitId> = self.inside.iter().copied().collect();
                inside.sort_unstable();
                let unit = self.random.pick(&inside);
                let abandoned = self.scheduler.abandon_below(unit);
                self.abandoned(abandoned, Some(unit));
                assert_eq!(self.scheduler.abandon_below(unit), (vec![], 0));
            }
        }
        (0..self.groups.len()).for_each(|group| self.check_ended(group));
        assert!(self.taken.is_empty() && self.inside.is_empty());
        let s = &mut self.scheduler;
        s.resume();
        let left = (s.has_ready(), s.take_ready(), s.take_start(), s.take_closed(), s.queued());
        assert_eq!(left, (false, None, None, None, 0));
        assert!(s.below.is_empty() && s.idle == 0, "nothing is kept");
    }
}

#[test]
fn every_unit_ends_once_whatever_happens() {
    for seed in 0..1000 {
        let mut model = Model::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.run()));
        assert!(result.is_ok(), "with seed {seed}");
    }
}
