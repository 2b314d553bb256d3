//! Causal attention over heads, with or without a cache: the only block that knows of one.

use danlu_tensor::ops::{self, AttentionSpec, CachedSequence};
use danlu_tensor::{Result, Tensor};

use super::Pass;
use crate::ModelShape;
use crate::cache::LayerCache;

/// What a query makes of the keys before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sight {
    /// How many keys it sees at most, itself included; all earlier ones if `None`.
    pub window: Option<usize>,
    /// What scores are multiplied by, `1 / sqrt(Dh)` if `None`.
    pub scale: Option<f32>,
    /// The bound that scaled scores approach; none if `None`.
    pub cap: Option<f32>,
}

/// Softmax attention between projected queries, keys and values. It has no parameters.
pub struct Attention {
    shape: ModelShape,
    sight: Sight,
}

impl Attention {
    /// Attention with the heads of `shape`.
    #[must_use]
    pub fn new(shape: &ModelShape, sight: Sight) -> Self {
        Self { shape: *shape, sight }
    }

    /// The model's sizes.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// `q: [B * T, H * Dh]`, `k, v: [B * T, K * Dh]` -> `[B * T, H * Dh]`. With a cache, keys and
    /// values are added to it and queries see all it holds.
    ///
    /// # Errors
    /// When shapes do not fit, or gradients are asked for through a cache.
    pub fn forward(
        &self,
        [q, k, v]: [Tensor; 3],
        pass: &Pass,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let spec = AttentionSpec {
            batch: pass.batch,
            num_heads: self.shape.num_heads,
            num_kv_heads: self.shape.num_kv_heads,
            head_dim: self.shape.head_dim,
            scale: self.sight.scale,
            cap: self.sight.cap,
            window: self.sight.window,
            segments: pass.segments.clone(),
        };
        let Some(cache) = cache else { return ops::attention(&q, &k, &v, &spec) };
        for CachedSequence { queries, keys } in cache.sequences.iter() {
            let start = keys.end - queries.len();
            cache.k.write(&k, queries.clone(), start)?;
            cache.v.write(&v, queries.clone(), start)?;
        }
        ops::attention_cached(&q, [&cache.k, &cache.v], &cache.sequences, &spec)
    }

    /// [`Attention::forward`] of queries, keys and values side by side,
    /// `[B * T, (H + 2 K) * Dh]`.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    ///
    /// # Panics
    /// Never: there are as many parts as widths.
    pub fn forward_packed(
        &self,
        qkv: &Tensor,
        pass: &Pass,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let (q_width, kv_width) = (self.shape.q_width(), self.shape.kv_width());
        let parts = ops::split_columns(qkv, &[q_width, kv_width, kv_width])?;
        let parts = parts.try_into().unwrap_or_else(|_| unreachable!("one part for each width"));
        self.forward(parts, pass, cache)
    }
}
