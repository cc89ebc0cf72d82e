//! The audit log: one JSON line a decision (config.md, Audit line). Never a value, never a token.
//!
//! Lines are made on the request's task and written by a thread of their own, behind a bounded queue: when it is full,
//! requests wait or are refused, and no line is dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::AuditLog;

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 8192;

/// The way to the writer.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Vec<u8>>,
    block_when_full: bool,
}

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

impl Audit {
    /// Opens the log and starts the writer; it ends when all handles are gone and the queue is empty.
    ///
    /// # Errors
    /// [`AuditError`] where the file or the thread cannot be had.
    pub fn start(log: &AuditLog, block_when_full: bool) -> Result<(Self, std::thread::JoinHandle<()>), AuditError> {
        let mut out = open(log)?;
        let (queue, mut lines) = mpsc::channel::<Vec<u8>>(QUEUE_LINES);
        let writer = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            let mut batch = Vec::with_capacity(64 << 10);
            while let Some(line) = lines.blocking_recv() {
                batch.extend_from_slice(&line);
                while batch.len() < 64 << 10 {
                    let Ok(line) = lines.try_recv() else { break };
                    batch.extend_from_slice(&line);
                }
                write_until_done(&mut *out, &batch);
                batch.clear();
            }
        });
        let writer = writer.map_err(AuditError::Thread)?;
        Ok((Self { queue, block_when_full }, writer))
    }

    /// Hands a line (with its line feed) to the writer.
    ///
    /// # Errors
    /// [`Full`], with `audit.on_full: refuse` alone.
    pub async fn write(&self, line: Vec<u8>) -> Result<(), Full> {
        match self.queue.try_send(line) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(line)) if self.block_when_full => {
                self.queue.send(line).await.map_err(|_| Full)
            }
            Err(mpsc::error::TrySendError::Full(_) | mpsc::error::TrySendError::Closed(_)) => Err(Full),
        }
    }
}

fn open(log: &AuditLog) -> Result<Box<dyn Write + Send>, AuditError> {
    Ok(match log {
        AuditLog::Stdout => Box::new(io::stdout()),
        AuditLog::Stderr => Box::new(io::stderr()),
        AuditLog::File(path) => Box::new(open_file(path)?),
    })
}

fn open_file(path: &Path) -> Result<File, AuditError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| AuditError::Open { path: path.display().to_string(), error })
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
