//! AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) in one pass over flat buffers.
//!
//! With `g = grad * grad_scale` and `t` the step, counted from 1:
//! `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g²`,
//! `value = (1 - lr * weight_decay) value - lr * M / (√V + eps)`, where
//! `M = m / (1 - beta1^t)` and `V = v / (1 - beta2^t)`.
//!
//! Moments may be kept in bf16, half the memory. A second moment moves by a thousandth a step, less
//! than bf16 can show, so both moments are then rounded *stochastically*: up or down with
//! probabilities that make the expected value exact. The random bits are a function of
//! (seed, step, index), so a resumed run has the same. The two moments of an element share their
//! bits, which leaves the expected value of each exact.

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::random::{NOISE_TILE, noise_tile, round_stochastically};
use crate::{Cpu, Element, bf16};

/// The settings of one call: one step of one range of parameters.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay of this range.
    pub weight_decay: f32,
    /// Factor on every gradient: clipping and the mean over a batch.
    pub grad_scale: f32,
    /// The step, counted from 1.
    pub step: u32,
    /// Seed of the stochastic rounding.
    pub seed: u64,
    /// Index of the range's first element among all parameters; a multiple of 128.
    pub first_index: usize,
}

/// What moments are stored as.
pub trait Moment: Element {
    /// Whether a value is rounded by chance.
    const STOCHASTIC: bool;
    /// The value, rounded up with the probability that makes the mean exact; `noise` is 16 random
    /// bits.
    fn round(value: f32, noise: u32) -> Self;
}

impl Moment for f32 {
    const STOCHASTIC: bool = false;
    #[inline(always)]
    fn round(value: f32, _noise: u32) -> Self {
        value
    }
}

impl Moment for bf16 {
    const STOCHASTIC: bool = true;
    #[inline(always)]
    fn round(value: f32, noise: u32) -> Self {
        round_stochastically(value, noise)
    }
}

/// Updates `value` and the moments; all slices flat, of equal length.
///
/// # Panics
/// When lengths differ, `step` is 0, or `first_index` is not a multiple of 128.
pub fn adamw<M: Moment>(
    cpu: &Cpu,
    settings: AdamW,
    value: &mut [f32],
    grad: &[f32],
    first_moment: &mut [M],
    second_moment: &mut [M],
) {
    let len = value.len();
    assert_eq!(grad.len(), len, "adamw: length of grad");
    assert_eq!(first_moment.len(), len, "adamw: length of the first moment");
    assert_eq!(second_moment.len(), len, "adamw: length of the second moment");
    assert!(settings.step > 0, "adamw: steps are counted from 1");
    assert!(settings.first_index.is_multiple_of(NOISE_TILE), "adamw: {settings:?}");
    let factors = Factors::new(settings);
    let moments = (write(first_moment, CHUNK), write(second_moment, CHUNK));
    for_each(cpu, &(write(value, CHUNK), read(grad, CHUNK), moments), |index, (value, grad, m)| {
        let first_tile = (settings.first_index + index * CHUNK) / NOISE_TILE;
        at_level!(cpu, L => {
            let tiles = value.chunks_mut(NOISE_TILE).zip(grad.chunks(NOISE_TILE));
            let moments = m.0.chunks_mut(NOISE_TILE).zip(m.1.chunks_mut(NOISE_TILE));
            for (tile, ((value, grad), (m, v))) in tiles.zip(moments).enumerate() {
                let noise = if M::STOCHASTIC {
                    noise_tile(settings.seed, u64::from(settings.step), first_tile + tile)
                } else {
                    [0; NOISE_TILE]
                };
                update::<L, M>(&factors, &noise, value, grad, m, v);
            }
        });
    });
}

/// The settings as the loop uses them.
struct Factors {
    keep: f32,
    grad_scale: f32,
    beta1: f32,
    beta2: f32,
    /// `-lr / (1 - beta1^t)`
    rate: f32,
    /// `1 / √(1 - beta2^t)`
    root_scale: f32,
    eps: f32,
}

impl Factors {
    fn new(settings: AdamW) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(settings.step));
        let lr = f64::from(settings.lr);
        Self {
            keep: (1.0 - lr * f64::from(settings.weight_decay)) as f32,
            grad_scale: settings.grad_scale,
            beta1: settings.beta1,
            beta2: settings.beta2,
            rate: (-lr / correction(settings.beta1)) as f32,
            root_scale: (1.0 / correction(settings.beta2).sqrt()) as f32,
            eps: settings.eps,
        }
    }
}

#[inline(always)]
fn update<L: Level, M: Moment>(
    factors: &Factors,
    noise: &[u32; NOISE_TILE],
    value: &mut [f32],
    grad: &[f32],
    first: &mut [M],
    second: &mut [M],
) {
    let moments = first.iter_mut().zip(second).zip(noise);
    for ((value, grad), ((first, second), noise)) in value.iter_mut().zip(grad).zip(moments) {
        let g = grad * factors.grad_scale;
        let (m, v) = (first.to_f32(), second.to_f32());
        let m = L::mul_add(1.0 - factors.beta1, g - m, m);
        let v = L::mul_add(1.0 - factors.beta2, g * g, factors.beta2 * v);
        let denominator = L::mul_add(v.sqrt(), factors.root_scale, factors.eps);
        *value = L::mul_add(*value, factors.keep, factors.rate * m / denominator);
        *first = M::round(m, *noise);
        *second = M::round(v, *noise);
    }
}
