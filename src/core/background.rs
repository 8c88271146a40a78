//! Work on a thread of its own, whose result is awaited. The runtime's threads for blocking work are not used: where the
//! system refuses another thread the runtime panics, or never begins the work. Knows nothing of what the work is.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use tokio::sync::oneshot::{Receiver, channel};

use super::lock::lock;

/// Work that goes on: a future of its result, or of what it panicked with.
pub struct Background<T>(Receiver<thread::Result<T>>);

/// Work that was not begun: the system refuses another thread.
pub struct RefusedThread<F> {
    pub error: io::Error,
    pub work: F,
}

/// Begins `work` on a thread called `name`.
///
/// # Errors
/// The system refuses the thread; the work comes back.
pub fn begin<T, F>(name: &str, work: F) -> Result<Background<T>, RefusedThread<F>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (done, ended) = channel();
    // The thread would keep the work if it were not begun.
    let shared = Arc::new(Mutex::new(Some(work)));
    let taken = Arc::clone(&shared);
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(work) = take(&taken) {
            let _ = done.send(caught(work));
        }
    });
    match (spawned, ended) {
        (Ok(_), ended) => Ok(Background(ended)),
        (Err(error), ended) => match take(&shared) {
            Some(work) => Err(RefusedThread { error, work }),
            None => Ok(Background(ended)),
        },
    }
}

/// Begins `work` on a thread called `name`, or does it at once where the system refuses another thread.
pub fn begin_or_do<T, F>(name: &str, work: F) -> Background<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    begin(name, work).unwrap_or_else(|RefusedThread { work, .. }| {
        let (done, ended) = channel();
        let _ = done.send(caught(work));
        Background(ended)
    })
}

impl<T> Background<T> {
    pub fn is_finished(&self) -> bool {
        !self.0.is_empty() || self.0.is_terminated()
    }
}

impl<T> Future for Background<T> {
    type Output = thread::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.0).poll(context);
        ended.map(|ended| ended.unwrap_or_else(|_| Err(Box::new("the thread ended without a result"))))
    }
}

fn take<F>(work: &Mutex<Option<F>>) -> Option<F> {
    lock(work).take()
}

fn caught<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_is_awaited_and_a_panic_is_one() {
        assert_eq!(begin_or_do("seven", || 7).await.unwrap(), 7);
        let work: Background<()> = begin_or_do("panic", || panic!("expected by a test"));
        let panic = work.await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"expected by a test"));
    }

    #[test]
    fn it_is_known_when_it_is_finished() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut work = begin_or_do("held", move || held.recv().is_err());
        assert!(!work.is_finished());
        drop(release);
        while !work.is_finished() {
            thread::yield_now();
        }
        assert!(work.0.try_recv().unwrap().unwrap());
        assert!(work.is_finished());
    }
}
