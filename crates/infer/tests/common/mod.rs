//! Small random models and requests for the tests of this crate.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use danlu_infer::{Engine, EngineOptions, FinishReason, Request, Sampling};
use danlu_models::config::ConfigJson;
use danlu_models::families::find_family;
use danlu_models::{BuildOptions, CausalLm, load_model};
use danlu_tensor::{Device, Precision};

pub const MODELS: &[&str] = &["llama-gqa", "llama-tied", "mistral", "qwen3", "gpt2", "gpt-neox"];

pub const PROMPT: &[u32] = &[1, 7, 3, 9, 22, 4, 4, 40];

pub fn model(name: &str, threads: usize) -> Arc<dyn CausalLm> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(name);
    let device = Device::cpu(threads).unwrap();
    let options = BuildOptions::trainable(device, Precision::F32);
    Arc::from(load_model(&folder, &options).unwrap())
}

/// A random model with heads wide enough for every format of the cache.
pub fn wide_model(vocab_size: usize, context: usize, seed: u64) -> Arc<dyn CausalLm> {
    let json = serde_json::json!({
        "model_type": "llama", "vocab_size": vocab_size, "hidden_size": 128,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": context
    });
    let json = ConfigJson::new("config.json", json);
    let options = BuildOptions::trainable(Device::cpu(2).unwrap(), Precision::F32);
    let model = (find_family(&json).unwrap().build)(&json, &options).unwrap();
    model.params().initialise(seed);
    Arc::from(model)
}

pub fn options() -> EngineOptions {
    EngineOptions { slots: 1, context_len: 32, prefill_chunk: 5, kv_format: None }
}

pub fn request(ids: &[u32], max_new_tokens: usize, sampling: Sampling) -> Request {
    Request { sampling, ..Request::greedy(ids.to_vec(), max_new_tokens) }
}

pub fn lively(seed: u64) -> Sampling {
    Sampling { temperature: 1.0, top_p: Some(0.95), seed, ..Sampling::greedy() }
}

pub fn run(engine: &mut Engine, request: &Request) -> (Vec<u32>, FinishReason) {
    let cancel = AtomicBool::new(false);
    let mut generation = engine.start(request, &cancel).unwrap();
    let ids = generation.by_ref().map(|token| token.unwrap().id).collect();
    (ids, generation.finish_reason().unwrap())
}
