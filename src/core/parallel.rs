//! One thing done for many items, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::lock::lock;

/// Calls `work` for each item, on up to `threads` threads. The calling thread is one of them.
pub fn in_parallel<T: Sync>(threads: usize, items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            // Where the system has no thread left, there are fewer of them.
            if thread::Builder::new().name("parallel".into()).spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
}

/// What becomes of the other items once one has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Those that were begun are ended, and no more are begun.
    Stop,
    GoOn,
}

/// The same for work that may fail.
///
/// # Errors
/// The first that failed.
pub fn try_in_parallel<T: Sync, E: Send>(
    threads: usize,
    items: &[T],
    then: AfterFailure,
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let failed = Mutex::new(None);
    in_parallel(threads, items, |item| {
        if (then == AfterFailure::GoOn || lock(&failed).is_none())
            && let Err(error) = work(item)
        {
            lock(&failed).get_or_insert(error);
        }
    });
    let failed = lock(&failed).take();
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_taken_once() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [0, 1, 7] {
            let seen = Mutex::new(vec![0; 100]);
            in_parallel(threads, &items, |item| lock(&seen)[*item] += 1);
            assert_eq!(*lock(&seen), [1; 100]);
        }
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let items: Vec<usize> = (0..100).collect();
        let begun = Mutex::new(Vec::new());
        let work = |item: &usize| {
            lock(&begun).push(*item);
            if *item == 7 { Err("7") } else { Ok(()) }
        };
        assert_eq!(try_in_parallel(1, &items, AfterFailure::Stop, work), Err("7"));
        assert_eq!(*lock(&begun), items[..8]);
        assert_eq!(try_in_parallel(4, &items[..5], AfterFailure::Stop, work), Ok(()));
    }
}
