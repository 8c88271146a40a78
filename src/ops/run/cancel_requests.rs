//! Requests of other processes to end a run: they lie in its scratch folder, and the run looks for them while it goes on.
//!
//! A signal would end all runs of a process, and might reach another process that has the number by now. A file reaches one
//! run, also from another container or machine that shares the home.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::core::run_id::RunId;
use crate::engine::Interrupt;
use crate::storage::home::Home;

/// The time between two looks; a run that is shorter never looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The interrupts from `outside`, and one for each request.
pub fn with_requests(
    home: Home,
    run: RunId,
    mut outside: UnboundedReceiver<Interrupt>,
) -> UnboundedReceiver<Interrupt> {
    let (sender, inside) = unbounded_channel();
    tokio::spawn(async move {
        let mut heard = 0;
        loop {
            tokio::select! {
                () = sender.closed() => return,
                Some(interrupt) = outside.recv() => drop(sender.send(interrupt)),
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    let asked = home.requests_to_end(run);
                    for _ in heard..asked {
                        let _ = sender.send(Interrupt::Cancel);
                    }
                    heard = heard.max(asked);
                }
            }
        }
    });
    inside
}
