//! The writer's thread, under hands that hold it up.

use std::collections::HashMap;
use std::sync::mpsc::{self as std_mpsc, Receiver, Sender};
use std::sync::{Arc, Mutex};

use super::chain::Verifier;
use super::*;

/// What the writer wrote, which waits for a word before each write.
struct Gated {
    /// Hears of each write that begins.
    held: Sender<()>,
    words: Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.send(()).ok();
        // Whose words have ended is not held up any more.
        self.words.recv().ok();
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct World {
    audit: Audit<(usize, usize)>,
    held: Receiver<()>,
    /// Dropped, it lets everything through.
    words: Sender<()>,
    written: Arc<Mutex<Vec<u8>>>,
    writer: JoinHandle<()>,
}

impl World {
    /// A log whose lines say who wrote them and which of theirs they are.
    fn new(block_when_full: bool) -> Self {
        let (words, heard) = std_mpsc::channel();
        let (holding, held) = std_mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let out = Out::Stream(Box::new(Gated { held: holding, words: heard, written: Arc::clone(&written) }));
        let shown = Shown {
            lines: IntCounter::new("lines", "Lines.").unwrap(),
            head: Gauge::new("head", "The head.").unwrap(),
        };
        let writer = Writer::to(out, Hasher::Plain, shown, chain::START);
        let text = |(who, which): &(usize, usize), out: &mut Vec<u8>| {
            write!(out, "{{\"who\":{who},\"which\":{which}").unwrap();
        };
        let (audit, writer) = Audit::of(writer, block_when_full, text).unwrap();
        Self { audit, held, words, written, writer }
    }

    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }

    /// Lets the writer go and end; what it wrote, of which the chain is whole: who wrote which lines, in which order.
    fn end(self) -> HashMap<u64, Vec<u64>> {
        drop((self.audit, self.words));
        self.writer.join().unwrap();
        let text = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
        let mut verifier = Verifier::new(&Hasher::Plain, None);
        verifier.read("log", text.as_bytes()).unwrap();
        let verified = verifier.end().unwrap();
        assert_eq!(verified.begins_after, chain::START);
        let mut lines: HashMap<u64, Vec<u64>> = HashMap::new();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            lines.entry(line["who"].as_u64().unwrap()).or_default().push(line["which"].as_u64().unwrap());
        }
        assert_eq!(verified.lines, lines.values().map(|of| of.len() as u64).sum::<u64>());
        lines
    }
}

#[tokio::test]
async fn a_line_that_finds_the_writer_waiting_is_written_at_once() {
    let world = World::new(true);
    for which in 0..3 {
        world.audit.place().await.unwrap().send((7, which));
        world.words.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !world.text().contains(&format!("\"which\":{which},")) {
            assert!(Instant::now() < deadline, "line {which} is not written");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.end(), HashMap::from([(7, vec![0, 1, 2])]));
}

/// Lets a writer have looked for its file at a time, and writes a line: the lines of both files.
fn line(writer: &mut Writer, at: Instant, files: [&Path; 2]) -> [usize; 2] {
    let Out::File { looked, .. } = &mut writer.out else { panic!("no file") };
    *looked = at;
    writer.add(|batch| batch.extend_from_slice(b"{\"a\":1"));
    writer.write();
    files.map(|path| std::fs::read_to_string(path).unwrap_or_default().lines().count())
}

#[test]
fn a_renamed_log_is_begun_anew_at_the_next_look_and_not_looked_for_before() {
    let folder = std::env::temp_dir().join(format!("tagwarden-looks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (named, renamed) = (folder.join("audit.jsonl"), folder.join("audit.jsonl.1"));
    let files = [renamed.as_path(), named.as_path()];
    let shown =
        Shown { lines: IntCounter::new("lines", "Lines.").unwrap(), head: Gauge::new("head", "The head.").unwrap() };
    let mut writer = Writer::open(&AuditLog::File(named.clone()), Hasher::Plain, shown).unwrap();
    let later = Instant::now() + Duration::from_secs(3600);
    assert_eq!(line(&mut writer, later, files), [0, 1]);
    std::fs::rename(&named, &renamed).unwrap();
    assert_eq!(line(&mut writer, later, files), [2, 0]);
    let due = Instant::now().checked_sub(LOOK_EVERY).unwrap();
    assert_eq!(line(&mut writer, due, files), [2, 1]);
    // The time runs anew from that look on.
    let Out::File { looked, .. } = &writer.out else { panic!("no file") };
    assert!(*looked > due && LOOK_EVERY <= Duration::from_secs(1));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_lines_of_many_are_there_and_in_the_order_of_each() {
    let world = World::new(true);
    let World { audit, held, words, written, writer } = world;
    drop(words);
    let audit = Arc::new(audit);
    let one = |who: usize| {
        let audit = Arc::clone(&audit);
        tokio::spawn(async move {
            for which in 0..3_000 {
                audit.place().await.unwrap().send((who, which));
            }
        })
    };
    for one in (0..8).map(one).collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let audit = Arc::into_inner(audit).unwrap();
    let (words, _) = std_mpsc::channel();
    let lines = World { audit, held, words, written, writer }.end();
    assert_eq!(lines.len(), 8);
    assert!(lines.values().all(|which| which.iter().copied().eq(0..3_000)));
}

/// Holds the writer up with a line, and fills its queue; how many lines that took.
async fn fill(world: &World) -> usize {
    let audit = &world.audit;
    audit.place().await.unwrap().send((0, 0));
    world.held.recv_timeout(Duration::from_secs(20)).unwrap();
    let mut filled = 1;
    let room = async |filled: usize| match tokio::time::timeout(Duration::from_secs(1), audit.place()).await {
        Ok(Ok(place)) => {
            place.send((0, filled));
            true
        }
        Ok(Err(Full)) | Err(_) => false,
    };
    while room(filled).await {
        filled += 1;
    }
    assert_eq!(filled, 1 + QUEUE_LINES);
    filled
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_that_it_took() {
    let world = World::new(false);
    let filled = fill(&world).await;
    assert_eq!(world.audit.place().await.unwrap_err().to_string(), "the audit log does not keep up");
    // Nobody is left to be refused: the line waits.
    world.audit.leave((1, 0));
    let audit_is_full = world.audit.place().await.is_err();
    world.words.send(()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.audit.place().await.is_err() {
        assert!(Instant::now() < deadline, "there is no room");
        world.words.send(()).unwrap();
        tokio::task::yield_now().await;
    }
    let lines = end_of(world).await;
    assert!(audit_is_full);
    assert_eq!(lines[&1], [0]);
    assert!(lines[&0].iter().copied().eq(0..filled as u64));
}

#[tokio::test]
async fn a_full_queue_holds_up_and_a_caller_that_does_not_wait_takes_no_line_with_it() {
    let world = World::new(true);
    let filled = fill(&world).await;
    for which in 0..5 {
        // Given up while it waits for a place.
        let waited = tokio::time::timeout(Duration::from_millis(5), world.audit.place()).await;
        assert!(waited.is_err());
        world.audit.leave((1, which));
    }
    let lines = end_of(world).await;
    assert_eq!(lines[&1], [0, 1, 2, 3, 4]);
    assert!(lines[&0].iter().copied().eq(0..filled as u64));
}

/// [`World::end`], while tasks that wait for a place go on.
async fn end_of(world: World) -> HashMap<u64, Vec<u64>> {
    tokio::task::spawn_blocking(move || world.end()).await.unwrap()
}
