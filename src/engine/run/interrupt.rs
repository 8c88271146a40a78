//! A run that is to end before it is done: its attempts are stopped, or its jobs are left to themselves.

use super::Engine;
use crate::core::event::{NodeFinished, Status, TaskError};
use crate::engine::schedule::{UnitId, UnitState};
use crate::engine::scope::frames::NodeInstance;
use crate::exec::{Level, signal_name};

/// Why a run is to end before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// A signal to this process, by its number.
    Signal(i32),
    /// Somebody wants this run to end, or a later run takes its place.
    Cancel,
    /// The run takes longer than it may, which is a failure.
    Overdue,
}

impl Interrupt {
    /// The signal that stands for it in exit codes.
    pub fn signal(self) -> i32 {
        match self {
            Self::Signal(number) => number,
            Self::Cancel => libc::SIGTERM,
            Self::Overdue => libc::SIGALRM,
        }
    }

    /// As a warning names it.
    fn name(self) -> String {
        match self {
            Self::Signal(number) => signal_name(number),
            Self::Cancel => "cancelled".to_owned(),
            Self::Overdue => "longer than max_runtime".to_owned(),
        }
    }
}

impl Engine {
    pub(super) fn interrupted(&mut self, interrupt: Interrupt) {
        let first = self.interrupt.is_none();
        self.interrupt.get_or_insert(interrupt);
        if first {
            self.lets_go = self.is_to_let_go(interrupt);
            let again = if interrupt == Interrupt::Cancel { "cancel" } else { "signal" };
            let name = interrupt.name();
            let what = match self.lets_go {
                true => format!("jobs go on, local tasks are stopped; a second {again} kills these at once"),
                false => format!("stopping what runs; a second {again} kills it at once"),
            };
            if self.lets_go {
                // Before the attempts hear of their end: none of a batch system is to.
                self.context.let_go.raise(Level::Terminate);
            }
            self.bus.warn(None, format!("{name}: {what}"));
        }
        self.context.cancel.raise(if first { Level::Terminate } else { Level::Kill });
        self.stop();
    }

    /// Whether jobs are left to themselves: the terminal is gone, or the user wants it so.
    fn is_to_let_go(&self, interrupt: Interrupt) -> bool {
        let wanted = match interrupt {
            Interrupt::Signal(libc::SIGHUP) => true,
            Interrupt::Signal(_) => self.options.detach,
            Interrupt::Cancel | Interrupt::Overdue => false,
        };
        wanted && !self.options.executors.is_empty()
    }

    /// The job of a unit goes on without this run.
    pub(super) fn leave(&mut self, unit: UnitId, spot: &NodeInstance, why: TaskError) {
        let Some(flight) = self.in_flight.remove(&unit) else { return };
        let event = NodeFinished {
            cache: Some(flight.cache),
            key: flight.key,
            attempts: flight.attempts,
            reason: Some(why.message),
            log: why.log,
            ..self.finished(spot, Status::Detached, &flight.inputs)
        };
        self.tell(unit, flight.placed(event));
        self.finish(unit, UnitState::Cancelled, "goes on without this run");
    }
}
