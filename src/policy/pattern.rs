//! Patterns over feature names: `*` stays within one segment, `**` crosses segments; `.` and `:` end a segment.

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Byte(u8),
    Segment,
    Any,
}

impl Pattern {
    /// Whether a name in a file is a pattern.
    pub fn is_pattern(name: &str) -> bool {
        name.contains('*')
    }

    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::with_capacity(text.len());
        for byte in text.bytes() {
            match (byte, pieces.last()) {
                (b'*', Some(Piece::Segment | Piece::Any)) => {
                    pieces.pop();
                    pieces.push(Piece::Any);
                }
                (b'*', _) => pieces.push(Piece::Segment),
                (byte, _) => pieces.push(Piece::Byte(byte)),
            }
        }
        Self { text: text.to_owned(), pieces }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it covers a name. Time is O(pattern x name), whatever the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let name = name.as_bytes();
        // The literal head decides for nearly every name.
        let mut head = 0;
        for piece in &self.pieces {
            let Piece::Byte(byte) = piece else { break };
            if name.get(head) != Some(byte) {
                return false;
            }
            head += 1;
        }
        let rest = name.get(head..).unwrap_or_default();
        // reached[i]: the pieces so far can end before byte i of the rest.
        let mut reached = vec![false; rest.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for piece in self.pieces.iter().skip(head) {
            let mut carry = false;
            let mut before = false;
            for (i, slot) in reached.iter_mut().enumerate() {
                let here = *slot;
                let last = i.checked_sub(1).and_then(|i| rest.get(i)).copied();
                *slot = match piece {
                    Piece::Byte(byte) => before && last == Some(*byte),
                    Piece::Any => carry || here,
                    Piece::Segment => here || (carry && !matches!(last, Some(b'.' | b':'))),
                };
                carry = *slot;
                before = here;
            }
        }
        reached.last().copied().unwrap_or(false)
    }
}

/// The namespace of a feature: all before its last `.` or `:`; empty where it has neither (policy.md, Words).
pub fn namespace(name: &str) -> &str {
    name.rfind(['.', ':']).and_then(|end| name.get(..end)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_segment_and_two_cross() {
        let table = [
            ("user.*", "user.ssn", true),
            ("user.*", "user.a.b", false),
            ("user.*", "user.a:b", false),
            ("user.**", "user.a.b", true),
            ("user.**", "user", false),
            ("**.ssn", "a.b.ssn", true),
            ("**.ssn", "ssn", false),
            ("crm*:email", "crm_old:email", true),
            ("crm*:email", "crm:x:email", false),
            ("a*", "ab", true),
            ("a*", "a", true),
            ("a*", "a.b", false),
            ("*", "", true),
            ("**", "x.y:z", true),
            ("***", "x.y", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("user.count", "user.count", true),
            ("user.count", "user.counts", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} over {name}");
        }
    }

    #[test]
    fn a_namespace_is_all_before_the_last_separator() {
        assert_eq!(namespace("user.identity.email"), "user.identity");
        assert_eq!(namespace("crm.v2:email"), "crm.v2");
        assert_eq!(namespace("customer_id"), "");
    }
}
