//! Mistakes in files, as people read them: `file:line:column: error[code]: message`,
//! the line shown, a suggestion where a name is close to a known one.

mod code;

use std::fmt;
use std::sync::Arc;

pub use code::Code;

/// A text file that was read, shared by everything that points into it.
#[derive(Debug)]
pub struct SourceFile {
    /// The name as the user gave it, for messages.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Where something stands: line and column count from 1, columns in characters.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The line, from 1; 0 where only the file is known.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: &Arc<SourceFile>) -> Self {
        Self { file: Arc::clone(file), line: 0, column: 0 }
    }

    /// `file:line`, where the column would only be in the way.
    pub fn file_line(&self) -> String {
        format!("{}:{}", self.file.name, self.line.max(1))
    }

    fn shown_line(&self) -> Option<&str> {
        let index = usize::try_from(self.line.checked_sub(1)?).ok()?;
        self.file.text.lines().nth(index)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.name, self.line.max(1), self.column.max(1))
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files do not load.
    Error,
    /// They load, and probably do not say what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What kind it is, and how bad.
    pub code: Code,
    /// What is wrong: lower case, one line, no full stop.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to do about it, where that can be said.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding at a place; how bad it is comes from its code.
    pub fn new(code: Code, place: &Place, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), place: place.clone(), help: None }
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the known name nearest to `given`, where one is near.
    #[must_use]
    pub fn suggest<'a>(self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(given, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}]: {}", self.place, self.severity(), self.code, self.message)?;
        if let Some(line) = self.place.shown_line() {
            let number = self.place.line.to_string();
            let shown: String = line.chars().take(160).collect();
            write!(f, "\n {number} | {shown}")?;
            if self.place.column <= 160 {
                let gap = usize::try_from(self.place.column.saturating_sub(1)).unwrap_or(0);
                let margin = " ".repeat(number.len());
                write!(f, "\n {margin} | {}^", " ".repeat(gap))?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = help: {help}")?;
        }
        Ok(())
    }
}

/// All that was found, in the order of files and places.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity() == Severity::Error).count()
    }

    /// How many warnings.
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// Puts them in the order of file names, lines and columns.
    pub fn sort(&mut self) {
        self.diagnostics.sort_by(|a, b| {
            (&a.place.file.name, a.place.line, a.place.column, a.severity(), a.code.name()).cmp(&(
                &b.place.file.name,
                b.place.line,
                b.place.column,
                b.severity(),
                b.code.name(),
            ))
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

/// The known name with the smallest edit distance to `given`, at most a third of its length and 3.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        if name == given || name.len().abs_diff(given.len()) > limit {
            continue;
        }
        let distance = edit_distance(given, name);
        if distance <= limit && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Edits (insert, delete, replace) between two texts, letter case aside.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (&y, &up) in b.iter().zip(row.iter().skip(1)) {
            let replace = diagonal + usize::from(x != y);
            left = replace.min(left + 1).min(up + 1);
            diagonal = up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["features", "roles", "bindings"];
        assert_eq!(nearest("fetures", known), Some("features"));
        assert_eq!(nearest("Roles", known), Some("roles"));
        assert_eq!(nearest("policy", known), None);
        assert_eq!(nearest("allow", ["Allow", "AllowInternal"]), Some("Allow"));
    }

    #[test]
    fn a_mistake_shows_its_line() {
        let file = Arc::new(SourceFile { name: "p.yaml".into(), text: "version: 1\nrols: {}\n".into() });
        let place = Place { file, line: 2, column: 1 };
        let shown =
            Diagnostic::new(Code::UnknownKey, &place, "unknown key `rols`").suggest("rols", ["roles"]).to_string();
        assert_eq!(
            shown,
            "p.yaml:2:1: error[unknown-key]: unknown key `rols`\n 2 | rols: {}\n   | ^\n   = help: did you mean `roles`?"
        );
    }
}
