//! Attention with its projections: queries, keys and values out of one matrix or three, rotated by
//! position.

use std::sync::Arc;

use danlu_tensor::ops::{Layout, RmsNormSpec, RopeTables, rope, split_columns};
use danlu_tensor::{Result, Tensor};

use super::attention::{Attention, Sight};
use super::builder::{normal, normal_residual};
use super::norm::HeadNorm;
use super::{Builder, Linear, LinearSpec, Pass};
use crate::ModelShape;
use crate::cache::LayerCache;
use crate::memory::BlockActivations;

/// How queries, keys and values lie in the published files; names are those of one matrix for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkvLayout {
    /// Three matrices: `q_proj`, `k_proj`, `v_proj`.
    Separate,
    /// One matrix: all queries, all keys, all values.
    Parts(&'static str),
    /// One matrix: query, key and value of the first head, then of the next.
    Heads(&'static str),
}

/// What an attention is to be.
#[derive(Clone)]
pub struct SelfAttentionSpec {
    /// The sizes.
    pub shape: ModelShape,
    /// How positions rotate.
    pub rope: Arc<RopeTables>,
    /// Who sees whom, and what scores are multiplied by.
    pub sight: Sight,
    /// How queries, keys and values lie in the published files.
    pub qkv: QkvLayout,
    /// Whether they have a bias.
    pub qkv_bias: bool,
    /// The published name of the output matrix.
    pub output_name: &'static str,
    /// Whether the output has a bias.
    pub output_bias: bool,
    /// The norm of each head of queries and keys before it is rotated, if there is one.
    pub head_norm: Option<RmsNormSpec>,
}

/// Projections, softmax attention and the output matrix.
pub struct SelfAttention {
    projections: Projections,
    head_norms: Option<[HeadNorm; 2]>,
    rope: Arc<RopeTables>,
    attention: Attention,
    o_proj: Linear,
}

enum Projections {
    Separate(Box<[Linear; 3]>),
    Parts(Linear),
    Heads(Linear),
}

impl Projections {
    /// `x: [rows, D]` -> queries `[rows, H * Dh]`, keys and values `[rows, K * Dh]`.
    fn forward(&self, x: &Tensor, shape: &ModelShape) -> Result<[Tensor; 3]> {
        let (rows, head_dim) = (x.shape().rows(), shape.head_dim);
        let parts = match self {
            Self::Separate(layers) => return Linear::forward_all(layers.each_ref(), x),
            Self::Parts(layer) => {
                let widths = [shape.q_width(), shape.kv_width(), shape.kv_width()];
                split_columns(&layer.forward(x)?, &widths)?
            }
            Self::Heads(layer) => {
                let heads = [rows * shape.num_heads, 3 * head_dim];
                let parts = split_columns(&layer.forward(x)?.reshape(heads)?, &[head_dim; 3])?;
                let rows = |part: Tensor| part.reshape([rows, shape.q_width()]);
                parts.into_iter().map(rows).collect::<Result<_>>()?
            }
        };
        Ok(parts.try_into().unwrap_or_else(|_| unreachable!("one part for each width")))
    }
}

impl SelfAttention {
    /// Adds the projections at `at`, with `q_norm` and `k_norm` `[Dh]` if heads have a norm.
    #[must_use]
    pub fn build(at: &Builder, spec: &SelfAttentionSpec) -> Self {
        let shape = &spec.shape;
        let (q_width, kv_width) = (shape.q_width(), shape.kv_width());
        let linear = |name, outputs| {
            let (inputs, layout, bias) = (shape.hidden_size, Layout::OutIn, spec.qkv_bias);
            let init = normal();
            Linear::build(&at.at(name), LinearSpec { inputs, outputs, layout, bias, init })
        };
        let output = LinearSpec {
            inputs: q_width,
            outputs: shape.hidden_size,
            layout: Layout::OutIn,
            bias: spec.output_bias,
            init: normal_residual(shape.num_layers),
        };
        let head_norm = |norm: RmsNormSpec| {
            ["q_norm", "k_norm"].map(|name| HeadNorm::build(&at.at(name), shape.head_dim, norm))
        };
        let fused = |name| linear(name, q_width + 2 * kv_width);
        let projections = match spec.qkv {
            QkvLayout::Separate => Projections::Separate(Box::new([
                linear("q_proj", q_width),
                linear("k_proj", kv_width),
                linear("v_proj", kv_width),
            ])),
            QkvLayout::Parts(name) => Projections::Parts(fused(name)),
            QkvLayout::Heads(name) => Projections::Heads(fused(name)),
        };
        Self {
            projections,
            head_norms: spec.head_norm.map(head_norm),
            rope: Arc::clone(&spec.rope),
            attention: Attention::new(shape, spec.sight),
            o_proj: Linear::build(&at.at(spec.output_name), output),
        }
    }

    /// What heads see, before the output matrix: `x: [rows, D]` in the compute type ->
    /// `[rows, H * Dh]`.
    fn heads(&self, x: &Tensor, pass: &Pass, cache: Option<&mut LayerCache>) -> Result<Tensor> {
        let shape = self.attention.shape();
        let [mut q, mut k, v] = self.projections.forward(x, shape)?;
        if let Some([q_norm, k_norm]) = &self.head_norms {
            (q, k) = (q_norm.forward(q)?, k_norm.forward(k)?);
        }
        let q = rope(q, &pass.positions, &self.rope, shape.num_heads)?;
        let k = rope(k, &pass.positions, &self.rope, shape.num_kv_heads)?;
        self.attention.forward([q, k, v], pass, cache)
    }

    /// `x: [rows, D] -> [rows, D]` in the compute type.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn forward(
        &self,
        x: &Tensor,
        pass: &Pass,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        self.o_proj.forward(&self.heads(x, pass, cache)?)
    }

    /// `residual + forward(x)`, f32.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn add_to(
        &self,
        residual: &Tensor,
        x: &Tensor,
        pass: &Pass,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        self.o_proj.add_to(residual, &self.heads(x, pass, cache)?)
    }

    /// What it keeps for its backward: its input; queries, keys, values and what attention makes of
    /// them; attention's log-sum-exp.
    #[must_use]
    pub fn activations(&self) -> BlockActivations {
        let shape = self.attention.shape();
        let mut kept = BlockActivations {
            kept_f32: shape.num_heads,
            kept_compute: shape.hidden_size + 2 * (shape.q_width() + shape.kv_width()),
            backward_compute: 0,
        };
        if self.head_norms.is_some() {
            // Queries and keys as they enter their norms, with the root mean square of each head.
            kept.kept_compute += shape.q_width() + shape.kv_width();
            kept.kept_f32 += shape.num_heads + shape.num_kv_heads;
        }
        kept
    }
}
