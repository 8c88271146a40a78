//! `runner`: runs workflows of typed tasks, never does the same work twice, and says why.
//!
//! This is the map. A module may use those above it in this table, as its last column says; a test
//! (`tests/architecture.rs`) holds the code to it.
//!
//! | module | owns | may use |
//! |---|---|---|
//! | [`digest`] | SHA-256 of bytes and readers | nothing of ours |
//! | [`why`] | why a lookup missed: typed changes, and their words | digest |
//! | [`workflow`] | the document: TOML to a checked workflow, values, types, templates, signature, definition | digest |
//! | [`lint`] | what looks wrong in a workflow without mistakes | workflow |
//! | [`draw`] | one drawing of a graph: layout, SVG, DOT, Mermaid | nothing of ours |
//! | [`graph`] | petgraph: who waits for whom, cycles, selection, the picture | workflow, draw |
//! | [`schedule`] | the state of each node, pools; pure | graph |
//! | [`event`] | everything that the outside may learn of a run | digest, why |
//! | [`exec`] | one attempt as a process tree | nothing of ours |
//! | [`store`] | files by content, stat cache, staging, publishing | digest, workflow |
//! | [`memo`] | the cache key, the table of results, the nearest earlier one | digest, why, workflow |
//! | [`history`] | runs, what they were asked for, and their events | digest, event |
//! | [`report`] | listeners and views of events: terminal, plain, JSON Lines, `show`, `runs`, `why`; pictures as text, pages | digest, why, event, draw |
//! | [`home`] | the home folder and the locks of live runs | store |
//! | [`gc`] | what is kept, what goes, and removing it safely beside runs | digest, event, store, memo, history, home |
//! | [`db`] | the database file: opening, schema versions, damage | memo, history, gc |
//! | [`locks`] | locks of identical work | digest, home |
//! | [`writer`] | the one writer: group commit of blobs, rows and events | db, gc, memo, history, store, digest, workflow |
//! | [`engine`] | the loop that joins schedule, memo, exec and store, and emits events | all above |
//! | [`cli`] | one file a verb; the composition root: only here backends are picked | everything |
//!
//! Data flows so: TOML text, [`workflow::load`], a [`workflow::Workflow`], its [`graph::Graph`], the
//! [`engine::Order`] of this run. The [`schedule::Scheduler`] hands out what may proceed; when a node is
//! ready its inputs are known, so the engine builds its key and asks the memo. A hit hands back outputs; a
//! miss goes to the [`exec::Executor`]; what comes back is checked, digested into the store, given to the
//! writer and told to the scheduler. Each step is an [`event::Event`].

#![deny(unsafe_code)]

pub mod cli;
pub mod db;
pub mod digest;
pub mod draw;
pub mod engine;
pub mod event;
pub mod exec;
pub mod gc;
pub mod graph;
pub mod history;
pub mod home;
pub mod lint;
pub mod locks;
pub mod memo;
pub mod report;
pub mod schedule;
pub mod store;
pub mod why;
pub mod workflow;
pub mod writer;
