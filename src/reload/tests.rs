//! A folder of its own for each test, real events, and no sleeping: what must come is waited for,
//! what must not come is shown by driving the worker by hand.

mod reading;
mod watching;

use std::fs;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;

use super::events::At;
use super::*;

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

const fn settings(poll_ms: u64, events: bool) -> WatchSettings {
    WatchSettings {
        quiet: Duration::from_millis(20),
        longest: Duration::from_secs(2),
        poll: Duration::from_millis(poll_ms),
        events,
    }
}

/// A folder that goes with the test.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("reload-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: PathBuf, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// As `mv` and most editors do it.
fn replace(path: PathBuf, text: &str) {
    let new = path.with_file_name(".new");
    write(new.clone(), text);
    fs::rename(new, path).unwrap();
}

/// Moves the time of a file and nothing else.
fn touch(path: &Path) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

/// Names below `root` and texts, or the error with `root` taken out.
type Told = Result<Vec<(String, String)>, String>;

fn told(root: &Path, read: &Result<Files, ReadError>) -> Told {
    let below = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match read {
        Ok(read) => Ok(read.files.iter().map(|file| (below(&file.path), text(&file.bytes))).collect()),
        Err(error) => Err(error.to_string().replace(&format!("{}/", root.display()), "")),
    }
}

fn files<const N: usize>(expected: [(&str, &str); N]) -> Told {
    Ok(expected.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec())
}

fn yaml(root: &Path, path: &str) -> Source {
    Source::yaml([root.join(path)])
}

fn read_told(root: &Path, source: &Source) -> Told {
    told(root, &read(source))
}

/// A worker without a thread, the bell that wakes it, and what it told.
struct ByHand<F> {
    worker: Worker<F>,
    bell: SyncSender<()>,
    heard: Receiver<Told>,
}

fn by_hand(root: &Path, source: Source, held: Option<Digest>) -> ByHand<impl FnMut(Result<Files, ReadError>)> {
    let (tell, heard) = channel();
    let root = root.to_owned();
    let on_change = move |read| tell.send(told(&root, &read)).unwrap();
    let (bell, rung) = sync_channel(1);
    let stop = Arc::default();
    let worker = Worker::new(source, held, settings(20, false), on_change, rung, stop);
    ByHand { worker, bell, heard }
}

#[test]
fn the_same_content_or_error_is_not_told_again() {
    let temp = Temp::new();
    let file = temp.0.join("p.yaml");
    let ByHand { mut worker, heard, bell: _bell } = by_hand(&temp.0, yaml(&temp.0, "p.yaml"), None);
    let missing = Err("`p.yaml` does not exist, or is a link to what does not".to_owned());
    let mut round = || {
        worker.round();
        heard.try_iter().collect::<Vec<_>>()
    };
    assert_eq!(round(), std::slice::from_ref(&missing));
    assert_eq!(round(), []);
    write(file.clone(), "0");
    assert_eq!(round(), [files([("p.yaml", "0")])]);
    assert_eq!(round(), []);
    touch(&file);
    assert_eq!(round(), [], "touched");
    replace(file.clone(), "0");
    assert_eq!(round(), [], "made anew, the same");
    fs::remove_file(&file).unwrap();
    assert_eq!(round(), [missing]);
    write(file.clone(), "0");
    assert_eq!(round(), [files([("p.yaml", "0")])], "the end of an error is told");
}

#[test]
fn what_the_caller_holds_already_is_not_told_but_what_changed_since_is() {
    let temp = Temp::new();
    write(temp.0.join("p.yaml"), "0");
    let source = yaml(&temp.0, "p.yaml");
    let held = Some(read(&source).unwrap().digest);
    let mut same = by_hand(&temp.0, source.clone(), held);
    same.worker.round();
    assert!(same.heard.try_recv().is_err());
    replace(temp.0.join("p.yaml"), "1");
    let mut other = by_hand(&temp.0, source, held);
    other.worker.round();
    assert_eq!(other.heard.try_recv().unwrap(), files([("p.yaml", "1")]));
}

#[test]
fn what_changed_before_the_watch_began_is_read_when_it_is_quiet() {
    let temp = Temp::new();
    write(temp.0.join("p.yaml"), "0");
    let source = yaml(&temp.0, "p.yaml");
    let held = Some(read(&source).unwrap().digest);
    write(temp.0.join("p.yaml"), "half");
    let ByHand { mut worker, heard, bell } = by_hand(&temp.0, source, held);
    drop(bell);
    worker.begin();
    assert!(heard.try_recv().is_err(), "half of it");
    write(temp.0.join("p.yaml"), "half and half");
    worker.round();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [files([("p.yaml", "half and half")])]);
}

#[test]
fn a_poll_reads_when_metadata_moved_or_is_too_young_to_tell() {
    let temp = Temp::new();
    let file = temp.0.join("p.yaml");
    write(file.clone(), "0");
    let ByHand { mut worker, heard: _heard, bell: _bell } = by_hand(&temp.0, yaml(&temp.0, "p.yaml"), None);
    worker.round();
    assert!(worker.young, "just written");
    assert!(worker.moved(), "young");
    worker.young = false;
    assert!(!worker.moved(), "nothing happened");
    touch(&file);
    assert!(worker.moved(), "touched");
    worker.round();
    worker.young = false;
    fs::remove_file(&file).unwrap();
    assert!(worker.moved(), "gone");
    worker.round();
    assert!(!worker.moved(), "still gone");

    let written = SystemTime::now();
    write(file, "0");
    let scan = scan(&worker.source);
    assert!(scan.is_young(written + Duration::from_secs(1)));
    assert!(!scan.is_young(SystemTime::now() + Duration::from_secs(4)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_there_and_could_not_be_read_is_tried_again_at_every_poll() {
    let memory = PathBuf::from("/proc/self/mem"); // a regular file whose first byte cannot be read
    let ByHand { mut worker, heard, bell: _bell } = by_hand(Path::new("/"), Source::yaml([memory]), None);
    worker.round();
    let expected = Err("`/proc/self/mem` cannot be opened or read: input/output error (os error 5)".to_owned());
    assert_eq!(heard.try_recv().unwrap(), expected);
    worker.young = false;
    assert!(worker.moved());
    worker.round();
    assert!(heard.try_recv().is_err());
}

#[test]
fn what_was_being_read_when_the_watcher_was_dropped_is_not_told() {
    let temp = Temp::new();
    let ByHand { mut worker, heard, .. } = by_hand(&temp.0, yaml(&temp.0, "p.yaml"), None);
    worker.stop.store(true, Ordering::Release);
    worker.round();
    assert!(heard.try_recv().is_err());
}

#[test]
fn quiet_is_waited_for_but_not_for_ever() {
    let temp = Temp::new();
    let ByHand { mut worker, bell, heard: _heard } = by_hand(&temp.0, yaml(&temp.0, "p.yaml"), None);
    worker.settings.longest = PATIENCE;
    let start = Instant::now();
    bell.send(()).unwrap();
    worker.wait_for_quiet(start);
    assert!(start.elapsed() >= worker.settings.quiet);
    assert!(worker.rung.try_recv().is_err(), "what rang meanwhile is spent");

    worker.settings.quiet = PATIENCE;
    worker.settings.longest = Duration::from_millis(50);
    let done = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                let _ = bell.try_send(());
                thread::yield_now();
            }
        });
        worker.wait_for_quiet(start);
        done.store(true, Ordering::Relaxed);
    });
    assert!(start.elapsed() >= worker.settings.longest);
    assert!(start.elapsed() < PATIENCE, "it waited for quiet");
}

#[test]
fn only_events_about_the_set_ring() {
    use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, Flag, ModifyKind, RemoveKind};
    use notify::{Event, EventKind};
    let temp = Temp::new();
    let root = &temp.0;
    write(root.join("etc/p.yaml"), "0");
    write(root.join("p/sub/a.yaml"), "0");
    let places = scan(&Source::yaml(["etc/p.yaml", "p"].map(|name| root.join(name)))).places;
    let at = At { watched: places.watched(), places };
    let concerns = |kind, path: &str| at.concerns(&Event::new(kind).add_path(root.join(path)));
    let modify = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    for (expected, kind, path) in [
        (true, modify, "etc/p.yaml"),
        (true, written, "etc/p.yaml"),
        (false, opened, "etc/p.yaml"),
        (false, modify, "etc/audit.log"),
        (true, modify, "p/sub/a.yaml"),
        (true, EventKind::Create(CreateKind::File), "p/sub/b.yaml"),
        (true, EventKind::Remove(RemoveKind::Folder), "p/sub"),
        (true, EventKind::Remove(RemoveKind::Folder), "p"),
        (true, EventKind::Remove(RemoveKind::Folder), "etc"),
        (false, modify, "other"),
    ] {
        assert_eq!(concerns(kind, path), expected, "{kind:?} {path}");
    }
    assert!(at.concerns(&Event::new(EventKind::Other).set_flag(Flag::Rescan)), "events were lost");
}

#[test]
fn without_events_it_looks_more_often() {
    let temp = Temp::new();
    write(temp.0.join("p/a.yaml"), "0");
    let source = Source::yaml([temp.0.join("p")]);
    let places = scan(&source).places;
    let with = |poll_ms, events| {
        let (bell, rung) = sync_channel(1);
        let told = |_: Result<Files, ReadError>| ();
        let mut worker = Worker::new(source.clone(), None, settings(poll_ms, true), told, rung, Arc::default());
        worker.events = events;
        drop(bell);
        worker.pause()
    };
    let events = || {
        let (bell, _) = sync_channel(1);
        let mut events = Events::new(bell).unwrap();
        events.watch(&places);
        events
    };
    // As where the kernel has no watch left for one of the folders.
    let refused = || {
        let mut events = events();
        events.refused.insert(temp.0.join("p"));
        events
    };
    assert_eq!(with(5000, Some(events())), Duration::from_secs(5));
    assert_eq!([with(5000, None), with(5000, Some(refused()))], [WITHOUT_EVENTS; 2]);
    assert_eq!(with(200, None), Duration::from_millis(200));
}

#[test]
fn a_folder_that_cannot_be_watched_does_not_keep_others_from_it() {
    let temp = Temp::new();
    let paths = ["0/p.yaml", "a/sub/p.yaml", "b/p.yaml"].map(|name| temp.0.join(name));
    paths.iter().for_each(|path| write(path.clone(), "0"));
    let source = Source::yaml(paths);
    let (bell, rung) = sync_channel(1);
    let mut events = Events::new(bell).unwrap();
    let places = scan(&source).places;
    fs::remove_dir_all(temp.0.join("0")).unwrap();
    fs::remove_dir_all(temp.0.join("a")).unwrap();
    write(temp.0.join("a"), "no folder");
    events.watch(&places);
    write(temp.0.join("b/p.yaml"), "1");
    rung.recv_timeout(PATIENCE).unwrap();
}
