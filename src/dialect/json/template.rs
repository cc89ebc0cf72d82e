//! Texts with variables, `{view}:{name}`: how names are made, and how paths are matched.

use std::fmt;

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// As it stands.
    Text(String),
    /// What a variable holds; never empty.
    Variable(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its other.
    #[error("`{0}` has a brace without its other one")]
    Brace(String),
    /// What stands between braces.
    #[error("`{{{0}}}` is no variable: write letters, digits and `_`")]
    Variable(String),
    /// A variable that stands twice.
    #[error("`{{{0}}}` stands twice in one template")]
    Twice(String),
    /// Where one would end and the other begin cannot be told.
    #[error("`{{{0}}}` follows another variable with nothing between them")]
    Adjacent(String),
}

impl Template {
    /// Reads one. `{variable}`: letters, digits and `_`; each at most once, and text between two of them.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let brace = || TemplateError::Brace(text.to_owned());
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, behind) = rest.split_once('{').unwrap_or((rest, ""));
            if before.contains('}') {
                return Err(brace());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let (name, behind) = behind.split_once('}').ok_or_else(brace)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(TemplateError::Variable(name.to_owned()));
            }
            if parts.iter().any(|part| matches!(part, Part::Variable(other) if other == name)) {
                return Err(TemplateError::Twice(name.to_owned()));
            }
            if matches!(parts.last(), Some(Part::Variable(_))) {
                return Err(TemplateError::Adjacent(name.to_owned()));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = behind;
        }
        Ok(Self(parts))
    }

    /// Its variables, in their order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with its variables filled in. `None` where one is not there, or where the text does not say again what
    /// they hold: of two values no text is made that could be made of others.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
        let mut out = String::new();
        let mut held = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(name) => {
                    let value = value(name)?;
                    held.push(value);
                    out.push_str(value);
                }
            }
        }
        let again = self.read(&out)?;
        again.iter().map(|(_, value)| *value).eq(held).then_some(out)
    }

    /// The variables of a text: each reaches to where the text behind it first stands. `None` where it does not fit.
    pub fn read<'t>(&self, text: &'t str) -> Option<Vec<(&str, &'t str)>> {
        let mut found = Vec::with_capacity(self.0.len());
        let (mut rest, mut parts) = (text, self.0.iter().peekable());
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Variable(name) => {
                    let end = match parts.peek() {
                        Some(Part::Text(text)) => rest.find(text.as_str())?,
                        Some(Part::Variable(_)) | None => rest.len(),
                    };
                    let (value, behind) = rest.split_at_checked(end)?;
                    if value.is_empty() {
                        return None;
                    }
                    found.push((name.as_str(), value));
                    rest = behind;
                }
            }
        }
        rest.is_empty().then_some(found)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(name) => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, values: &[(&str, &str)]) -> Option<String> {
        let of = |name: &str| values.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        Template::parse(template).unwrap().fill(of)
    }

    #[test]
    fn a_text_is_made_of_what_it_can_be_read_into_again() {
        assert_eq!(filled("{view}:{name}", &[("view", "a"), ("name", "b")]).as_deref(), Some("a:b"));
        assert_eq!(filled("{view}:{name}", &[("view", "a"), ("name", "b:c")]).as_deref(), Some("a:b:c"));
        // It would be that of `a` and `b:c`.
        assert_eq!(filled("{view}:{name}", &[("view", "a:b"), ("name", "c")]), None);
        assert_eq!(filled("{view}::{name}", &[("view", "a:"), ("name", "c")]), None);
        assert_eq!(filled("{view}:{name}", &[("view", ""), ("name", "c")]), None);
        assert_eq!(filled("{view}:{name}", &[("name", "c")]), None);
        assert_eq!(filled("p/{name}/s", &[("name", "x")]).as_deref(), Some("p/x/s"));
        assert_eq!(filled("p/{name}/s", &[("name", "x/s")]), None);
        assert_eq!(filled("user.id", &[("name", "anything")]).as_deref(), Some("user.id"));
    }

    #[test]
    fn no_two_sets_of_values_make_one_text() {
        let words = ["a", ":", "a:", ":a", "::", "a:a", "b"];
        for template in ["{x}:{y}", "{x}::{y}", ":{x}:{y}:", "{x}:a{y}"] {
            let mut seen = std::collections::HashMap::new();
            for x in words {
                for y in words {
                    if let Some(text) = filled(template, &[("x", x), ("y", y)]) {
                        assert_eq!(seen.insert(text, (x, y)), None, "{template} {x} {y}");
                    }
                }
            }
            assert!(seen.len() > 3, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_says_why() {
        let why = |text| Template::parse(text).unwrap_err().to_string();
        assert_eq!(why("{a"), "`{a` has a brace without its other one");
        assert_eq!(why("a}"), "`a}` has a brace without its other one");
        assert_eq!(why("{a b}"), "`{a b}` is no variable: write letters, digits and `_`");
        assert_eq!(why("{}"), "`{}` is no variable: write letters, digits and `_`");
        assert_eq!(why("{a}{b}"), "`{b}` follows another variable with nothing between them");
        assert_eq!(why("{a}-{a}"), "`{a}` stands twice in one template");
        assert_eq!(Template::parse("{view}:{name}").unwrap().to_string(), "{view}:{name}");
    }
}
