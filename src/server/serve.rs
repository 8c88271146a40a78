//! The life cycle of a daemon: it loads files, publishes their schedules, runs what is due, and releases everything when it
//! ends.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::daemon::{Daemon, Listener, Options, Served};
use super::wait::Waits;
use crate::core::clock::Clock;
use crate::engine::Interrupt;
use crate::ops::Error;

/// Serves until a signal ends it, or with `once` until nothing is due any more.
///
/// # Errors
/// A path cannot be read, or the home cannot be used.
pub async fn serve(
    options: Options,
    clock: Arc<dyn Clock>,
    listener: Listener,
    signals: UnboundedReceiver<Interrupt>,
) -> Result<Served, Error> {
    let (mut daemon, news, commands) = Daemon::new(options, clock, listener)?;
    daemon.load(false);
    let web = daemon.listen().await?;
    daemon.register()?;
    daemon.begin_notices();
    daemon.announce(web.as_ref().and_then(|(_, login)| login.clone()));
    let (end_web, ended) = oneshot::channel::<()>();
    let web = web.map(|(web, _)| tokio::spawn(web.serve(async move { drop(ended.await) })));
    let waits = Waits::new(&daemon, signals, news, commands);
    daemon.live(waits).await;
    daemon.end();
    daemon.end_notices().await;
    drop(end_web);
    if let Some(web) = web {
        // What is being answered has a moment; a fault in it is said by then.
        let _ = web.await;
    }
    Ok(daemon.served)
}
