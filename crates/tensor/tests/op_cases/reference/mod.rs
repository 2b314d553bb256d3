//! Every operation as naive code in f64: loops that follow the formula and nothing else.
//!
//! Matrices are flat and row-major. What a function is called is what the operation is called.

use danlu_tensor::ops::{Pairs, RopeSpec};

/// `x W`, `x: [rows, inputs]`, `weight(i, o)` being the weight from input `i` to output `o`.
pub(crate) fn linear(
    x: &[f64],
    inputs: usize,
    outputs: usize,
    weight: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    x.chunks(inputs)
        .flat_map(|x| (0..outputs).map(|o| (0..inputs).map(|i| x[i] * weight(i, o)).sum::<f64>()))
        .collect()
}

/// `x Wᵀ`, `weight: [outputs, inputs]`.
pub(crate) fn linear_out_in(x: &[f64], weight: &[f64], inputs: usize) -> Vec<f64> {
    linear(x, inputs, weight.len() / inputs, |i, o| weight[o * inputs + i])
}

pub(crate) fn add(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

/// Adds `bias` to every row.
pub(crate) fn add_bias(x: &[f64], bias: &[f64]) -> Vec<f64> {
    x.iter().enumerate().map(|(i, x)| x + bias[i % bias.len()]).collect()
}

pub(crate) fn embedding(table: &[f64], width: usize, ids: &[u32]) -> Vec<f64> {
    ids.iter().flat_map(|&id| table[id as usize * width..][..width].iter().copied()).collect()
}

pub(crate) fn rms_norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let row = |x: &[f64]| {
        let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean_square + eps).sqrt();
        x.iter().zip(weight).map(|(x, w)| x * scale * w).collect::<Vec<_>>()
    };
    x.chunks(weight.len()).flat_map(row).collect()
}

pub(crate) fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let row = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (variance + eps).sqrt();
        let parameters = weight.iter().zip(bias);
        x.iter().zip(parameters).map(|(x, (w, b))| (x - mean) * scale * w + b).collect::<Vec<_>>()
    };
    x.chunks(weight.len()).flat_map(row).collect()
}

pub(crate) fn rope(x: &[f64], positions: &[u32], heads: usize, spec: &RopeSpec) -> Vec<f64> {
    let pairs = spec.frequencies.len();
    let mut out = x.to_vec();
    for (row, &position) in out.chunks_mut(heads * spec.head_dim).zip(positions) {
        for head in row.chunks_mut(spec.head_dim) {
            for (i, frequency) in spec.frequencies.iter().enumerate() {
                let (sin, cos) = (f64::from(position) * frequency).sin_cos();
                let (i, j) = match spec.pairs {
                    Pairs::Halves => (i, i + pairs),
                    Pairs::Adjacent => (2 * i, 2 * i + 1),
                };
                let (a, b) = (head[i] * spec.magnitude, head[j] * spec.magnitude);
                (head[i], head[j]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
    }
    out
}

pub(crate) fn softmax(x: &[f64], cols: usize) -> Vec<f64> {
    let row = |x: &[f64]| {
        let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
        x.iter().map(|x| (x - max).exp() / sum).collect::<Vec<_>>()
    };
    x.chunks(cols).flat_map(row).collect()
}

pub(crate) fn swiglu(gate: &[f64], up: &[f64]) -> Vec<f64> {
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}

pub(crate) fn geglu(gate: &[f64], up: &[f64]) -> Vec<f64> {
    gelu_tanh(gate).iter().zip(up).map(|(gelu, u)| gelu * u).collect()
}

pub(crate) fn gelu_tanh(x: &[f64]) -> Vec<f64> {
    let slope = (2.0 / std::f64::consts::PI).sqrt();
    x.iter().map(|x| 0.5 * x * (1.0 + (slope * (x + 0.044715 * x.powi(3))).tanh())).collect()
}

pub(crate) fn gelu_erf(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))).collect()
}

/// `2 / √π ∫ exp(-t²) dt` from 0 to `x`, by Simpson's rule.
fn erf(x: f64) -> f64 {
    const STEPS: usize = 400;
    let h = x / STEPS as f64;
    let density = |i: usize| (-(i as f64 * h).powi(2)).exp();
    let weight = |i: usize| if i == 0 || i == STEPS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
    let sum: f64 = (0..=STEPS).map(|i| weight(i) * density(i)).sum();
    sum * h / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
}

pub(crate) fn soft_cap(x: &[f64], cap: f64) -> Vec<f64> {
    let bound = |x: f64| if cap.is_finite() { cap * (x / cap).tanh() } else { x };
    x.iter().map(|x| bound(*x)).collect()
}

/// Sizes rows, E, k, D; `values` are the router's logits and each expert's rows.
pub(crate) fn experts(sizes: &[usize], values: &[Vec<f64>], renormalise: bool) -> Vec<f64> {
    let &[_, count, k, width] = sizes else { panic!("sizes of experts: {sizes:?}") };
    let mut out = Vec::new();
    for (row, logits) in values[0].chunks(count).enumerate() {
        let p = softmax(logits, count);
        let mut chosen: Vec<usize> = (0..count).collect();
        chosen.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
        chosen.truncate(k);
        let sum: f64 = chosen.iter().map(|&expert| p[expert]).sum();
        let share = |expert: usize| p[expert] / if renormalise { sum } else { 1.0 };
        out.extend((row * width..(row + 1) * width).map(|at| {
            chosen.iter().map(|&expert| share(expert) * values[1 + expert][at]).sum::<f64>()
        }));
    }
    out
}

/// `ln softmax(row)[target]` of every row, 0 where the target is -100.
pub(crate) fn log_probs(logits: &[f64], cols: usize, targets: &[i32]) -> Vec<f64> {
    let rows = logits.chunks(cols).zip(targets);
    rows.map(|(row, &target)| {
        if target == -100 {
            return 0.0;
        }
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        row[target as usize] - max - sum.ln()
    })
    .collect()
}

/// Sizes of an attention: `q: [batch * queries, heads * head_dim]`, `k, v: [batch * keys, kv_heads
/// * head_dim]`, of which the first `len` of each sequence count.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) batch: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) len: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) scale: f64,
    /// The bound of scaled scores; infinity is none.
    pub(crate) cap: f64,
    /// Keys that a query sees at most.
    pub(crate) window: usize,
}

impl Attention {
    /// Queries, keys and heads of one width in a batch, scaled and seeing as usual.
    pub(crate) fn of(sizes: [usize; 6], len: usize) -> Self {
        let [batch, queries, keys, heads, kv_heads, head_dim] = sizes;
        let scale = 1.0 / (head_dim as f64).sqrt();
        let (cap, window) = (f64::INFINITY, usize::MAX);
        Self { batch, queries, keys, len, heads, kv_heads, head_dim, scale, cap, window }
    }
}

/// `segments: [batch * keys]`; query `i` stands beside key `i + len - queries`.
pub(crate) fn attention(
    sizes: Attention,
    q: &[f64],
    k: &[f64],
    v: &[f64],
    segments: &[u32],
) -> Vec<f64> {
    let Attention { batch, queries, keys, len, heads, kv_heads, head_dim, scale, cap, window } =
        sizes;
    let mut out = vec![0.0; q.len()];
    for b in 0..batch {
        for head in 0..heads {
            let kv_head = head * kv_heads / heads;
            for i in 0..queries {
                let at = ((b * queries + i) * heads + head) * head_dim;
                let kv_at = |j: usize| ((b * keys + j) * kv_heads + kv_head) * head_dim;
                let beside = i + len - queries;
                let seen: Vec<usize> = (0..=beside)
                    .filter(|j| beside - j < window)
                    .filter(|j| segments[b * keys + j] == segments[b * keys + beside])
                    .collect();
                let score = |&j: &usize| {
                    let pairs = q[at..at + head_dim].iter().zip(&k[kv_at(j)..]);
                    let score = pairs.map(|(q, k)| q * k).sum::<f64>() * scale;
                    if cap.is_finite() { cap * (score / cap).tanh() } else { score }
                };
                let scores: Vec<f64> = seen.iter().map(score).collect();
                for (j, p) in seen.iter().zip(softmax(&scores, scores.len())) {
                    for d in 0..head_dim {
                        out[at + d] += p * v[kv_at(*j) + d];
                    }
                }
            }
        }
    }
    out
}
