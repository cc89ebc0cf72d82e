//! The hash chain of an audit log: each line carries the hash of the one before (config.md, Audit line).
//!
//! A line is `{…,"prev":"<hash of the line before>","hash":"<hash of this line up to here>"}`. The hash is
//! HMAC-SHA-256 under `audit.key_file`; without a key it is SHA-256, which shows accidents and not forgers.

use std::fmt;
use std::io::BufRead;

use aws_lc_rs::{digest, hmac};

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

    /// Adds `prev` and `hash` to a line `{…}` with its line feed, appends it to `out`, and gives its hash.
    pub fn link(&self, line: &[u8], prev: &Hash, out: &mut Vec<u8>) -> Hash {
        let open = line.trim_ascii_end().strip_suffix(b"}").unwrap_or(line);
        let begin = out.len();
        out.extend_from_slice(open);
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(hex(prev).as_bytes());
        out.push(b'"');
        let hash = self.hash(out.get(begin..).unwrap_or_default());
        out.extend_from_slice(b",\"hash\":\"");
        out.extend_from_slice(hex(&hash).as_bytes());
        out.extend_from_slice(b"\"}\n");
        hash
    }
}

/// Lower-case hex.
pub fn hex(hash: &Hash) -> String {
    use fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a hash in hex.
pub fn parse(text: &str) -> Option<Hash> {
    let mut hash = START;
    if text.len() != 64 {
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

/// The first fault of a log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not readable.
    #[error("the log cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A line without `prev` and `hash`, or one that is cut.
    #[error("line {line} is not a whole line of this log")]
    NotALine {
        /// From 1.
        line: u64,
    },
    /// Changed, or made under another key.
    #[error("line {line} is not what was written: its hash does not fit, under this key")]
    Changed {
        /// From 1.
        line: u64,
    },
    /// Missing or in another order.
    #[error("between line {before} and line {line} something is missing or moved")]
    Gap {
        /// From 1.
        before: u64,
        /// From 1.
        line: u64,
    },
    /// The end is another one.
    #[error("the log ends with {head}…, not with {wanted}…: its tail is cut")]
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

/// Verifies a log. `head`: the beginning of the hash that it must end with, in hex, as the metric or standard error gave
/// it.
///
/// # Errors
/// The first [`Fault`].
pub fn verify(log: impl BufRead, hasher: &Hasher, head: Option<&str>) -> Result<Verified, Fault> {
    let mut found: Option<Verified> = None;
    for (line, number) in log.lines().zip(1..) {
        let line = line?;
        let (hashed, prev, hash) = parts(&line).ok_or(Fault::NotALine { line: number })?;
        if hasher.hash(hashed.as_bytes()) != hash {
            return Err(Fault::Changed { line: number });
        }
        found = Some(match found {
            None => Verified { lines: 1, begins_after: prev, head: hash },
            Some(before) if before.head == prev => Verified { lines: before.lines + 1, head: hash, ..before },
            Some(_) => return Err(Fault::Gap { before: number - 1, line: number }),
        });
    }
    let found = found.ok_or(Fault::Empty)?;
    match head {
        Some(wanted) if !hex(&found.head).starts_with(&wanted.to_lowercase()) => {
            let short = |text: &str| text.chars().take(12).collect();
            Err(Fault::Tail { head: short(&hex(&found.head)), wanted: short(wanted) })
        }
        Some(_) | None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(hasher: &Hasher, count: usize) -> (String, Hash) {
        let (mut out, mut prev) = (Vec::new(), START);
        for n in 0..count {
            prev =
                hasher.link(format!("{{\"n\":{n},\"text\":\"\\\",\\\"hash\\\":\\\"\"}}\n").as_bytes(), &prev, &mut out);
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
            (vec![lines[1], lines[0]], None, "between line 1 and line 2 something is missing or moved"),
            (vec![lines[0], cut], None, "line 2 is not a whole line of this log"),
            (vec![], None, "the log has no line"),
        ] {
            assert_eq!(fault(&lines, wanted), message);
        }
        let tail = fault(&lines[..3], Some(&head));
        assert!(tail.starts_with("the log ends with ") && tail.ends_with(": its tail is cut"), "{tail}");
        let other = verify(text.as_bytes(), &Hasher::keyed(b"another"), None).unwrap_err().to_string();
        assert_eq!(other, "line 1 is not what was written: its hash does not fit, under this key");
    }
}
