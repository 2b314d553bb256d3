//! The backward, a row at a time.

use super::forward::scores;
use super::{AttentionGradients, AttentionInputs, AttentionOutputs, AttentionShape};
use crate::{Cpu, Element, Precision};

/// See [`super::attention_backward`].
pub(super) fn attention_backward<E: Element>(
    cpu: &Cpu,
    _precision: Precision,
    shape: &AttentionShape,
    inputs: &AttentionInputs<'_, E>,
    outputs: &AttentionOutputs<'_, E>,
    gradients: &mut AttentionGradients<'_, E>,
) {
    let gradients = &*gradients;
    let (width, group, kv_heads) = (shape.head_dim, shape.group(), shape.num_kv_heads);
    cpu.pool.run(shape.batch * kv_heads, |task| {
        let (b, kv) = (task / kv_heads, task % kv_heads);
        let mut d_k = cpu.arena.zeros::<f32>(shape.key_len * width);
        let mut d_v = cpu.arena.zeros::<f32>(shape.key_len * width);
        let mut d_q = cpu.arena.buffer::<f32>(width);
        for h in kv * group..(kv + 1) * group {
            for i in 0..shape.query_len {
                let q = inputs.q.row(b, i, h * width, width);
                let out = outputs.out.row(b, i, h * width, width);
                let d_out = outputs.d_out.row(b, i, h * width, width);
                let lse = outputs.lse[(b * shape.num_heads + h) * shape.query_len + i];
                let dot = |x: &[E], y: &[E]| -> f32 {
                    x.iter().zip(y).map(|(x, y)| x.to_f32() * y.to_f32()).sum()
                };
                let delta = dot(out, d_out);
                d_q.fill(0.0);
                for (j, score) in scores(shape, inputs, b, h, i) {
                    let k = inputs.k.row(b, j, kv * width, width);
                    let v = inputs.v.row(b, j, kv * width, width);
                    let p = (score - lse).exp();
                    let d_score = p * (dot(d_out, v) - delta) * shape.scale;
                    for c in 0..width {
                        d_q[c] += d_score * k[c].to_f32();
                        d_k[j * width + c] += d_score * q[c].to_f32();
                        d_v[j * width + c] += p * d_out[c].to_f32();
                    }
                }
                // SAFETY: one row of one head a task.
                let row = unsafe { gradients.d_q.row(b, i, h * width, width) };
                round(row, &d_q);
            }
        }
        for j in 0..shape.key_len {
            // SAFETY: one key head of one batch element a task.
            let rows = unsafe {
                let d_k = gradients.d_k.row(b, j, kv * width, width);
                (d_k, gradients.d_v.row(b, j, kv * width, width))
            };
            round(rows.0, &d_k[j * width..][..width]);
            round(rows.1, &d_v[j * width..][..width]);
        }
    });
}

fn round<E: Element>(out: &mut [E], sums: &[f32]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = E::from_f32(*sum);
    }
}
