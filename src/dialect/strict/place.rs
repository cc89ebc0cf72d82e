//! The way to a field, which costs nothing until it is told.

use crate::dialect::Invalid;

/// Bytes of a way that are told, roughly.
const LONGEST: usize = 256;

/// Where the reader is: `outputs[3].feature_expression.expr`.
pub(in crate::dialect) struct Place<'p> {
    up: Option<&'p Place<'p>>,
    name: &'static str,
    index: Option<usize>,
    depth: usize,
}

impl<'p> Place<'p> {
    /// The message as a whole.
    pub const TOP: Place<'static> = Place { up: None, name: "", index: None, depth: 0 };

    /// A field of this message, with its number among those of its name where it may have several.
    pub fn below(&'p self, name: &'static str, index: Option<usize>) -> Place<'p> {
        Place { up: Some(self), name, index, depth: self.depth + 1 }
    }

    /// Fields between the message as a whole and this.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Why this is refused, in words that follow its name.
    pub fn refuse(&self, problem: &str) -> Invalid {
        let name = self.text();
        Invalid(if name.is_empty() { format!("the message {problem}") } else { format!("`{name}` {problem}") })
    }

    /// From the inside out, so that of a way that is too long its end is told.
    fn text(&self) -> String {
        let (mut text, mut at) = (String::new(), Some(self));
        while let Some(place) = at.filter(|place| !place.name.is_empty()) {
            if text.len() > LONGEST {
                return format!("….{text}");
            }
            let dot = if text.is_empty() { "" } else { "." };
            let index = place.index.map(|index| format!("[{index}]")).unwrap_or_default();
            text = format!("{}{index}{dot}{text}", place.name);
            at = place.up;
        }
        text
    }
}
