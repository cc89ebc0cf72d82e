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

    /// What findings are ordered by: file name, line, column.
    pub fn order(&self) -> (&str, u32, u32) {
        (&self.file.name, self.line, self.column)
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

/// How much of a line is shown.
const SHOWN_CHARS: usize = 160;

/// A text without line breaks and other control characters, which names in files can hold.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
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
        Self { code, message: one_line(message.into()), place: place.clone(), help: None }
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(one_line(help.into()));
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
        self.write(f, self.place.shown_line())
    }
}

impl Diagnostic {
    fn write(&self, f: &mut fmt::Formatter<'_>, line: Option<&str>) -> fmt::Result {
        write!(f, "{}: {}[{}]: {}", self.place, self.severity(), self.code, self.message)?;
        if let Some(line) = line {
            let number = self.place.line.to_string();
            let margin = " ".repeat(number.len());
            let column = usize::try_from(self.place.column.saturating_sub(1)).unwrap_or(usize::MAX);
            // Of a long line, the part around the place.
            let start = if column < SHOWN_CHARS - 20 { 0 } else { column - SHOWN_CHARS / 2 };
            let shown = line.chars().skip(start).take(SHOWN_CHARS);
            let shown: String = shown.map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
            // A tab is as wide below as it is above.
            let gap = shown.chars().take(column - start).map(|c| if c == '\t' { c } else { ' ' });
            let (cut, gap): (_, String) = (if start > 0 { "..." } else { "" }, gap.collect());
            write!(f, "\n {number} | {cut}{shown}\n {margin} | {:1$}{gap}^", "", cut.len())?;
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
        let key = |d: &Diagnostic| (d.severity(), d.code.name());
        self.diagnostics.sort_by(|a, b| (a.place.order(), key(a)).cmp(&(b.place.order(), key(b))));
    }
}

impl Report {
    /// The text of each one's line, where it has one. Each run of findings in one file costs a look through it.
    pub fn lines(&self) -> Vec<Option<&str>> {
        let mut read: Option<(&Arc<SourceFile>, Vec<&str>)> = None;
        let mut lines = Vec::with_capacity(self.diagnostics.len());
        for Place { file, line, .. } in self.diagnostics.iter().map(|diagnostic| &diagnostic.place) {
            let (_, all) = match read.take() {
                Some((of, all)) if Arc::ptr_eq(of, file) => read.insert((of, all)),
                Some(_) | None => read.insert((file, file.text.lines().collect())),
            };
            lines.push(line.checked_sub(1).and_then(|index| all.get(usize::try_from(index).ok()?)).copied());
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((diagnostic, line), index) in self.diagnostics.iter().zip(self.lines()).zip(0..) {
            if index > 0 {
                writeln!(f)?;
            }
            diagnostic.write(f, line)?;
        }
        Ok(())
    }
}

/// The known name with the smallest edit distance to `given`, letter case aside, at most a third of its length and 3.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = given.to_lowercase().chars().collect();
    let limit = (letters.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    let mut rows = Default::default();
    for name in known.into_iter().filter(|name| *name != given) {
        // Only what is nearer than the best so far is of interest.
        let limit = best.map_or(limit, |(distance, _)| distance - 1);
        match edit_distance(name, &letters, limit, &mut rows) {
            Some(0) => return Some(name),
            Some(distance) => best = Some((distance, name)),
            None => {}
        }
    }
    best.map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap neighbours) that make `a` of `b`, letter case aside; `None` where it takes more
/// than `limit`. `rows` is room to work in.
fn edit_distance(a: &str, b: &[char], limit: usize, rows: &mut [Vec<usize>; 3]) -> Option<usize> {
    // A character has at most four bytes.
    if a.len() + limit < b.len() || a.len() > (b.len() + limit) * 4 {
        return None;
    }
    let [above, row, next] = rows;
    row.clear();
    row.extend(0..=b.len());
    let mut last = None;
    for (i, x) in a.chars().flat_map(char::to_lowercase).enumerate() {
        next.clear();
        next.push(i + 1);
        let (mut left, mut least, mut before) = (i + 1, i + 1, None);
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            left = (at(row, j) + usize::from(x != y)).min(left + 1).min(at(row, j + 1) + 1);
            if j > 0 && last == Some(y) && before == Some(x) {
                left = left.min(at(above, j - 1) + 1);
            }
            next.push(left);
            least = least.min(left);
            before = Some(y);
        }
        // A swap looks two rows back.
        if least > limit + 1 {
            return None;
        }
        last = Some(x);
        std::mem::swap(above, row);
        std::mem::swap(row, next);
    }
    row.last().copied().filter(|distance| *distance <= limit)
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
        assert_eq!(nearest("user.amout", ["user.mount", "user.amount", "user.about"]), Some("user.amount"));
        assert_eq!(nearest("größe", ["grösse", "große"]), Some("große"));
        assert_eq!(nearest("at", ["as", "a", "attic"]), Some("as"));
        assert_eq!(nearest("", ["ab", "a"]), Some("a"));
        assert_eq!(nearest("a", ["a"]), None);
        assert_eq!(nearest("ES265", ["ES256", "ES384"]), Some("ES256"));
        assert_eq!(nearest("feats", ["chalk", "feast"]), Some("feast"));
        assert_eq!(nearest("ba", ["ab"]), Some("ab"));
        assert_eq!(nearest("abc", ["cab"]), None);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let text = format!("{}{}{}", "a".repeat(1000), "b", "c".repeat(1000));
        let file = Arc::new(SourceFile { name: "p.yaml".into(), text });
        for (column, line, gap) in [
            (140, "a".repeat(160), 139),
            (141, format!("...{}", "a".repeat(160)), 83),
            (1001, format!("...{}b{}", "a".repeat(80), "c".repeat(79)), 83),
            (2001, format!("...{}", "c".repeat(81)), 83),
        ] {
            let shown =
                Diagnostic::new(Code::Empty, &Place { file: Arc::clone(&file), line: 1, column }, "x").to_string();
            let expected = format!("p.yaml:1:{column}: error[empty]: x\n 1 | {line}\n   | {}^", " ".repeat(gap));
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_finding_is_of_one_line_and_holds_nothing_that_moves_a_cursor() {
        let file = Arc::new(SourceFile { name: "p.yaml".into(), text: "\ta\u{1b}[2Jb\n".into() });
        let shown = Diagnostic::new(Code::UnknownKey, &Place { file, line: 1, column: 3 }, "unknown key `a\n\u{1b}b`");
        assert_eq!(
            shown.help("c\rd").to_string(),
            "p.yaml:1:3: error[unknown-key]: unknown key `a\\n\\u{1b}b`\n 1 | \ta\u{fffd}[2Jb\n   | \t ^\n   = help: c\\rd"
        );
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
