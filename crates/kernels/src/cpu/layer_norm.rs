//! Layer normalisation (Ba, Kiros and Hinton 2016, arXiv:1607.06450), row by row.
//!
//! Forward, `x: [rows, D]`, `weight, bias: [D]`: `inv_std = 1 / sqrt(mean((x - mean)²) + eps)`,
//! `out = (x - mean) * inv_std * weight + bias`.
//!
//! Backward, with `n = (x - mean) * inv_std` and `g = d_out * weight`:
//! `d_x = inv_std * (g - mean(g) - n * mean(g * n))`, `d_weight = Σ over rows d_out * n`,
//! `d_bias = Σ over rows d_out`.
//!
//! A NaN or an infinity in a row spoils that row and no other.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::{Store, add_partials, map2, partial_rows};
use crate::cpu::lanes::{sum, sum2, sum3};
use crate::{Cpu, Element};

/// The constants of the operation.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// `[D]`; its length sets the width of a row.
    pub weight: &'a [f32],
    /// `[D]`
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// What the forward leaves for the backward.
#[derive(Debug)]
pub struct LayerNormStatistics<'a> {
    /// `[rows]`
    pub mean: &'a mut [f32],
    /// `[rows]`
    pub inv_std: &'a mut [f32],
}

/// What the backward needs of the forward.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormSaved<'a, X> {
    /// The input, `[rows, D]`.
    pub x: &'a [X],
    /// `[D]`
    pub weight: &'a [f32],
    /// `[rows]`, written by the forward.
    pub mean: &'a [f32],
    /// `[rows]`, written by the forward.
    pub inv_std: &'a [f32],
}

/// The gradients of the two parameters, each `[D]`; the backward adds to them.
#[derive(Debug)]
pub struct LayerNormGradients<'a> {
    /// `[D]`
    pub weight: &'a mut [f32],
    /// `[D]`
    pub bias: &'a mut [f32],
}

/// Normalises the rows of `x` into `out` and keeps the statistics for the backward.
pub fn layer_norm<X: Element, O: Element>(
    cpu: &Cpu,
    x: &[X],
    norm: LayerNorm<'_>,
    out: &mut [O],
    statistics: LayerNormStatistics<'_>,
) {
    let LayerNormStatistics { mean, inv_std } = statistics;
    let cols = check_norm(norm, mean, inv_std, x.len());
    assert_eq!(out.len(), x.len(), "layer_norm: length of out");
    let rows = rows_per_chunk(cols);
    let outputs = (write(out, rows * cols), write(mean, rows), write(inv_std, rows));
    for_each(cpu, &(read(x, rows * cols), outputs), |_, (x, (out, mean, inv_std))| {
        at_level!(cpu, L => {
            for (i, (mean, inv_std)) in mean.iter_mut().zip(inv_std).enumerate() {
                let row = i * cols..(i + 1) * cols;
                (*mean, *inv_std) = forward_row::<L, _, _>(&x[row.clone()], norm, &mut out[row]);
            }
        });
    });
}

/// The residual stream and the norm after it in one pass: `sum = x + delta`,
/// `out = layer_norm(sum)`.
pub fn add_layer_norm<D: Element, O: Element>(
    cpu: &Cpu,
    x: &[f32],
    delta: &[D],
    norm: LayerNorm<'_>,
    sum: &mut [f32],
    out: &mut [O],
    statistics: LayerNormStatistics<'_>,
) {
    let LayerNormStatistics { mean, inv_std } = statistics;
    let cols = check_norm(norm, mean, inv_std, x.len());
    assert_eq!(delta.len(), x.len(), "add_layer_norm: length of delta");
    assert_eq!(sum.len(), x.len(), "add_layer_norm: length of sum");
    assert_eq!(out.len(), x.len(), "add_layer_norm: length of out");
    let rows = rows_per_chunk(cols);
    let size = rows * cols;
    let inputs = (read(x, size), read(delta, size));
    let outputs = (write(sum, size), write(out, size), write(mean, rows), write(inv_std, rows));
    for_each(cpu, &(inputs, outputs), |_, ((x, delta), (sum, out, mean, inv_std))| {
        at_level!(cpu, L => {
            for (i, (mean, inv_std)) in mean.iter_mut().zip(inv_std).enumerate() {
                let row = i * cols..(i + 1) * cols;
                let sum = &mut sum[row.clone()];
                map2(&x[row.clone()], &delta[row.clone()], sum, |x, delta| x + delta);
                (*mean, *inv_std) = forward_row::<L, _, _>(sum, norm, &mut out[row]);
            }
        });
    });
}

/// Writes or adds `d_x` `[rows, D]` and adds to the gradients of the parameters.
pub fn layer_norm_backward<X: Element, G: Element>(
    cpu: &Cpu,
    saved: LayerNormSaved<'_, X>,
    d_out: &[G],
    store: Store,
    d_x: &mut [f32],
    gradients: LayerNormGradients<'_>,
) {
    let LayerNormGradients { weight: d_weight, bias: d_bias } = gradients;
    let (cols, all_rows) = (saved.weight.len(), saved.mean.len());
    assert!(cols > 0, "layer_norm_backward: a row has at least one element");
    assert_eq!(saved.x.len(), cols * all_rows, "layer_norm_backward: length of x");
    assert_eq!(saved.inv_std.len(), all_rows, "layer_norm_backward: length of inv_std");
    assert_eq!(d_out.len(), saved.x.len(), "layer_norm_backward: length of d_out");
    assert_eq!(d_x.len(), saved.x.len(), "layer_norm_backward: length of d_x");
    assert_eq!(d_weight.len(), cols, "layer_norm_backward: length of d_weight");
    assert_eq!(d_bias.len(), cols, "layer_norm_backward: length of d_bias");
    let rows = partial_rows(all_rows);
    let mut d_weights = cpu.arena.zeros::<f32>(all_rows.div_ceil(rows) * cols);
    let mut d_biases = cpu.arena.zeros::<f32>(all_rows.div_ceil(rows) * cols);
    let size = rows * cols;
    let inputs =
        (read(saved.x, size), read(saved.mean, rows), read(saved.inv_std, rows), read(d_out, size));
    let outputs = (write(d_x, size), write(&mut d_weights, cols), write(&mut d_biases, cols));
    for_each(cpu, &(inputs, outputs), |_, ((x, mean, inv_std, d_out), (d_x, weight, bias))| {
        let saved = LayerNormSaved { x, weight: saved.weight, mean, inv_std };
        let gradients = LayerNormGradients { weight, bias };
        at_level!(cpu, L => backward_rows::<L, _, _>(saved, d_out, store, d_x, gradients));
    });
    add_partials(cpu, &d_weights, d_weight);
    add_partials(cpu, &d_biases, d_bias);
}

/// Checks the parts that both forward functions share; returns `D`.
fn check_norm(norm: LayerNorm<'_>, mean: &[f32], inv_std: &[f32], len: usize) -> usize {
    let cols = norm.weight.len();
    assert!(cols > 0, "layer_norm: a row has at least one element");
    assert_eq!(norm.bias.len(), cols, "layer_norm: length of bias");
    assert_eq!(len, cols * mean.len(), "layer_norm: length of x");
    assert_eq!(inv_std.len(), mean.len(), "layer_norm: length of inv_std");
    cols
}

#[inline(always)]
fn forward_row<L: Level, X: Element, O: Element>(
    x: &[X],
    norm: LayerNorm<'_>,
    out: &mut [O],
) -> (f32, f32) {
    let mean = sum(x, |x| x) / x.len() as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    let inv_std = 1.0 / (variance + norm.eps).sqrt();
    for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(norm.weight).zip(norm.bias) {
        *out = O::from_f32(L::mul_add((x.to_f32() - mean) * inv_std, *weight, *bias));
    }
    (mean, inv_std)
}

#[inline(always)]
fn backward_rows<L: Level, X: Element, G: Element>(
    saved: LayerNormSaved<'_, X>,
    d_out: &[G],
    store: Store,
    d_x: &mut [f32],
    gradients: LayerNormGradients<'_>,
) {
    let cols = saved.weight.len();
    let LayerNormGradients { weight: d_weight, bias: d_bias } = gradients;
    for (i, (&mean, &inv_std)) in saved.mean.iter().zip(saved.inv_std).enumerate() {
        let row = i * cols..(i + 1) * cols;
        let (x, d_out, d_x) = (&saved.x[row.clone()], &d_out[row.clone()], &mut d_x[row]);
        row_input_gradient::<L, _, _>((x, mean, inv_std), saved.weight, d_out, store, d_x);
        row_parameter_gradients::<L, _, _>((x, mean, inv_std), d_out, d_weight, d_bias);
    }
}

/// `d_x` of one row; `x` comes with the mean and the inverse deviation of the row.
#[inline(always)]
fn row_input_gradient<L: Level, X: Element, G: Element>(
    (x, mean, inv_std): (&[X], f32, f32),
    weight: &[f32],
    d_out: &[G],
    store: Store,
    d_x: &mut [f32],
) {
    let cols = x.len() as f32;
    let mean_g = sum2(d_out, weight, |d_out, weight| d_out * weight) / cols;
    let mean_g_n =
        inv_std / cols * sum3(x, d_out, weight, |x, d_out, weight| (x - mean) * (d_out * weight));
    for (((d_x, x), d_out), weight) in d_x.iter_mut().zip(x).zip(d_out).zip(weight) {
        let n = (x.to_f32() - mean) * inv_std;
        let centred = L::mul_add(d_out.to_f32(), *weight, -mean_g);
        let gradient = inv_std * L::mul_add(-n, mean_g_n, centred);
        *d_x = match store {
            Store::Overwrite => gradient,
            Store::Accumulate => *d_x + gradient,
        };
    }
}

/// What one row adds to the gradients of the parameters.
#[inline(always)]
fn row_parameter_gradients<L: Level, X: Element, G: Element>(
    (x, mean, inv_std): (&[X], f32, f32),
    d_out: &[G],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    for (((d_weight, d_bias), x), d_out) in d_weight.iter_mut().zip(d_bias).zip(x).zip(d_out) {
        let (n, d_out) = ((x.to_f32() - mean) * inv_std, d_out.to_f32());
        *d_weight = L::mul_add(d_out, n, *d_weight);
        *d_bias += d_out;
    }
}
