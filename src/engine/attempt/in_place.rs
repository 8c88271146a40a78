//! Work that keeps a thread for a while, so that the other tasks of that thread are handed to another one first.

/// Does the work on this thread. Where the system has no thread left its other tasks wait: the runtime would panic, and lose
/// them.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match std::thread::Builder::new().spawn(|| ()).map(std::thread::JoinHandle::join) {
        Ok(_) => tokio::task::block_in_place(work),
        Err(_) => work(),
    }
}
