//! What cases are made of: ids, targets, places, and the settings of attention and rotation.

use std::sync::Arc;

use danlu_tensor::ops::{self, AttentionSpec, Layout, LinearWeight, Pairs, RopeSpec};
use danlu_tensor::{Param, Result, Tensor};

use crate::reference;

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
    AttentionSpec { batch, num_heads, num_kv_heads, head_dim, scale: None, window: None, segments }
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
