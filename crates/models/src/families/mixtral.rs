//! Mixtral (Jiang et al. 2024, arXiv:2401.04088). What is special, next to [`super::mistral`]:
//!
//! - the feed-forward part is a mixture of experts: a router gives each token to the two most
//!   probable of eight, whose weights are made to add up to one.

use serde_json::{Value, json};

use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Decoder, DecoderConfig, ExpertChoice, Experts, GatedMlpSpec, PreNormBlock, SelfAttentionSpec,
    Sight,
};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "mixtral",
    architecture: "MixtralForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "llama",
        has_experts: true,
        keys: names::KEYS,
        tensors: &[
            names::OUTLINE,
            names::PRE_NORMS,
            names::ADJACENT_ATTENTION,
            names::MIXTRAL_EXPERTS,
        ],
        implied: |_| (),
    },
    build,
};

/// What is absent in a published file.
fn defaults() -> Value {
    json!({
        "max_position_embeddings": 131_072,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": false,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    })
}

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = json.with_defaults(defaults());
    keys.only("hidden_act", "silu")?;
    keys.only("layer_types", Value::Null)?;
    let config = DecoderConfig::read(&keys)?;
    let sight = Sight { window: keys.window()?, ..Sight::default() };
    let attention = SelfAttentionSpec { sight, ..config.attention() };
    let choice = ExpertChoice::read(&keys, true)?;
    let expert = GatedMlpSpec { names: ["w1", "w3", "w2"], ..GatedMlpSpec::swiglu(&config.shape) };
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, |at, _| {
        let experts = Experts::build(&at.at("block_sparse_moe"), choice, expert);
        PreNormBlock::build(at, &attention, config.norm, experts)
    })))
}
