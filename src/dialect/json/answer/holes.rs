//! What is taken out of a text: everything else stays byte for byte.

use crate::dialect::Pieces;
use crate::json::{Span, Value};

/// Parts of a text that are taken out.
#[derive(Debug)]
pub(super) struct Holes<'a> {
    body: &'a [u8],
    spans: Vec<Span>,
}

/// The items of an object or an array, as each of them is kept or dropped.
#[derive(Debug)]
pub(super) struct List {
    /// Behind the opening bracket.
    open: usize,
    /// Behind the last item.
    end: usize,
    kept: bool,
}

impl List {
    pub fn new(container: Value) -> Self {
        let open = container.span.start.saturating_add(1);
        Self { open, end: open, kept: false }
    }
}

impl<'a> Holes<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, spans: Vec::new() }
    }

    /// How many there are; goes with [`Self::forget`].
    pub fn mark(&self) -> usize {
        self.spans.len()
    }

    /// Forgets what was taken out since, as all of it goes now.
    pub fn forget(&mut self, mark: usize) {
        self.spans.truncate(mark);
    }

    /// Keeps the next item. `value`: of a member, its value.
    pub fn keep(&mut self, list: &mut List, value: Value) {
        if !list.kept && list.end > list.open {
            // Up to the comma behind the dropped ones.
            let between = self.body.get(list.end..value.span.start).unwrap_or_default();
            let comma = between.iter().position(|byte| *byte == b',').unwrap_or_default();
            self.spans.push(Span { start: list.open, end: list.end + comma + 1 });
        }
        list.kept = true;
        list.end = value.span.end;
    }

    /// Drops the next item, with the comma before it.
    pub fn drop(&mut self, list: &mut List, value: Value) {
        if list.kept {
            match self.spans.last_mut() {
                Some(last) if last.end == list.end => last.end = value.span.end,
                _ => self.spans.push(Span { start: list.end, end: value.span.end }),
            }
        }
        list.end = value.span.end;
    }

    /// The list ends.
    pub fn close(&mut self, list: &List) {
        if !list.kept && list.end > list.open {
            self.spans.push(Span { start: list.open, end: list.end });
        }
    }

    /// What is left of the text; `None`: all of it.
    pub fn rest(mut self) -> Option<Pieces> {
        if self.spans.is_empty() {
            return None;
        }
        // They come in order but for the members that are left out once what stands behind them is known.
        self.spans.sort_unstable_by_key(|hole| hole.start);
        let mut out = Pieces::with_capacity(self.spans.len() + 1, 0);
        let mut at = 0;
        for hole in self.spans {
            out.keep(Span { start: at, end: hole.start });
            // Of two that overlap, none brings back what the other takes out.
            at = at.max(hole.end);
        }
        out.keep(Span { start: at, end: self.body.len() });
        Some(out)
    }
}
