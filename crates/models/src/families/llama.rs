//! LLaMA (Touvron et al. 2023, arXiv:2302.13971), with the grouped heads of LLaMA 2
//! (arXiv:2307.09288) and the long contexts of LLaMA 3.1 (arXiv:2407.21783). SmolLM, TinyLlama and
//! BioMedGPT-LM are of this family. What is special:
//!
//! - the norm comes before each part and is RMS only: a gain, no mean, no bias;
//! - positions enter by rotating queries and keys, nowhere else (RoPE, arXiv:2104.09864), slow
//!   rotations slowed further where a context was stretched after training;
//! - several query heads share one key/value head (GQA, Ainslie et al. 2023, arXiv:2305.13245);
//! - the feed-forward part is gated: SwiGLU (arXiv:2002.05202);
//! - no biases, unless `attention_bias` or `mlp_bias` say so;
//! - the head is the embedding table or a matrix of its own.
//!
//! The outline, from embedding to head, is [`Decoder`]; the block is [`PreNormBlock`].

use serde_json::{Value, json};

use crate::config::{ConfigJson, SpecialIds};
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Decoder, DecoderConfig, GatedMlp, GatedMlpSpec, PreNormBlock, SelfAttentionSpec,
};
use crate::{BuildOptions, CausalLm, Family, ModelShape, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "llama",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::OUTLINE, names::PRE_NORMS, names::ADJACENT_ATTENTION, names::GATED_MLP],
        implied: |_| (),
    },
    build,
};

/// What is absent in a published file.
fn defaults() -> Value {
    json!({
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": false,
        "attention_bias": false,
        "mlp_bias": false,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    keys.only("hidden_act", "silu")?;
    let config = DecoderConfig::read(&keys)?;
    let bias = keys.get("attention_bias")?;
    let attention = SelfAttentionSpec { qkv_bias: bias, output_bias: bias, ..config.attention() };
    let mlp = GatedMlpSpec { bias: keys.get("mlp_bias")?, ..GatedMlpSpec::swiglu(&config.shape) };
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, _| {
        PreNormBlock::build(at, &attention, config.norm, GatedMlp::build(&at.at("mlp"), mlp))
    })))
}

/// A LLaMA to be trained from the start, as recipes describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// The sizes.
    pub shape: ModelShape,
    /// Added to the mean square under the root of the norms.
    pub norm_eps: f64,
    /// Base of the rotation frequencies.
    pub rope_theta: f64,
    /// Whether the head is the embedding table.
    pub tie_embeddings: bool,
    /// Begin, end and padding.
    pub special_ids: SpecialIds,
}

impl LlamaConfig {
    /// Under the published keys, old and new, so that every version of the reference library
    /// understands them.
    #[must_use]
    pub fn write(&self) -> Value {
        let shape = &self.shape;
        let mut json = json!({
            "architectures": [FAMILY.architecture],
            "model_type": FAMILY.model_type,
            "vocab_size": shape.vocab_size,
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.ffn_size,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "num_key_value_heads": shape.num_kv_heads,
            "head_dim": shape.head_dim,
            "max_position_embeddings": shape.context_len,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "rope_parameters": { "rope_type": "default", "rope_theta": self.rope_theta },
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "tie_word_embeddings": self.tie_embeddings,
            "torch_dtype": "float32",
            "dtype": "float32",
        });
        self.special_ids.write(&mut json);
        json
    }
}
