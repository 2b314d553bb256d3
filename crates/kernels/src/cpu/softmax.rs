//! Softmax: a row of numbers becomes a row of probabilities.
//!
//! Forward, for every row of `x: [rows, cols]`:
//!
//! ```text
//! out[j] = exp(x[j] - max) / Σ_k exp(x[k] - max)          max = the largest x[k] of the row
//! ```
//!
//! Subtracting the maximum changes nothing on paper, since numerator and denominator shrink by the
//! same factor. In floating point it is what makes the formula safe: no exponent is above zero, so
//! nothing overflows, and the largest term is exactly 1, so the sum is never zero.
//!
//! Backward, with `p` the forward's result and `g` the gradient that arrives at it. The derivative
//! of `p[j]` by `x[k]` is `p[j] * (j == k) - p[j] * p[k]`, hence
//!
//! ```text
//! d_x[j] = p[j] * (g[j] - Σ_k p[k] * g[k])
//! ```
//!
//! A row with a NaN or with plus infinity becomes all NaN, as does a row of minus infinity alone;
//! other rows are untouched. A single minus infinity is a probability of zero.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::{map, map2};
use crate::cpu::lanes::{max, sum, sum2};
use crate::cpu::math::exp;
use crate::{Cpu, Element};

/// `x, out: [rows, cols]`
pub fn softmax<X: Element, O: Element>(cpu: &Cpu, x: &[X], cols: usize, out: &mut [O]) {
    assert!(cols > 0 && x.len().is_multiple_of(cols), "softmax: {} in rows of {cols}", x.len());
    assert_eq!(out.len(), x.len(), "softmax: length of out");
    let size = rows_per_chunk(cols) * cols;
    for_each(cpu, &(read(x, size), write(out, size)), |_, (x, out)| {
        at_level!(cpu, L => {
            for (x, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(cols)) {
                softmax_row::<L, _, _>(x, out);
            }
        });
    });
}

#[inline(always)]
fn softmax_row<L: Level, X: Element, O: Element>(x: &[X], out: &mut [O]) {
    let max = max(x);
    let scale = 1.0 / sum(x, |x| exp::<L>(x - max));
    map(x, out, |x| exp::<L>(x - max) * scale);
}

/// `p, d_out, d_x: [rows, cols]`; `p` is what [`softmax`] wrote.
pub fn softmax_backward<P: Element, G: Element, O: Element>(
    cpu: &Cpu,
    p: &[P],
    d_out: &[G],
    cols: usize,
    d_x: &mut [O],
) {
    assert!(cols > 0 && p.len().is_multiple_of(cols), "softmax: {} in rows of {cols}", p.len());
    assert_eq!(d_out.len(), p.len(), "softmax_backward: length of d_out");
    assert_eq!(d_x.len(), p.len(), "softmax_backward: length of d_x");
    let size = rows_per_chunk(cols) * cols;
    for_each(cpu, &(read(p, size), read(d_out, size), write(d_x, size)), |_, (p, d_out, d_x)| {
        at_level!(cpu, L => {
            let inputs = p.chunks_exact(cols).zip(d_out.chunks_exact(cols));
            for ((p, d_out), d_x) in inputs.zip(d_x.chunks_exact_mut(cols)) {
                softmax_backward_row(p, d_out, d_x);
            }
        });
    });
}

#[inline(always)]
fn softmax_backward_row<P: Element, G: Element, O: Element>(p: &[P], d_out: &[G], d_x: &mut [O]) {
    let mean = sum2(p, d_out, |p, g| p * g);
    map2(p, d_out, d_x, |p, g| p * (g - mean));
}

/// `out[row] = ln Σ_j exp(x[row, j])`, `x: [rows, cols]`, by the same subtraction of the maximum.
/// Plus infinity where a row holds it, minus infinity where a row holds nothing else.
pub fn log_sum_exp<X: Element>(cpu: &Cpu, x: &[X], cols: usize, out: &mut [f32]) {
    assert_eq!(x.len(), cols * out.len(), "log_sum_exp: length of x");
    assert!(cols > 0, "log_sum_exp: a row has at least one element");
    let rows = rows_per_chunk(cols);
    for_each(cpu, &(read(x, rows * cols), write(out, rows)), |_, (x, out)| {
        at_level!(cpu, L => {
            for (x, out) in x.chunks_exact(cols).zip(out) {
                *out = log_sum_exp_row::<L, _>(x);
            }
        });
    });
}

#[inline(always)]
pub(crate) fn log_sum_exp_row<L: Level, X: Element>(x: &[X]) -> f32 {
    let max = max(x);
    let shift = if max.is_infinite() { 0.0 } else { max };
    shift + sum(x, |x| exp::<L>(x - shift)).ln()
}
