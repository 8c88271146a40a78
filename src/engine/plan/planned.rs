//! Plans: what a run would do, found out without doing anything.
//!
//! How the nodes are walked is in `walk.rs`.

use std::rc::Rc;

use crate::core::why::Why;
use crate::engine::lookup::decision::{Edited, Hit};
use crate::storage::memo::explain::Parts;

/// What the cache would say of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expectation {
    /// No lookup would happen.
    Skipped,
    Hit,
    Disabled,
    /// Below a node that would run: its inputs are not known yet.
    Unknown,
    Miss,
}

impl Expectation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Skipped => "skipped",
        }
    }
}

/// One node of a plan.
#[derive(Debug)]
pub struct Planned {
    /// In the outline.
    pub number: usize,
    /// Of several elements the one that comes last in the order of [`Expectation`].
    pub cache: Expectation,
    pub reason: String,
    /// Why the cache does not have it; of several elements one that it does not have.
    pub why: Option<Box<Why>>,
    /// What hits save, in milliseconds.
    pub saved_ms: u64,
    /// What keeps it from being known: a node above it that would run, and why that one would.
    pub(in crate::engine) root: Option<Rc<Root>>,
    /// Its task was edited under its pinned version since a result that counts was stored; reported once a task.
    pub edited: Option<Edited>,
    /// Whether its command would run, as far as a plan can know.
    pub runs: bool,
    /// `None` for a plain node.
    pub elements: Option<ElementTally>,
}

/// A node that would run, and because of which others are not known.
#[derive(Debug)]
pub(in crate::engine) struct Root {
    pub node: String,
    pub reason: String,
}

/// What is known of the elements of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElementTally {
    pub count: usize,
    /// How many would run.
    pub runs: usize,
    /// How many the cache has.
    pub hits: usize,
}

/// What a plan finds out of one unit, for those who want to know all of it.
pub struct PlannedUnit<'t> {
    /// In the outline.
    pub number: usize,
    /// Of the node or element.
    pub label: &'t str,
    pub cache: Expectation,
    pub reason: &'t str,
    pub runs: bool,
    pub why: Option<&'t Why>,
    pub hit: Option<&'t Hit>,
    /// What its key is made of; `None` where its inputs are not known, or it has no key.
    pub parts: Option<Parts<'t>>,
}

/// Who wants to know all of some units.
pub struct PlanObserver<'c> {
    /// By number in the outline.
    pub wants: Vec<bool>,
    pub tell: &'c mut dyn FnMut(&PlannedUnit),
}
