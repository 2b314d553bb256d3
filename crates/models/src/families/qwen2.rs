//! Qwen2 and Qwen2.5 (Qwen team 2024, arXiv:2407.10671 and arXiv:2412.15115). What is special,
//! next to [`super::llama`]:
//!
//! - queries, keys and values have biases, the output has none;
//! - some published files ask for windows in their upper blocks (`use_sliding_window`).

use serde_json::{Value, json};

use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Decoder, DecoderConfig, GatedMlp, GatedMlpSpec, PreNormBlock, SelfAttentionSpec, Sight,
};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "qwen2",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::OUTLINE, names::PRE_NORMS, names::ATTENTION, names::GATED_MLP],
        implied: |_| (),
    },
    build,
};

/// What is absent in a published file.
pub(super) fn defaults() -> Value {
    json!({
        "max_position_embeddings": 32_768,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": false,
        "use_sliding_window": false,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "attention_bias": false,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    keys.only("hidden_act", "silu")?;
    let config = DecoderConfig::read(&keys)?;
    let attention = SelfAttentionSpec { qkv_bias: true, ..config.attention() };
    let windows = windows(&keys, config.shape.num_layers)?;
    let mlp = GatedMlpSpec::swiglu(&config.shape);
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, index| {
        let sight = Sight { window: windows[index], ..attention.sight };
        let attention = SelfAttentionSpec { sight, ..attention.clone() };
        PreNormBlock::build(at, &attention, config.norm, GatedMlp::build(&at.at("mlp"), mlp))
    })))
}

/// The window of each block: by `layer_types` where a file has them, else those from
/// `max_window_layers` on have one, if windows are in use at all.
pub(super) fn windows(keys: &ConfigJson, num_layers: usize) -> Result<Vec<Option<usize>>> {
    if !keys.get::<bool>("use_sliding_window")? {
        return Ok(vec![None; num_layers]);
    }
    let first: usize = keys.get("max_window_layers")?;
    keys.windows(num_layers, |index| index >= first)
}
