//! Attention with its projections, as LLaMA's descendants have it: queries, keys and values out of
//! three matrices, rotated by position.

use std::sync::Arc;

use danlu_tensor::ops::{Layout, RmsNormSpec, RopeTables, rope};
use danlu_tensor::{Result, Tensor};

use super::attention::{Attention, Sight};
use super::builder::{normal, normal_residual};
use super::norm::HeadNorm;
use super::{Builder, Linear, LinearSpec, Pass};
use crate::ModelShape;
use crate::cache::LayerCache;
use crate::memory::BlockActivations;

/// What an attention is to be.
#[derive(Clone)]
pub struct SelfAttentionSpec {
    /// The sizes.
    pub shape: ModelShape,
    /// How positions rotate.
    pub rope: Arc<RopeTables>,
    /// Who sees whom, and what scores are multiplied by.
    pub sight: Sight,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the output has a bias.
    pub output_bias: bool,
    /// The norm of each head of queries and keys before it is rotated, if there is one.
    pub head_norm: Option<RmsNormSpec>,
}

/// `q_proj`, `k_proj`, `v_proj`, softmax attention and `o_proj`.
pub struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    head_norms: Option<[HeadNorm; 2]>,
    rope: Arc<RopeTables>,
    attention: Attention,
    o_proj: Linear,
}

impl SelfAttention {
    /// Adds the projections at `at`, with `q_norm` and `k_norm` `[Dh]` if heads have a norm.
    #[must_use]
    pub fn build(at: &Builder, spec: &SelfAttentionSpec) -> Self {
        let shape = &spec.shape;
        let linear = |name, outputs| {
            let (inputs, layout, bias) = (shape.hidden_size, Layout::OutIn, spec.qkv_bias);
            let init = normal();
            Linear::build(&at.at(name), LinearSpec { inputs, outputs, layout, bias, init })
        };
        let output = LinearSpec {
            inputs: shape.q_width(),
            outputs: shape.hidden_size,
            layout: Layout::OutIn,
            bias: spec.output_bias,
            init: normal_residual(shape.num_layers),
        };
        let head_norm = |norm: RmsNormSpec| {
            ["q_norm", "k_norm"].map(|name| HeadNorm::build(&at.at(name), shape.head_dim, norm))
        };
        Self {
            q_proj: linear("q_proj", shape.q_width()),
            k_proj: linear("k_proj", shape.kv_width()),
            v_proj: linear("v_proj", shape.kv_width()),
            head_norms: spec.head_norm.map(head_norm),
            rope: Arc::clone(&spec.rope),
            attention: Attention::new(shape, spec.sight),
            o_proj: Linear::build(&at.at("o_proj"), output),
        }
    }

    /// What heads see, before `o_proj`: `x: [rows, D]` in the compute type -> `[rows, H * Dh]`.
    fn heads(&self, x: &Tensor, pass: &Pass, cache: Option<&mut LayerCache>) -> Result<Tensor> {
        let shape = self.attention.shape();
        let projections = [&self.q_proj, &self.k_proj, &self.v_proj];
        let [mut q, mut k, v] = Linear::forward_all(projections, x)?;
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
