//! Golden values and models for the tests of this crate.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use danlu_formats::SafeTensors;
use danlu_models::{BuildOptions, CausalLm, ModelInput, load_model};
use danlu_tensor::{Device, Precision, Tensor, backward};
use serde_json::Value;

/// Every folder of golden values that has a model of its own.
pub const MODELS: &[&str] = &[
    "llama-gqa",
    "llama-tied",
    "llama3",
    "mistral",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "mixtral",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt2",
    "gpt-neox",
    "gpt-neox-serial",
];
/// Golden values that were computed with the model of another folder.
pub const OTHER_CASES: &[&str] = &["llama-packed"];

pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(name)
}

pub fn options(threads: usize, precision: Precision, recompute: bool) -> BuildOptions {
    let device = Device::cpu(threads).unwrap();
    BuildOptions { recompute, ..BuildOptions::trainable(device, precision) }
}

pub fn model(name: &str) -> Box<dyn CausalLm> {
    load_model(&folder(name), &options(2, Precision::F32, false)).unwrap()
}

/// What the reference library computed.
pub struct Golden {
    pub tensors: SafeTensors,
    pub scalars: Value,
    pub ids: Vec<u32>,
    pub targets: Vec<i32>,
    pub positions: Option<Arc<[u32]>>,
    pub segments: Option<Arc<[u32]>>,
    pub batch: usize,
}

impl Golden {
    pub fn load(name: &str) -> Self {
        let tensors = SafeTensors::open(&folder(name).join("golden.safetensors")).unwrap();
        let text = std::fs::read_to_string(folder(name).join("golden.json")).unwrap();
        let integers = |name: &str| tensors.tensor(name).and_then(|t| t.to_i64());
        let unsigned = |name: &str| -> Option<Arc<[u32]>> {
            integers(name).ok().map(|v| v.iter().map(|&x| u32::try_from(x).unwrap()).collect())
        };
        Self {
            scalars: serde_json::from_str(&text).unwrap(),
            ids: unsigned("ids").unwrap().to_vec(),
            targets: integers("targets").unwrap().iter().map(|&x| x as i32).collect(),
            positions: unsigned("positions"),
            segments: unsigned("segments"),
            batch: tensors.tensor("ids").unwrap().shape[0],
            tensors,
        }
    }

    pub fn input(&self) -> ModelInput<'_> {
        let mut input = ModelInput::new(&self.ids, self.batch);
        if let Some(positions) = &self.positions {
            input.positions = Arc::clone(positions);
        }
        input.segments = self.segments.clone();
        input
    }

    /// The folder whose weights the values were computed with.
    pub fn weights(&self) -> &str {
        self.scalars["weights"].as_str().unwrap()
    }

    pub fn loss(&self) -> f32 {
        self.scalars["loss"].as_f64().unwrap() as f32
    }

    /// How far the reference's bf16 gradients point the way of its f32 gradients.
    pub fn bf16_gradient_cosine(&self) -> f64 {
        self.scalars["bf16_gradient_cosine"].as_f64().unwrap()
    }

    /// What makes the sum of losses their mean.
    pub fn scale(&self) -> f32 {
        1.0 / self.targets.iter().filter(|&&t| t != -100).count() as f32
    }

    pub fn values(&self, name: &str) -> Vec<f32> {
        self.tensors.tensor(name).unwrap().to_f32().unwrap()
    }
}

/// The mean loss and the flat gradient of a model on a golden batch.
pub fn loss_and_gradient(model: &dyn CausalLm, golden: &Golden) -> (f32, Vec<f32>) {
    let store = model.params();
    if !store.wants_gradients() {
        store.enable_gradients();
    }
    store.clear_gradients();
    let loss = model.loss(&golden.input(), &golden.targets, golden.scale()).unwrap().loss;
    let value = loss.scalar();
    let one = loss.device().tensor(loss.dtype(), loss.shape(), &[1.0]);
    backward(&loss, one).unwrap();
    (value, store.with_gradients(|flat| flat.to_vec()))
}

/// The largest difference of two lists.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |max, d| if d > max || d.is_nan() { d } else { max })
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub fn logits(model: &dyn CausalLm, ids: &[u32], batch: usize) -> Vec<f32> {
    to_vec(model.logits(&ModelInput::new(ids, batch), None))
}

pub fn to_vec(tensor: danlu_models::Result<Tensor>) -> Vec<f32> {
    tensor.unwrap().to_vec()
}
