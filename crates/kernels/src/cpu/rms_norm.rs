//! Root mean square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467), row by row.
//!
//! Forward, `x: [rows, D]`, `weight: [D]`:
//! `inv_rms = 1 / sqrt(mean(x²) + eps)`, `out = x * inv_rms * weight`.
//!
//! Backward, with `g = d_out * weight`:
//! `d_x = inv_rms * (g - x * inv_rms² * mean(g * x))`,
//! `d_weight = Σ over rows d_out * x * inv_rms`.
//!
//! A NaN or an infinity in a row spoils that row and no other.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::{Store, add_partials, map2, partial_rows};
use crate::cpu::lanes::{sum, sum3};
use crate::{Cpu, Element};

/// The constants of the operation.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a> {
    /// `[D]`; its length sets the width of a row.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f32,
}

/// What the backward needs of the forward.
#[derive(Clone, Copy, Debug)]
pub struct RmsNormSaved<'a, X> {
    /// The input, `[rows, D]`.
    pub x: &'a [X],
    /// `[D]`
    pub weight: &'a [f32],
    /// The statistic the forward wrote, `[rows]`.
    pub inv_rms: &'a [f32],
}

/// Normalises the rows of `x` into `out` and keeps `inv_rms` `[rows]` for the backward.
pub fn rms_norm<X: Element, O: Element>(
    cpu: &Cpu,
    x: &[X],
    norm: RmsNorm<'_>,
    out: &mut [O],
    inv_rms: &mut [f32],
) {
    let cols = norm.weight.len();
    assert!(cols > 0, "rms_norm: a row has at least one element");
    assert_eq!(x.len(), cols * inv_rms.len(), "rms_norm: length of x");
    assert_eq!(out.len(), x.len(), "rms_norm: length of out");
    let rows = rows_per_chunk(cols);
    let chunks = (read(x, rows * cols), write(out, rows * cols), write(inv_rms, rows));
    for_each(cpu, &chunks, |_, (x, out, inv_rms)| {
        at_level!(cpu, L => {
            for (i, inv_rms) in inv_rms.iter_mut().enumerate() {
                let row = i * cols..(i + 1) * cols;
                *inv_rms = forward_row(&x[row.clone()], norm, &mut out[row]);
            }
        });
    });
}

/// The residual stream and the norm after it in one pass: `sum = x + delta`,
/// `out = rms_norm(sum)`.
pub fn add_rms_norm<D: Element, O: Element>(
    cpu: &Cpu,
    x: &[f32],
    delta: &[D],
    norm: RmsNorm<'_>,
    sum: &mut [f32],
    out: &mut [O],
    inv_rms: &mut [f32],
) {
    let cols = norm.weight.len();
    assert!(cols > 0, "add_rms_norm: a row has at least one element");
    assert_eq!(x.len(), cols * inv_rms.len(), "add_rms_norm: length of x");
    assert_eq!(delta.len(), x.len(), "add_rms_norm: length of delta");
    assert_eq!(sum.len(), x.len(), "add_rms_norm: length of sum");
    assert_eq!(out.len(), x.len(), "add_rms_norm: length of out");
    let rows = rows_per_chunk(cols);
    let size = rows * cols;
    let inputs = (read(x, size), read(delta, size));
    let outputs = (write(sum, size), write(out, size), write(inv_rms, rows));
    for_each(cpu, &(inputs, outputs), |_, ((x, delta), (sum, out, inv_rms))| {
        at_level!(cpu, L => {
            for (i, inv_rms) in inv_rms.iter_mut().enumerate() {
                let row = i * cols..(i + 1) * cols;
                let sum = &mut sum[row.clone()];
                map2(&x[row.clone()], &delta[row.clone()], sum, |x, delta| x + delta);
                *inv_rms = forward_row(sum, norm, &mut out[row]);
            }
        });
    });
}

/// Writes or adds `d_x` `[rows, D]` and adds `d_weight` `[D]`.
pub fn rms_norm_backward<X: Element, G: Element>(
    cpu: &Cpu,
    saved: RmsNormSaved<'_, X>,
    d_out: &[G],
    store: Store,
    d_x: &mut [f32],
    d_weight: &mut [f32],
) {
    let cols = saved.weight.len();
    assert!(cols > 0, "rms_norm_backward: a row has at least one element");
    assert_eq!(saved.x.len(), cols * saved.inv_rms.len(), "rms_norm_backward: length of x");
    assert_eq!(d_out.len(), saved.x.len(), "rms_norm_backward: length of d_out");
    assert_eq!(d_x.len(), saved.x.len(), "rms_norm_backward: length of d_x");
    assert_eq!(d_weight.len(), cols, "rms_norm_backward: length of d_weight");
    let rows = partial_rows(saved.inv_rms.len());
    let mut partial = cpu.arena.zeros::<f32>(saved.inv_rms.len().div_ceil(rows) * cols);
    let size = rows * cols;
    let inputs = (read(saved.x, size), read(saved.inv_rms, rows), read(d_out, size));
    let outputs = (write(d_x, size), write(&mut partial, cols));
    for_each(cpu, &(inputs, outputs), |_, ((x, inv_rms, d_out), (d_x, d_weight))| {
        let saved = RmsNormSaved { x, inv_rms, weight: saved.weight };
        at_level!(cpu, L => backward_rows::<L, _, _>(saved, d_out, store, d_x, d_weight));
    });
    add_partials(cpu, &partial, d_weight);
}

#[inline(always)]
fn forward_row<X: Element, O: Element>(x: &[X], norm: RmsNorm<'_>, out: &mut [O]) -> f32 {
    let mean_square = sum(x, |x| x * x) / x.len() as f32;
    let inv_rms = 1.0 / (mean_square + norm.eps).sqrt();
    map2(x, norm.weight, out, |x, weight| x * inv_rms * weight);
    inv_rms
}

#[inline(always)]
fn backward_rows<L: Level, X: Element, G: Element>(
    saved: RmsNormSaved<'_, X>,
    d_out: &[G],
    store: Store,
    d_x: &mut [f32],
    d_weight: &mut [f32],
) {
    let (weight, cols) = (saved.weight, saved.weight.len());
    for (i, &inv_rms) in saved.inv_rms.iter().enumerate() {
        let row = i * cols..(i + 1) * cols;
        let (x, d_out, d_x) = (&saved.x[row.clone()], &d_out[row.clone()], &mut d_x[row]);
        let dot = sum3(x, d_out, weight, |x, d_out, weight| x * (d_out * weight));
        let pull = inv_rms * inv_rms * inv_rms * dot / cols as f32;
        for (((d_x, x), d_out), weight) in d_x.iter_mut().zip(x).zip(d_out).zip(weight) {
            let gradient = L::mul_add(d_out.to_f32() * weight, inv_rms, -(x.to_f32() * pull));
            *d_x = match store {
                Store::Overwrite => gradient,
                Store::Accumulate => *d_x + gradient,
            };
        }
        for ((d_weight, x), d_out) in d_weight.iter_mut().zip(x).zip(d_out) {
            *d_weight = L::mul_add(d_out.to_f32(), x.to_f32() * inv_rms, *d_weight);
        }
    }
}
