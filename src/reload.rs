//! Files that reload by themselves: watch, wait for quiet, read, digest, call back
//! (config.md: "reloads by itself, by content, also through a Kubernetes `..data` swap").
//!
//! The one rule behind it: events and metadata say *when to look*, the content alone says *whether
//! something changed*. What the bytes mean is the callback's matter: a set that does not parse was
//! told once, and is not told again until it changes.
//!
//! Order matters in one place. A look is scan -> watch what the scan found -> read -> scan again, and
//! counts only when both scans agree: a change before the watches stood shows in the second scan, a
//! later one as an event. Nothing falls between.

mod events;
mod scan;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use events::Events;
use scan::{Scan, look, scan};

/// What to read: paths, each a file or a folder; which of the two is looked up at every read.
///
/// Of a folder, the files that end in one of the source's extensions (in lower case), subfolders
/// included. Left out: folders named `tests` at any depth, and entries whose name begins with `.`
/// (editors' locks and swap files, the `..data` and `..2026_…` of Kubernetes). Links are followed,
/// also into what is left out by name. A file that is named itself is read whatever it is called.
#[derive(Debug, Clone)]
pub struct Source {
    paths: Vec<PathBuf>,
    extensions: &'static [&'static str],
}

impl Source {
    /// Files, and folders of `*.yaml` and `*.yml` (policy.md, The files).
    pub fn yaml<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self::new(paths, &["yaml", "yml"])
    }

    /// Files, and folders of `*.pem` (config.md, `issuer.keys`).
    pub fn pem<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self::new(paths, &["pem"])
    }

    fn new<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>, extensions: &'static [&'static str]) -> Self {
        Self { paths: paths.into_iter().map(Into::into).collect(), extensions }
    }

    fn takes(&self, path: &Path) -> bool {
        self.extensions.iter().any(|known| path.extension() == Some(OsStr::new(known)))
    }
}

/// SHA-256 over what was read: for each file, in order, the number of its path in the source, its
/// path below that (empty for a file that is named itself) and its bytes, the last two led by their
/// length. So it is the same wherever the set lies. Shown as its first 12 hex digits; not to be shown
/// for secrets that can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was read, in the order of the source's paths, and below a folder by path.
#[derive(Debug, Clone)]
pub struct Files {
    /// Equal where the content is.
    pub digest: Digest,
    /// At least one.
    pub files: Vec<File>,
}

/// One file of a set. `Debug` shows its size in the place of its bytes, which may be a key.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Which of the source's paths it comes from, counted from 0.
    pub source: usize,
    /// As the user named it; below a folder, joined to the folder's name.
    pub path: PathBuf,
    /// As they are: not checked to be text; at most 64 MiB.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({} bytes)", shown(&self.path), self.bytes.len())
    }
}

/// Why a set could not be read. Paths are as the user named them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The source has no path.
    #[error("no file or folder is named")]
    NoPath,
    /// Nothing is there, or a link leads to nothing.
    #[error("`{}` does not exist, or is a link to what does not", shown(.0))]
    Missing(PathBuf),
    /// The operating system refuses.
    #[error("`{}` cannot be opened or read: {reason}", shown(.path))]
    Unreadable {
        /// What it is about.
        path: PathBuf,
        /// Why, in the system's words.
        reason: String,
    },
    /// A pipe, a socket, a device.
    #[error("`{}` is neither a file nor a folder", shown(.0))]
    OtherKind(PathBuf),
    /// A link leads to itself, or to a folder that it lies in.
    #[error("`{}` is a link that leads in a circle", shown(.0))]
    Circle(PathBuf),
    /// A folder with no file of the extensions that are read.
    #[error("folder `{}` has no file that ends in {}", shown(.0), endings(.1))]
    Empty(PathBuf, &'static [&'static str]),
    /// A file over 64 MiB.
    #[error("file `{}` is larger than 64 MiB", shown(.0))]
    TooLarge(PathBuf),
    /// A set over 256 MiB.
    #[error("the files up to `{}` are together larger than 256 MiB", shown(.0))]
    TooLargeTogether(PathBuf),
    /// More than 10000 directory entries to look through.
    #[error("folder `{}` brings the entries to look through beyond 10000", shown(.0))]
    TooMany(PathBuf),
    /// Folders, or links to them, more than 100 deep.
    #[error("folder `{}` is more than 100 folders deep", shown(.0))]
    TooDeep(PathBuf),
    /// No two looks at the set agreed, five times over.
    #[error("the files at `{}` kept changing while they were read", shown(.0))]
    Changing(PathBuf),
}

impl ReadError {
    fn new(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Missing(path);
        }
        // The operating system begins its texts with a capital.
        let reason = error.to_string().to_lowercase();
        Self::Unreadable { path, reason }
    }
}

/// Why nothing is watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The operating system gives no thread.
    #[error("no thread can be started to watch files: {0}")]
    Thread(io::ErrorKind),
}

/// Reads a set as it stands. Blocks. One that changes meanwhile is read again, 5 times in all.
///
/// # Errors
/// A path that does not exist or cannot be read, a folder without a file, a file over 64 MiB, a set
/// over 256 MiB, looked for among more than 10000 entries or 100 folders deep, one that keeps
/// changing.
pub fn read(source: &Source) -> Result<Files, ReadError> {
    look(source, |_| ()).1
}

/// When a watcher looks. The default is what the sidecar runs with.
#[derive(Debug, Clone, Copy)]
pub struct WatchSettings {
    /// How long nothing must have happened before a set is read (100 ms).
    pub quiet: Duration,
    /// How long it is waited for quiet, from the first event (2 s).
    pub longest: Duration,
    /// How often metadata is compared, events or none: the guarantee where a file system
    /// gives no events (5 s). Where the kernel refuses them it is a second at most.
    pub poll: Duration,
    /// Whether the kernel is asked for events (yes).
    pub events: bool,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            longest: Duration::from_secs(2),
            poll: Duration::from_secs(5),
            events: true,
        }
    }
}

/// How often metadata is compared where the kernel has no events to spare: what all sidecars of a
/// machine watch comes out of one limit for their user (`fs.inotify.max_user_instances`, 128), and a
/// change is to be served within two seconds all the same.
const WITHOUT_EVENTS: Duration = Duration::from_secs(1);

/// Keeps watching until it is dropped. No call of `on_change` begins after that; one that is under way
/// is not waited for.
#[derive(Debug)]
#[must_use = "dropping it ends the watching"]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    bell: SyncSender<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A bell that has rung already wakes the thread as well.
        let _ = self.bell.try_send(());
    }
}

/// Calls `on_change`, from a thread of its own where it may block, whenever what the source holds is
/// no longer what `on_change` was last told, or `held` before the first call: the digest of what the
/// caller has read already (`None`: the first look is told). So an error is told once, and the same
/// content again after an error, which ends it. Changes while it blocks make one call after it.
///
/// What does not exist (yet) is an error like others, and told when it appears.
///
/// # Errors
/// No thread could be started. Without events (the kernel's limit) it is logged and polling goes on.
pub fn watch(
    source: Source,
    held: Option<Digest>,
    settings: WatchSettings,
    on_change: impl FnMut(Result<Files, ReadError>) + Send + 'static,
) -> Result<Watcher, WatchError> {
    let (bell, rung) = sync_channel(1); // a place for one: many events are one reason to look
    let stop = Arc::new(AtomicBool::new(false));
    let mut worker = Worker::new(source, held, settings, on_change, rung, stop.clone());
    if settings.events {
        worker.events = Events::new(bell.clone());
    }
    let spawned = thread::Builder::new().name("reload".to_owned()).spawn(move || worker.run());
    spawned.map(|_| Watcher { stop, bell }).map_err(|error| WatchError::Thread(error.kind()))
}

/// The thread behind a [`Watcher`].
struct Worker<F> {
    source: Source,
    settings: WatchSettings,
    on_change: F,
    rung: Receiver<()>,
    stop: Arc<AtomicBool>,
    events: Option<Events>,
    /// What the caller knows.
    told: Option<Result<Digest, ReadError>>,
    /// What the last read was made from; `None`: the next poll reads in any case.
    seen: Option<Scan>,
    /// Whether what was seen was so fresh that it may have changed without a trace.
    young: bool,
}

impl<F: FnMut(Result<Files, ReadError>)> Worker<F> {
    fn new(
        source: Source,
        held: Option<Digest>,
        settings: WatchSettings,
        on_change: F,
        rung: Receiver<()>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let told = held.map(Ok);
        Self { source, settings, on_change, rung, stop, events: None, told, seen: None, young: false }
    }

    fn run(mut self) {
        self.begin();
        loop {
            self.round();
            loop {
                let look = match self.rung.recv_timeout(self.pause()) {
                    Ok(()) => {
                        self.wait_for_quiet(Instant::now());
                        true
                    }
                    Err(RecvTimeoutError::Timeout) => self.moved(),
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                if look {
                    break;
                }
            }
        }
    }

    /// Until the next look, if no event comes before.
    fn pause(&self) -> Duration {
        let told = self.events.as_ref().is_some_and(Events::of_all);
        if told { self.settings.poll } else { self.settings.poll.min(WITHOUT_EVENTS) }
    }

    /// What the caller read and has changed since may still be under way: it is waited for quiet, as after an event.
    fn begin(&mut self) {
        if self.told.is_some() && self.news().is_some() {
            self.wait_for_quiet(Instant::now());
        }
    }

    /// Reads, and tells what is new.
    fn round(&mut self) {
        if let Some((news, read)) = self.news()
            && !self.stop.load(Ordering::Acquire)
        {
            self.told = Some(news);
            (self.on_change)(read);
        }
    }

    /// Reads; what was told already is none.
    fn news(&mut self) -> Option<(Result<Digest, ReadError>, Result<Files, ReadError>)> {
        let started = SystemTime::now();
        let events = &mut self.events;
        let (seen, read) = look(&self.source, |places| {
            if let Some(events) = events {
                events.watch(places);
            }
        });
        self.young = seen.as_ref().is_some_and(|seen| seen.is_young(started));
        // Files that are there and could not be opened (none to spare, say) are tried at each poll.
        self.seen = seen.filter(|seen| seen.found.is_ok() == read.is_ok());
        let news = match &read {
            Ok(files) => Ok(files.digest),
            Err(error) => Err(error.clone()),
        };
        (self.told.as_ref() != Some(&news)).then_some((news, read))
    }

    /// Returns once no event came for `quiet`, or `longest` after `since`.
    fn wait_for_quiet(&self, since: Instant) {
        loop {
            let left = self.settings.longest.saturating_sub(since.elapsed());
            if left.is_zero() || self.rung.recv_timeout(self.settings.quiet.min(left)).is_err() {
                return;
            }
        }
    }

    /// A poll: whether a read is due, by metadata. Where it moved, two scans alike stand for quiet.
    fn moved(&self) -> bool {
        let mut last = scan(&self.source);
        if self.seen.as_ref() == Some(&last) {
            return self.young;
        }
        let since = Instant::now();
        loop {
            self.wait_for_quiet(since);
            let next = scan(&self.source);
            if next == last || since.elapsed() >= self.settings.longest {
                return true;
            }
            last = next;
        }
    }
}

/// A path for a line of text: control characters would begin a new one.
fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn endings(extensions: &[&str]) -> String {
    let quoted: Vec<_> = extensions.iter().map(|extension| format!("`.{extension}`")).collect();
    quoted.join(" or ")
}

#[cfg(test)]
mod tests;
