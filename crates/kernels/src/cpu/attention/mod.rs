//! Causal attention that never stores T x T numbers, forward and backward.
//!
//! `out_i = Σ_j softmax_j(scale * q_i · k_j) v_j` over the keys j that query i sees: up to the one
//! it stands beside, `i + (Tk - Tq)`, inside the window if there is one, in the same segment if
//! there are segments. Scores may have a bound, `cap * tanh(x / cap)`. Query heads
//! share key heads in groups of `H / K` (grouped-query attention).
//! The forward keeps the running maximum and sum of each row and stores their log-sum-exp; the
//! backward computes the probabilities again from it. See Dao, "FlashAttention-2",
//! arXiv:2307.08691.
//!
//! Read in this order: `rows` and `raw` (how tensors are read), `sight` (who sees whom), `vector`,
//! `x86` and `tile` (the arithmetic of every level), `level` (how one body is compiled for each),
//! then `forward`, `cached` (the same for keys and values that a cache holds), and `backward` with
//! `block`.
//!
//! **Precision.** With [`Precision::F32`] everything is f32. With [`Precision::Bf16`] the operands
//! of all products are bf16: q, k, v and the gradient of the output as they come or rounded, and
//! probabilities and their gradients rounded; sums, maxima and exponentials are f32.
//!
//! **Determinism.** The order of every sum depends on the shape and the level only: never on
//! threads or batch neighbours. The forward of a query depends on what it sees only: queries give
//! the same bits all at once, in pieces, or one by one as text is generated.
#![allow(unsafe_code)]

mod backward;
mod block;
mod cached;
mod forward;
mod level;
mod raw;
mod rows;
mod sight;
#[cfg(test)]
mod tests;
mod tile;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use cached::{CachedRows, CachedSequence, attention_cached};
pub use rows::{Rows, RowsMut};

use self::backward::Backward;
use self::forward::{Forward, Forwards};
use self::level::Problem;
use self::raw::RawRows;
use self::vector::SoftCap;
use crate::par::SharedMut;
use crate::{Cpu, Element, Precision};

/// The sizes of an attention and its rule of who sees whom.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// B.
    pub batch: usize,
    /// Tq: queries of each batch element. The last one stands beside the last key.
    pub query_len: usize,
    /// Tk: keys of each batch element, at least Tq.
    pub key_len: usize,
    /// H, a multiple of K.
    pub num_heads: usize,
    /// K.
    pub num_kv_heads: usize,
    /// Dh.
    pub head_dim: usize,
    /// What the scores are multiplied by, usually `1 / sqrt(Dh)`.
    pub scale: f32,
    /// The bound that scaled scores approach: `cap * tanh(x / cap)`; none if `None`.
    pub cap: Option<f32>,
    /// How many keys a query sees at most, itself included; all earlier ones if `None`.
    pub window: Option<usize>,
}

/// What the forward reads.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInputs<'a, E> {
    /// Queries `[B, Tq, H * Dh]`.
    pub q: Rows<'a, E>,
    /// Keys `[B, Tk, K * Dh]`.
    pub k: Rows<'a, E>,
    /// Values `[B, Tk, K * Dh]`.
    pub v: Rows<'a, E>,
    /// `[B, Tk]`: a query sees only keys of its own number. A query's number is that of the key it
    /// stands beside.
    pub segments: Option<&'a [u32]>,
    /// `[B]`: the number of keys of each batch element, between Tq and Tk, if they differ. Query i
    /// of element b then stands beside key `i + key_lens[b] - Tq`.
    pub key_lens: Option<&'a [usize]>,
}

/// What the backward needs of the forward, and the gradient that comes in.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOutputs<'a, E> {
    /// The forward's output `[B, Tq, H * Dh]`.
    pub out: Rows<'a, E>,
    /// The forward's log-sum-exp `[B, H, Tq]`.
    pub lse: &'a [f32],
    /// The gradient of the output `[B, Tq, H * Dh]`.
    pub d_out: Rows<'a, E>,
}

/// Where the backward writes.
#[derive(Debug)]
pub struct AttentionGradients<'a, E> {
    /// `[B, Tq, H * Dh]`.
    pub d_q: RowsMut<'a, E>,
    /// `[B, Tk, K * Dh]`, summed over the query heads that share the key head. Zero for keys beyond
    /// `key_lens`.
    pub d_k: RowsMut<'a, E>,
    /// As `d_k`.
    pub d_v: RowsMut<'a, E>,
}

impl AttentionShape {
    fn query_shape(&self) -> (usize, usize, usize) {
        (self.batch, self.query_len, self.num_heads * self.head_dim)
    }

    fn key_shape(&self) -> (usize, usize, usize) {
        (self.batch, self.key_len, self.num_kv_heads * self.head_dim)
    }

    /// What bounds the scores before they are scaled.
    fn soft_cap(&self) -> Option<SoftCap> {
        self.cap.map(|cap| SoftCap::new(cap, self.scale))
    }

    /// Query heads that share a key head.
    fn group(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    fn check(&self) {
        let Self { query_len, key_len, num_heads, num_kv_heads, scale, cap, window, .. } = *self;
        assert!(query_len <= key_len, "{query_len} queries cannot stand beside {key_len} keys");
        assert!(
            num_kv_heads > 0 && num_heads.is_multiple_of(num_kv_heads),
            "{num_heads} query heads cannot share {num_kv_heads} key heads"
        );
        assert!(scale.is_finite() && scale > 0.0, "scale is {scale}");
        assert!(cap.is_none_or(|cap| cap.is_finite() && cap > 0.0), "the cap is {cap:?}");
        assert!(window != Some(0), "a window of 0 keys hides a query from itself");
        assert!(self.head_dim > 0, "a head has at least one element");
    }
}

impl<E: Element> AttentionInputs<'_, E> {
    fn check(&self, shape: &AttentionShape) {
        shape.check();
        self.q.check("q", shape.query_shape());
        self.k.check("k", shape.key_shape());
        self.v.check("v", shape.key_shape());
        if let Some(segments) = self.segments {
            assert_eq!(segments.len(), shape.batch * shape.key_len, "a segment for each key");
        }
        if let Some(lens) = self.key_lens {
            assert_eq!(lens.len(), shape.batch, "a number of keys for each batch element");
            let (low, high) = (shape.query_len, shape.key_len);
            assert!(
                lens.iter().all(|len| (low..=high).contains(len)),
                "key lengths {lens:?} are not all in {low}..={high}"
            );
        }
    }

    fn problem<'p>(&'p self, cpu: &'p Cpu, shape: &'p AttentionShape) -> Problem<'p> {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(RawRows::new);
        Problem { cpu, shape, q, k, v, segments: self.segments, key_lens: self.key_lens }
    }
}

/// Attention: `out` `[B, Tq, H * Dh]` and the log-sum-exp of each row's scaled scores in `lse`
/// `[B, H, Tq]`.
///
/// # Panics
/// When sizes do not fit together.
pub fn attention<E: Element>(
    cpu: &Cpu,
    precision: Precision,
    shape: &AttentionShape,
    inputs: &AttentionInputs<'_, E>,
    out: &mut RowsMut<'_, E>,
    lse: &mut [f32],
) {
    inputs.check(shape);
    out.check("out", shape.query_shape());
    check_lse(shape, lse);
    let problem = inputs.problem(cpu, shape);
    let (out, lse) = (RawRows::new_mut(out), SharedMut::new(lse));
    let forward = Forward { problem, out, lse };
    let tasks = forward.tasks();
    Forwards { parts: vec![(0, forward)] }.run_all(cpu, precision, tasks);
}

/// The gradients of [`attention`] with respect to q, k and v; they are overwritten, not added to.
///
/// # Panics
/// When sizes do not fit together.
pub fn attention_backward<E: Element>(
    cpu: &Cpu,
    precision: Precision,
    shape: &AttentionShape,
    inputs: &AttentionInputs<'_, E>,
    outputs: &AttentionOutputs<'_, E>,
    gradients: &mut AttentionGradients<'_, E>,
) {
    inputs.check(shape);
    outputs.out.check("out", shape.query_shape());
    outputs.d_out.check("d_out", shape.query_shape());
    check_lse(shape, outputs.lse);
    gradients.d_q.check("d_q", shape.query_shape());
    gradients.d_k.check("d_k", shape.key_shape());
    gradients.d_v.check("d_v", shape.key_shape());
    let AttentionGradients { d_q, d_k, d_v } = gradients;
    let [d_q, d_k, d_v] = [d_q, d_k, d_v].map(RawRows::new_mut);
    let backward = Backward {
        problem: inputs.problem(cpu, shape),
        out: RawRows::new(&outputs.out),
        d_out: RawRows::new(&outputs.d_out),
        lse: outputs.lse,
        d_q,
        d_k,
        d_v,
    };
    backward.run_all(cpu, precision);
}

fn check_lse(shape: &AttentionShape, lse: &[f32]) {
    let rows = shape.batch * shape.num_heads * shape.query_len;
    assert_eq!(lse.len(), rows, "a log-sum-exp for each query of each head");
}
