//! Reading a registry's JSON: strictly, and with the place of every value at hand.

use serde_json::Value;

use super::ImportError;
pub(super) use crate::json::shown;
use crate::json::strict_value;

/// The value of a JSON text in which no object has a key twice: which of the two counts is for
/// every reader to choose, and the feature server might choose the other.
pub(super) fn read_json(text: &[u8], document: &'static str) -> Result<Value, ImportError> {
    strict_value(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let problem = match error.classify() {
            serde_json::error::Category::Data => error.to_string(),
            serde_json::error::Category::Eof => {
                format!("it ends too early, at line {line} column {column}")
            }
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                format!("it breaks off at line {line} column {column}")
            }
        };
        ImportError::Unreadable { document, problem }
    })
}

/// A value and the way to it, so that every error can name its place. A field that is absent is
/// the type's empty value, as in protobuf's JSON form; `null` is a wrong type.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    /// `featureViews[3].spec.name`; the document's name at the top.
    pub(super) place: String,
    top: bool,
}

impl<'a> Node<'a> {
    pub(super) fn top(value: &'a Value, document: &'static str) -> Self {
        let place = document.to_owned();
        Node { value, place, top: true }
    }

    pub(super) fn below(&self, name: &str) -> String {
        let name = shown(name);
        if self.top { name } else { format!("{}.{name}", self.place) }
    }

    pub(super) fn wrong(&self, wanted: &'static str) -> ImportError {
        let place = self.place.clone();
        ImportError::WrongType { place, wanted }
    }

    pub(super) fn field(&self, name: &str) -> Result<Option<Node<'a>>, ImportError> {
        let object = self.value.as_object().ok_or_else(|| self.wrong("an object"))?;
        Ok(object.get(name).map(|value| Node { value, place: self.below(name), top: false }))
    }

    pub(super) fn required(&self, name: &str) -> Result<Node<'a>, ImportError> {
        self.field(name)?.ok_or_else(|| ImportError::Missing { place: self.below(name) })
    }

    pub(super) fn items(&self, name: &str) -> Result<Vec<Node<'a>>, ImportError> {
        let Some(list) = self.field(name)? else {
            return Ok(Vec::new());
        };
        let items = list.value.as_array().ok_or_else(|| list.wrong("a list"))?;
        let nodes = items.iter().enumerate().map(|(index, value)| Node {
            value,
            place: format!("{}[{index}]", list.place),
            top: false,
        });
        Ok(nodes.collect())
    }

    pub(super) fn entries(&self, name: &str) -> Result<Vec<(&'a str, Node<'a>)>, ImportError> {
        let Some(map) = self.field(name)? else {
            return Ok(Vec::new());
        };
        let object = map.value.as_object().ok_or_else(|| map.wrong("an object"))?;
        let nodes = object.iter().map(|(key, value)| {
            let place = map.below(key);
            let node = Node { value, place, top: false };
            (key.as_str(), node)
        });
        Ok(nodes.collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    /// The string of a field, `None` where it is absent or empty.
    pub(super) fn text_of(&self, name: &str) -> Result<Option<&'a str>, ImportError> {
        let Some(node) = self.field(name)? else {
            return Ok(None);
        };
        Ok(Some(node.text()?).filter(|text| !text.is_empty()))
    }

    pub(super) fn number(&self) -> Result<u64, ImportError> {
        self.value.as_u64().ok_or_else(|| self.wrong("a whole number"))
    }

    pub(super) fn flag_of(&self, name: &str) -> Result<bool, ImportError> {
        let Some(node) = self.field(name)? else {
            return Ok(false);
        };
        node.value.as_bool().ok_or_else(|| node.wrong("true or false"))
    }
}
