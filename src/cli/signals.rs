//! Ctrl-C and its kin: passed to the engine, which ends the run.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::engine::Interrupt;

/// Listens for INT, TERM and HUP from now on. A HUP that whoever started us wants ignored (`nohup`) stays so.
pub fn listen() -> UnboundedReceiver<Interrupt> {
    let (sender, receiver) = unbounded_channel();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        if kind == SignalKind::hangup() && is_ignored(kind.as_raw_value()) {
            continue;
        }
        // Without a handler the signal ends the process at once: the next run sweeps up.
        let Ok(mut stream) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(Interrupt::Signal(kind.as_raw_value())).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Whether a signal is ignored by this process, as far as the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}
