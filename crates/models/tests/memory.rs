//! The memory plan against what the arena measures.
#![allow(clippy::unwrap_used)]

mod common;

use common::{MODELS, folder, options};
use danlu_models::config::{ConfigJson, SpecialIds};
use danlu_models::families::find_family;
use danlu_models::{CausalLm, Gpt2Config, ModelInput, ModelShape, TrainingSetup, memory_plan};
use danlu_tensor::{Device, Precision, backward};

/// A model dominated by its activations.
const DEEP: ModelShape = ModelShape {
    num_layers: 4,
    num_heads: 4,
    num_kv_heads: 4,
    head_dim: 32,
    hidden_size: 128,
    ffn_size: 384,
    vocab_size: 512,
    context_len: 256,
};

/// A model dominated by its vocabulary.
const WIDE: ModelShape = ModelShape {
    num_layers: 2,
    num_heads: 2,
    num_kv_heads: 2,
    head_dim: 32,
    hidden_size: 64,
    ffn_size: 128,
    vocab_size: 8192,
    context_len: 256,
};

/// The configuration of a golden model with these sizes instead of its own.
fn config(name: &str, shape: ModelShape) -> serde_json::Value {
    if name == "gpt2" {
        let special_ids = SpecialIds::default();
        return Gpt2Config { shape, norm_eps: 1e-5, special_ids }.write();
    }
    let text = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (key, value) in [
        ("hidden_size", shape.hidden_size),
        ("intermediate_size", shape.ffn_size),
        ("num_hidden_layers", shape.num_layers),
        ("num_attention_heads", shape.num_heads),
        ("num_key_value_heads", shape.num_kv_heads),
        ("head_dim", shape.head_dim),
        ("vocab_size", shape.vocab_size),
        ("max_position_embeddings", shape.context_len),
    ] {
        json[key] = value.into();
    }
    json["layer_types"] = serde_json::Value::Null;
    if name == "qwen3-moe" {
        // As wide as the others together, and in every block.
        json["moe_intermediate_size"] = (shape.ffn_size / 2).into();
        json["mlp_only_layers"] = serde_json::json!([]);
    }
    if name == "phi3" {
        // Its rotation is a list for the width of its heads.
        json["rope_parameters"] = serde_json::json!({ "rope_theta": 1e4 });
    }
    json
}

/// The most bytes that the arena of `model` ever held in one training step.
fn measured_peak(model: &dyn CausalLm, setup: &TrainingSetup) -> usize {
    let params = model.params();
    params.initialise(1);
    params.enable_gradients();
    let count = setup.batch * setup.tokens;
    let ids: Vec<u32> = (0..count).map(|i| (i * 31 % model.shape().vocab_size) as u32).collect();
    let targets: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let loss = model.loss(&ModelInput::new(&ids, setup.batch), &targets, 1.0).unwrap().loss;
    backward(&loss, loss.device().tensor(loss.dtype(), loss.shape(), &[1.0])).unwrap();
    let Device::Cpu(cpu) = params.device();
    cpu.arena.peak()
}

#[test]
fn the_plan_is_what_a_step_needs() {
    let deep = MODELS.iter().map(|name| (name, DEEP));
    for (name, shape) in deep.chain([(&"llama-gqa", WIDE), (&"gpt2", WIDE)]) {
        for precision in [Precision::F32, Precision::Bf16] {
            for recompute in [false, true] {
                let options = options(2, precision, recompute);
                let json = ConfigJson::new("test", config(name, shape));
                let model = (find_family(&json).unwrap().build)(&json, &options).unwrap();
                let setup = TrainingSetup { batch: 4, tokens: 64, optimizer_bytes_per_weight: 0 };
                let plan = memory_plan(model.as_ref(), &setup);
                let peak = measured_peak(model.as_ref(), &setup);
                let share = plan.total() as f64 / peak as f64;
                assert!(
                    (0.85..=1.15).contains(&share),
                    "{name} {precision:?}, recompute {recompute}: {share:.2} of {peak} bytes, \
                         planned {plan:?}"
                );
            }
        }
    }
}
