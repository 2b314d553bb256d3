//! What cases are made of: ids, targets, places, and the settings of attention and rotation.

use std::sync::Arc;

use danlu_tensor::ops::{self, AttentionSpec, Layout, LinearWeight, Pairs, RopeSpec};
use danlu_tensor::{Param, Result, Tensor};

use crate::{Kind, Values, reference};

pub(crate) const EPS: f32 = 1e-5;
pub(crate) const THETA: f64 = 10_000.0;

/// Deterministic ids below `limit`, repeating.
pub(crate) fn ids(count: usize, limit: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i + 3 * i + 1) % limit) as u32).collect()
}

/// As [`ids`], every fourth one ignored.
pub(crate) fn targets(count: usize, limit: usize) -> Vec<i32> {
    let target = |(i, id)| if i % 4 == 2 { -100 } else { id as i32 };
    ids(count, limit).into_iter().enumerate().map(target).collect()
}

/// Three documents in every sequence, or one.
pub(crate) fn segments(batch: usize, tokens: usize, documents: usize) -> Arc<[u32]> {
    (0..batch * tokens).map(|i| (i % tokens * documents / tokens) as u32).collect()
}

pub(crate) fn positions(rows: usize) -> Arc<[u32]> {
    (0..rows as u32).map(|row| row % 13).collect()
}

pub(crate) fn layer(weight: &Param, layout: Layout) -> LinearWeight<'_> {
    LinearWeight { weight, bias: None, layout }
}

pub(crate) fn attention_spec(sizes: &[usize]) -> AttentionSpec {
    let &[batch, tokens, num_heads, num_kv_heads, head_dim, documents] = sizes else {
        panic!("sizes of attention: {sizes:?}")
    };
    let segments = (documents > 1).then(|| segments(batch, tokens, documents));
    AttentionSpec {
        batch,
        num_heads,
        num_kv_heads,
        head_dim,
        scale: None,
        cap: None,
        window: None,
        segments,
    }
}

/// A quarter of the summed losses of sizes rows, D, V, under a bound of the logits.
pub(crate) fn loss_reference(s: &[usize], values: &[Vec<f64>], cap: f64) -> Vec<Vec<f64>> {
    let logits = reference::linear_out_in(&values[0], &values[1], s[1]);
    let logits = reference::soft_cap(&logits, cap);
    let scores = reference::log_probs(&logits, s[2], &targets(s[0], s[2]));
    vec![vec![-0.25 * scores.iter().sum::<f64>()]]
}

/// Sizes rows, E, k, D: the logits of the router, then what each expert would make of every row.
pub(crate) fn expert_values(sizes: &[usize]) -> Values {
    let outputs = std::iter::repeat_n((Kind::Compute, vec![sizes[0], sizes[3]]), sizes[1]);
    std::iter::once((Kind::Compute, vec![sizes[0], sizes[1]])).chain(outputs).collect()
}

pub(crate) fn experts(sizes: &[usize], x: &[Tensor], renormalise: bool) -> Result<Vec<Tensor>> {
    let routing = ops::route(&x[0], sizes[2], renormalise)?;
    let groups = routing.groups.iter();
    let outputs = groups.map(|group| ops::select_rows(&x[1 + group.expert], &group.rows));
    Ok(vec![ops::mix(&routing, &outputs.collect::<Result<Vec<_>>>()?)?])
}

pub(crate) fn rope(sizes: &[usize], x: Tensor) -> Result<Vec<Tensor>> {
    let tables = Arc::new(ops::RopeTables::new(13, sizes[2], THETA));
    Ok(vec![ops::rope(x, &positions(sizes[0]), &tables, sizes[1])?])
}

pub(crate) fn rope_reference(sizes: &[usize], values: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let spec = RopeSpec::new(13, sizes[2], THETA);
    vec![reference::rope(&values[0], &positions(sizes[0]), sizes[1], &spec)]
}

/// Two pairs of neighbours a head, 1.5 times as long after their rotation.
pub(crate) fn partial_rope(head_dim: usize) -> RopeSpec {
    RopeSpec {
        max_positions: 13,
        head_dim,
        frequencies: vec![1.0, 0.3],
        magnitude: 1.5,
        pairs: Pairs::Adjacent,
    }
}
