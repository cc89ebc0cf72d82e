//! The kernel's events: when to look at once, rather than at the next poll.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::scan::Places;

/// Rings a bell when something happens at the places that it was told to watch.
///
/// Folders are watched one by one, never recursively: the scan knows which. At every look all of them
/// are watched anew, since a watch sits on an inode and ends when another folder takes the name.
pub(super) struct Events {
    notify: RecommendedWatcher,
    at: Arc<Mutex<At>>,
    pub(super) refused: BTreeSet<PathBuf>,
}

#[derive(Default)]
pub(super) struct At {
    pub(super) places: Places,
    pub(super) watched: BTreeSet<PathBuf>,
}

impl Events {
    /// `None`, and a line in the log, where the kernel gives none.
    pub(super) fn new(bell: SyncSender<()>) -> Option<Self> {
        let at = Arc::new(Mutex::new(At::default()));
        let shared = at.clone();
        let ring = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| lock(&shared).concerns(&event)) {
                // Fails where the bell has rung already, which will do.
                let _ = bell.try_send(());
            }
        };
        let notify = notify::recommended_watcher(ring).inspect_err(|error| {
            tracing::warn!(%error, "no file events can be had, files are polled instead");
        });
        Some(Self { notify: notify.ok()?, at, refused: BTreeSet::new() })
    }

    /// Whether the kernel tells of every folder that it was asked for.
    pub(super) fn of_all(&self) -> bool {
        self.refused.is_empty()
    }

    pub(super) fn watch(&mut self, places: &Places) {
        let wanted = places.watched();
        let at = At { places: places.clone(), watched: wanted.clone() };
        let before = std::mem::replace(&mut *lock(&self.at), at);
        for folder in before.watched.difference(&wanted) {
            // Fails where the folder is gone, and the watch with it.
            let _ = self.notify.unwatch(folder);
        }
        self.refused.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            match self.notify.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.refused.remove(&folder),
                // It went since the scan, which the next scan will notice.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    if self.refused.insert(folder) {
                        let error = error.to_string();
                        tracing::warn!(error, "a folder cannot be watched, it is polled instead");
                    }
                }
            }
        }
    }
}

impl At {
    pub(super) fn concerns(&self, event: &notify::Event) -> bool {
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if event.kind.is_access() && event.kind != written {
            return false; // our own reads are such, and must not make us read
        }
        let mut paths = event.paths.iter();
        event.need_rescan() || paths.any(|path| self.watched.contains(path) || self.places.concerns(path))
    }
}

fn lock(at: &Mutex<At>) -> MutexGuard<'_, At> {
    at.lock().unwrap_or_else(PoisonError::into_inner)
}
