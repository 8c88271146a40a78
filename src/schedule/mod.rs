//! The scheduler: which unit may proceed, and what follows when one ends.
//!
//! A unit is whatever has a state of its own: a node of a *frame*, which is one use of a workflow, or one of the
//! *elements* of a node. Frames and elements come into being below a unit while the run goes on; that unit ends
//! when they have. Pure and synchronous: no clock, no files, no output. One enum holds a unit's state and one
//! function changes it.

pub mod pools;
mod queue;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::graph::Graph;
use pools::{Pools, Request};
use queue::Queue;

/// The number of a unit.
pub type Unit = u32;

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// For other nodes to end; an element: to be handed out.
    Waiting,
    /// All it waits for has ended well; nobody has taken it up yet.
    Ready,
    /// Handed out: looked up in the cache, or between two attempts.
    Taken,
    /// It has to run and waits for a slot.
    Queued,
    /// It holds a slot.
    Running,
    /// What is below it runs.
    Inside,
    Succeeded,
    Failed,
    /// It never ran: its condition was false, something it waits for did not succeed, or the user said so.
    Skipped,
    /// It never ran, or was ended: the run stopped first.
    Cancelled,
    /// Not part of the run.
    Out,
}

impl State {
    fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled | Self::Out)
    }
}

/// How the units of a group have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub succeeded: usize,
    pub failed: usize,
    pub skipped: usize,
    pub cancelled: usize,
}

/// Units of consecutive numbers.
struct Group {
    base: Unit,
    len: usize,
    parent: Option<Unit>,
    kind: Kind,
    /// How many have not ended.
    open: usize,
    ended: Ended,
}

enum Kind {
    Frame {
        graph: Arc<Graph>,
        /// How many nodes each one still waits for.
        waits: Vec<u32>,
        priority: Vec<u64>,
    },
    Elements {
        /// The first that was not handed out yet: a queue of all would be as long as there are elements.
        next: usize,
        /// How many are handed out and have not ended.
        in_hand: usize,
        at_once: usize,
    },
}

/// Decides what may proceed.
pub struct Scheduler {
    /// In the order of their bases.
    groups: Vec<Group>,
    states: Vec<State>,
    ready: VecDeque<Unit>,
    /// Groups of elements that can hand out more, each once.
    sources: VecDeque<usize>,
    /// Units all of whose children have ended.
    closed: VecDeque<Unit>,
    queue: Queue,
    pools: Pools,
    /// Units that have not ended yet.
    open: usize,
    running: usize,
    stopped: bool,
}

impl Scheduler {
    pub fn new(pools: Pools) -> Self {
        Self {
            groups: Vec::new(),
            states: Vec::new(),
            ready: VecDeque::new(),
            sources: VecDeque::new(),
            closed: VecDeque::new(),
            queue: Queue::default(),
            pools,
            open: 0,
            running: 0,
            stopped: false,
        }
    }

    /// Opens a frame: the nodes of `graph` for which `takes_part` holds; what others would hand over is not waited
    /// for. `priority` tells what goes first when not all can run. A taken `parent` goes on inside. Returns the
    /// group's number.
    pub fn open_frame(
        &mut self,
        parent: Option<Unit>,
        graph: Arc<Graph>,
        takes_part: impl Fn(usize) -> bool,
        priority: impl Fn(usize) -> u64,
    ) -> usize {
        let n = graph.len();
        let waits: Vec<u32> = (0..n)
            .map(|node| match takes_part(node) {
                true => graph.dependencies(node).filter(|d| takes_part(*d)).count() as u32,
                false => 0,
            })
            .collect();
        let first: Vec<usize> = (0..n).filter(|node| takes_part(*node) && waits[*node] == 0).collect();
        let kind = Kind::Frame { graph, waits, priority: (0..n).map(priority).collect() };
        let state = |node| if takes_part(node) { State::Waiting } else { State::Out };
        let group = self.add(parent, kind, (0..n).map(state));
        let base = self.groups[group].base;
        for node in first {
            self.change(base + node as Unit, State::Ready);
        }
        group
    }

    /// A taken `parent` becomes `count` elements, of which at most `at_once` are handed out and have not ended.
    /// Returns the group's number.
    pub fn open_elements(&mut self, parent: Unit, count: usize, at_once: usize) -> usize {
        let kind = Kind::Elements { next: 0, in_hand: 0, at_once: at_once.max(1) };
        let group = self.add(Some(parent), kind, std::iter::repeat_n(State::Waiting, count));
        if count > 0 {
            self.sources.push_back(group);
        }
        group
    }

    fn add(&mut self, parent: Option<Unit>, kind: Kind, states: impl Iterator<Item = State>) -> usize {
        let base = self.states.len();
        self.states.extend(states);
        let open = self.states[base..].iter().filter(|state| !state.is_final()).count();
        self.open += open;
        let (len, ended) = (self.states.len() - base, Ended::default());
        self.groups.push(Group { base: base as Unit, len, parent, kind, open, ended });
        if let Some(parent) = parent {
            self.change(parent, State::Inside);
            if open == 0 {
                self.closed.push_back(parent);
            }
        }
        self.groups.len() - 1
    }

    /// The group of a unit and its number there.
    pub fn locate(&self, unit: Unit) -> (usize, usize) {
        // An empty group has the base of the one after it, which comes later.
        let group = self.groups.partition_point(|group| group.base <= unit).saturating_sub(1);
        (group, (unit - self.groups[group].base) as usize)
    }

    /// The unit of number `i` of a group.
    pub fn unit(&self, group: usize, i: usize) -> Unit {
        self.groups[group].base + i as Unit
    }

    /// The one place where a state changes, and where the queues and counts that follow from it are kept.
    fn change(&mut self, unit: Unit, to: State) {
        let from = std::mem::replace(&mut self.states[unit as usize], to);
        if from == State::Running {
            self.running -= 1;
        }
        if from == State::Queued {
            self.queue.left();
        }
        match to {
            State::Ready => self.ready.push_back(unit),
            State::Running => self.running += 1,
            _ => {}
        }
        let (number, _) = self.locate(unit);
        let group = &mut self.groups[number];
        if let Kind::Elements { next, in_hand, at_once } = &mut group.kind {
            let was_full = *in_hand == *at_once;
            *in_hand += usize::from(from == State::Waiting && !to.is_final());
            if from != State::Waiting && to.is_final() {
                *in_hand -= 1;
                if was_full && *next < group.len {
                    self.sources.push_back(number);
                }
            }
        }
        if to.is_final() && !from.is_final() {
            self.open -= 1;
            group.open -= 1;
            match to {
                State::Succeeded => group.ended.succeeded += 1,
                State::Failed => group.ended.failed += 1,
                State::Skipped => group.ended.skipped += 1,
                _ => group.ended.cancelled += 1,
            }
            if let (0, Some(parent)) = (group.open, group.parent) {
                self.closed.push_back(parent);
            }
        }
    }

    /// Hands out a unit that waits for nothing any more: nodes in the order in which they became ready, then
    /// elements, in turn where there are several nodes with some. The caller answers with [`Scheduler::finish`],
    /// [`Scheduler::enqueue`], [`Scheduler::open_frame`] or [`Scheduler::open_elements`].
    pub fn take_ready(&mut self) -> Option<Unit> {
        if self.stopped {
            return None;
        }
        while let Some(unit) = self.ready.pop_front() {
            if self.states[unit as usize] == State::Ready {
                self.change(unit, State::Taken);
                return Some(unit);
            }
        }
        while let Some(number) = self.sources.pop_front() {
            let Group { base, len, kind: Kind::Elements { next, in_hand, at_once }, .. } =
                &mut self.groups[number]
            else {
                continue;
            };
            if *next >= *len {
                continue;
            }
            let unit = *base + *next as Unit;
            *next += 1;
            if *in_hand + 1 < *at_once && *next < *len {
                self.sources.push_back(number);
            }
            self.change(unit, State::Taken);
            return Some(unit);
        }
        None
    }

    /// Whether [`Scheduler::take_ready`] would hand out a unit.
    pub fn has_ready(&self) -> bool {
        let has_more = |number: &usize| match &self.groups[*number] {
            Group { len, kind: Kind::Elements { next, .. }, .. } => next < len,
            _ => false,
        };
        !self.stopped
            && (self.ready.iter().any(|unit| self.states[*unit as usize] == State::Ready)
                || self.sources.iter().any(has_more))
    }

    /// A taken unit has to run: it waits for a slot and for what it requests.
    pub fn enqueue(&mut self, unit: Unit, request: &Request) {
        self.change(unit, State::Queued);
        self.queue.add(unit, request, self.priority(unit));
    }

    fn priority(&self, mut unit: Unit) -> u64 {
        loop {
            let (number, i) = self.locate(unit);
            match (&self.groups[number].kind, self.groups[number].parent) {
                (Kind::Frame { priority, .. }, _) => return priority[i],
                (Kind::Elements { .. }, Some(parent)) => unit = parent,
                (Kind::Elements { .. }, None) => return 0,
            }
        }
    }

    /// Hands out a queued unit that fits into what is free now: the one with the highest priority, and the first of
    /// those. It holds what it requested until [`Scheduler::release`].
    pub fn take_start(&mut self) -> Option<Unit> {
        if self.stopped || !self.pools.has_slot() {
            return None;
        }
        let states = &self.states;
        let unit = self.queue.take(&self.pools, |unit| states[unit as usize] == State::Queued)?;
        if let Some(request) = self.queue.request(unit) {
            self.pools.take(request);
        }
        self.change(unit, State::Running);
        Some(unit)
    }

    /// A running unit gives back its slot: it has ended, or waits for its next attempt.
    pub fn release(&mut self, unit: Unit) {
        if let Some(request) = self.queue.forget(unit) {
            self.pools.give_back(request);
        }
        self.change(unit, State::Taken);
    }

    /// A taken unit has ended. Returns what is skipped in consequence.
    pub fn finish(&mut self, unit: Unit, end: State) -> Vec<Unit> {
        debug_assert!(end.is_final());
        self.change(unit, end);
        let (number, _) = self.locate(unit);
        let mut skipped = Vec::new();
        let mut next = vec![(unit, end)];
        while let Some((unit, end)) = next.pop() {
            let Group { base, kind: Kind::Frame { graph, waits, .. }, .. } = &mut self.groups[number] else {
                break;
            };
            let (base, graph) = (*base, graph.clone());
            let mut ready = Vec::new();
            let mut out = Vec::new();
            for (node, tolerant) in graph.edges((unit - base) as usize) {
                let dependent = base + node as Unit;
                if self.states[dependent as usize] != State::Waiting {
                    continue;
                }
                match (end, tolerant) {
                    (State::Succeeded, _) | (State::Skipped, true) => {
                        waits[node] -= 1;
                        if waits[node] == 0 {
                            ready.push(dependent);
                        }
                    }
                    // What comes of a failure spreads like one: nothing can do without it.
                    (State::Skipped, false) => out.push((dependent, State::Skipped)),
                    _ => out.push((dependent, State::Failed)),
                }
            }
            for dependent in ready {
                self.change(dependent, State::Ready);
            }
            for (dependent, spreads_as) in out {
                self.change(dependent, State::Skipped);
                skipped.push(dependent);
                next.push((dependent, spreads_as));
            }
        }
        skipped
    }

    /// Hands out a unit all of whose children have ended. The caller answers with [`Scheduler::finish`].
    pub fn take_closed(&mut self) -> Option<Unit> {
        let unit = self.closed.pop_front()?;
        self.change(unit, State::Taken);
        Some(unit)
    }

    /// How the units of a group have ended.
    pub fn ended(&self, group: usize) -> Ended {
        self.groups[group].ended
    }

    /// Nothing is handed out any more; what runs may end.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Hands out again what comes from now on, after everything before has ended.
    pub fn resume(&mut self) {
        self.stopped = false;
    }

    /// Ends every unit that nobody has taken up, after [`Scheduler::stop`]. Returns them, and how many elements
    /// were never handed out, which are not among them.
    pub fn abandon(&mut self) -> (Vec<Unit>, usize) {
        self.abandon_groups(|_| true)
    }

    /// Like [`Scheduler::abandon`], for what is below `unit`.
    pub fn abandon_below(&mut self, unit: Unit) -> (Vec<Unit>, usize) {
        let mut below = HashSet::new();
        for (number, group) in self.groups.iter().enumerate() {
            let Some(parent) = group.parent else { continue };
            if parent == unit || below.contains(&self.locate(parent).0) {
                below.insert(number);
            }
        }
        self.abandon_groups(|number| below.contains(&number))
    }

    fn abandon_groups(&mut self, applies: impl Fn(usize) -> bool) -> (Vec<Unit>, usize) {
        let (mut units, mut never) = (Vec::new(), 0);
        for number in (0..self.groups.len()).filter(|number| applies(*number)) {
            let Group { base, len, open, kind, .. } = &mut self.groups[number];
            if *open == 0 {
                continue;
            }
            let (base, len) = (*base, *len);
            let first_idle = match kind {
                Kind::Elements { next, .. } => std::mem::replace(next, len),
                Kind::Frame { .. } => len,
            };
            for i in 0..len {
                let unit = base + i as Unit;
                if matches!(self.states[unit as usize], State::Waiting | State::Ready | State::Queued) {
                    self.queue.forget(unit);
                    self.change(unit, State::Cancelled);
                    if i < first_idle {
                        units.push(unit);
                    } else {
                        never += 1;
                    }
                }
            }
        }
        (units, never)
    }

    /// Units that a job slot is free for and that still cannot run, with the resource that they lack.
    pub fn lacking(&self) -> Vec<(Unit, String)> {
        match self.stopped || !self.pools.has_slot() {
            true => Vec::new(),
            false => self.queue.lacking(&self.pools, |unit| self.states[unit as usize] == State::Queued),
        }
    }

    /// How many units have not ended yet.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many units hold a slot.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many units wait for a slot.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Where a unit stands.
    pub fn state(&self, unit: Unit) -> State {
        self.states[unit as usize]
    }
}

#[cfg(test)]
mod tests;
