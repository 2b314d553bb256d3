//! Qwen3 with experts (Qwen team 2025, arXiv:2505.09388). What is special, next to
//! [`super::qwen3`]:
//!
//! - the feed-forward part is a mixture of many narrow experts: a router gives each token to the
//!   `num_experts_per_tok` most probable, whose weights add up to one where `norm_topk_prob` says
//!   so;
//! - blocks in `mlp_only_layers`, and all but one in `decoder_sparse_step`, have a plain one.

use serde_json::json;

use super::{qwen2, qwen3};
use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::{
    Builder, Decoder, DecoderConfig, ExpertChoice, Experts, GatedMlp, GatedMlpSpec, PreNormBlock,
    SelfAttentionSpec, Sight,
};
use crate::{BuildOptions, CausalLm, Family, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "qwen3_moe",
    architecture: "Qwen3MoeForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "qwen3moe",
        has_experts: true,
        keys: names::KEYS,
        tensors: &[
            names::OUTLINE,
            names::PRE_NORMS,
            names::ATTENTION,
            names::GATED_MLP,
            names::QWEN_EXPERTS,
        ],
        // The programs that read such files renormalise, and look for experts in every block.
        implied: |json| {
            json.insert("norm_topk_prob".to_owned(), true.into());
            json.insert("mlp_only_layers".to_owned(), json!([]));
            json.insert("decoder_sparse_step".to_owned(), 1.into());
        },
    },
    build,
};

fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let keys = qwen3::keys(&json.with_defaults(json!({
        "num_key_value_heads": 4,
        // Under its old name where files are older than version 5 of the reference library.
        "num_local_experts": json.get_or("num_experts", 128)?,
        "norm_topk_prob": false,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    })))?;
    let config = DecoderConfig::read(&keys)?;
    let attention = qwen3::attention(&keys, &config)?;
    let windows = qwen2::windows(&keys, config.shape.num_layers)?;
    let plain = GatedMlpSpec::swiglu(&config.shape);
    let expert = GatedMlpSpec { ffn_size: keys.get("moe_intermediate_size")?, ..plain };
    let choice = ExpertChoice::read(&keys, keys.get("norm_topk_prob")?)?;
    let sparse = sparse_layers(&keys, config.shape.num_layers)?;
    let block = |at: &Builder, index: usize| {
        let sight = Sight { window: windows[index], ..attention.sight };
        let attention = SelfAttentionSpec { sight, ..attention.clone() };
        let mlp = at.at("mlp");
        match sparse[index] {
            true => {
                let experts = Experts::build(&mlp, choice, expert);
                PreNormBlock::build(at, &attention, config.norm, experts)
            }
            false => PreNormBlock::build(at, &attention, config.norm, GatedMlp::build(&mlp, plain)),
        }
    };
    Ok(Box::new(Decoder::build(&FAMILY, &keys, &config, options, block)))
}

/// Which blocks have experts.
fn sparse_layers(keys: &ConfigJson, num_layers: usize) -> Result<Vec<bool>> {
    let (step, plain): (usize, Vec<usize>) =
        (keys.get("decoder_sparse_step")?, keys.get("mlp_only_layers")?);
    if step == 0 {
        return Err(keys.error("`decoder_sparse_step` is 0; one block in so many has experts"));
    }
    let has_experts = |index| !plain.contains(&index) && (index + 1).is_multiple_of(step);
    Ok((0..num_layers).map(has_experts).collect())
}
