//! The block of LLaMA and most of its descendants: each part reads a normed copy of the residual
//! stream and adds to it.

use danlu_tensor::ops::RmsNormSpec;
use danlu_tensor::{Result, Tensor};

use super::{Block, Builder, FeedForward, Pass, RmsNorm, SelfAttention, SelfAttentionSpec};
use crate::cache::LayerCache;
use crate::memory::BlockActivations;

/// `x += attention(norm(x)); x += mlp(norm(x))`.
pub struct PreNormBlock {
    input_layernorm: RmsNorm,
    self_attn: SelfAttention,
    post_attention_layernorm: RmsNorm,
    mlp: Box<dyn FeedForward>,
}

impl PreNormBlock {
    /// Adds the norms and `self_attn` at `at`; `mlp` has its parameters already.
    #[must_use]
    pub fn build(
        at: &Builder,
        attention: &SelfAttentionSpec,
        norm: RmsNormSpec,
        mlp: impl FeedForward,
    ) -> Self {
        let norm = |name| RmsNorm::build(&at.at(name), attention.shape.hidden_size, norm);
        Self {
            input_layernorm: norm("input_layernorm"),
            self_attn: SelfAttention::build(&at.at("self_attn"), attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: Box::new(mlp),
        }
    }
}

impl Block for PreNormBlock {
    fn forward(&self, x: &Tensor, pass: &Pass, cache: Option<&mut LayerCache>) -> Result<Tensor> {
        let h = self.input_layernorm.forward(x)?;
        let x = self.self_attn.add_to(x, &h, pass, cache)?;
        let h = self.post_attention_layernorm.forward(&x)?;
        self.mlp.add_to(&x, &h)
    }

    fn activations(&self) -> BlockActivations {
        let norms =
            self.input_layernorm.activations() + self.post_attention_layernorm.activations();
        norms + self.self_attn.activations() + self.mlp.activations()
    }
}
