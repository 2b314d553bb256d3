//! Gemma 3, the text model (Gemma team 2025, arXiv:2503.19786). What is special, next to
//! [`super::gemma2`]:
//!
//! - each head of queries and keys is normed before it is rotated, all with one gain;
//! - five blocks of six see the last `sliding_window` tokens only, the sixth sees all;
//! - the two kinds rotate at bases of their own, and only the rotation of the blocks that see all
//!   is stretched for long contexts;
//! - neither scores nor logits have a bound, unless a file names one.

use std::sync::Arc;

use danlu_tensor::ops::RopeTables;
use serde_json::{Value, json};

use super::gemma2;
use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::rope::rope_from;
use crate::layers::{Decoder, SandwichBlock, SelfAttentionSpec, Sight};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq", "rotary_emb_local.inv_freq"],
    gguf: GgufNames {
        architecture: "gemma3",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::GEMMA_NORMS, names::OUTLINE, names::ATTENTION, names::GATED_MLP],
        implied: |json| gemma2::implied(json, 62),
    },
    build,
};

/// One block in so many sees all tokens, unless a file says otherwise.
const PATTERN: usize = 6;

/// What is absent in a published file; since version 5 of the reference library the rotations are
/// in one object, before it the local one had a key of its own.
fn defaults() -> Value {
    json!({
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
        "tie_word_embeddings": true,
        "attention_bias": false,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    let [global, local] = rotations(&keys)?;
    let config = gemma2::config(&global)?;
    let attention = gemma2::attention(&global, &config)?;
    let rope = RopeTables::from_spec(rope_from(&local, &local, &config.shape)?);
    let local = SelfAttentionSpec {
        rope: Arc::new(rope),
        head_norm: Some(config.norm),
        ..attention.clone()
    };
    let global_attention = SelfAttentionSpec { head_norm: Some(config.norm), ..attention };
    let pattern = match global.find("sliding_window_pattern")? {
        Some(count) => count,
        None => global.get_or("_sliding_window_pattern", PATTERN)?,
    };
    if pattern == 0 {
        return Err(keys.error("`sliding_window_pattern` is 0; one block in so many sees all"));
    }
    let sees_part = |index: usize| !(index + 1).is_multiple_of(pattern);
    let windows = global.windows(config.shape.num_layers, sees_part)?;
    let mlp = gemma2::mlp(&config);
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, index| {
        let kind = if windows[index].is_some() { &local } else { &global_attention };
        let sight = Sight { window: windows[index], ..kind.sight };
        let attention = SelfAttentionSpec { sight, ..kind.clone() };
        SandwichBlock::build(at, &attention, config.norm, mlp)
    })))
}

/// The configuration as blocks that see all and blocks that see a part read it: each with its own
/// rotation under the common keys.
fn rotations(keys: &ConfigJson) -> Result<[ConfigJson; 2]> {
    let of_kind = |kind: &str| {
        let parameters = keys.object("rope_parameters")?.object(kind)?;
        Some(parameters.value().clone())
    };
    let base: f64 = keys.get("rope_local_base_freq")?;
    let plain = json!({ "rope_type": "default", "rope_theta": base });
    let local = of_kind("sliding_attention").unwrap_or(plain);
    let mut global = keys.value().clone();
    if let Some(parameters) = of_kind("full_attention") {
        global["rope_parameters"] = parameters;
    }
    Ok([keys.with_value(global), keys.with_value(local)])
}
