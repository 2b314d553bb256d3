//! Who sees whom: which tiles of scores are needed, and the mask of those that are not whole.

use std::ops::Range;

use super::AttentionShape;
use super::vector::Vector;
use crate::{Arena, Buffer};

/// Keys whose segment numbers are summed up in one [`Span`].
const SPAN: usize = 8;
/// Room behind the segment numbers for a register of lanes that starts at the last of them; also a
/// multiple of every tile's width.
const PADDING: usize = 64;

/// What a block of queries sees of a block of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    None,
    Some,
    All,
}

/// The lowest and highest segment number of some neighbours.
#[derive(Clone, Copy)]
struct Span {
    low: u32,
    high: u32,
}

/// The rule of one batch element. Query `i` stands beside key `i + offset`.
pub(super) struct Rule {
    offset: usize,
    /// Keys a query sees at most.
    window: usize,
    segments: Option<Segments>,
}

struct Segments {
    /// A number for each key, then `PADDING` more.
    ids: Buffer<u32>,
    /// Lowest and highest of every `SPAN` numbers.
    spans: Buffer<u32>,
}

/// Some queries and what they see.
pub(super) struct Watch<'a> {
    segments: Option<&'a Segments>,
    /// Their segment numbers.
    numbers: Span,
    /// The keys that one of them and that all of them see, segments aside.
    seen: Range<usize>,
    seen_by_all: Range<usize>,
}

/// Which lanes of a row of scores are seen: those in a range and, if there are segments, of one
/// number.
#[derive(Clone, Copy)]
pub(super) struct LaneMask {
    low: i32,
    high: i32,
    /// The numbers of the lanes, or null.
    ids: *const u32,
    id: u32,
}

impl Rule {
    /// The rule of an element with `key_len` keys, whose segments are the first of `segments`.
    pub(super) fn new(
        arena: &Arena,
        shape: &AttentionShape,
        key_len: usize,
        segments: Option<&[u32]>,
    ) -> Self {
        let offset = key_len - shape.query_len;
        let segments = segments.map(|all| Segments::new(arena, &all[..key_len]));
        // A range of lanes is an `i32`; nothing sees further than all keys.
        Self {
            offset,
            window: shape.window.map_or(key_len, |window| window.min(key_len)),
            segments,
        }
    }

    /// The keys that some of these queries see, segments aside.
    pub(super) fn keys(&self, queries: &Range<usize>) -> Range<usize> {
        self.first_key(queries.start)..queries.end + self.offset
    }

    /// The queries below `query_len` that see some of these keys, segments aside.
    pub(super) fn queries(&self, keys: &Range<usize>, query_len: usize) -> Range<usize> {
        let first = keys.start.saturating_sub(self.offset);
        let end = (keys.end - 1 + self.window).saturating_sub(self.offset);
        first..end.min(query_len).max(first)
    }

    fn first_key(&self, query: usize) -> usize {
        (query + self.offset + 1).saturating_sub(self.window)
    }

    /// Some queries (not empty, all existing), to ask what they see.
    pub(super) fn watch(&self, queries: &Range<usize>) -> Watch<'_> {
        let beside = queries.start + self.offset..queries.end + self.offset;
        let last = queries.end - 1;
        Watch {
            segments: self.segments.as_ref(),
            numbers: self.segments.as_ref().map_or(Span::NONE, |all| all.span(beside.clone())),
            seen: self.first_key(queries.start)..beside.end,
            seen_by_all: self.first_key(last)..beside.start + 1,
        }
    }

    /// For one query, lanes being the keys from `key` on.
    pub(super) fn keys_of(&self, query: usize, key: usize) -> LaneMask {
        let own = query + self.offset;
        let high = own as i32 + 1 - key as i32;
        self.lane_mask(high - self.window as i32, high, own, key)
    }

    /// For one key, lanes being the queries from `query` on.
    pub(super) fn queries_of(&self, key: usize, query: usize) -> LaneMask {
        let low = key as i32 - self.offset as i32 - query as i32;
        self.lane_mask(low, low + self.window as i32, key, query + self.offset)
    }

    fn lane_mask(&self, low: i32, high: i32, own: usize, first: usize) -> LaneMask {
        let (ids, id) = match &self.segments {
            None => (std::ptr::null(), 0),
            Some(segments) => (segments.ids[first..].as_ptr(), segments.ids[own]),
        };
        LaneMask { low, high, ids, id }
    }
}

impl Watch<'_> {
    /// What the queries see of `keys` (not empty).
    #[inline]
    pub(super) fn sight(&self, keys: Range<usize>) -> Sight {
        if keys.start >= self.seen.end || keys.end <= self.seen.start {
            return Sight::None;
        }
        let whole = self.seen_by_all.start <= keys.start && keys.end <= self.seen_by_all.end;
        let numbers = match self.segments {
            None if whole => return Sight::All,
            None => return Sight::Some,
            Some(segments) => segments.span(keys),
        };
        if self.numbers.low > numbers.high || self.numbers.high < numbers.low {
            Sight::None
        } else if whole && self.numbers.is_one() && numbers.is_one() {
            Sight::All
        } else {
            Sight::Some
        }
    }
}

impl Span {
    /// Of no numbers.
    const NONE: Self = Self { low: u32::MAX, high: 0 };

    fn is_one(self) -> bool {
        self.low == self.high
    }
}

impl Segments {
    fn new(arena: &Arena, numbers: &[u32]) -> Self {
        let mut ids = arena.buffer(numbers.len().next_multiple_of(PADDING) + PADDING);
        ids[..numbers.len()].copy_from_slice(numbers);
        ids[numbers.len()..].fill(0);
        let mut spans = arena.buffer(2 * numbers.len().div_ceil(SPAN));
        for (span, ids) in spans.chunks_exact_mut(2).zip(numbers.chunks(SPAN)) {
            span[0] = ids.iter().copied().fold(u32::MAX, u32::min);
            span[1] = ids.iter().copied().fold(0, u32::max);
        }
        Self { ids, spans }
    }

    /// Bounds on the numbers at `places`, some neighbours of them included.
    fn span(&self, places: Range<usize>) -> Span {
        let spans = self.spans.as_chunks::<2>().0;
        let end = places.end.div_ceil(SPAN).min(spans.len());
        spans[places.start / SPAN..end].iter().fold(Span::NONE, |sum, &[low, high]| Span {
            low: sum.low.min(low),
            high: sum.high.max(high),
        })
    }
}

impl LaneMask {
    /// `x` where the lane, `first` lanes on from the mask's start, is seen, else minus infinity.
    ///
    /// # Safety
    /// As for [`Vector`]; the lane lies at most a tile beyond the last key.
    #[inline(always)]
    pub(super) unsafe fn apply<V: Vector>(&self, x: V, first: usize) -> V {
        // SAFETY: the caller has the level; the numbers are padded beyond the last key.
        unsafe {
            let nothing = V::splat(f32::NEG_INFINITY);
            let x = V::keep_range(x, self.low - first as i32, self.high - first as i32, nothing);
            if self.ids.is_null() {
                return x;
            }
            V::keep_equal(x, self.ids.add(first), self.id, nothing)
        }
    }
}
