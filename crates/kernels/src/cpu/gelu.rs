//! GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415): `x` times the probability that a standard
//! normal number is below `x`, exactly or by the approximation that GPT-2 was trained with.
//!
//! Erf: `out = x * P(x)`, `P(x) = (1 + erf(x / √2)) / 2`; `d_x = d_out * (P(x) + x * P'(x))`,
//! `P'(x) = exp(-x² / 2) / √(2π)`.
//!
//! Tanh: `out = x * (1 + tanh(u)) / 2`, `u = √(2/π) * (x + 0.044715 x³)`, computed as
//! `x * sigmoid(2u)`, which is the same number without the cancellation in `1 + tanh(u)`. With
//! `s = sigmoid(2u)`: `d_x = d_out * (s + x * s * (1 - s) * 2u')`.
//!
//! NaN stays NaN; minus infinity gives NaN (it is minus infinity times zero).

use std::f32::consts::FRAC_1_SQRT_2;

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::{map, map2};
use crate::cpu::math::{erf, exp, sigmoid};
use crate::{Cpu, Element};

/// 2 √(2/π)
const SLOPE: f32 = 1.595_769_2;
const CUBIC: f32 = 0.044_715;
/// 1 / √(2π)
const DENSITY_AT_0: f32 = 0.398_942_3;

/// Which of the two published forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// The definition, `gelu` in the configuration of published checkpoints.
    Erf,
    /// GPT-2's approximation, `gelu_new` or `gelu_pytorch_tanh`.
    Tanh,
}

/// `x, out`: flat, of equal length.
pub fn gelu<X: Element, O: Element>(cpu: &Cpu, form: Gelu, x: &[X], out: &mut [O]) {
    assert_eq!(x.len(), out.len(), "gelu: lengths of x and out");
    for_each(cpu, &(read(x, CHUNK), write(out, CHUNK)), |_, (x, out)| match form {
        Gelu::Erf => at_level!(cpu, L => map(x, out, by_erf::<L>)),
        Gelu::Tanh => at_level!(cpu, L => map(x, out, by_tanh::<L>)),
    });
}

/// `x, d_out, d_x`: flat, of equal length; `d_x` is overwritten.
pub fn gelu_backward<X: Element, G: Element, O: Element>(
    cpu: &Cpu,
    form: Gelu,
    x: &[X],
    d_out: &[G],
    d_x: &mut [O],
) {
    assert_eq!(d_out.len(), x.len(), "gelu_backward: length of d_out");
    assert_eq!(d_x.len(), x.len(), "gelu_backward: length of d_x");
    let chunks = (read(x, CHUNK), read(d_out, CHUNK), write(d_x, CHUNK));
    for_each(cpu, &chunks, |_, (x, d_out, d_x)| match form {
        Gelu::Erf => at_level!(cpu, L => map2(x, d_out, d_x, by_erf_backward::<L>)),
        Gelu::Tanh => at_level!(cpu, L => map2(x, d_out, d_x, by_tanh_backward::<L>)),
    });
}

#[inline(always)]
fn by_erf<L: Level>(x: f32) -> f32 {
    x * normal_cdf::<L>(x)
}

#[inline(always)]
fn by_erf_backward<L: Level>(x: f32, d_out: f32) -> f32 {
    let density = DENSITY_AT_0 * exp::<L>(-0.5 * x * x);
    d_out * L::mul_add(x, density, normal_cdf::<L>(x))
}

#[inline(always)]
fn normal_cdf<L: Level>(x: f32) -> f32 {
    0.5 * (1.0 + erf::<L>(x * FRAC_1_SQRT_2))
}

#[inline(always)]
pub(super) fn by_tanh<L: Level>(x: f32) -> f32 {
    x * tanh_gate::<L>(x)
}

#[inline(always)]
pub(super) fn by_tanh_backward<L: Level>(x: f32, d_out: f32) -> f32 {
    let s = tanh_gate::<L>(x);
    let inner_slope = SLOPE * L::mul_add(3.0 * CUBIC * x, x, 1.0);
    d_out * L::mul_add(x * inner_slope, s * (1.0 - s), s)
}

/// `(1 + tanh(u)) / 2 = sigmoid(2u)`
#[inline(always)]
fn tanh_gate<L: Level>(x: f32) -> f32 {
    sigmoid::<L>(SLOPE * x * L::mul_add(CUBIC * x, x, 1.0))
}
