//! Elements with the heads of the last row and the tail of the one before.

use super::Rows;
use super::head::{Head, Is};
use super::tail::Tail;
use crate::json::Span;
use crate::json::records::{self, LONGEST, WINDOW};

impl Rows<'_> {
    /// The elements behind the one that ended at `end`, as long as they have the next heads and its tail; where the last
    /// one ends. It is the case that all speed comes from: what one of these needs that it has not is left to
    /// [`Self::element`].
    #[inline]
    pub(super) fn run(&mut self, end: usize) -> Option<usize> {
        let first = std::mem::take(&mut self.first);
        let Some(Tail { text: tail, key, row, changes: false, .. }) = self.tail else { return Some(end) };
        if key.is_some() && row != self.row {
            return Some(end);
        }
        // Heads that are all of other fields than the one element before, and than each other, are none that stood in the
        // row: they are noted when it has more elements than these.
        let from = self.next;
        if first && key.is_some() && self.in_order {
            let end = match tail.len() {
                16..32 => self.run_through::<16, 16, true>(end, tail, row),
                32..48 => self.run_through::<32, 16, true>(end, tail, row),
                48..LONGEST => self.run_through::<32, 32, true>(end, tail, row),
                _ => self.run_through::<0, 0, true>(end, tail, row),
            };
            self.unmarked = from..self.next;
            end
        } else {
            // Row 0: the elements have no key.
            let row = if key.is_some() { row } else { 0 };
            self.run_through::<0, 0, false>(end, tail, row)
        }
    }

    /// [`Self::run`]: the first `N` and the last `M` bytes of the tail, which overlap, are all of it; or they are 0. `NEW`:
    /// what is kept did not stand in the row yet.
    #[inline(always)]
    fn run_through<const N: usize, const M: usize, const NEW: bool>(
        &mut self,
        end: usize,
        tail: &[u8],
        row: usize,
    ) -> Option<usize> {
        let body = self.body;
        let Some(ends) = records::Ends::<N, M>::of(tail) else { return Some(end) };
        let mut rest = body.get(end..)?;
        let mut next = self.next;
        for head in self.heads.get(next..)? {
            let Some(window) = rest.first_chunk::<WINDOW>() else { break };
            let value = 1 + head.text.len();
            if window.first() != Some(&b',') || !records::stands(window, 1, head.text) {
                break;
            }
            let mut behind = value + records::short(window, value);
            let stays = behind != value && ends.stand(window, behind);
            if !stays {
                let long = rest.get(value..)?;
                let Some(length) = records::flat(long) else { break };
                behind = value + length;
                if !rest.get(behind..).is_some_and(|rest| rest.starts_with(tail)) {
                    break;
                }
            }
            let Some(left) = rest.get(behind + tail.len()..) else { break };
            match head.is {
                Is::Dropped => self.out.drop(),
                Is::Value(field) => {
                    if !NEW {
                        let seen = self.seen.get_mut(field)?;
                        let twice = match row {
                            0 => std::mem::replace(&mut seen.alone, true),
                            _ => std::mem::replace(&mut seen.row, row) == row,
                        };
                        if twice {
                            return None;
                        }
                    }
                    self.out.keep_next(Span { start: body.len() - rest.len(), end: body.len() - left.len() });
                }
                Is::Rows => break,
            }
            rest = left;
            next += 1;
        }
        self.next = next;
        Some(body.len() - rest.len())
    }

    /// The first element of a row, behind the one that ended at `end`, if it has the first head, and the tail of the one before
    /// but for its primary key; where it ends.
    pub(super) fn next_row(&mut self, end: usize) -> Option<usize> {
        let window = self.body.get(end..)?.first_chunk::<WINDOW>()?;
        let Head { text: head, is: Is::Value(field), .. } = *self.heads.first()? else { return None };
        let Tail { text: tail, key: Some(key), changes: false, .. } = *self.tail.as_ref()? else { return None };
        let value = 1 + head.len();
        if window.first() != Some(&b',') || head.len() > LONGEST || !records::stands(window, 1, head) {
            return None;
        }
        let (before, behind) = (tail.get(..key.start)?, tail.get(key.end..)?);
        let start = value + length_of(records::short(window, value))?;
        let rest = window.get(start..)?;
        if behind.len() > LONGEST || !rest.starts_with(before) {
            return None;
        }
        let key_start = start + before.len();
        let key_end = key_start + length_of(records::short(window, key_start))?;
        let key = window.get(key_start..key_end)?;
        if key == self.key || key == b"null" || !records::stands(window, key_end, behind) {
            return None;
        }
        let seen = self.seen.get_mut(field)?;
        let span = Span { start: end + 1, end: end + key_end + behind.len() };
        let text = self.body.get(end + start..span.end)?;
        let key = Span { start: key_start - start, end: key_end - start };
        let tail = self.tail.as_mut()?;
        self.row += 1;
        (tail.text, tail.key, tail.row) = (text, Some(key), self.row);
        (seen.row, self.key) = (self.row, key.of(text));
        (self.unmarked, self.next, self.first) = (0..0, 1, true);
        self.out.keep(span);
        Some(span.end)
    }
}

/// None of 0.
fn length_of(length: usize) -> Option<usize> {
    (length > 0).then_some(length)
}
