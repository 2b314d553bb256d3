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
//! Below, the first functions are the arithmetic of one row, written once; the public ones check
//! shapes, share the rows out to the threads, and let `at_level!` compile the arithmetic for the
//! instructions of this CPU.
//!
//! A row with a NaN or with plus infinity becomes all NaN, as does a row of minus infinity alone;
//! other rows are untouched. A single minus infinity is a probability of zero.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::map2;
use crate::cpu::lanes::{max, sum, sum2};
use crate::cpu::math::exp;
use crate::{Cpu, Element};

/// The forward of one row.
#[inline(always)]
fn softmax_row<L: Level, X: Element, O: Element>(x: &[X], out: &mut [O]) {
    let max = max(x);
    let scale = 1.0 / sum_of_exponentials::<L, X>(x, max);
    for (out, x) in out.iter_mut().zip(x) {
        *out = O::from_f32(exp::<L>(x.to_f32() - max) * scale);
    }
}

/// The backward of one row.
#[inline(always)]
fn softmax_backward_row<P: Element, G: Element, O: Element>(p: &[P], g: &[G], d_x: &mut [O]) {
    let mean = sum2(p, g, |p, g| p * g);
    map2(p, g, d_x, |p, g| p * (g - mean));
}

/// `ln Σ exp(x)`: the logarithm of softmax's denominator, with the maximum put back.
#[inline(always)]
pub(crate) fn log_sum_exp_row<L: Level, X: Element>(x: &[X]) -> f32 {
    let max = max(x);
    let shift = if max.is_finite() { max } else { 0.0 };
    shift + sum_of_exponentials::<L, X>(x, shift).ln()
}

/// `Σ exp(x - shift)`
#[inline(always)]
fn sum_of_exponentials<L: Level, X: Element>(x: &[X], shift: f32) -> f32 {
    sum(
        x,
        #[inline(always)]
        |x| exp::<L>(x - shift),
    )
}

/// Softmax of every row; `x, out: [rows, cols]`.
///
/// ```
/// # use danlu_kernels::{Cpu, Simd, cpu::softmax::softmax};
/// let cpu = Cpu::with_simd(1, Simd::Portable);
/// let mut out = [0.0_f32; 4];
/// softmax(&cpu, &[1000.0_f32, 1000.0, 0.0, 0.0], 2, &mut out);
/// assert_eq!(out, [0.5; 4]);
/// ```
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

/// The gradient `d_x` from `p`, which [`softmax`] wrote, and `d_out`; all `[rows, cols]`.
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

/// `out[row] = ln Σ_j exp(x[row, j])`; `x: [rows, cols]`. Plus infinity where a row holds it, minus
/// infinity where a row holds nothing else.
pub fn log_sum_exp<X: Element>(cpu: &Cpu, x: &[X], cols: usize, out: &mut [f32]) {
    assert!(cols > 0, "log_sum_exp: a row has at least one element");
    assert_eq!(x.len(), cols * out.len(), "log_sum_exp: length of x");
    let rows = rows_per_chunk(cols);
    for_each(cpu, &(read(x, rows * cols), write(out, rows)), |_, (x, out)| {
        at_level!(cpu, L => {
            for (x, out) in x.chunks_exact(cols).zip(out) {
                *out = log_sum_exp_row::<L, _>(x);
            }
        });
    });
}
