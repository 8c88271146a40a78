//! Folders in which the system says that something has changed. Knows nothing of what the files mean.

use std::collections::BTreeSet;
use std::path::PathBuf;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Folders, without those in them.
pub struct FolderWatch {
    /// `None` where the system does not report changes.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// That something has changed, whatever it was.
    woken: UnboundedReceiver<()>,
}

impl Default for FolderWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl FolderWatch {
    /// Watches nothing yet.
    pub fn new() -> Self {
        let (wake, woken): (UnboundedSender<()>, _) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change; and the receiver is gone when the program ends.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = wake.send(());
            }
        });
        Self { watcher: watcher.ok(), folders: BTreeSet::new(), woken }
    }

    /// Watches these folders and no others.
    pub fn watch(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(folders) {
            // One that was removed is not watched any more.
            let _ = watcher.unwatch(gone);
        }
        let mut complete = true;
        for new in folders.difference(&self.folders) {
            complete &= watcher.watch(new, RecursiveMode::NonRecursive).is_ok() || !new.exists();
        }
        self.folders.clone_from(folders);
        if !complete {
            self.watcher = None;
        }
    }

    /// Whether the system reports changes; else the caller has to look by itself.
    pub fn is_told(&self) -> bool {
        self.watcher.is_some()
    }

    /// Waits for a change, and takes in all that have come; without reports for ever.
    pub async fn changed(&mut self) {
        match self.woken.recv().await {
            Some(()) => while self.woken.try_recv().is_ok() {},
            None => std::future::pending().await,
        }
    }
}
