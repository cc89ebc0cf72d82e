//! The two framings of bulk bodies (wire-chalk.md, sections 3.4 and 3.5).
//!
//! ```text
//! request    "chal1", then for each query: u64 length, header (JSON), u64 length, table (an Arrow IPC file)
//! container  "CHALK_BYTE_TRANSMISSION", then each behind its u64 length:
//!              attributes (JSON), pydantic (JSON),
//!              {name: length} (JSON) and the bytes of those names, {name: length} (JSON) and containers of those names
//! ```
//!
//! Lengths are big-endian. Nothing is copied: parts are slices of the body.

use std::ops::Range;

use bytes::Bytes;

use crate::dialect::{Invalid, Unreadable, shown};
use crate::json::{self, Kind};

/// What a body of queries begins with.
const QUERIES: &[u8] = b"chal1";
/// What a container begins with.
const CONTAINER: &[u8] = b"CHALK_BYTE_TRANSMISSION";
/// Queries that one body may hold.
pub const MOST_QUERIES: usize = 100;
/// Containers within containers that are followed; an answer has two levels below its outermost.
const DEEPEST: usize = 8;

/// A query of a bulk request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// JSON, not looked into here.
    pub header: Bytes,
    /// An Arrow IPC file, not looked into here.
    pub table: Bytes,
}

/// Reads the body of `/v1/query/feather`: one to [`MOST_QUERIES`] queries, and nothing behind the last.
///
/// # Errors
/// What is in the way.
pub fn read_queries(body: &Bytes) -> Result<Vec<Part>, Invalid> {
    if !body.starts_with(QUERIES) {
        return Err(Invalid("the body does not begin with `chal1`".to_owned()));
    }
    let mut at = QUERIES.len();
    let mut parts = Vec::new();
    while at < body.len() {
        let number = parts.len();
        if number == MOST_QUERIES {
            return Err(Invalid(format!("the body holds more than {MOST_QUERIES} queries")));
        }
        let mut next = |what| {
            let breaks_off = || Invalid(format!("query {number} of the body breaks off in its {what}"));
            delimited(body, &mut at).map(|range| body.slice(range)).ok_or_else(breaks_off)
        };
        parts.push(Part { header: next("header")?, table: next("table")? });
    }
    if parts.is_empty() { Err(Invalid("the body holds no query".to_owned())) } else { Ok(parts) }
}

/// The body of these queries, each a header and a table.
pub fn write_queries<H: AsRef<[u8]>, T: AsRef<[u8]>>(parts: impl IntoIterator<Item = (H, T)>) -> Vec<u8> {
    let mut out = QUERIES.to_vec();
    for (header, table) in parts {
        delimit(&mut out, header.as_ref());
        delimit(&mut out, table.as_ref());
    }
    out
}

/// A container; names are unique in each list and in the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// A JSON object.
    pub attrs: Bytes,
    /// A JSON object.
    pub pydantic: Bytes,
    /// Bytes by name.
    pub blobs: Vec<(String, Bytes)>,
    /// Containers by name.
    pub children: Vec<(String, Container)>,
}

impl Default for Container {
    fn default() -> Self {
        let empty = || Bytes::from_static(b"{}");
        Self { attrs: empty(), pydantic: empty(), blobs: Vec::new(), children: Vec::new() }
    }
}

impl Container {
    /// Reads a container to its last byte.
    ///
    /// # Errors
    /// What is in the way: another beginning, a length that is not exact, a name twice, JSON that is no object.
    pub fn read(bytes: &Bytes) -> Result<Self, Unreadable> {
        Self::level(bytes, DEEPEST)
    }

    fn level(bytes: &Bytes, levels: usize) -> Result<Self, Unreadable> {
        let Some(levels) = levels.checked_sub(1) else {
            return Err(Unreadable(format!("the container is deeper than {DEEPEST} levels")));
        };
        if !bytes.starts_with(CONTAINER) {
            return Err(Unreadable("the container does not begin with `CHALK_BYTE_TRANSMISSION`".to_owned()));
        }
        let mut at = CONTAINER.len();
        let attrs = object(bytes, &mut at, "list of attributes")?;
        let pydantic = object(bytes, &mut at, "pydantic part")?;
        let blobs = named(bytes, &mut at, "bytes")?;
        let mut children = Vec::new();
        for (name, child) in named(bytes, &mut at, "containers")? {
            children.push((name, Self::level(&child, levels)?));
        }
        if at < bytes.len() {
            return Err(Unreadable(format!("the container goes on behind its end at byte {at}")));
        }
        Ok(Self { attrs, pydantic, blobs, children })
    }

    /// The bytes of the container. Written as Chalk does, down to the spaces of its JSON: what was read from bytes of
    /// Chalk's making is written as the same bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.room());
        out.extend_from_slice(CONTAINER);
        delimit(&mut out, &self.attrs);
        delimit(&mut out, &self.pydantic);
        let blobs = self.blobs.iter().map(|(name, bytes)| (name, bytes.len()));
        delimit(&mut out, &lengths(blobs));
        for (_, bytes) in &self.blobs {
            out.extend_from_slice(bytes);
        }
        let children: Vec<_> = self.children.iter().map(|(name, child)| (name, child.write())).collect();
        delimit(&mut out, &lengths(children.iter().map(|(name, bytes)| (*name, bytes.len()))));
        for (_, bytes) in &children {
            out.extend_from_slice(bytes);
        }
        out
    }

    /// About as many bytes as it is, and mostly a few more.
    fn room(&self) -> usize {
        let blobs = self.blobs.iter().map(|(name, bytes)| name.len() + 24 + bytes.len());
        let children = self.children.iter().map(|(name, child)| name.len() + 24 + child.room());
        CONTAINER.len() + 40 + self.attrs.len() + self.pydantic.len() + blobs.chain(children).sum::<usize>()
    }

    /// The one of `blobs` with this name.
    pub fn blob(&self, name: &str) -> Option<&Bytes> {
        self.blobs.iter().find(|(own, _)| own == name).map(|(_, bytes)| bytes)
    }

    /// The one of `children` with this name.
    pub fn child(&self, name: &str) -> Option<&Container> {
        self.children.iter().find(|(own, _)| own == name).map(|(_, child)| child)
    }
}

/// The range behind the length at `at`, and moves `at` behind it; none where the bytes break off.
fn delimited(bytes: &[u8], at: &mut usize) -> Option<Range<usize>> {
    let (length, _) = bytes.get(*at..)?.split_first_chunk::<8>()?;
    let start = at.checked_add(8)?;
    let end = start.checked_add(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    if end > bytes.len() {
        return None;
    }
    *at = end;
    Some(start..end)
}

fn delimit(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The JSON object behind the length at `at`.
fn object(bytes: &Bytes, at: &mut usize, what: &str) -> Result<Bytes, Unreadable> {
    let range = delimited(bytes, at).ok_or_else(|| Unreadable(format!("the container breaks off in its {what}")))?;
    let text = bytes.slice(range);
    // The error of the reader may show a key, which may be a value here.
    json::object(&text).map_err(|_| Unreadable(format!("the {what} of the container is no json object")))?;
    Ok(text)
}

/// Bytes by name, their lengths as JSON before them.
fn named(bytes: &Bytes, at: &mut usize, what: &str) -> Result<Vec<(String, Bytes)>, Unreadable> {
    let lengths = object(bytes, at, &format!("list of {what}"))?;
    let members = json::object(&lengths).map_err(|error| Unreadable(format!("the {what} have no lengths: {error}")))?;
    let mut all = Vec::with_capacity(members.len());
    for member in members {
        let refuse = |why| Unreadable(format!("the length of `{}` among the {what} {why}", shown(&member.key)));
        let digits = member.value.span.of(&lengths);
        let whole = member.value.kind == Kind::Number && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits).ok().filter(|_| whole).and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or_else(|| refuse("is no whole number"))?;
        let end = at.checked_add(length).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| refuse("goes beyond the container"))?;
        all.push((member.key.into_owned(), bytes.slice(*at..end)));
        *at = end;
    }
    Ok(all)
}

/// `{"name": 12, "other": 3}`
fn lengths<'a>(all: impl Iterator<Item = (&'a String, usize)>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (position, (name, length)) in all.enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        json::write_string(&mut out, name);
        out.extend_from_slice(format!(": {length}").as_bytes());
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
