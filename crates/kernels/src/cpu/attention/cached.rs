//! The forward of several sequences at once, each of its own length, whose keys and values lie in a
//! cache that all share. Every sequence is what it is alone, bit for bit.

use std::ops::Range;

use super::forward::{Forward, Forwards};
use super::level::Problem;
use super::raw::{Kind, RawRows};
use super::{AttentionShape, Rows, RowsMut};
use crate::par::SharedMut;
use crate::quant::BlockFormat;
use crate::{Cpu, Element, Precision};

/// Keys or values that a cache holds: rows of `K * Dh` numbers in F32, F16, BF16 or Q8_0.
#[derive(Clone, Copy, Debug)]
pub struct CachedRows<'a> {
    bytes: &'a [u8],
    format: BlockFormat,
}

/// A sequence whose last tokens are queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedSequence {
    /// Its rows of queries and of the output.
    pub queries: Range<usize>,
    /// Its rows of the cache; the last query stands beside the last of them.
    pub keys: Range<usize>,
}

impl<'a> CachedRows<'a> {
    /// The formats that a cache may have.
    pub const FORMATS: [BlockFormat; 4] =
        [BlockFormat::F32, BlockFormat::F16, BlockFormat::Bf16, BlockFormat::Q8_0];

    /// Rows without gaps.
    ///
    /// # Panics
    /// When `format` is none of [`CachedRows::FORMATS`].
    #[must_use]
    pub fn new(bytes: &'a [u8], format: BlockFormat) -> Self {
        assert!(Self::FORMATS.contains(&format), "a cache of {format}");
        Self { bytes, format }
    }

    /// Panics unless all rows lie within the bytes and heads are whole blocks.
    fn raw(&self, shape: &AttentionShape, sequences: &[CachedSequence]) -> RawRows {
        let format = self.format;
        let width = shape.num_kv_heads * shape.head_dim;
        let row = format.row_bytes(shape.head_dim).map(|bytes| bytes * shape.num_kv_heads);
        let (Some(kind), Some(row)) = (Kind::of(format), row) else {
            panic!("heads of {} numbers in {format}", shape.head_dim);
        };
        let (held, used) = (self.bytes.len() / row, sequences.iter().map(|one| one.keys.end));
        assert!(used.max().is_none_or(|end| end <= held), "{sequences:?} of {held} cached rows");
        RawRows::of_bytes(self.bytes, kind, width)
    }
}

/// [`super::attention`] of the queries `q` of each sequence, one after the other, to the keys `k`
/// and values `v` that a cache holds of it. Of `shape`, the numbers of sequences, queries and keys
/// do not count. `q, out: [rows, H * Dh]`.
///
/// # Panics
/// When sizes do not fit together, or sequences share queries.
pub fn attention_cached<E: Element>(
    (cpu, precision): (&Cpu, Precision),
    shape: &AttentionShape,
    sequences: &[CachedSequence],
    q: &Rows<'_, E>,
    [k, v]: [CachedRows<'_>; 2],
    out: &mut RowsMut<'_, E>,
) {
    let mut rows = 0;
    for one in sequences {
        assert_eq!(one.queries.start, rows, "sequences lie one after the other");
        rows = one.queries.end;
    }
    let width = shape.num_heads * shape.head_dim;
    q.check("q", (1, rows, width));
    out.check("out", (1, rows, width));
    let shapes: Vec<AttentionShape> = sequences
        .iter()
        .map(|CachedSequence { queries, keys }| {
            let (query_len, key_len) = (queries.len(), keys.len());
            AttentionShape { batch: 1, query_len, key_len, ..*shape }
        })
        .collect();
    shapes.iter().for_each(AttentionShape::check);
    let (k, v) = (k.raw(shape, sequences), v.raw(shape, sequences));
    let (q, out) = (RawRows::new(q), RawRows::new_mut(out));
    let mut lse = cpu.arena.buffer::<f32>(shape.num_heads * rows);
    let mut rest = &mut *lse;
    let (mut parts, mut tasks) = (Vec::with_capacity(shapes.len()), 0);
    for (shape, CachedSequence { queries, keys }) in shapes.iter().zip(sequences) {
        let [q, out] = [q, out].map(|rows| rows.skip_rows(queries.start));
        let [k, v] = [k, v].map(|rows| rows.skip_rows(keys.start));
        let lse = rest.split_off_mut(..shape.num_heads * queries.len()).unwrap_or_default();
        let problem = Problem { cpu, shape, q, k, v, segments: None, key_lens: None };
        let forward = Forward { problem, out, lse: SharedMut::new(lse) };
        let count = forward.tasks();
        parts.push((tasks, forward));
        tasks += count;
    }
    Forwards { parts }.run_all(cpu, precision, tasks);
}
