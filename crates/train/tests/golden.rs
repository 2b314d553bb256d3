//! Ten AdamW steps of every family against the reference library, in f32.
//!
//! The rules (learning rate, what decays, how gradients are clipped, the batch) stand in each
//! `golden.json`; losses, gradient norms before clipping and all final weights must agree.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use danlu_formats::SafeTensors;
use danlu_kernels::Precision;
use danlu_kernels::cpu::reduce::sum_of_squares;
use danlu_models::{BuildOptions, CausalLm, ModelInput, load_model};
use danlu_tensor::Device;
use danlu_tensor::autograd::backward;
use danlu_train::TrainConfig;
use danlu_train::optimizers::{Optimizer, StepSettings};
use danlu_train::trainer::clip_factor;
use serde_json::Value;

/// Every folder of golden values with ten optimiser steps.
const MODELS: &[&str] = &["llama-gqa", "llama-tied", "gpt2"];
/// Largest difference of a loss, which is about 5 and which the reference adds in another order.
const LOSS_TOLERANCE: f64 = 5e-6;
/// Largest difference of a gradient norm, as a share of it.
const NORM_TOLERANCE: f64 = 5e-6;
/// Largest distance of a parameter from the reference's, as a share of the way it went. Adam
/// divides by the size of the gradient, so where that is nearly 0 the rounding of sums decides the
/// step.
const WEIGHT_TOLERANCE: f64 = 1e-4;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models").join(name)
}

/// The settings of `golden.json` as a recipe would say them.
fn settings(golden: &Value) -> TrainConfig {
    let rules = &golden["optimizer"];
    assert_eq!(rules["kind"], "adamw");
    let number = |key: &str| rules[key].as_f64().unwrap();
    TrainConfig {
        learning_rate: number("learning_rate"),
        beta1: number("beta1"),
        beta2: number("beta2"),
        epsilon: number("epsilon"),
        weight_decay: number("weight_decay"),
        clip_norm: number("gradient_clip_norm"),
        steps: rules["steps"].as_u64().unwrap(),
        ..TrainConfig::default()
    }
}

/// One step as the trainer does it; the loss before it and the gradient's norm before clipping.
fn step(
    model: &dyn CausalLm,
    config: &TrainConfig,
    optimizer: &mut Optimizer,
    (input, targets): (&ModelInput<'_>, &[i32]),
    step: u64,
) -> (f64, f64) {
    let store = model.params();
    let Device::Cpu(cpu) = store.device();
    store.clear_gradients();
    let count = targets.iter().filter(|&&target| target >= 0).count();
    let out = model.loss(input, targets, 1.0 / count as f32).unwrap();
    let one = out.loss.device().tensor(out.loss.dtype(), [], &[1.0]);
    backward(&out.loss, one).unwrap();
    let norm = store.with_gradients(|gradients| sum_of_squares(cpu, gradients)).sqrt();
    optimizer.step(&StepSettings {
        config,
        step,
        gradient_scale: clip_factor(norm, config.clip_norm),
        learning_rate: config.learning_rate,
        muon_learning_rate: 0.0,
        precision: Precision::F32,
    });
    let sum: f64 = out.row_losses.iter().map(|&row| f64::from(row)).sum();
    (sum / count as f64, norm)
}

#[test]
fn ten_steps_equal_the_reference() {
    for name in MODELS {
        let text = std::fs::read_to_string(folder(name).join("golden.json")).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let tensors = SafeTensors::open(&folder(name).join("golden.safetensors")).unwrap();
        let integers = |name: &str| tensors.tensor(name).and_then(|t| t.to_i64()).unwrap();
        let ids: Vec<u32> = integers("ids").iter().map(|&id| u32::try_from(id).unwrap()).collect();
        let targets: Vec<i32> = integers("targets").iter().map(|&id| id as i32).collect();
        let input = ModelInput::new(&ids, tensors.tensor("ids").unwrap().shape[0]);

        let device = Device::cpu(2).unwrap();
        let options = BuildOptions::trainable(device, Precision::F32);
        let model = load_model(&folder(name), &options).unwrap();
        model.params().enable_gradients();
        let config = settings(&golden);
        let mut optimizer = Optimizer::new(&config, model.params());
        for number in 1..=config.steps {
            let (loss, norm) =
                step(model.as_ref(), &config, &mut optimizer, (&input, &targets), number);
            let at = |list: &str| golden[list][number as usize - 1].as_f64().unwrap();
            let (wanted, expected) = (at("step_losses"), at("step_gradient_norms"));
            let off = (loss - wanted).abs();
            assert!(off <= LOSS_TOLERANCE, "{name} step {number}: loss {loss}, not {wanted}");
            let off = (norm / expected - 1.0).abs();
            assert!(off <= NORM_TOLERANCE, "{name} step {number}: norm {norm}, not {expected}");
        }
        check_weights(name, model.as_ref(), &tensors);
    }
}

/// The final weights, against how far the steps moved them.
fn check_weights(name: &str, model: &dyn CausalLm, golden: &SafeTensors) {
    let start = SafeTensors::open(&folder(name).join("model.safetensors")).unwrap();
    let specs = model.params().specs();
    let finals = golden.tensors().filter(|tensor| tensor.name.starts_with("final.")).count();
    assert_eq!(specs.len(), finals, "{name}: parameters and golden weights");
    let values = model.params().values();
    for spec in specs.iter() {
        let read = |file: &SafeTensors, name: &str| file.tensor(name).unwrap().to_f32().unwrap();
        let mut expected = read(golden, &format!("final.{}", spec.name));
        let mut start = read(&start, &spec.name);
        let mut found = values[spec.range()].to_vec();
        if spec.name.ends_with("attn.c_attn.bias") {
            // A constant added to every key changes no softmax: the gradient of the middle third,
            // the keys' bias, is 0, and what Adam makes of it is the sign of rounding errors.
            let keys = found.len() / 3..2 * found.len() / 3;
            for values in [&mut expected, &mut start, &mut found] {
                values.drain(keys.clone());
            }
        }
        let moved = distance(&start, &expected);
        assert!(moved > 0.0, "{name}: {} did not move", spec.name);
        let off = distance(&found, &expected) / moved;
        assert!(off <= WEIGHT_TOLERANCE, "{name}: {} is off by {off} of its way", spec.name);
    }
}

/// Euclidean distance, in f64.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    a.iter().zip(b).map(square).sum::<f64>().sqrt()
}
