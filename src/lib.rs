//! `runner`: runs workflows of typed tasks, never does the same work twice, and says why.
//!
//! This is the map. A folder may use those above it in this table, as its last column says; a test
//! (`tests/e2e/architecture.rs`) holds the code to it.
//!
//! | folder | owns | may use |
//! |---|---|---|
//! | [`core`] | digests, types and values, signature and definition as data, instants of schedules, events, why a lookup missed, the listener seam | nothing of ours |
//! | [`exec`] | one attempt as a process tree behind the [`exec::Executor`] seam, or as a job of a batch system | core |
//! | [`storage`] | home, database, store, memo, history, locks, writer, collection | core |
//! | [`python`] | Python functions: which Python runs them, what they are without running them, the program that calls one | core, storage |
//! | [`workflow`] | the document: TOML to a checked workflow, templates, lint, graph and selection | core, python |
//! | [`view`] | what a person or a script sees of a run: terminal, plain, JSON Lines, pages, pictures | core |
//! | [`engine`] | the loop that joins schedule, memo, executor and store, and emits events | core, exec, storage, python, workflow |
//! | [`ops`] | every operation as a function on typed requests | all above |
//! | [`server`] | the daemon: what schedules run when, files that change, runs in this process, the page | all above |
//! | [`cli`] | one file a verb: arguments, rendering, exit codes; the composition root | everything |
//!
//! Data flows so: TOML text, [`workflow::load`], a [`workflow::Workflow`], its [`workflow::graph::Graph`], the
//! [`engine::RunOptions`] of this run. The [`engine::schedule::Scheduler`] says what may proceed; when a node
//! is ready its inputs are known, so the engine builds its key and asks the memo. A hit returns outputs; a
//! miss goes to the [`exec::Executor`]; what comes back is checked, digested into the store, given to the
//! writer and reported to the scheduler. Each step is an [`core::event::Event`].

pub mod cli;
pub mod core;
pub mod engine;
pub mod exec;
pub mod ops;
pub mod python;
pub mod server;
pub mod storage;
pub mod view;
pub mod workflow;
