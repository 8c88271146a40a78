//! The engine: the loop that joins scheduler, cache and executor, and emits every step as an event.
//!
//! | folder | owns | may use |
//! |---|---|---|
//! | `schedule/` | which unit may proceed; pure | nothing of the engine |
//! | `scope/` | values in scope: uses of workflows, elements of nodes, the user's files | `schedule/` |
//! | `attempt/` | one attempt: staging, environment, scratch folder, collecting outputs | `schedule/` |
//! | `lookup/` | identity of a task, what the cache decides, results of a prior run | `scope/`, `attempt/` |
//! | `plan/` | what a run would do, why a lookup missed, which node upstream is the root of it | `scope/`, `lookup/` |
//! | `run/` | the loop: a unit becomes ready, runs and finishes; hooks, summary, event log, publishing | all above |

pub mod attempt;
pub mod lookup;
mod options;
pub mod plan;
mod run;
pub mod schedule;
pub mod scope;

pub use options::{MAX_ELSEWHERE, RunOptions, reservation};
pub use run::protected::{RefusedOutput, protected, refused_outputs};
pub use run::seams::{Publisher, Recorder, RunVerdict, StorePublisher, WorkLocks};
pub use run::{
    Engine, EngineInputs, EventLog, Interrupt, PublishOptions, PublishedOutput, Relied, RunContext, Summary,
    stage_output,
};
