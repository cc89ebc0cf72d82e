//! The audit log: one JSON line a decision (config.md, Audit line). Never a value, never a token.
//!
//! A request hands over what its line is about; a thread of its own makes the lines and writes them, behind a bounded
//! queue: when it is full, requests wait or are refused, and no line is dropped. The writer links each line to the one
//! before ([`chain`]), goes on with the chain of the file that it finds, and follows a rotation by rename.

pub mod chain;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain::{Hash, Hasher};
use prometheus::{Gauge, IntCounter};

use tokio::sync::mpsc;

use crate::config::AuditLog;
use crate::hex::hex;

/// Lines that may wait for the writer: it would take 1.6 million a second to fill the queue while it rests.
const QUEUE_LINES: usize = 8192;
/// How long the writer rests behind a batch before it looks for more. To wake it costs a request more than to queue its
/// line, and it is woken only where it found nothing: so however many lines come, it begins 200 batches a second, and a
/// line is in the file that much later at most. A line that finds the writer waiting is written at once.
const REST: Duration = Duration::from_millis(5);
/// Bytes of lines that are written at once.
const BATCH_BYTES: usize = 64 << 10;

/// The way to the writer, for what lines are made of.
#[derive(Debug)]
pub struct Audit<L> {
    queue: mpsc::Sender<L>,
    block_when_full: bool,
}

/// A place in the queue; `send` puts a line there.
pub type Place<'a, L> = mpsc::Permit<'a, L>;

/// The queue is full and `audit.on_full` is `refuse`.
#[derive(Debug, thiserror::Error)]
#[error("the audit log does not keep up")]
pub struct Full;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file.
    #[error("the audit log `{path}` cannot be opened: {error}")]
    Open {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The thread.
    #[error("the audit writer cannot be started: {0}")]
    Thread(io::Error),
}

/// How often the log's name is looked at for a rotation: no oftener, since each look is two system calls, and not much
/// less often, since what is written to a renamed log meanwhile is lost with it where it is compressed or moved at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where the writer shows how far it is.
#[derive(Clone, Debug)]
pub struct Shown {
    /// `audit_lines_total`.
    pub lines: IntCounter,
    /// `audit_chain_head`: the first 48 bits of the last hash.
    pub head: Gauge,
}

/// How often the chain's head is told on standard error.
const TELL_EVERY: Duration = Duration::from_secs(60);

impl<L: Send + 'static> Audit<L> {
    /// Opens the log and starts the writer; it ends when all handles are gone and the queue is empty. `text` appends a
    /// line's JSON object without the brace at its end.
    ///
    /// # Errors
    /// [`AuditError`] where the file or the thread cannot be had, or the file ends with a line of no chain.
    pub fn start(
        log: &AuditLog,
        block_when_full: bool,
        hasher: Hasher,
        shown: Shown,
        text: impl FnMut(&L, &mut Vec<u8>) + Send + 'static,
    ) -> Result<(Self, JoinHandle<()>), AuditError> {
        Self::of(Writer::open(log, hasher, shown)?, block_when_full, text)
    }

    fn of(
        mut writer: Writer,
        block_when_full: bool,
        mut text: impl FnMut(&L, &mut Vec<u8>) + Send + 'static,
    ) -> Result<(Self, JoinHandle<()>), AuditError> {
        let (queue, mut lines) = mpsc::channel::<L>(QUEUE_LINES);
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Some(line) = lines.blocking_recv() {
                let mut next = Some(line);
                while next.is_some() {
                    while let Some(line) = next {
                        writer.add(|batch| text(&line, batch));
                        if writer.batch.len() >= BATCH_BYTES {
                            writer.write();
                        }
                        next = lines.try_recv().ok();
                    }
                    writer.write();
                    std::thread::sleep(REST);
                    next = lines.try_recv().ok();
                }
            }
            if writer.shown.lines.get() > 0 {
                writer.tell();
            }
        });
        Ok((Self { queue, block_when_full }, thread.map_err(AuditError::Thread)?))
    }

    /// A place for a line, which is waited for where there is none. A line that is not put there yet is still its
    /// maker's: nothing is lost with a caller that hangs up meanwhile.
    ///
    /// # Errors
    /// [`Full`], with `audit.on_full: refuse` alone.
    pub async fn place(&self) -> Result<Place<'_, L>, Full> {
        match self.queue.try_reserve() {
            Ok(place) => Ok(place),
            Err(mpsc::error::TrySendError::Full(())) if self.block_when_full => {
                self.queue.reserve().await.map_err(|_| Full)
            }
            Err(mpsc::error::TrySendError::Full(()) | mpsc::error::TrySendError::Closed(())) => Err(Full),
        }
    }

    /// Hands over a line that nobody is answered for any more: where the queue is full it waits by itself.
    pub fn leave(&self, line: L) {
        let line = match self.queue.try_send(line) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(line) | mpsc::error::TrySendError::Closed(line)) => line,
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::error!("a line of the audit log is lost: there is no runtime for it to wait on");
            return;
        };
        let queue = self.queue.clone();
        runtime.spawn(async move {
            if queue.send(line).await.is_err() {
                tracing::error!("a line of the audit log is lost: its writer is gone");
            }
        });
    }
}

/// The thread's side.
struct Writer {
    out: Out,
    hasher: Hasher,
    shown: Shown,
    head: Hash,
    batch: Vec<u8>,
    batched: u64,
    told: Instant,
}

enum Out {
    Stream(Box<dyn Write + Send>),
    /// `looked`: when its name was last seen to be this file's, or made so.
    File {
        file: File,
        path: PathBuf,
        looked: Instant,
    },
}

impl Writer {
    fn open(log: &AuditLog, hasher: Hasher, shown: Shown) -> Result<Self, AuditError> {
        let (out, head) = match log {
            AuditLog::Stdout => (Out::Stream(Box::new(io::stdout())), chain::START),
            AuditLog::Stderr => (Out::Stream(Box::new(io::stderr())), chain::START),
            AuditLog::File(path) => {
                let unusable = |error| AuditError::Open { path: path.display().to_string(), error };
                let mut file = open_file(path).map_err(unusable)?;
                let head = last_head(&mut file).map_err(unusable)?;
                (Out::File { file, path: path.clone(), looked: Instant::now() }, head)
            }
        };
        Ok(Self::to(out, hasher, shown, head))
    }

    fn to(out: Out, hasher: Hasher, shown: Shown, head: Hash) -> Self {
        Self { out, hasher, shown, head, batch: Vec::with_capacity(2 * BATCH_BYTES), batched: 0, told: Instant::now() }
    }

    /// Adds a line to the batch.
    fn add(&mut self, text: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.batch.len();
        text(&mut self.batch);
        self.head = self.hasher.link(begin, &self.head, &mut self.batch);
        self.batched += 1;
    }

    fn write(&mut self) {
        if self.batched == 0 {
            return;
        }
        self.follow_rotation();
        let out: &mut dyn Write = match &mut self.out {
            Out::Stream(out) => out,
            Out::File { file, .. } => file,
        };
        write_until_done(out, &self.batch);
        self.batch.clear();
        self.shown.lines.inc_by(std::mem::take(&mut self.batched));
        let bits = self.head.iter().take(6).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        // 48 bits are exact in a double.
        self.shown.head.set(bits as f64);
        if self.told.elapsed() >= TELL_EVERY {
            self.tell();
        }
    }

    /// The chain's head and count, so that a cut tail shows.
    fn tell(&mut self) {
        self.told = Instant::now();
        tracing::info!(lines = self.shown.lines.get(), head = hex(&self.head), "audit chain");
    }

    /// A log that was renamed away is begun anew under its name; the chain goes on in it.
    fn follow_rotation(&mut self) {
        let Out::File { file, path, looked } = &mut self.out else { return };
        if looked.elapsed() < LOOK_EVERY {
            return;
        }
        *looked = Instant::now();
        let same = match (std::fs::metadata(&*path), file.metadata()) {
            (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => false,
            // Neither says that it moved.
            (Err(_), _) | (_, Err(_)) => true,
        };
        if same {
            return;
        }
        match open_file(path) {
            Ok(fresh) => *file = fresh,
            Err(error) => {
                tracing::error!(%error, "the audit log cannot be begun anew; lines go on to the renamed file")
            }
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).read(true).create(true).open(path)
}

/// The hash that the file's last line ends with. A line that was cut by a crash is ended, and the chain goes on behind
/// the last whole one, so that it shows as what it is.
fn last_head(file: &mut File) -> io::Result<Hash> {
    if !file.metadata()?.is_file() {
        return Ok(chain::START);
    }
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 20)))?;
    file.take(1 << 20).read_to_end(&mut tail)?;
    if tail.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    let text = String::from_utf8_lossy(&tail);
    Ok(text.lines().rev().find_map(chain::head_of).unwrap_or(chain::START))
}

/// A log that cannot be written is tried again, loudly; meanwhile the queue fills and requests wait or are refused.
fn write_until_done(out: &mut dyn Write, mut rest: &[u8]) {
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => {
                tracing::error!(%error, "the audit log cannot be written, trying again");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
    if let Err(error) = out.flush() {
        tracing::error!(%error, "the audit log cannot be flushed");
    }
}
