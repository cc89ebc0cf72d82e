//! `diff`: what each role gains and loses from one policy to another.

mod git;

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::ValueEnum;

use crate::cli::policies;
use crate::cli::{complain, exit, print};
use crate::diagnostic::{Report, SourceFile};
use crate::policy::diff::replay::{Log, Replayed};
use crate::policy::diff::{Comparison, Diff, Side, json, markdown, text};
use crate::policy::explain::Files;
use crate::policy::file::{self, Layer, LayerKind};
use crate::policy::{self, Policy};

/// The most threads that compare; each has some 30 MB for 100,000 features.
const MOST_THREADS: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policy before: a file, a folder, or git:REV:PATH
    old: PathBuf,
    /// The policy after, likewise
    new: PathBuf,
    /// A generated file below both policies; git:REV:PATH as well
    #[arg(long, value_name = "FILE")]
    catalogue: Vec<PathBuf>,
    /// The generated file that was below the old policy, where that is another one
    #[arg(long, value_name = "FILE")]
    old_catalogue: Vec<PathBuf>,
    /// An audit log: which of its queries would be decided otherwise
    #[arg(long, value_name = "AUDIT.jsonl")]
    against: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Every row of long lists, too (json always has all)
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Everything, for programs
    Json,
    /// For pull requests
    Markdown,
}

/// One side as it was read. A catalogue below both is there once: it can be most of what there is.
struct Loaded {
    policy: Option<Policy>,
    report: Report,
    rules: Layer,
    imported: Arc<Layer>,
}

/// What stops the command: an exit code, and what to say.
type Stopped = (u8, String);

pub fn run(arguments: &Arguments) -> u8 {
    match compare(arguments) {
        Ok(code) => code,
        Err((code, message)) => {
            complain(&message);
            code
        }
    }
}

fn compare(arguments: &Arguments) -> Result<u8, Stopped> {
    let log = arguments.against.as_deref().map(read_log).transpose()?;
    // The process ends after this: taking it all apart again would be a tenth of its time.
    let loaded = ManuallyDrop::new(load(arguments)?);
    let (old, new) = &*loaded;
    let (old, new) = (side(old.as_ref().unwrap_or(new), "old")?, side(new, "new")?);
    let mut diff = ManuallyDrop::new(in_blocks(Comparison::new(old, new)));
    if let Some(log) = log {
        diff.queries = Some(log.replay(old, new));
    }
    let gains = diff.summary().gains;
    match arguments.format {
        Format::Text => print(&text::write(&diff, arguments.all)),
        Format::Markdown => print(&markdown::write(&diff, arguments.all)),
        Format::Json => {
            let mut out = Stream(BufWriter::new(std::io::stdout().lock()));
            // A reader that went away is no error.
            json::write(&diff, &mut out).ok();
            out.0.flush().ok();
        }
    }
    if let Some(message) = diff.queries.as_ref().and_then(unreadable) {
        complain(&message);
    }
    Ok(if gains { exit::GAINS } else { exit::FINE })
}

fn unreadable(replayed: &Replayed) -> Option<String> {
    let first = replayed.unreadable_lines.first()?;
    Some(format!("{} lines of the audit log are no audit lines, the first is line {first}", replayed.unreadable))
}

/// Standard output, for what writes text.
struct Stream<W>(W);

impl<W: std::io::Write> std::fmt::Write for Stream<W> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| std::fmt::Error)
    }
}

fn in_blocks(comparison: Comparison<'_>) -> Diff<'_> {
    let count = comparison.blocks();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(count).clamp(1, MOST_THREADS);
    let next = AtomicUsize::new(0);
    let mut blocks = thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return done;
                }
                done.push((number, comparison.block(number)));
            }
        };
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            // A block is never lost: what a thread that ended early has left is done here.
            done.extend(other.join().unwrap_or_default());
        }
        done
    });
    for number in 0..count {
        if !blocks.iter().any(|(done, _)| *done == number) {
            blocks.push((number, comparison.block(number)));
        }
    }
    blocks.sort_by_key(|(number, _)| *number);
    comparison.finish(blocks.into_iter().map(|(_, block)| block).collect())
}

fn read_log(path: &Path) -> Result<Log, Stopped> {
    let stopped = |what: String| (exit::MISUSE, format!("`{}` {what}", path.display()));
    let unreadable = |error: std::io::Error| stopped(format!("cannot be read: {error}"));
    let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut log, mut line, mut number) = (Log::default(), Vec::new(), 0);
    while lines.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
        number += 1;
        log.line(number, &line);
        line.clear();
    }
    if log.lines() > 0 && !log.readable() {
        return Err(stopped("has no line that is one of an audit log".to_owned()));
    }
    Ok(log)
}

fn side<'l>(loaded: &'l Loaded, which: &str) -> Result<Side<'l>, Stopped> {
    match &loaded.policy {
        Some(policy) => Ok(Side { policy, files: Files { rules: &loaded.rules, imported: &loaded.imported } }),
        None => Err((exit::DOES_NOT_LOAD, format!("the {which} policy does not load:\n{}", loaded.report))),
    }
}

type Texts = Vec<Arc<SourceFile>>;

/// Catalogue files as read, and their mistakes.
type Imported = (Arc<Layer>, Report);

fn texts(paths: &[PathBuf]) -> Result<Texts, Stopped> {
    let mut all = Vec::new();
    for path in paths {
        let found = match path.to_str().and_then(|text| text.strip_prefix("git:")) {
            Some(place) => git::read(place),
            None => policies::texts(&[path]),
        };
        all.extend(found.map_err(|message| (exit::DOES_NOT_LOAD, message))?);
    }
    Ok(all)
}

fn same(a: &Texts, b: &Texts) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.text == b.text)
}

/// Both policies; no old one where it is the new one, word for word. What both have is read once, the rest side by side.
fn load(arguments: &Arguments) -> Result<(Option<Loaded>, Loaded), Stopped> {
    let policies = [&arguments.old, &arguments.new].map(|path| texts(std::slice::from_ref(path)));
    let [old, new] = policies;
    let (old, new) = (old?, new?);
    let catalogue = texts(&arguments.catalogue)?;
    let old_catalogue = match &*arguments.old_catalogue {
        [] => None,
        paths => Some(texts(paths)?).filter(|texts| !same(texts, &catalogue)),
    };
    if old_catalogue.is_none() && same(&old, &new) {
        return Ok((None, assemble(&new, &catalogue, imported(&catalogue))));
    }
    let shared = old_catalogue.is_none().then(|| imported(&catalogue));
    let old_catalogue = old_catalogue.as_ref().unwrap_or(&catalogue);
    let imported = |texts: &Texts| shared.clone().unwrap_or_else(|| imported(texts));
    thread::scope(|scope| {
        let before = scope.spawn(|| assemble(&old, old_catalogue, imported(old_catalogue)));
        let after = assemble(&new, &catalogue, imported(&catalogue));
        let before = before.join();
        let failed = |_| (exit::FAILED, "the thread that reads the old policy has failed".to_owned());
        Ok((Some(before.map_err(failed)?), after))
    })
}

fn imported(texts: &Texts) -> Imported {
    let mut report = Report::default();
    let layer = file::read(LayerKind::Catalogue, texts, &mut report);
    (Arc::new(layer), report)
}

fn assemble(texts: &Texts, catalogue: &Texts, (imported, mut report): Imported) -> Loaded {
    let rules = file::read(LayerKind::Policy, texts, &mut report);
    policy::empty_catalogue(catalogue, &imported, &mut report);
    let policy = policy::assemble(&rules, &imported, &mut report);
    report.sort();
    Loaded { policy, report, rules, imported }
}
