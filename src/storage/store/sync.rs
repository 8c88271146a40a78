//! Many things brought to the disk at once. A file system with a journal writes it once for all that wait: eight small
//! files together take about as long as one.

use crate::core::parallel::{AfterFailure, try_in_parallel};

/// Maximum number of syncs that go on at once.
const MAX_SYNCING: usize = 8;

/// Syncs each of the items, also those behind one that fails.
///
/// # Errors
/// The first one that came up.
pub fn sync_each<T: Sync, E: Send>(items: &[T], sync: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
    try_in_parallel(MAX_SYNCING, items, AfterFailure::GoOn, sync)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::core::lock::lock;

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
