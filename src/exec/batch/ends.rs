//! Ends of attempts that have no record, in words.

use std::time::Duration;

use super::{JobFault, JobFaultKind};
use crate::exec::{End, Outcome};

pub fn outcome(end: End) -> Outcome {
    Outcome { end, duration: Duration::ZERO, leftovers: 0, usage: None }
}

pub fn fault(kind: JobFaultKind, message: &str) -> End {
    End::Job(JobFault { kind, message: message.to_owned() })
}

/// The end of what the run gave back before it began.
pub fn given_back() -> End {
    fault(JobFaultKind::GivenBack, "the run stopped first")
}

pub fn shown(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration).map(|duration| format!("{duration:#}")).unwrap_or_default()
}
