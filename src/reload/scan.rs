//! What stands where, and what is in it.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};

use super::{Digest, File, Files, ReadError, Source};

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 64 << 20;
/// The most that the files of one set may hold together, in bytes.
const LARGEST_SET: u64 = 256 << 20;
/// The most directory entries that one set is looked for among; stops a walk that was let loose on `/`.
const MOST_ENTRIES: usize = 10_000;
/// How far below its path a file is looked for, in folders; links to folders can go on for long.
const DEEPEST: usize = 100;
/// How often a set that changes while it is read is read, and the pause between.
const READS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);
/// Links followed for one path; the limit of Linux (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// A file changed less than so many seconds before it was read may change again without its times
/// moving (file systems keep them in ticks, FAT of two seconds), so the next poll reads it again.
const YOUNG_SECONDS: i64 = 2;

/// Where a change may change the set; all paths free of links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Folders of which every entry counts.
    folders: BTreeSet<PathBuf>,
    /// Single entries: links that were followed, what they lead to, what was not there.
    entries: BTreeSet<PathBuf>,
}

impl Places {
    /// The folders whose events tell of all of these.
    pub(super) fn watched(&self) -> BTreeSet<PathBuf> {
        let parents = self.entries.iter().filter_map(|entry| entry.parent());
        let folders = self.folders.iter().map(PathBuf::as_path);
        folders.chain(parents).map(Path::to_owned).collect()
    }

    /// Whether what happened at `path` is about the set, and not about a neighbour of it (a log file
    /// in the same folder must not keep us reading).
    pub(super) fn concerns(&self, path: &Path) -> bool {
        let inside = |parent| self.folders.contains(parent);
        self.entries.contains(path) || path.parent().is_some_and(inside)
    }

    /// Follows `path` link by link, as the kernel does, and notes each link and the end: those are
    /// the entries by which the path may come to lead elsewhere. `named` is for the error.
    fn follow(&mut self, path: &Path, named: &Path) -> Result<PathBuf, ReadError> {
        let absolute = std::path::absolute(path).map_err(|error| ReadError::new(named, &error))?;
        let mut here = PathBuf::new();
        let mut left = Vec::new(); // the next component last
        let mut links = 0;
        let push = |left: &mut Vec<_>, path: &Path| {
            left.extend(path.components().rev().map(|part| part.as_os_str().to_owned()));
        };
        push(&mut left, &absolute);
        while let Some(part) = left.pop() {
            if part == ".." {
                here.pop();
                continue;
            }
            here.push(&part); // `/` begins anew
            let kind = here.symlink_metadata();
            if left.is_empty() || kind.as_ref().map_or(true, Metadata::is_symlink) {
                self.entries.insert(here.clone());
            }
            if kind.map_err(|error| ReadError::new(named, &error))?.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(ReadError::Circle(named.to_owned()));
                }
                let target = fs::read_link(&here).map_err(|error| ReadError::new(named, &error))?;
                here.pop();
                push(&mut left, &target);
            }
        }
        Ok(here)
    }
}

/// What stands where, without reading it. Two that are equal mean that nothing happened between.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) found: Result<Vec<Found>, ReadError>,
    pub(super) places: Places,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    source: usize,
    below: PathBuf,
    path: PathBuf,
    real: PathBuf,
    stamp: Stamp,
}

/// The change time (ctime) is in it because nobody can set it back: it moves with every write.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Scan {
    /// Whether one of the files may have changed since without its times showing it, if they were
    /// read at `now` or later. A file from the future stays young, and is read at every poll.
    pub(super) fn is_young(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let limit = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(YOUNG_SECONDS);
        self.found.iter().flatten().any(|found| found.stamp.changed.0 >= limit)
    }
}

/// One scan under way.
struct Walk<'a> {
    of: &'a Source,
    number: usize,
    found: Vec<Found>,
    places: Places,
    entries: usize,
    bytes: u64,
}

pub(super) fn scan(source: &Source) -> Scan {
    let mut walk = Walk { of: source, number: 0, found: Vec::new(), places: Places::default(), entries: 0, bytes: 0 };
    let mut outcome = if source.paths.is_empty() { Err(ReadError::NoPath) } else { Ok(()) };
    for (number, path) in source.paths.iter().enumerate() {
        walk.number = number;
        // The places of the rest are wanted after an error too.
        outcome = outcome.and(walk.path(path));
    }
    Scan { found: outcome.map(|()| walk.found), places: walk.places }
}

impl Walk<'_> {
    fn path(&mut self, path: &Path) -> Result<(), ReadError> {
        let real = self.places.follow(path, path)?;
        let meta = real.metadata().map_err(|error| ReadError::new(path, &error))?;
        if !meta.is_dir() {
            return self.file(path, Path::new(""), real, &meta);
        }
        let before = self.found.len();
        self.folder(path, Path::new(""), real, &mut Vec::new())?;
        if self.found.len() == before {
            return Err(ReadError::Empty(path.to_owned(), self.of.extensions));
        }
        Ok(())
    }

    fn folder(&mut self, named: &Path, below: &Path, real: PathBuf, above: &mut Vec<PathBuf>) -> Result<(), ReadError> {
        if above.contains(&real) {
            return Err(ReadError::Circle(named.to_owned()));
        }
        if above.len() > DEEPEST {
            return Err(ReadError::TooDeep(named.to_owned()));
        }
        self.places.folders.insert(real.clone());
        let mut entries = Vec::new();
        for entry in fs::read_dir(&real).map_err(|error| ReadError::new(named, &error))? {
            entries.push(entry.map_err(|error| ReadError::new(named, &error))?);
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(ReadError::TooMany(named.to_owned()));
            }
        }
        // By name, so that the first error is always the same one.
        entries.sort_by_key(DirEntry::file_name);
        above.push(real);
        for entry in entries {
            let name = entry.file_name();
            if !name.as_encoded_bytes().starts_with(b".") && name != "tests" {
                self.entry(&entry, &named.join(&name), &below.join(&name), above)?;
            }
        }
        above.pop();
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &DirEntry,
        named: &Path,
        below: &Path,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), ReadError> {
        let wanted = self.of.takes(named);
        let meta = entry.path().metadata();
        if !wanted && !meta.is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        let real = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => entry.path(),
            Ok(_) | Err(_) => self.places.follow(&entry.path(), named)?,
        };
        let meta = real.metadata().map_err(|error| ReadError::new(named, &error))?;
        if meta.is_dir() { self.folder(named, below, real, above) } else { self.file(named, below, real, &meta) }
    }

    fn file(&mut self, named: &Path, below: &Path, real: PathBuf, meta: &Metadata) -> Result<(), ReadError> {
        if !meta.is_file() {
            return Err(ReadError::OtherKind(named.to_owned())); // a pipe would block us for ever
        }
        if meta.len() > LARGEST_FILE {
            return Err(ReadError::TooLarge(named.to_owned()));
        }
        self.bytes += meta.len();
        if self.bytes > LARGEST_SET {
            return Err(ReadError::TooLargeTogether(named.to_owned()));
        }
        self.found.push(Found {
            source: self.number,
            below: below.to_owned(),
            path: named.to_owned(),
            real,
            stamp: Stamp {
                file: (meta.dev(), meta.ino()),
                size: meta.len(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                changed: (meta.ctime(), meta.ctime_nsec()),
            },
        });
        Ok(())
    }
}

/// Scans, lets `watch` turn to what was found, reads and scans again until both scans agree.
pub(super) fn look(source: &Source, mut watch: impl FnMut(&Places)) -> (Option<Scan>, Result<Files, ReadError>) {
    let mut before = scan(source);
    for _ in 0..READS {
        watch(&before.places);
        let read = match &before.found {
            Ok(found) => contents(found),
            Err(error) => Err(error.clone()),
        };
        let after = scan(source);
        if after == before {
            return (Some(after), read);
        }
        before = after;
        thread::sleep(PAUSE);
    }
    (None, Err(ReadError::Changing(source.paths.first().cloned().unwrap_or_default())))
}

fn contents(found: &[Found]) -> Result<Files, ReadError> {
    let mut hash = Context::new(&SHA256);
    let mut files = Vec::with_capacity(found.len());
    for Found { source, below, path, real, .. } in found {
        let mut bytes = Vec::new();
        // What has grown beyond the limit is cut here and found out by the second scan.
        fs::File::open(real)
            .and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes))
            .map_err(|error| ReadError::new(path, &error))?;
        hash.update(&(*source as u64).to_be_bytes());
        for part in [below.as_os_str().as_encoded_bytes(), &bytes] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        files.push(File { source: *source, path: path.clone(), bytes });
    }
    let mut digest = Digest([0; 32]);
    for (to, from) in digest.0.iter_mut().zip(hash.finish().as_ref()) {
        *to = *from;
    }
    Ok(Files { digest, files })
}
