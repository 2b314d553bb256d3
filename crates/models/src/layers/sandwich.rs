//! Gemma's block since its second version: each part has a norm before it and one behind it.

use danlu_tensor::ops::{RmsNormSpec, add};
use danlu_tensor::{Result, Tensor};

use super::{
    Block, Builder, FeedForward, GatedMlp, GatedMlpSpec, Pass, RmsNorm, SelfAttention,
    SelfAttentionSpec,
};
use crate::cache::LayerCache;
use crate::memory::BlockActivations;

/// `x += norm(attention(norm(x))); x += norm(mlp(norm(x)))`.
pub struct SandwichBlock {
    input_layernorm: RmsNorm,
    self_attn: SelfAttention,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    mlp: GatedMlp,
    post_feedforward_layernorm: RmsNorm,
    hidden_size: usize,
}

impl SandwichBlock {
    /// Adds the four norms, `self_attn` and `mlp` at `at`.
    #[must_use]
    pub fn build(
        at: &Builder,
        attention: &SelfAttentionSpec,
        norm: RmsNormSpec,
        mlp: GatedMlpSpec,
    ) -> Self {
        let hidden_size = attention.shape.hidden_size;
        let norm = |name| RmsNorm::build(&at.at(name), hidden_size, norm);
        Self {
            input_layernorm: norm("input_layernorm"),
            self_attn: SelfAttention::build(&at.at("self_attn"), attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm"),
            mlp: GatedMlp::build(&at.at("mlp"), mlp),
            post_feedforward_layernorm: norm("post_feedforward_layernorm"),
            hidden_size,
        }
    }
}

impl Block for SandwichBlock {
    fn forward(&self, x: &Tensor, pass: &Pass, cache: Option<&mut LayerCache>) -> Result<Tensor> {
        let h = self.self_attn.forward(&self.input_layernorm.forward(x)?, pass, cache)?;
        let x = add(x, &self.post_attention_layernorm.forward(&h)?)?;
        let h = self.mlp.forward(&self.pre_feedforward_layernorm.forward(&x)?)?;
        add(&x, &self.post_feedforward_layernorm.forward(&h)?)
    }

    fn activations(&self) -> BlockActivations {
        let before =
            self.input_layernorm.activations() + self.pre_feedforward_layernorm.activations();
        // What enters the norms behind the parts, and its root mean square.
        let behind = BlockActivations {
            kept_f32: 2,
            kept_compute: 2 * self.hidden_size,
            backward_compute: 0,
        };
        before + behind + self.self_attn.activations() + self.mlp.activations()
    }
}
