//! Mistral (Jiang et al. 2023, arXiv:2310.06825). What is special, next to [`super::llama`]:
//!
//! - a token sees the last `sliding_window` tokens only, where a file names a window (the first
//!   version did, later ones do not);
//! - heads may be narrower than the model's width divided among them (Mistral Nemo).

use serde_json::{Value, json};

use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Decoder, DecoderConfig, GatedMlp, GatedMlpSpec, PreNormBlock, SelfAttentionSpec, Sight,
};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
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
        "max_position_embeddings": 131_072,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": false,
        "sliding_window": 4096,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    keys.only("hidden_act", "silu")?;
    keys.only("layer_types", Value::Null)?;
    let config = DecoderConfig::read(&keys)?;
    let sight = Sight { window: keys.window()?, ..Sight::default() };
    let attention = SelfAttentionSpec { sight, ..config.attention() };
    let mlp = GatedMlpSpec::swiglu(&config.shape);
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, _| {
        PreNormBlock::build(at, &attention, config.norm, GatedMlp::build(&at.at("mlp"), mlp))
    })))
}
