//! Gemma 2 (Gemma team 2024, arXiv:2408.00118). What is special, next to [`super::llama`]:
//!
//! - each part has a norm before it and one behind it; norms multiply by `1 + weight`;
//! - embeddings are multiplied by the root of the model's width;
//! - every other block, the first included, sees the last `sliding_window` tokens only;
//! - scores are divided by the root of `query_pre_attn_scalar`, not of the heads' width, and have a
//!   bound, as the logits do (`attn_logit_softcapping`, `final_logit_softcapping`);
//! - the gate goes through GELU in its tanh form (GeGLU, arXiv:2002.05202);
//! - the head is the embedding table.

use danlu_tensor::ops::{RmsNormSpec, geglu};
use serde_json::{Map, Value, json};

use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Decoder, DecoderConfig, GatedMlpSpec, SandwichBlock, SelfAttentionSpec, Sight,
};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "gemma2",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::GEMMA_NORMS, names::OUTLINE, names::ATTENTION, names::GATED_MLP],
        implied: |json| implied(json, 46),
    },
    build,
};

/// What a GGUF leaves to the program that reads it: scores are divided by the root of the heads'
/// width, in the largest model (known by its blocks) of the width divided among the heads.
pub(super) fn implied(json: &mut Map<String, Value>, largest: u64) {
    let size = |key: &str| json.get(key).and_then(Value::as_u64);
    let scalar = match (size("hidden_size"), size("num_attention_heads")) {
        (Some(width), Some(heads)) if size("num_hidden_layers") == Some(largest) && heads > 0 => {
            Some(width / heads)
        }
        _ => size("head_dim"),
    };
    json.insert("query_pre_attn_scalar".to_owned(), scalar.into());
}

/// What is absent in a published file.
fn defaults() -> Value {
    json!({
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": true,
        "attention_bias": false,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    let config = config(&keys)?;
    let attention = attention(&keys, &config)?;
    let windows = keys.windows(config.shape.num_layers, |index| index % 2 == 0)?;
    let mlp = mlp(&config);
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, index| {
        let sight = Sight { window: windows[index], ..attention.sight };
        let attention = SelfAttentionSpec { sight, ..attention.clone() };
        SandwichBlock::build(at, &attention, config.norm, mlp)
    })))
}

/// The outline: scaled embeddings, gains that are stored less one, a bound for logits.
pub(super) fn config(keys: &ConfigJson) -> Result<DecoderConfig> {
    for name in ["hidden_activation", "hidden_act"] {
        keys.only(name, "gelu_pytorch_tanh")?;
    }
    keys.only("use_bidirectional_attention", false)?;
    let config = DecoderConfig::read(keys)?;
    Ok(DecoderConfig {
        norm: RmsNormSpec { offset: 1.0, ..config.norm },
        embedding_scale: (config.shape.hidden_size as f32).sqrt(),
        logit_cap: keys.bound("final_logit_softcapping")?,
        ..config
    })
}

/// Attention of all blocks but for their windows.
pub(super) fn attention(keys: &ConfigJson, config: &DecoderConfig) -> Result<SelfAttentionSpec> {
    let bias = keys.get("attention_bias")?;
    let scalar: f32 = keys.get("query_pre_attn_scalar")?;
    if !(scalar > 0.0 && scalar.is_finite()) {
        let message =
            format!("`query_pre_attn_scalar` is {scalar}; scores are divided by its root");
        return Err(keys.error(message));
    }
    let cap = keys.bound("attn_logit_softcapping")?;
    let sight = Sight { scale: Some(1.0 / scalar.sqrt()), cap, ..Sight::default() };
    Ok(SelfAttentionSpec { sight, qkv_bias: bias, output_bias: bias, ..config.attention() })
}

/// GeGLU under LLaMA's names.
pub(super) fn mlp(config: &DecoderConfig) -> GatedMlpSpec {
    GatedMlpSpec { activation: geglu, ..GatedMlpSpec::swiglu(&config.shape) }
}
