//! Attention and its gradient by the formulas, in f64, with bounds on what rounding may change.

use super::{Case, Dims};

/// Numbers with the sum of the sizes of the terms they were added up from.
#[derive(Clone)]
pub(super) struct Sums {
    pub(super) values: Vec<f64>,
    pub(super) sizes: Vec<f64>,
}

impl Sums {
    fn new(len: usize) -> Self {
        Self { values: vec![0.0; len], sizes: vec![0.0; len] }
    }

    fn add(&mut self, at: usize, value: f64, size: f64) {
        self.values[at] += value;
        self.sizes[at] += size;
    }
}

/// What attention should give: out, lse, d_q, d_k, d_v.
pub(super) struct Expected {
    pub(super) out: Sums,
    pub(super) lse: Sums,
    pub(super) d_q: Sums,
    pub(super) d_k: Sums,
    pub(super) d_v: Sums,
}

/// Inputs as f64, without gaps.
pub(super) struct Numbers {
    pub(super) q: Vec<f64>,
    pub(super) k: Vec<f64>,
    pub(super) v: Vec<f64>,
    pub(super) d_out: Vec<f64>,
}

/// Whether query `i` of batch element `b` sees key `j`.
fn sees(case: &Case, b: usize, i: usize, j: usize) -> bool {
    let Dims { tq, tk, .. } = case.dims;
    let own = i + case.key_lens.as_ref().map_or(tk, |lens| lens[b]) - tq;
    let near = case.window.is_none_or(|window| j + window > own);
    let together = case.segments.as_ref().is_none_or(|ids| ids[b * tk + j] == ids[b * tk + own]);
    j <= own && near && together
}

pub(super) fn attention(case: &Case, x: &Numbers) -> Expected {
    let Dims { b, tq, tk, h, k: kv_heads, dh } = case.dims;
    let (wide, narrow) = (h * dh, kv_heads * dh);
    let mut e = Expected {
        out: Sums::new(b * tq * wide),
        lse: Sums::new(b * h * tq),
        d_q: Sums::new(b * tq * wide),
        d_k: Sums::new(b * tk * narrow),
        d_v: Sums::new(b * tk * narrow),
    };
    for b in 0..b {
        for head in 0..h {
            for i in 0..tq {
                row(case, x, (b, head, i), &mut e);
            }
        }
    }
    e
}

fn row(case: &Case, x: &Numbers, (b, head, i): (usize, usize, usize), e: &mut Expected) {
    let Dims { tq, tk, h, k: kv_heads, dh, .. } = case.dims;
    let kv = head / (h / kv_heads);
    let q_at = ((b * tq + i) * h + head) * dh;
    let k_at = |j: usize| ((b * tk + j) * kv_heads + kv) * dh;
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let size = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum() };
    let scale = f64::from(case.scale());
    let (q, d_out) = (&x.q[q_at..][..dh], &x.d_out[q_at..][..dh]);

    let keys: Vec<usize> = (0..tk).filter(|&j| sees(case, b, i, j)).collect();
    let cap = case.cap.map(f64::from);
    let capped = |score: f64| cap.map_or(score, |cap| cap * (score / cap).tanh());
    let slope = |score: f64| cap.map_or(1.0, |cap| 1.0 - (score / cap).powi(2));
    let score = |&j: &usize| capped(scale * dot(q, &x.k[k_at(j)..][..dh]));
    let scores: Vec<f64> = keys.iter().map(score).collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
    e.lse.add((b * h + head) * tq + i, top + total.ln(), 1.0 + top.abs());

    let p: Vec<f64> = scores.iter().map(|s| (s - top).exp() / total).collect();
    let (mut delta, mut delta_size) = (0.0, 0.0);
    for (&j, &p) in keys.iter().zip(&p) {
        let v = &x.v[k_at(j)..][..dh];
        for d in 0..dh {
            e.out.add(q_at + d, p * v[d], (p * v[d]).abs());
            e.d_v.add(k_at(j) + d, p * d_out[d], (p * d_out[d]).abs());
        }
        delta += p * dot(d_out, v);
        delta_size += p * size(d_out, v);
    }
    for ((&j, &p), &score) in keys.iter().zip(&p).zip(&scores) {
        let (k, v) = (&x.k[k_at(j)..][..dh], &x.v[k_at(j)..][..dh]);
        let p = p * slope(score);
        let d_s = scale * p * (dot(d_out, v) - delta);
        let d_s_size = scale * p * (size(d_out, v) + delta_size);
        for d in 0..dh {
            e.d_q.add(q_at + d, d_s * k[d], d_s_size * k[d].abs());
            e.d_k.add(k_at(j) + d, d_s * q[d], d_s_size * q[d].abs());
        }
    }
}
