//! The features that an expression reads, as ways from the root of a namespace.

use std::fmt;

use crate::chalk::duration;

/// One thing that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// The way to it.
    pub path: Path,
    /// The way that it would be from the row outside. `F.max_by(_.user.transactions[_.amount], _.at)` sorts by the
    /// `at` of a transaction, as Chalk's documentation has it; that no server takes it for the user's `at` is not
    /// known. Of the two, each that the catalogue has is read; where it has neither, the expression cannot be followed.
    pub outside: Option<Path>,
    /// Only which rows there are: of a has-many no column is read, but it and the hops to it are used. A feature that is
    /// none of these has its value read.
    pub rows: bool,
}

/// A way: `user.transactions[].amount`.
///
/// The first segment is a namespace; alone it is all scalar features of it. Of the others each but the last is a
/// declared has-one or has-many, the last a feature or a relation (all columns of it); or a feature comes earlier and
/// the rest are fields of its value. The join keys of each hop are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// From the namespace on.
    pub segments: Vec<Segment>,
    /// The text of a subscript or of a call at its end, `user.count["1h"]`: the window of a windowed feature, see
    /// [`bucket`](Path::bucket). Of any other feature it takes a part of the value; behind a has-many it means nothing.
    pub key: Option<String>,
}

/// One name of a way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// `amount`, `score@2`, `count__3600__`: letters, digits and `_`, with a version where the caller pins one.
    pub name: String,
    /// Something stood in `[]` behind it in which `_` is its row: it must be a has-many. Were it anything else, `_`
    /// would have been another row, and the rest of the way another way.
    pub rows: bool,
}

impl Path {
    /// The last segment with the window that the key names: `count__3600__`, `count__3600__@2`, `count__all__`,
    /// `count__neg604800__`. `None`: there is no key, or it is no duration.
    pub fn bucket(&self) -> Option<String> {
        let (name, key) = (&self.segments.last()?.name, self.key.as_deref()?);
        let window = match (key, key.strip_prefix('-')) {
            ("all" | "infinity", _) => "all".to_owned(),
            (_, Some(back)) => format!("neg{}", duration(back)?),
            (_, None) => duration(key)?.to_string(),
        };
        Some(match name.split_once('@') {
            Some((name, version)) => format!("{name}__{window}__@{version}"),
            None => format!("{name}__{window}__"),
        })
    }

    fn then(mut self, name: &str) -> Path {
        self.segments.push(Segment { name: name.to_owned(), rows: false });
        self
    }

    fn with_rows(mut self) -> Path {
        if let Some(last) = self.segments.last_mut() {
            last.rows = true;
        }
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            let (dot, rows) = (if index > 0 { "." } else { "" }, if segment.rows { "[]" } else { "" });
            write!(f, "{dot}{}{rows}", segment.name)?;
        }
        self.key.as_ref().map_or(Ok(()), |key| write!(f, "[{key:?}]"))
    }
}

/// A way of which it may not be known from which of two rows it begins.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub path: Path,
    pub outside: Option<Path>,
}

impl Way {
    /// The row of a namespace; of the root of all where its name is empty.
    pub fn root(namespace: &str) -> Way {
        let path = Path::default();
        Way { path: if namespace.is_empty() { path } else { path.then(namespace) }, outside: None }
    }

    pub fn then(self, name: &str) -> Way {
        self.map(|path| path.then(name))
    }

    /// Its rows.
    pub fn with_rows(self) -> Way {
        self.map(Path::with_rows)
    }

    pub fn with_key(self, key: &str) -> Way {
        self.map(|path| Path { key: Some(key.to_owned()), ..path })
    }

    pub fn read(self, rows: bool) -> Read {
        Read { path: self.path, outside: self.outside, rows }
    }

    fn map(self, change: impl Fn(Path) -> Path) -> Way {
        Way { path: change(self.path), outside: self.outside.map(change) }
    }
}
