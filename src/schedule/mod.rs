//! The scheduler: which node may proceed, and what follows when one ends.
//!
//! Pure and synchronous: no clock, no files, no output. It knows nodes as numbers, and is asked again
//! after everything that happens. One enum holds a node's state and one function changes it.

pub mod pools;

use std::collections::VecDeque;

use crate::graph::Graph;
use pools::{Pools, Request};

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// For other nodes to end.
    Waiting,
    /// All it waits for has succeeded; nobody has taken it up yet.
    Ready,
    /// Handed out: looked up in the cache, or between two attempts.
    Taken,
    /// It has to run and waits for a slot.
    Queued,
    /// It holds a slot.
    Running,
    Succeeded,
    Failed,
    /// It never ran: something it waits for did not succeed, or the user said so.
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

/// Decides what may proceed.
pub struct Scheduler<'g> {
    graph: &'g Graph,
    states: Vec<State>,
    /// How many nodes each one still waits for.
    waits: Vec<u32>,
    ready: VecDeque<usize>,
    queue: VecDeque<usize>,
    pools: Pools,
    /// Nodes that have not ended yet.
    open: usize,
    running: usize,
    stopped: bool,
}

impl<'g> Scheduler<'g> {
    /// A scheduler over the nodes for which `takes_part` holds; what others would hand over is not waited for.
    pub fn new(graph: &'g Graph, takes_part: impl Fn(usize) -> bool, pools: Pools) -> Self {
        let n = graph.len();
        let mut scheduler = Self {
            graph,
            states: vec![State::Out; n],
            waits: vec![0; n],
            ready: VecDeque::new(),
            queue: VecDeque::new(),
            pools,
            open: 0,
            running: 0,
            stopped: false,
        };
        for node in (0..n).filter(|node| takes_part(*node)) {
            let waits = graph.dependencies(node).filter(|d| takes_part(*d)).count() as u32;
            scheduler.waits[node] = waits;
            scheduler.open += 1;
            scheduler.states[node] = State::Waiting;
            if waits == 0 {
                scheduler.change(node, State::Ready);
            }
        }
        scheduler
    }

    /// The one place where a state changes, and where the queues and counts that follow from it are kept.
    fn change(&mut self, node: usize, to: State) {
        let from = std::mem::replace(&mut self.states[node], to);
        if from == State::Running {
            self.running -= 1;
        }
        match to {
            State::Ready => self.ready.push_back(node),
            State::Queued => self.queue.push_back(node),
            State::Running => self.running += 1,
            _ => {}
        }
        if to.is_final() && !from.is_final() {
            self.open -= 1;
        }
    }

    /// Hands out a node whose dependencies have all succeeded. The caller answers with [`Scheduler::finish`]
    /// or [`Scheduler::enqueue`].
    pub fn take_ready(&mut self) -> Option<usize> {
        while !self.stopped {
            let node = self.ready.pop_front()?;
            if self.states[node] == State::Ready {
                self.change(node, State::Taken);
                return Some(node);
            }
        }
        None
    }

    /// Whether [`Scheduler::take_ready`] would hand out a node.
    pub fn has_ready(&self) -> bool {
        !self.stopped && self.ready.iter().any(|node| self.states[*node] == State::Ready)
    }

    /// A taken node has to run: it waits for a slot and for its resources.
    pub fn enqueue(&mut self, node: usize) {
        self.change(node, State::Queued);
    }

    /// Hands out a queued node that fits into what is free now, in the order of the queue; `request` tells
    /// what a node needs. It holds that until [`Scheduler::release`].
    pub fn take_start<'r>(&mut self, request: impl Fn(usize) -> &'r Request) -> Option<usize> {
        if self.stopped || !self.pools.has_slot() {
            return None;
        }
        let at = self.queue.iter().position(|node| self.pools.fits(request(*node)))?;
        let node = self.queue.remove(at)?;
        self.pools.take(request(node));
        self.change(node, State::Running);
        Some(node)
    }

    /// A running node gives back its slot: it has ended, or waits for its next attempt.
    pub fn release(&mut self, node: usize, request: &Request) {
        self.pools.give_back(request);
        self.change(node, State::Taken);
    }

    /// A taken node has ended. Returns the nodes that are skipped in consequence.
    pub fn finish(&mut self, node: usize, end: State) -> Vec<usize> {
        debug_assert!(end.is_final());
        self.change(node, end);
        if end != State::Succeeded {
            return self.skip_dependents(node);
        }
        for dependent in self.graph.dependents(node) {
            if self.states[dependent] == State::Waiting {
                self.waits[dependent] -= 1;
                if self.waits[dependent] == 0 {
                    self.change(dependent, State::Ready);
                }
            }
        }
        Vec::new()
    }

    fn skip_dependents(&mut self, node: usize) -> Vec<usize> {
        let mut skipped = Vec::new();
        let mut next = vec![node];
        while let Some(node) = next.pop() {
            for dependent in self.graph.dependents(node) {
                if self.states[dependent] == State::Waiting {
                    self.change(dependent, State::Skipped);
                    skipped.push(dependent);
                    next.push(dependent);
                }
            }
        }
        skipped
    }

    /// Nothing is handed out any more; what runs may end.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Ends every node that nobody has taken up, after [`Scheduler::stop`]. Returns them.
    pub fn abandon(&mut self) -> Vec<usize> {
        let idle = |state| matches!(state, State::Waiting | State::Ready | State::Queued);
        let abandoned: Vec<_> = (0..self.states.len()).filter(|node| idle(self.states[*node])).collect();
        for node in &abandoned {
            self.change(*node, State::Cancelled);
        }
        abandoned
    }

    /// How many nodes have not ended yet.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many nodes hold a slot.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Where a node stands.
    pub fn state(&self, node: usize) -> State {
        self.states[node]
    }
}
