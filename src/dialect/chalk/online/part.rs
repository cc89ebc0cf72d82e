//! A value of a request, with the name under which it stands.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dialect::{Invalid, shown};
use crate::json::{self, JsonError, Kind, Value};

/// Entries that a list or an object of names may have. What is decided and audited of each is many times longer.
pub(super) const MOST: usize = 10_000;

/// Bytes of a label: a name, an id, a tag.
const LONGEST_LABEL: usize = 256;

/// A value and its way, for errors: `` `context.tags` is not a list ``.
#[derive(Clone, Copy)]
pub(super) struct Part<'b, 'w> {
    pub body: &'b [u8],
    pub value: Value,
    pub way: &'w str,
    /// It stands within what the way leads to: `` a value of `context.tags` is not a text ``.
    pub within: bool,
}

pub(super) fn unreadable(error: &JsonError) -> Invalid {
    Invalid(format!("the body cannot be read: {error}"))
}

impl<'b, 'w> Part<'b, 'w> {
    pub fn refuse(&self, problem: &str) -> Invalid {
        Invalid(format!("{}`{}` {problem}", if self.within { "a value of " } else { "" }, self.way))
    }

    /// An element of a list, the value of a member.
    fn at(&self, value: Value) -> Self {
        Self { value, within: true, ..*self }
    }

    /// As it was written.
    pub fn raw(&self) -> &'b [u8] {
        self.value.span.of(self.body)
    }

    pub fn is_null(&self) -> bool {
        self.value.kind == Kind::Null
    }

    /// Null, false, an empty text, list or object: it asks for nothing.
    pub fn is_nothing(&self) -> bool {
        match self.value.kind {
            Kind::Null | Kind::Bool(false) => true,
            Kind::Bool(true) | Kind::Number => false,
            Kind::String => self.raw() == br#""""#,
            Kind::Object => json::iter_members(self.body, self.value).is_ok_and(|mut members| members.next().is_none()),
            Kind::Array => json::iter_elements(self.body, self.value).is_ok_and(|mut items| items.next().is_none()),
        }
    }

    pub fn boolean(&self) -> Result<bool, Invalid> {
        let Kind::Bool(value) = self.value.kind else { return Err(self.refuse("is neither true nor false")) };
        Ok(value)
    }

    pub fn text(&self) -> Result<Cow<'b, str>, Invalid> {
        if self.value.kind != Kind::String {
            return Err(self.refuse("is not a text"));
        }
        json::string(self.body, self.value).map_err(|error| unreadable(&error))
    }

    /// A text that is a name or an id: printable ASCII, and not beyond 256 bytes.
    pub fn label(&self) -> Result<Cow<'b, str>, Invalid> {
        let text = self.text()?;
        if text.len() > LONGEST_LABEL || !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(self.refuse(&format!("is not printable ascii of at most {LONGEST_LABEL} bytes")));
        }
        Ok(text)
    }

    /// [`Self::label`]; the empty one is none.
    pub fn name(&self) -> Result<Option<String>, Invalid> {
        let label = self.label()?;
        Ok((!label.is_empty()).then(|| label.into_owned()))
    }

    /// The bytes of a text in base64 (RFC 4648, section 4), padded.
    pub fn base64(&self) -> Result<Vec<u8>, Invalid> {
        STANDARD.decode(self.text()?.as_bytes()).map_err(|_| self.refuse("is not standard base64"))
    }

    /// What `item` makes of each element of a list.
    pub fn list<T>(&self, item: impl Fn(Self) -> Result<T, Invalid>) -> Result<Vec<T>, Invalid> {
        if self.value.kind != Kind::Array {
            return Err(self.refuse("is not a list"));
        }
        // Of short names it is as many.
        let mut list = Vec::with_capacity((self.raw().len() / 8).min(MOST));
        for element in json::iter_elements(self.body, self.value).map_err(|error| unreadable(&error))? {
            if list.len() == MOST {
                return Err(self.refuse(&format!("has more than {MOST} entries")));
            }
            list.push(item(self.at(element.map_err(|error| unreadable(&error))?))?);
        }
        Ok(list)
    }

    pub fn members(&self) -> Result<Vec<(Cow<'b, str>, Self)>, Invalid> {
        if self.value.kind != Kind::Object {
            return Err(self.refuse("is not an object"));
        }
        let mut list = Vec::new();
        for member in json::iter_members(self.body, self.value).map_err(|error| unreadable(&error))? {
            if list.len() == MOST {
                return Err(self.refuse(&format!("has more than {MOST} members")));
            }
            let member = member.map_err(|error| unreadable(&error))?;
            list.push((member.key, self.at(member.value)));
        }
        Ok(list)
    }

    /// A text that is a time: RFC 3339, section 5.6.
    pub fn time(&self) -> Result<Cow<'b, str>, Invalid> {
        let text = self.text()?;
        if is_time(&text) { Ok(text) } else { Err(self.refuse("is not a time of rfc 3339")) }
    }

    /// A text that is a duration as Chalk writes them: `1h 30m`, `500ms`, `infinity`, `all`.
    pub fn duration(&self) -> Result<Cow<'b, str>, Invalid> {
        let text = self.text()?;
        if is_duration(&text) { Ok(text) } else { Err(self.refuse("is not a duration")) }
    }
}

/// `1h 30m`, `500ms`, `infinity`, `all`.
pub fn is_duration(text: &str) -> bool {
    // Milliseconds are one unit more than windows have.
    let seconds = || crate::chalk::duration(&text.replace("ms", "s"));
    let plain = text.len() <= LONGEST_LABEL && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
    let counted = plain && text.contains(|c: char| c.is_ascii_digit()) && seconds().is_some();
    counted || matches!(text, "infinity" | "all")
}

/// An unknown key of the object `way` is refused, unless its value is null.
pub(super) fn unknown(way: &str, key: &str, value: Value) -> Result<(), Invalid> {
    if value.kind == Kind::Null {
        return Ok(());
    }
    let dot = if way.is_empty() { "" } else { "." };
    Err(Invalid(format!("the key `{way}{dot}{}` is not known", shown(key))))
}

/// `2026-01-01T00:00:00.5+01:00` (RFC 3339, section 5.6).
fn is_time(text: &str) -> bool {
    fn number(text: Option<&str>, range: std::ops::RangeInclusive<u32>, digits: usize) -> Option<u32> {
        let text = text.filter(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()))?;
        text.parse().ok().filter(|number| range.contains(number))
    }
    fn parts(text: &str) -> Option<()> {
        let (date, rest) = text.split_once(['T', 't'])?;
        let mut fields = date.split('-');
        let year = number(fields.next(), 0..=9999, 4)?;
        let month = number(fields.next(), 1..=12, 2)?;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        number(fields.next(), 1..=days, 2)?;
        let (time, offset) = rest.split_at_checked(rest.find(['Z', 'z', '+', '-'])?)?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut clock = time.split(':');
        number(clock.next(), 0..=23, 2)?;
        number(clock.next(), 0..=59, 2)?;
        // 60: a leap second.
        number(clock.next(), 0..=60, 2)?;
        if fields.next().or(clock.next()).is_some() {
            return None;
        }
        if let Some(offset) = offset.strip_prefix(['+', '-']) {
            let (hours, minutes) = offset.split_once(':')?;
            number(Some(hours), 0..=23, 2)?;
            number(Some(minutes), 0..=59, 2)?;
        } else if offset.len() != 1 {
            return None;
        }
        Some(())
    }
    parts(text).is_some()
}
