//! Qwen3 (Qwen team 2025, arXiv:2505.09388). What is special, next to [`super::qwen2`]:
//!
//! - each head of queries and keys is normed before it is rotated, all with one gain;
//! - no biases, unless `attention_bias` says so;
//! - heads are 128 wide whatever the model's width.

use serde_json::json;

use super::qwen2;
use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Decoder, DecoderConfig, GatedMlp, GatedMlpSpec, PreNormBlock, SelfAttentionSpec, Sight,
};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "qwen3",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::OUTLINE, names::PRE_NORMS, names::ATTENTION, names::GATED_MLP],
        implied: |_| (),
    },
    build,
};

/// The keys with what is absent in a published file.
pub(super) fn keys(json: &ConfigJson) -> Result<ConfigJson> {
    let keys = json.with_defaults(json!({ "head_dim": 128 })).with_defaults(qwen2::defaults());
    keys.only("hidden_act", "silu")?;
    Ok(keys)
}

/// Attention of the block number `index`, given that of all blocks.
pub(super) fn attention(keys: &ConfigJson, config: &DecoderConfig) -> Result<SelfAttentionSpec> {
    let bias = keys.get("attention_bias")?;
    let head_norm = Some(config.norm);
    Ok(SelfAttentionSpec { qkv_bias: bias, output_bias: bias, head_norm, ..config.attention() })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = keys(json)?;
    let config = DecoderConfig::read(&keys)?;
    let attention = attention(&keys, &config)?;
    let windows = qwen2::windows(&keys, config.shape.num_layers)?;
    let mlp = GatedMlpSpec::swiglu(&config.shape);
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, index| {
        let sight = Sight { window: windows[index], ..attention.sight };
        let attention = SelfAttentionSpec { sight, ..attention.clone() };
        PreNormBlock::build(at, &attention, config.norm, GatedMlp::build(&at.at("mlp"), mlp))
    })))
}
