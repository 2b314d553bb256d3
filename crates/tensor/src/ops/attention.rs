//! Causal attention over heads (Vaswani et al. 2017, arXiv:1706.03762), with grouped key/value
//! heads (arXiv:2305.13245); the `T x T` scores are never stored (Dao 2023, arXiv:2307.08691).
//!
//! `q, out: [B * T, H * Dh]`, `k, v: [B * T, K * Dh]`, all of one type. For each head and row,
//! `out_i = Σ_j softmax_j(scale * q_i · k_j) v_j` over the keys `j <= i` of the same segment, the
//! last `window` of them if there is one.
//! The backward computes the probabilities again from the log-sum-exp `[B, H, T]` that the forward
//! keeps.

use std::sync::Arc;

use danlu_kernels::cpu::attention::{
    self as kernel, AttentionGradients, AttentionInputs, AttentionOutputs, AttentionShape, Rows,
    RowsMut,
};
use danlu_kernels::{Buffer, Precision};

use crate::autograd::record;
use crate::{DType, Device, Result, Tensor, with_elements};

const OP: &str = "attention";

/// How tokens and heads are arranged, and who may see whom.
#[derive(Clone, Debug)]
pub struct AttentionSpec {
    /// B.
    pub batch: usize,
    /// H, a multiple of K.
    pub num_heads: usize,
    /// K.
    pub num_kv_heads: usize,
    /// Dh.
    pub head_dim: usize,
    /// What scores are multiplied by, `1 / sqrt(Dh)` if `None`.
    pub scale: Option<f32>,
    /// The bound that scaled scores approach, `cap * tanh(x / cap)` (Gemma 2, arXiv:2408.00118);
    /// none if `None`.
    pub cap: Option<f32>,
    /// How many keys a query sees at most, itself included; all earlier ones if `None`.
    pub window: Option<usize>,
    /// Which document of its row each token belongs to; a token sees its own only. `[B * T]`
    pub segments: Option<Arc<[u32]>>,
}

impl AttentionSpec {
    pub(super) fn widths(&self) -> (usize, usize) {
        (self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim)
    }

    pub(super) fn shape(&self, query_len: usize, key_len: usize) -> AttentionShape {
        AttentionShape {
            batch: self.batch,
            query_len,
            key_len,
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            head_dim: self.head_dim,
            scale: self.scale.unwrap_or(1.0 / (self.head_dim as f32).sqrt()),
            cap: self.cap,
            window: self.window,
        }
    }

    pub(super) fn check_heads(&self, op: &'static str, q: &Tensor) -> Result<()> {
        let (heads, kv_heads) = (self.num_heads, self.num_kv_heads);
        if kv_heads > 0 && heads.is_multiple_of(kv_heads) && self.head_dim > 0 {
            return Ok(());
        }
        let expected = format!("{heads} heads to be a multiple of {kv_heads} key heads");
        Err(q.shape_error(op, "q", expected))
    }

    /// T, after a check that everything fits.
    fn check(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<usize> {
        let (rows, (q_width, kv_width)) = (q.shape().rows(), self.widths());
        self.check_heads(OP, q)?;
        if self.batch == 0 || !rows.is_multiple_of(self.batch) {
            return Err(q.shape_error(
                OP,
                "q",
                format!("rows that {} sequences share", self.batch),
            ));
        }
        q.expect_shape(OP, "q", [rows, q_width])?;
        for (what, tensor) in [("k", k), ("v", v)] {
            tensor.expect_shape(OP, what, [rows, kv_width])?;
            tensor.expect_dtype(OP, what, q.dtype())?;
        }
        if let Some(segments) = &self.segments
            && segments.len() != rows
        {
            return Err(q.shape_error(OP, "q", format!("{} rows, as segments", segments.len())));
        }
        Ok(rows / self.batch)
    }
}

/// Attention of all tokens to those before them.
///
/// # Errors
/// When shapes or types do not fit each other.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<Tensor> {
    let tokens = spec.check(q, k, v)?;
    let shape = spec.shape(tokens, tokens);
    let Device::Cpu(cpu) = q.device();
    let mut out = q.device().empty(q.dtype(), q.shape());
    let mut lse: Buffer<f32> = cpu.arena.buffer(spec.batch * spec.num_heads * tokens);
    let (q_width, kv_width) = spec.widths();
    let precision = precision_of(q.dtype());
    with_elements!((q.storage(), k.storage(), v.storage(), out.storage_mut()), |q, k, v, out| {
        let inputs = AttentionInputs {
            q: Rows::contiguous(q, tokens, q_width),
            k: Rows::contiguous(k, tokens, kv_width),
            v: Rows::contiguous(v, tokens, kv_width),
            segments: spec.segments.as_deref(),
            key_lens: None,
        };
        let mut out = RowsMut::contiguous(out, tokens, q_width);
        kernel::attention(cpu, precision, &shape, &inputs, &mut out, &mut lse);
    });
    let saved = Saved {
        q: q.detach(),
        k: k.detach(),
        v: v.detach(),
        out: out.detach(),
        lse,
        spec: spec.clone(),
    };
    Ok(record(&[q, k, v], false, out, move |d_out| saved.backward(d_out)))
}

struct Saved {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Buffer<f32>,
    spec: AttentionSpec,
}

impl Saved {
    fn backward(self, d_out: Tensor) -> Result<Vec<Option<Tensor>>> {
        let Self { q, k, v, out, lse, spec } = self;
        let tokens = q.shape().rows() / spec.batch;
        let shape = spec.shape(tokens, tokens);
        let (q_width, kv_width) = spec.widths();
        let Device::Cpu(cpu) = q.device();
        let empty = |like: &Tensor| like.device().empty(like.dtype(), like.shape());
        let (mut d_q, mut d_k, mut d_v) = (empty(&q), empty(&k), empty(&v));
        let d_out = d_out.into_dtype(q.dtype());
        let precision = precision_of(q.dtype());
        let outputs = (d_q.storage_mut(), d_k.storage_mut(), d_v.storage_mut());
        with_elements!(
            (
                q.storage(),
                k.storage(),
                v.storage(),
                out.storage(),
                d_out.storage(),
                outputs.0,
                outputs.1,
                outputs.2
            ),
            |q, k, v, out, d_out, d_q, d_k, d_v| {
                let inputs = AttentionInputs {
                    q: Rows::contiguous(q, tokens, q_width),
                    k: Rows::contiguous(k, tokens, kv_width),
                    v: Rows::contiguous(v, tokens, kv_width),
                    segments: spec.segments.as_deref(),
                    key_lens: None,
                };
                let outputs = AttentionOutputs {
                    out: Rows::contiguous(out, tokens, q_width),
                    lse: &lse,
                    d_out: Rows::contiguous(d_out, tokens, q_width),
                };
                let mut gradients = AttentionGradients {
                    d_q: RowsMut::contiguous(d_q, tokens, q_width),
                    d_k: RowsMut::contiguous(d_k, tokens, kv_width),
                    d_v: RowsMut::contiguous(d_v, tokens, kv_width),
                };
                kernel::attention_backward(
                    cpu,
                    precision,
                    &shape,
                    &inputs,
                    &outputs,
                    &mut gradients,
                );
            }
        );
        Ok(vec![Some(d_q), Some(d_k), Some(d_v)])
    }
}

/// Products are computed in the precision of the elements.
pub(super) fn precision_of(dtype: DType) -> Precision {
    match dtype {
        DType::F32 => Precision::F32,
        DType::Bf16 => Precision::Bf16,
    }
}
