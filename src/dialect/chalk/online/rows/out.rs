//! What is left of an answer, as ranges of it and what is written anew.

use crate::dialect::Pieces;
use crate::json::Span;

/// Bytes of what is copied while it is near; more of it stays where it is.
const SHORT: usize = 4 << 10;

/// What is kept of the answer.
pub(super) struct Out<'a> {
    body: &'a [u8],
    pub pieces: Pieces,
    /// It is another answer than the one that came.
    pub changed: bool,
    pub dropped: usize,
    /// An element is kept.
    any: bool,
    /// What stays as it is, up to where it was read, and is in no piece yet. While there is, what is kept next follows it with
    /// nothing but the comma between.
    pending: Option<Span>,
}

impl<'a> Out<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, pieces: Pieces::default(), changed: false, dropped: 0, any: false, pending: None }
    }

    /// Keeps what stands there, be it an element or not.
    pub fn stay(&mut self, span: Span) {
        self.flush();
        self.pending = Some(span);
    }

    /// Keeps an element as it stands.
    #[inline]
    pub fn keep(&mut self, element: Span) {
        match &mut self.pending {
            Some(pending) => {
                pending.end = element.end;
                self.any = true;
            }
            None => self.keep_apart(element),
        }
    }

    /// Keeps an element as it stands behind a comma, with that.
    #[inline(always)]
    pub fn keep_next(&mut self, with_comma: Span) {
        match &mut self.pending {
            Some(pending) => {
                pending.end = with_comma.end;
                self.any = true;
            }
            None if self.any => self.pending = Some(with_comma),
            None => self.keep_apart(Span { start: with_comma.start + 1, end: with_comma.end }),
        }
    }

    /// Behind one that is not kept, or blanks.
    fn keep_apart(&mut self, Span { start, end }: Span) {
        let comma = Span { start: start.saturating_sub(1), end };
        self.pending = Some(match comma.of(self.body).first() {
            Some(b',') if self.any => comma,
            _ if !self.any => Span { start, end },
            _ => {
                self.pieces.write(b",");
                Span { start, end }
            }
        });
        self.any = true;
    }

    /// An element that is another than the one that came.
    pub fn write_element(&mut self, element: &[u8]) {
        self.flush();
        if self.any {
            self.pieces.write(b",");
        }
        self.any = true;
        self.write(element);
    }

    /// What stands in the place of what came.
    pub fn write(&mut self, text: &[u8]) {
        self.flush();
        self.changed = true;
        self.pieces.write(text);
    }

    /// An element is not kept.
    pub fn drop(&mut self) {
        self.flush();
        self.changed = true;
        self.dropped += 1;
    }

    /// What is kept next stands apart from what is kept.
    pub fn flush(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let text = pending.of(self.body);
        if text.len() >= SHORT {
            self.pieces.keep(pending);
            return;
        }
        if self.pieces.is_empty() {
            // All of it fits in.
            self.pieces = Pieces::with_capacity(0, self.body.len());
        }
        self.pieces.write(text);
    }
}
