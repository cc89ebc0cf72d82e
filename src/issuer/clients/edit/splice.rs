//! A changed tree -> a changed text. The smallest piece of the text that can be replaced so that the whole reads as it is wanted:
//! a word, a key of a client, a client, the map of clients, the file. Every piece is tried by reading the result, so an anchor, a
//! comment within a text or a form that nobody thought of leads to a larger piece, never to another meaning.

use std::ops::Range;
use std::sync::Arc;

use super::render;
use crate::diagnostic::SourceFile;
use crate::yaml::{self, Key, Node, Value};

/// What of the tree is changed.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// A client is new, after all others.
    NewClient,
    /// A client is gone.
    OldClient,
    /// One key of a client is changed, or is new after all others.
    Key(&'static str),
}

/// Lines that are replaced.
struct Cut {
    lines: Range<usize>,
    new: String,
    /// What it is, for people.
    what: String,
}

/// The text that reads as `wanted`, and what was written anew with the loss of comments.
pub(super) fn splice(file: &Arc<SourceFile>, wanted: &Node, id: &str, part: Part) -> (String, Option<String>) {
    let text = Text::new(&file.text);
    if let Ok(old) = yaml::parse(file) {
        let cuts = Cuts { text: &text, old: &old, wanted, id };
        let tries: [&dyn Fn() -> Option<Cut>; 4] =
            [&|| cuts.word(part), &|| cuts.piece(part), &|| cuts.client(part), &|| cuts.section()];
        for cut in tries.iter().filter_map(|cut| cut()) {
            let edited = text.with(&cut);
            if reads_as(file, &edited, wanted) {
                let lost = comments(&text.of(&cut.lines)) > comments(&cut.new);
                return (edited, lost.then_some(cut.what));
            }
        }
    }
    let new = render::file(wanted, text.end);
    let lost = comments(&file.text) > comments(&new);
    (new, lost.then(|| "the file".to_owned()))
}

struct Cuts<'t> {
    text: &'t Text<'t>,
    old: &'t Node,
    wanted: &'t Node,
    id: &'t str,
}

impl Cuts<'_> {
    /// A word in its line: what is behind it stays.
    fn word(&self, part: Part) -> Option<Cut> {
        let (node, from, to) = match part {
            Part::NewClient => (below(self.old, &["clients"])?, "{}", ""),
            Part::Key(name) => {
                let path = ["clients", self.id, name];
                let (old, new) = (below(self.old, &path)?, below(self.wanted, &path)?);
                let (Value::Bool(from), Value::Bool(to)) = (&old.value, &new.value) else { return None };
                let word = |value: &bool| if *value { "true" } else { "false" };
                (old, word(from), word(to))
            }
            Part::OldClient => return None,
        };
        let line = usize::try_from(node.line).ok()?.checked_sub(1)?;
        let whole = self.text.lines.get(line)?;
        let skip = usize::try_from(node.column).ok()?.checked_sub(1)?;
        let at = whole.char_indices().nth(skip)?.0;
        let (before, rest) = whole.split_at_checked(at)?;
        let rest = rest.strip_prefix(from)?;
        let mut new = match part {
            Part::NewClient => format!("{}{rest}", before.trim_end()),
            Part::OldClient | Part::Key(_) => format!("{before}{to}{rest}"),
        };
        if let Part::NewClient = part {
            if !new.ends_with('\n') {
                new.push_str(self.text.end);
            }
            new.push_str(&self.rendered(self.id, 2)?);
        }
        Some(Cut { lines: line..line + 1, new, what: "the map of clients".to_owned() })
    }

    /// Whole lines: of a key, of a client that is new or gone.
    fn piece(&self, part: Part) -> Option<Cut> {
        let what = format!("`{}`", self.id);
        let clients = entries(below(self.old, &["clients"])?)?;
        let Part::Key(name) = part else {
            let (extents, indent) = self.text.extents(clients)?;
            return Some(match part {
                Part::NewClient => {
                    let end = extents.last()?.end;
                    Cut { lines: end..end, new: self.rendered(self.id, indent)?, what }
                }
                Part::OldClient | Part::Key(_) => {
                    let lines = extents.get(position(clients, self.id)?)?.clone();
                    Cut { lines, new: String::new(), what: format!("client {what}") }
                }
            });
        };
        let keys = entries(below(self.old, &["clients", self.id])?)?;
        let (extents, indent) = self.text.extents(keys)?;
        let value = below(self.wanted, &["clients", self.id, name])?;
        let new = render::entry(name, &value.value, indent, 0, self.text.end);
        let end = extents.last()?.end;
        let lines = position(keys, name).and_then(|at| extents.get(at).cloned()).unwrap_or(end..end);
        Some(Cut { lines, new, what: format!("`{name}` of client {what}") })
    }

    /// A client whole.
    fn client(&self, part: Part) -> Option<Cut> {
        let Part::Key(_) = part else { return None };
        let clients = entries(below(self.old, &["clients"])?)?;
        let (extents, indent) = self.text.extents(clients)?;
        let lines = extents.get(position(clients, self.id)?)?.clone();
        Some(Cut { lines, new: self.rendered(self.id, indent)?, what: format!("client `{}`", self.id) })
    }

    /// All clients.
    fn section(&self) -> Option<Cut> {
        let root = entries(self.old)?;
        let (extents, indent) = self.text.extents(root)?;
        let lines = extents.get(position(root, "clients")?)?.clone();
        let clients = below(self.wanted, &["clients"])?;
        let new = render::entry("clients", &clients.value, indent, 2, self.text.end);
        Some(Cut { lines, new, what: "the map of clients".to_owned() })
    }

    /// A client as it is wanted.
    fn rendered(&self, id: &str, indent: usize) -> Option<String> {
        let client = below(self.wanted, &["clients", id])?;
        Some(render::entry(id, &client.value, indent, 1, self.text.end))
    }
}

/// A text by its lines, each with its end.
struct Text<'t> {
    lines: Vec<&'t str>,
    end: &'static str,
}

impl<'t> Text<'t> {
    fn new(text: &'t str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let end = if lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        Self { lines, end }
    }

    fn of(&self, lines: &Range<usize>) -> String {
        self.lines.get(lines.clone()).unwrap_or_default().concat()
    }

    fn with(&self, cut: &Cut) -> String {
        let mut text = self.of(&(0..cut.lines.start));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(self.end);
        }
        text + &cut.new + &self.of(&(cut.lines.end..self.lines.len()))
    }

    /// The lines of each entry of a map in block style, and the column of its keys from 0; `None` where it is in flow style, or
    /// has keys that do not begin their lines.
    ///
    /// Comments and blank lines before an entry belong to nobody; a comment that is indented more than the key above it
    /// belongs to that.
    fn extents(&self, entries: &[(Key, Node)]) -> Option<(Vec<Range<usize>>, usize)> {
        let column = entries.first()?.0.column;
        let indent = usize::try_from(column).ok()?.checked_sub(1)?;
        let mut starts = Vec::new();
        for (key, _) in entries {
            let line = usize::try_from(key.line).ok()?.checked_sub(1)?;
            let begins = self.lines.get(line)?.len() - self.lines.get(line)?.trim_start_matches(' ').len();
            if key.column != column || begins != indent || starts.last().is_some_and(|last| *last >= line) {
                return None;
            }
            starts.push(line);
        }
        let last = *starts.last()?;
        let outside = |line: &str| !is_blank(line) && !is_comment(line) && depth(line) < indent;
        let behind = self.lines.iter().enumerate().skip(last + 1).find(|(_, line)| outside(line));
        let ends = starts.iter().copied().skip(1).chain([behind.map_or(self.lines.len(), |(at, _)| at)]);
        let extents = starts.iter().zip(ends).map(|(start, mut end)| {
            let nobodys = |line: &str| is_blank(line) || (is_comment(line) && depth(line) <= indent);
            while end > start + 1 && self.lines.get(end - 1).is_some_and(|line| nobodys(line)) {
                end -= 1;
            }
            *start..end
        });
        Some((extents.collect(), indent))
    }
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// How much looks like a comment. A text can, too; it does so before a change and after it.
fn comments(text: &str) -> usize {
    let begins = |line: &str| {
        let before = std::iter::once(' ').chain(line.chars());
        before.zip(line.chars()).filter(|(before, c)| *c == '#' && before.is_whitespace()).count()
    };
    text.lines().map(begins).sum()
}

fn entries(node: &Node) -> Option<&[(Key, Node)]> {
    if let Value::Map(entries) = &node.value { Some(entries) } else { None }
}

fn position(entries: &[(Key, Node)], name: &str) -> Option<usize> {
    entries.iter().position(|(key, _)| key.name == name)
}

fn below<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    let Some((first, rest)) = path.split_first() else { return Some(node) };
    below(entries(node)?.iter().find(|(key, _)| key.name == *first).map(|(_, node)| node)?, rest)
}

fn reads_as(file: &SourceFile, text: &str, wanted: &Node) -> bool {
    let edited = Arc::new(SourceFile { name: file.name.clone(), text: text.to_owned() });
    yaml::parse(&edited).is_ok_and(|read| same(&read, wanted))
}

/// Whether two trees say the same, wherever it stands.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Seq(a), Value::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka.name == kb.name && same(a, b))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Str(_)
            | Value::Seq(_)
            | Value::Map(_),
            _,
        ) => false,
    }
}
