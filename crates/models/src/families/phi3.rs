//! Phi-3 and Phi-4-mini (Microsoft 2024, arXiv:2404.14219; 2025, arXiv:2503.01743). What is
//! special, next to [`super::llama`]:
//!
//! - queries, keys and values come out of one matrix, `qkv_proj`, gate and up out of another,
//!   `gate_up_proj`;
//! - contexts are stretched by a measured factor for each pair (LongRoPE); the context here ends
//!   where the list for short texts does;
//! - a part of each head stays unrotated in some (`partial_rotary_factor`);
//! - a token sees the last `sliding_window` tokens only, where a file names a window.

use danlu_tensor::Tensor;
use danlu_tensor::ops::{Layout, split_columns, swiglu};
use serde_json::{Value, json};

use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::builder::{normal, normal_residual};
use crate::layers::{
    Builder, Decoder, DecoderConfig, FeedForward, Linear, LinearSpec, PreNormBlock, QkvLayout,
    SelfAttentionSpec, Sight,
};
use crate::memory::BlockActivations;
use crate::{BuildOptions, CausalLm, Family, ModelShape, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "phi3",
    architecture: "Phi3ForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "phi3",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::OUTLINE, names::PRE_NORMS, names::ATTENTION, names::GATED_MLP],
        implied: |_| (),
    },
    build,
};

/// What is absent in a published file.
fn defaults() -> Value {
    json!({
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": false,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    keys.only("hidden_act", "silu")?;
    let config = DecoderConfig::read(&keys)?;
    let attention = SelfAttentionSpec {
        qkv: QkvLayout::Parts("qkv_proj"),
        sight: Sight { window: keys.window()?, ..Sight::default() },
        ..config.attention()
    };
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, _| {
        let mlp = FusedMlp::build(&at.at("mlp"), config.shape);
        PreNormBlock::build(at, &attention, config.norm, mlp)
    })))
}

/// SwiGLU whose gate and up are one matrix, gate first.
struct FusedMlp {
    gate_up_proj: Linear,
    down_proj: Linear,
    shape: ModelShape,
}

impl FusedMlp {
    fn build(at: &Builder, shape: ModelShape) -> Self {
        let linear = |name, inputs, outputs, init| {
            let spec = LinearSpec { inputs, outputs, layout: Layout::OutIn, bias: false, init };
            Linear::build(&at.at(name), spec)
        };
        let (width, inner) = (shape.hidden_size, shape.ffn_size);
        Self {
            gate_up_proj: linear("gate_up_proj", width, 2 * inner, normal()),
            down_proj: linear("down_proj", inner, width, normal_residual(shape.num_layers)),
            shape,
        }
    }

    fn inner(&self, x: &Tensor) -> danlu_tensor::Result<Tensor> {
        let fused = self.gate_up_proj.forward(x)?;
        let parts = split_columns(&fused, &[self.shape.ffn_size; 2])?;
        swiglu(&parts[0], &parts[1])
    }
}

impl FeedForward for FusedMlp {
    fn forward(&self, x: &Tensor) -> danlu_tensor::Result<Tensor> {
        self.down_proj.forward(&self.inner(x)?)
    }

    fn add_to(&self, residual: &Tensor, x: &Tensor) -> danlu_tensor::Result<Tensor> {
        self.down_proj.add_to(residual, &self.inner(x)?)
    }

    fn activations(&self) -> BlockActivations {
        BlockActivations {
            kept_f32: 0,
            // Its input; gate, up and their product.
            kept_compute: self.shape.hidden_size + 3 * self.shape.ffn_size,
            // The gradients of gate and up, apart and side by side.
            backward_compute: 4 * self.shape.ffn_size,
        }
    }
}
