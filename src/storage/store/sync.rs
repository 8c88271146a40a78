//! Many things brought to the disk at once. A file system with a journal writes it once for all that wait: eight small
//! files together take about as long as one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::core::lock::lock;

/// Maximum number of syncs that go on at once.
const MAX_SYNCING: usize = 8;

/// Syncs each of the items, also those behind one that fails.
///
/// # Errors
/// The first one that came up.
pub fn sync_each<T: Sync, E: Send>(items: &[T], sync: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = sync(item) {
                lock(&failed).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..items.len().min(MAX_SYNCING) {
            // Where the system refuses another thread, fewer do it.
            if thread::Builder::new().name("sync".into()).spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    lock(&failed).take().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_synced_once_and_an_error_is_reported() {
        let items: Vec<usize> = (0..100).collect();
        let seen = Mutex::new(vec![0; 100]);
        let sync = |item: &usize| {
            lock(&seen)[*item] += 1;
            if *item == 7 { Err("7") } else { Ok(()) }
        };
        assert_eq!(sync_each(&items, sync), Err("7"));
        assert_eq!(*lock(&seen), [1; 100]);
        assert_eq!(sync_each(&items[..5], sync), Ok(()));
        assert_eq!(sync_each(&items[..0], sync), Ok(()));
    }
}
