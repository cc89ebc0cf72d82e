//! Places in a JSON text: RFC 6901, and `*` for every element of an array.

use std::fmt;

/// A place, or with `*` several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pointer(pub Vec<Step>);

/// From a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name.
    Key(String),
    /// Every element.
    Each,
}

impl Pointer {
    /// Reads one: empty (the whole), or `/` before each step; `~1` is `/` and `~0` is `~`. A member called `*` cannot be
    /// pointed at. An array index is not a step: it reads as the name of a member.
    ///
    /// `None`: another text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let step = |step: &str| {
            let escapes = step.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            let key = || step.replace("~1", "/").replace("~0", "~");
            escapes.then(|| if step == "*" { Step::Each } else { Step::Key(key()) })
        };
        text.strip_prefix('/')?.split('/').map(step).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Before and behind its only `*`; `None` where there is none, or more than one.
    pub fn around_each(&self) -> Option<(&[Step], &[Step])> {
        let mut stars = self.0.iter().enumerate().filter(|(_, step)| **step == Step::Each);
        let (at, _) = stars.next()?;
        if stars.next().is_some() {
            return None;
        }
        Some((self.0.get(..at)?, self.0.get(at + 1..)?))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Each => f.write_str("/*"),
            Step::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_and_written_by_rfc_6901_and_a_star() {
        for text in ["", "/", "/a", "/a/*/b", "/*", "/a~1b/~0", "/0"] {
            assert_eq!(Pointer::parse(text).map(|pointer| pointer.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Pointer::parse("/a~1b/*").unwrap().0, [Step::Key("a/b".into()), Step::Each]);
        for text in ["a", "*", "/a~", "/a~2", "#/a"] {
            assert_eq!(Pointer::parse(text), None, "{text}");
        }
    }

    #[test]
    fn around_the_only_star() {
        let names = Pointer::parse("/metadata/features/*/name").unwrap();
        let (before, behind) = names.around_each().unwrap();
        assert_eq!((before.len(), behind), (2, &[Step::Key("name".into())][..]));
        assert_eq!(Pointer::parse("/a/b").unwrap().around_each(), None);
        assert_eq!(Pointer::parse("/*/*").unwrap().around_each(), None);
    }
}
