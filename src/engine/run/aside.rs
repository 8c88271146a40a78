//! Work beside the engine, which must hear of signals meanwhile. Knows nothing of what the work is.

use std::sync::Arc;

use tokio::sync::oneshot::{Receiver, channel};

/// Does `work` on a thread of its own, or at once where the system has no thread left. The runtime's own threads for
/// such work would never begin it then.
pub fn aside(work: impl Fn() + Send + Sync + 'static) -> Receiver<()> {
    let (done, receiver) = channel();
    let work = Arc::new(work);
    let spawned = {
        let work = work.clone();
        std::thread::Builder::new().name("aside".into()).spawn(move || {
            work();
            let _ = done.send(());
        })
    };
    // Where it did not begin, its end of the channel is gone: the receiver is ready.
    if spawned.is_err() {
        work();
    }
    receiver
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_end_of_the_work_is_told() {
        let flag = Arc::new(AtomicBool::new(false));
        let told = aside({
            let flag = flag.clone();
            move || flag.store(true, Ordering::Relaxed)
        });
        assert_eq!(told.blocking_recv(), Ok(()));
        assert!(flag.load(Ordering::Relaxed));
    }
}
