//! Cross-entropy of rows of logits against one target class each.
//!
//! `logits: [rows, V]`, `targets: [rows]`, each in `0..V` or [`IGNORE`]:
//! `loss[row] = ln Σ_j exp(logits[row, j]) - logits[row, target]`, and
//! `d_logits[row, j] = scale * (softmax(logits[row])[j] - (j == target))`.
//! An ignored row has loss 0 and gradient 0. The caller chooses `scale` (one over the number of
//! targets that count) and usually comes with a part of the rows at a time, so that the logits of a
//! whole batch never exist.
//!
//! A NaN or plus infinity among a row's logits makes the loss and the gradient of that row NaN.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::map;
use crate::cpu::lanes::{LANES, combine, max, sum};
use crate::cpu::math::exp;
use crate::cpu::softmax::log_sum_exp_row;
use crate::{Cpu, Element};

/// The target of a position that does not count.
pub const IGNORE: i32 = -100;

/// `loss[row]` alone, logits kept.
pub fn cross_entropy<X: Element>(cpu: &Cpu, logits: &[X], targets: &[i32], loss: &mut [f32]) {
    log_probability(cpu, logits, targets, loss);
    for loss in loss {
        *loss = 0.0 - *loss;
    }
}

/// `out[row] = ln softmax(logits[row])[target]`, 0 for an ignored row.
pub fn log_probability<X: Element>(cpu: &Cpu, logits: &[X], targets: &[i32], out: &mut [f32]) {
    let cols = columns(logits.len(), targets, out.len());
    let rows = rows_per_chunk(cols);
    let chunks = (read(logits, rows * cols), read(targets, rows), write(out, rows));
    for_each(cpu, &chunks, |_, (logits, targets, out)| {
        at_level!(cpu, L => {
            let rows = logits.chunks_exact(cols).zip(targets);
            for ((logits, &target), out) in rows.zip(out) {
                *out = match class(target, cols) {
                    Some(target) => logits[target].to_f32() - log_sum_exp_row::<L, _>(logits),
                    None => 0.0,
                };
            }
        });
    });
}

/// Writes `loss` and turns `logits` into their gradient.
pub fn cross_entropy_in_place(
    cpu: &Cpu,
    logits: &mut [f32],
    targets: &[i32],
    scale: f32,
    loss: &mut [f32],
) {
    let cols = columns(logits.len(), targets, loss.len());
    let rows = rows_per_chunk(cols);
    let chunks = (write(logits, rows * cols), read(targets, rows), write(loss, rows));
    for_each(cpu, &chunks, |_, (logits, targets, loss)| {
        at_level!(cpu, L => {
            let rows = logits.chunks_exact_mut(cols).zip(targets);
            for ((logits, &target), loss) in rows.zip(loss) {
                let Some(target) = class(target, cols) else {
                    *loss = 0.0;
                    logits.fill(0.0);
                    continue;
                };
                let sum = exponentials::<L>(logits, target, loss);
                let factor = scale / sum;
                for d in &mut *logits {
                    *d *= factor;
                }
                logits[target] -= scale;
            }
        });
    });
}

/// Writes `loss` and the gradient `d_logits` `[rows, V]`; `logits` are used up as scratch.
pub fn cross_entropy_backward<O: Element>(
    cpu: &Cpu,
    logits: &mut [f32],
    targets: &[i32],
    scale: f32,
    loss: &mut [f32],
    d_logits: &mut [O],
) {
    let cols = columns(logits.len(), targets, loss.len());
    assert_eq!(d_logits.len(), logits.len(), "cross_entropy_backward: length of d_logits");
    let rows = rows_per_chunk(cols);
    let size = rows * cols;
    let outputs = (write(logits, size), write(loss, rows), write(d_logits, size));
    for_each(cpu, &(read(targets, rows), outputs), |_, (targets, (logits, loss, d_logits))| {
        at_level!(cpu, L => {
            let rows = logits.chunks_exact_mut(cols).zip(d_logits.chunks_exact_mut(cols));
            for (((logits, d_logits), &target), loss) in rows.zip(targets).zip(loss) {
                let Some(target) = class(target, cols) else {
                    *loss = 0.0;
                    d_logits.fill(O::default());
                    continue;
                };
                let sum = exponentials::<L>(logits, target, loss);
                let factor = scale / sum;
                map(logits, d_logits, |e| e * factor);
                d_logits[target] = O::from_f32(logits[target] * factor - scale);
            }
        });
    });
}

/// `out[row]` = the index of the largest element of `x` `[rows, cols]`, the first of equals. A NaN
/// counts as larger than any number, so that it is found and not passed over.
pub fn argmax<X: Element>(cpu: &Cpu, x: &[X], cols: usize, out: &mut [u32]) {
    assert!(cols > 0, "argmax: a row has at least one element");
    assert_eq!(x.len(), cols * out.len(), "argmax: length of x");
    let rows = rows_per_chunk(cols);
    for_each(cpu, &(read(x, rows * cols), write(out, rows)), |_, (x, out)| {
        at_level!(cpu, L => {
            for (x, out) in x.chunks_exact(cols).zip(out) {
                let max = max(x);
                let nan = sum(x, |x| if x.is_nan() { 1.0 } else { 0.0 }) > 0.0;
                let found = x.iter().map(|x| x.to_f32()).position(|x| {
                    if nan { x.is_nan() } else { x == max }
                });
                *out = found.map_or(0, |index| index as u32);
            }
        });
    });
}

/// `row = exp(row - max)`; writes the loss and returns the sum of the new row.
#[inline(always)]
fn exponentials<L: Level>(row: &mut [f32], target: usize, loss: &mut f32) -> f32 {
    let (max, target_logit) = (max(row), row[target]);
    let mut lanes = [0.0; LANES];
    let (blocks, tail) = row.as_chunks_mut::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *x = exp::<L>(*x - max);
            *lane += *x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *x = exp::<L>(*x - max);
        *lane += *x;
    }
    let sum = combine(lanes, |a, b| a + b);
    *loss = sum.ln() + (max - target_logit);
    sum
}

/// The class a target names; `None` for [`IGNORE`].
#[inline(always)]
fn class(target: i32, cols: usize) -> Option<usize> {
    if target == IGNORE {
        return None;
    }
    let class = usize::try_from(target).ok().filter(|&class| class < cols);
    assert!(class.is_some(), "the target {target} is neither in 0..{cols} nor {IGNORE}");
    class
}

/// The number of columns, after a check of all lengths.
fn columns(logits: usize, targets: &[i32], out: usize) -> usize {
    assert_eq!(targets.len(), out, "cross_entropy: number of targets");
    if targets.is_empty() {
        assert_eq!(logits, 0, "cross_entropy: logits without targets");
        return 1;
    }
    assert!(
        logits > 0 && logits.is_multiple_of(targets.len()),
        "cross_entropy: {logits} logits for {} targets",
        targets.len()
    );
    logits / targets.len()
}
