//! The hash chain of an audit log: each line carries the hash of the one before (config.md, Audit line).
//!
//! A line is `{…,"prev":"<hash of the line before>","hash":"<hash of this line up to here>"}`. The hash is
//! HMAC-SHA-256 under `audit.key_file`; without a key it is SHA-256, which shows accidents and not forgers.

use std::fmt;
use std::io::BufRead;

use aws_lc_rs::{digest, hmac};

use crate::hex::{digits, hex};

/// What a line's hash is.
pub type Hash = [u8; 32];

/// Before the first line of all.
pub const START: Hash = [0; 32];

/// How hashes are made.
#[derive(Clone)]
pub enum Hasher {
    /// HMAC-SHA-256.
    Keyed(Box<hmac::Key>),
    /// SHA-256.
    Plain,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyed(_) => "Keyed",
            Self::Plain => "Plain",
        })
    }
}

impl Hasher {
    /// With the bytes of `audit.key_file`, white space around them aside.
    pub fn keyed(secret: &[u8]) -> Self {
        Self::Keyed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.trim_ascii())))
    }

    fn hash(&self, text: &[u8]) -> Hash {
        let mut hash = START;
        let copy = |from: &[u8], to: &mut Hash| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        match self {
            Self::Keyed(key) => copy(hmac::sign(key, text).as_ref(), &mut hash),
            Self::Plain => copy(digest::digest(&digest::SHA256, text).as_ref(), &mut hash),
        }
        hash
    }

    /// Ends the line that is begun in `out` there, an object without its last brace: with `prev`, `hash` and a line
    /// feed. Gives its hash.
    pub fn link(&self, begin: usize, prev: &Hash, out: &mut Vec<u8>) -> Hash {
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(&digits::<32, 64>(prev));
        out.push(b'"');
        let hash = self.hash(out.get(begin..).unwrap_or_default());
        out.extend_from_slice(b",\"hash\":\"");
        out.extend_from_slice(&digits::<32, 64>(&hash));
        out.extend_from_slice(b"\"}\n");
        hash
    }
}

/// Reads a hash as [`hex`] writes it, and no other spelling: none of its digits may change unseen.
pub fn parse(text: &str) -> Option<Hash> {
    let mut hash = START;
    if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (to, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *to = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// The parts of a line: what is hashed, `prev`, `hash`.
fn parts(line: &str) -> Option<(&str, Hash, Hash)> {
    let (hashed, rest) = line.rsplit_once(",\"hash\":\"")?;
    let hash = parse(rest.strip_suffix("\"}")?)?;
    let prev = hashed.rsplit_once(",\"prev\":\"")?.1;
    Some((hashed, parse(prev.strip_suffix('"')?)?, hash))
}

/// The hash at the end of a log's last whole line; `None` where the line carries none.
pub fn head_of(last_line: &str) -> Option<Hash> {
    parts(last_line).map(|(_, _, hash)| hash)
}

/// What a log was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Lines.
    pub lines: u64,
    /// The hash before the first line: [`START`], or the head of the file before.
    pub begins_after: Hash,
    /// The hash of the last line.
    pub head: Hash,
}

/// The first fault of a log. Lines count from 1 in the file that was read last.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not readable.
    #[error("the log cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A line without `prev` and `hash`, or one that is cut.
    #[error("line {line} is not a whole line of this log")]
    NotALine {
        /// Which.
        line: u64,
    },
    /// Changed, or made under another key.
    #[error("line {line} is not what was written: its hash does not fit, under this key")]
    Changed {
        /// Which.
        line: u64,
    },
    /// The one before once more.
    #[error("line {line} is the line before it once more")]
    Twice {
        /// Which.
        line: u64,
    },
    /// Missing or in another order.
    #[error("between line {before} and line {line} something is missing or moved")]
    Gap {
        /// The last good one.
        before: u64,
        /// The first behind it.
        line: u64,
    },
    /// Missing or in another order, where one file follows another.
    #[error("between line {before} of `{file}` and line {line} something is missing or moved")]
    GapBetween {
        /// The file before.
        file: String,
        /// Its last line.
        before: u64,
        /// The first of this file.
        line: u64,
    },
    /// The first line of another log.
    #[error("line {line} begins a chain of its own: when it was written, the log before it was not there")]
    Anew {
        /// Which.
        line: u64,
    },
    /// The end is another one.
    #[error("the log ends with {head}… and {wanted}… is nowhere in it: its tail is cut")]
    Tail {
        /// The beginning of its head.
        head: String,
        /// The beginning of what was expected.
        wanted: String,
    },
    /// Nothing in it.
    #[error("the log has no line")]
    Empty,
}

/// Verifies a log: one file, or several that rotation made of it, oldest first.
#[derive(Debug)]
pub struct Verifier<'h> {
    hasher: &'h Hasher,
    wanted: Option<String>,
    reached: bool,
    found: Option<Verified>,
    /// The file of the last line, and its number there.
    last: (String, u64),
}

impl<'h> Verifier<'h> {
    /// `head`: the beginning of a hash that the log must have come to, in hex, as the metric or standard error gave it. A
    /// log that has gone on since then has it further up.
    pub fn new(hasher: &'h Hasher, head: Option<&str>) -> Self {
        let wanted = head.map(str::to_lowercase);
        Self { hasher, wanted, reached: false, found: None, last: (String::new(), 0) }
    }

    /// Reads the next file; `name` is for faults.
    ///
    /// # Errors
    /// Its first [`Fault`].
    pub fn read(&mut self, name: &str, mut log: impl BufRead) -> Result<(), Fault> {
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if log.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            let whole = std::str::from_utf8(text.strip_suffix(b"\n").unwrap_or(&text)).ok();
            let (hashed, prev, hash) = whole.and_then(parts).ok_or(Fault::NotALine { line })?;
            if self.hasher.hash(hashed.as_bytes()) != hash {
                return Err(Fault::Changed { line });
            }
            let verified = match self.found {
                None => Verified { lines: 1, begins_after: prev, head: hash },
                Some(before) if before.head == prev => Verified { lines: before.lines + 1, head: hash, ..before },
                Some(before) => return Err(self.broken(name, line, &prev, before.head == hash)),
            };
            self.found = Some(verified);
            self.reached |= self.wanted.as_ref().is_some_and(|wanted| hex(&hash).starts_with(wanted));
            if self.last.0 != name {
                name.clone_into(&mut self.last.0);
            }
            self.last.1 = line;
        }
        Ok(())
    }

    fn broken(&self, name: &str, line: u64, prev: &Hash, again: bool) -> Fault {
        let (file, before) = &self.last;
        if again {
            Fault::Twice { line }
        } else if *prev == START {
            Fault::Anew { line }
        } else if file == name {
            Fault::Gap { before: *before, line }
        } else {
            Fault::GapBetween { file: file.clone(), before: *before, line }
        }
    }

    /// What all of it is.
    ///
    /// # Errors
    /// [`Fault::Empty`], [`Fault::Tail`].
    pub fn end(self) -> Result<Verified, Fault> {
        let found = self.found.ok_or(Fault::Empty)?;
        match self.wanted {
            Some(wanted) if !self.reached => {
                let short = |text: &str| text.chars().take(12).collect();
                Err(Fault::Tail { head: short(&hex(&found.head)), wanted: short(&wanted) })
            }
            Some(_) | None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(log: &[u8], hasher: &Hasher, head: Option<&str>) -> Result<Verified, Fault> {
        let mut verifier = Verifier::new(hasher, head);
        verifier.read("log", log)?;
        verifier.end()
    }

    fn log(hasher: &Hasher, count: usize) -> (String, Hash) {
        let (mut out, mut prev) = (Vec::new(), START);
        for n in 0..count {
            let begin = out.len();
            out.extend_from_slice(format!("{{\"n\":{n},\"text\":\"\\\",\\\"hash\\\":\\\"\"").as_bytes());
            prev = hasher.link(begin, &prev, &mut out);
        }
        (String::from_utf8(out).unwrap(), prev)
    }

    #[test]
    fn a_whole_log_verifies_and_every_line_is_json() {
        let hasher = Hasher::keyed(b"a key of the operator's own choice\n");
        let (text, head) = log(&hasher, 5);
        let verified = verify(text.as_bytes(), &hasher, hex(&head).get(..12)).unwrap();
        assert_eq!(verified, Verified { lines: 5, begins_after: START, head });
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["hash"].as_str().map(str::len), Some(64));
        }
        assert_eq!(head_of(text.lines().last().unwrap()), Some(head));
    }

    #[test]
    fn every_fault_is_found_and_named() {
        let hasher = Hasher::keyed(b"key");
        let (text, head) = log(&hasher, 4);
        let lines: Vec<&str> = text.lines().collect();
        let fault = |lines: &[&str], head: Option<&str>| {
            verify(lines.join("\n").as_bytes(), &hasher, head).unwrap_err().to_string()
        };
        let changed = lines[1].replace("\"n\":1", "\"n\":7");
        let cut = lines[3].get(..40).unwrap();
        let head = hex(&head);
        for (lines, wanted, message) in [
            (
                vec![lines[0], &changed, lines[2]],
                None,
                "line 2 is not what was written: its hash does not fit, under this key",
            ),
            (vec![lines[0], lines[2]], None, "between line 1 and line 2 something is missing or moved"),
            (vec![lines[0], lines[1], lines[1], lines[2]], None, "line 3 is the line before it once more"),
            (vec![lines[0], "", lines[1]], None, "line 2 is not a whole line of this log"),
            (
                vec![lines[1], lines[0]],
                None,
                "line 2 begins a chain of its own: when it was written, the log before it was not there",
            ),
            (vec![lines[0], lines[2], lines[1]], None, "between line 1 and line 2 something is missing or moved"),
            (vec![lines[0], cut], None, "line 2 is not a whole line of this log"),
            (vec![], None, "the log has no line"),
        ] {
            assert_eq!(fault(&lines, wanted), message);
        }
        let tail = fault(&lines[..3], Some(&head));
        assert!(tail.starts_with("the log ends with ") && tail.ends_with(": its tail is cut"), "{tail}");
        let third = hex(&head_of(lines[2]).unwrap());
        assert!(verify(text.as_bytes(), &hasher, Some(&third)).is_ok(), "it has gone on since then");
        let mut bytes = text.clone().into_bytes();
        bytes[lines[0].len() + 5] = 0xff;
        let binary = verify(&bytes, &hasher, None).unwrap_err().to_string();
        assert_eq!(binary, "line 2 is not a whole line of this log");
        let mut files = Verifier::new(&hasher, None);
        files.read("old", lines[..2].join("\n").as_bytes()).unwrap();
        let gap = files.read("new", lines[3].as_bytes()).unwrap_err().to_string();
        assert_eq!(gap, "between line 2 of `old` and line 1 something is missing or moved");
        let other = verify(text.as_bytes(), &Hasher::keyed(b"another"), None).unwrap_err().to_string();
        assert_eq!(other, "line 1 is not what was written: its hash does not fit, under this key");
    }
}
