//! AdamW on one parameter: everything but embeddings' and matrices' weight decay is in the kernel.

use danlu_kernels::Cpu;
use danlu_kernels::cpu::adamw::{AdamW, adamw};

use super::{FlatState, StepSettings};

/// Updates `value` and both moments, all the same range of the flat buffers.
pub(super) fn step(
    cpu: &Cpu,
    settings: &StepSettings<'_>,
    decay: bool,
    range: std::ops::Range<usize>,
    (value, gradient): (&mut [f32], &[f32]),
    (first, second): (&mut FlatState, &mut FlatState),
) {
    let config = settings.config;
    let kernel = AdamW {
        lr: settings.learning_rate as f32,
        beta1: config.beta1 as f32,
        beta2: config.beta2 as f32,
        eps: config.epsilon as f32,
        weight_decay: if decay { config.weight_decay as f32 } else { 0.0 },
        grad_scale: settings.gradient_scale as f32,
        step: settings.step as u32,
        seed: config.seed,
        first_index: range.start,
    };
    match (first, second) {
        (FlatState::F32(m), FlatState::F32(v)) => {
            adamw(cpu, kernel, value, gradient, &mut m[range.clone()], &mut v[range]);
        }
        (FlatState::Bf16(m), FlatState::Bf16(v)) => {
            adamw(cpu, kernel, value, gradient, &mut m[range.clone()], &mut v[range]);
        }
        _ => unreachable!("both moments are made with the same type"),
    }
}
