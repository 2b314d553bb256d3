//! The memory plan against what the arena measures.
#![allow(clippy::unwrap_used)]

mod common;

use common::options;
use danlu_models::config::{ConfigJson, SpecialIds};
use danlu_models::families::{gpt2, llama};
use danlu_models::{
    CausalLm, FAMILIES, Gpt2Config, LlamaConfig, ModelInput, ModelShape, TrainingSetup, memory_plan,
};
use danlu_tensor::{Device, Precision, backward};

/// A model dominated by its activations, and one dominated by its vocabulary.
const SHAPES: [ModelShape; 2] = [
    ModelShape {
        num_layers: 6,
        num_heads: 4,
        num_kv_heads: 4,
        head_dim: 32,
        hidden_size: 128,
        ffn_size: 384,
        vocab_size: 512,
        context_len: 256,
    },
    ModelShape {
        num_layers: 2,
        num_heads: 2,
        num_kv_heads: 2,
        head_dim: 32,
        hidden_size: 64,
        ffn_size: 128,
        vocab_size: 8192,
        context_len: 256,
    },
];

/// The published configuration of each family with these sizes.
fn config(model_type: &str, shape: ModelShape) -> serde_json::Value {
    let special_ids = SpecialIds::default();
    match model_type {
        "llama" => {
            let (rope_theta, tie_embeddings) = (1e4, false);
            LlamaConfig { shape, norm_eps: 1e-5, rope_theta, tie_embeddings, special_ids }.write()
        }
        "gpt2" => Gpt2Config { shape, norm_eps: 1e-5, special_ids }.write(),
        other => panic!("the family {other} has no configuration here"),
    }
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
    assert_eq!([&llama::FAMILY, &gpt2::FAMILY].len(), FAMILIES.len(), "a family is not tested");
    for family in FAMILIES {
        for shape in SHAPES {
            for precision in [Precision::F32, Precision::Bf16] {
                for recompute in [false, true] {
                    let options = options(2, precision, recompute);
                    let json = ConfigJson::new("test", config(family.model_type, shape));
                    let model = (family.build)(&json, &options).unwrap();
                    let setup =
                        TrainingSetup { batch: 4, tokens: 128, optimizer_bytes_per_weight: 0 };
                    let plan = memory_plan(model.as_ref(), &setup);
                    let peak = measured_peak(model.as_ref(), &setup);
                    let share = plan.total() as f64 / peak as f64;
                    let name = family.model_type;
                    assert!(
                        (0.85..=1.15).contains(&share),
                        "{name} {precision:?}, recompute {recompute}: {share:.2} of {peak} bytes, \
                         planned {plan:?}"
                    );
                }
            }
        }
    }
}
