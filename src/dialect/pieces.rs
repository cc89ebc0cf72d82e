//! A body put together from ranges of an answer that came and of bytes that were written.

use bytes::Bytes;

use crate::json::Span;

/// Bytes of a piece. To copy a shorter one costs less than to write it to a socket from where it is.
const WORTH_ITS_OWN: usize = 4 << 10;

/// A body in pieces: nothing that stays of an answer is copied while it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// None where all of it was written.
    pieces: Vec<Piece>,
    written: Vec<u8>,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Of the answer that came.
    Came(Span),
    /// Of what was written.
    Written(Span),
}

impl Pieces {
    /// Nothing yet, with room for so many pieces that are kept, and so many bytes that are written.
    #[must_use]
    pub fn with_capacity(kept: usize, written: usize) -> Self {
        Self { pieces: Vec::with_capacity(2 * kept + 1), written: Vec::with_capacity(written), len: 0 }
    }

    /// Nothing yet, with room for so many bytes that are written, and nothing else.
    #[must_use]
    pub fn written(bytes: usize) -> Self {
        Self { pieces: Vec::new(), written: Vec::with_capacity(bytes), len: 0 }
    }

    /// Appends a range of the answer that came.
    pub fn keep(&mut self, span: Span) {
        let length = span.end.saturating_sub(span.start);
        if length == 0 {
            return;
        }
        if self.pieces.is_empty() && self.len > 0 {
            self.pieces.push(Piece::Written(Span { start: 0, end: self.len }));
        }
        self.len += length;
        match self.pieces.last_mut() {
            Some(Piece::Came(last)) if last.end == span.start => last.end = span.end,
            Some(_) | None => self.pieces.push(Piece::Came(span)),
        }
    }

    /// Appends these bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        let start = self.written.len();
        self.written.extend_from_slice(bytes);
        self.wrote(start);
    }

    /// Appends a text of JSON, quotes included.
    pub fn write_string(&mut self, text: &str) {
        let start = self.written.len();
        crate::json::write_string(&mut self.written, text);
        self.wrote(start);
    }

    /// What was written from here on is the next piece.
    fn wrote(&mut self, start: usize) {
        let end = self.written.len();
        if end == start {
            return;
        }
        self.len += end - start;
        match self.pieces.last_mut() {
            Some(Piece::Written(last)) => last.end = end,
            Some(Piece::Came(_)) => self.pieces.push(Piece::Written(Span { start, end })),
            None => {}
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it in one; `came`: the answer that it was made of.
    #[must_use]
    pub fn whole(&self, came: &[u8]) -> Vec<u8> {
        if self.pieces.is_empty() {
            return self.written.clone();
        }
        let mut whole = Vec::with_capacity(self.len);
        for piece in &self.pieces {
            whole.extend_from_slice(match piece {
                Piece::Came(span) => span.of(came),
                Piece::Written(span) => span.of(&self.written),
            });
        }
        whole
    }

    /// All of it, as what may be written at once: long pieces from where they are, short ones that follow each other
    /// copied together. `came`: the answer that it was made of.
    #[must_use]
    pub fn into_bytes(self, came: &Bytes) -> Vec<Bytes> {
        if self.pieces.is_empty() {
            return if self.len == 0 { Vec::new() } else { vec![self.written.into()] };
        }
        let written = Bytes::from(self.written);
        let mut all = Vec::new();
        // Bytes of all that is copied: short pieces mostly follow each other.
        let length = |piece: &Piece| match piece {
            Piece::Came(span) | Piece::Written(span) => span.end.saturating_sub(span.start),
        };
        let mut copied: usize = self.pieces.iter().map(length).filter(|length| *length < WORTH_ITS_OWN).sum();
        let mut short: Vec<u8> = Vec::new();
        for piece in self.pieces {
            let (from, span) = match piece {
                Piece::Came(span) => (came, span),
                Piece::Written(span) => (&written, span),
            };
            let bytes = span.of(from);
            if bytes.len() < WORTH_ITS_OWN {
                if short.is_empty() {
                    short.reserve_exact(copied);
                }
                copied = copied.saturating_sub(bytes.len());
                short.extend_from_slice(bytes);
                continue;
            }
            if !short.is_empty() {
                all.push(std::mem::take(&mut short).into());
            }
            all.push(from.slice_ref(bytes));
        }
        if !short.is_empty() {
            all.push(short.into());
        }
        all
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(written: Vec<u8>) -> Self {
        Self { pieces: Vec::new(), len: written.len(), written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    #[test]
    fn neighbours_are_one_piece() {
        let mut pieces = Pieces::default();
        assert!(pieces.is_empty() && pieces.clone().into_bytes(&Bytes::new()).is_empty());
        pieces.write(b"<");
        pieces.write_string("a\"");
        pieces.keep(span(1, 3));
        pieces.write(b"");
        pieces.keep(span(3, 3));
        pieces.keep(span(3, 4));
        pieces.write(b">");
        pieces.keep(span(0, 1));
        assert_eq!(pieces.pieces.len(), 4);
        assert_eq!(pieces.whole(b"0123"), br#"<"a\""123>0"#);
        assert_eq!(pieces.len(), pieces.whole(b"0123").len());
        assert_eq!(pieces.into_bytes(&Bytes::from_static(b"0123")), [br#"<"a\""123>0"#.as_slice()]);
        // A range that the answer has not is nothing, and no panic.
        let mut outside = Pieces::from(b"x".to_vec());
        outside.keep(span(2, 9));
        assert_eq!(outside.whole(b"0123"), b"x");
        assert_eq!(outside.into_bytes(&Bytes::from_static(b"0123")), [b"x".as_slice()]);
    }

    #[test]
    fn long_pieces_stay_where_they_are() {
        let came: Bytes = (0..=255_u8).cycle().take(5 * WORTH_ITS_OWN).collect();
        let mut pieces = Pieces::with_capacity(2, 8);
        pieces.write(b"[");
        pieces.keep(span(1, 3));
        pieces.keep(span(8, 8 + WORTH_ITS_OWN));
        pieces.write(b",");
        pieces.keep(span(2 * WORTH_ITS_OWN, 3 * WORTH_ITS_OWN - 1));
        pieces.keep(span(3 * WORTH_ITS_OWN, 5 * WORTH_ITS_OWN));
        pieces.write(b"]");
        let (whole, len) = (pieces.whole(&came), pieces.len());
        let bytes = pieces.into_bytes(&came);
        assert_eq!(bytes.iter().map(Bytes::len).sum::<usize>(), len);
        assert_eq!(bytes.concat(), whole);
        let lengths: Vec<usize> = bytes.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [3, WORTH_ITS_OWN, WORTH_ITS_OWN, 2 * WORTH_ITS_OWN, 1]);
        assert_eq!(bytes[1].as_ptr(), came[8..].as_ptr());
        assert_eq!(bytes[3].as_ptr(), came[3 * WORTH_ITS_OWN..].as_ptr());
        // What was written alone is not copied either.
        let alone = b"alone".to_vec();
        let at = alone.as_ptr();
        assert_eq!(Pieces::from(alone).into_bytes(&came)[0].as_ptr(), at);
    }
}
