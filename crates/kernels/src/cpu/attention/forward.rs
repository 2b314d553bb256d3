//! The forward, a row at a time.

use super::{AttentionInputs, AttentionShape, RowsMut};
use crate::par::SharedMut;
use crate::{Cpu, Element, Precision};

/// See [`super::attention`].
pub(super) fn attention<E: Element>(
    cpu: &Cpu,
    _precision: Precision,
    shape: &AttentionShape,
    inputs: &AttentionInputs<'_, E>,
    out: &mut RowsMut<'_, E>,
    lse: &mut [f32],
) {
    let lse = SharedMut::new(lse);
    let (heads, width) = (shape.num_heads, shape.head_dim);
    cpu.pool.run(shape.batch * heads, |task| {
        let (b, h) = (task / heads, task % heads);
        // SAFETY: one part a task.
        let lse = unsafe { lse.slice(task * shape.query_len, shape.query_len) };
        let mut sums = cpu.arena.buffer::<f32>(width);
        for (i, lse) in lse.iter_mut().enumerate() {
            sums.fill(0.0);
            let (mut largest, mut total) = (f32::NEG_INFINITY, 0.0_f32);
            for (j, score) in scores(shape, inputs, b, h, i) {
                let higher = largest.max(score);
                let (keep, p) = ((largest - higher).exp(), (score - higher).exp());
                largest = higher;
                total = total * keep + p;
                let v = inputs.v.row(b, j, h / shape.group() * width, width);
                for (sum, v) in sums.iter_mut().zip(v) {
                    *sum = *sum * keep + p * v.to_f32();
                }
            }
            *lse = largest + total.ln();
            // SAFETY: one row of one head a task.
            let out = unsafe { out.row(b, i, h * width, width) };
            for (out, sum) in out.iter_mut().zip(sums.iter()) {
                *out = E::from_f32(sum / total);
            }
        }
    });
}

/// The keys that query `i` sees, with their scaled scores.
pub(super) fn scores<'a, E: Element>(
    shape: &'a AttentionShape,
    inputs: &'a AttentionInputs<'_, E>,
    b: usize,
    h: usize,
    i: usize,
) -> impl Iterator<Item = (usize, f32)> + 'a {
    let width = shape.head_dim;
    let own = i + inputs.key_len(shape, b) - shape.query_len;
    let first = shape.window.map_or(0, |window| (own + 1).saturating_sub(window));
    let segments = inputs.segments.map(|all| &all[b * shape.key_len..][..shape.key_len]);
    let q = inputs.q.row(b, i, h * width, width);
    (first..=own).filter(move |&j| segments.is_none_or(|ids| ids[j] == ids[own])).map(move |j| {
        let k = inputs.k.row(b, j, h / shape.group() * width, width);
        let dot: f32 = q.iter().zip(k).map(|(q, k)| q.to_f32() * k.to_f32()).sum();
        (j, dot * shape.scale)
    })
}
