//! Blocking work before a run begins, such as opening the home and hashing inputs: beside the caller, which goes on hearing
//! of interrupts. Knows nothing of what the work is.

use tokio::sync::mpsc::UnboundedReceiver;

use super::super::Error;
use crate::core::background::begin;
use crate::engine::Interrupt;

/// Does `work` on a thread of its own and waits for its result. After an interrupt the thread is left to itself: the
/// process is about to end, and whatever it leaves is swept like that of a killed runner.
///
/// # Errors
/// An interrupt came first, or the system refuses the thread.
pub async fn beside<T: Send + 'static>(
    interrupts: &mut UnboundedReceiver<Interrupt>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let ended = begin("opening", work).map_err(|refused| Error::no_thread(refused.error))?;
    tokio::select! {
        Some(interrupt) = interrupts.recv() => Err(Error::interrupted(interrupt.signal())),
        result = ended => match result {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::super::super::ErrorKind;
    use super::*;

    #[tokio::test]
    async fn an_interrupt_is_answered_while_the_work_goes_on() {
        let (sender, mut interrupts) = unbounded_channel();
        assert_eq!(beside(&mut interrupts, || 7).await.unwrap(), 7);
        let (release, held) = std::sync::mpsc::channel::<()>();
        sender.send(Interrupt::Signal(15)).unwrap();
        let error = beside(&mut interrupts, move || held.recv().is_ok()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Interrupted(15));
        drop(release);
        // Without anybody who could interrupt it is waited for.
        drop(sender);
        assert_eq!(beside(&mut interrupts, || 8).await.unwrap(), 8);
    }
}
