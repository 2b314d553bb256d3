//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864).
//!
//! `x, out: [rows, heads * Dh]`, `positions: [rows]`. In each head, with
//! `angle = position * frequency_i`: `(a, b) -> (a cos - b sin, b cos + a sin)` for the pair
//! number `i`, which is the elements `i` and `i + Dh / 2` unless the [`RopeSpec`] says otherwise.
//! The backward is the rotation the other way. Both work in place in memory that nobody else holds.

use std::sync::Arc;

use danlu_kernels::cpu::rope::{self as kernel, Rotation};
pub use danlu_kernels::cpu::rope::{Pairs, RopeSpec, RopeTables, frequencies};

use crate::autograd::record_in_place;
use crate::{Device, Error, Result, Tensor, with_elements};

/// `x` `[rows, heads * Dh]` with every head rotated by its row's position. Give `x` away to have it
/// rotated in place.
///
/// # Errors
/// When the shape does not fit the positions and the tables, or a position is beyond the tables.
pub fn rope(
    x: Tensor,
    positions: &Arc<[u32]>,
    tables: &Arc<RopeTables>,
    heads: usize,
) -> Result<Tensor> {
    x.expect_shape("rope", "x", [positions.len(), heads * tables.spec().head_dim])?;
    let limit = tables.spec().max_positions;
    if let Some(position) = positions.iter().find(|position| **position as usize >= limit) {
        return Err(Error::Value {
            op: "rope",
            message: format!("position {position} is beyond the context length {limit}"),
        });
    }
    let input = x.edge().cloned();
    let out = rotate(x, positions, tables, heads, Rotation::Forward);
    let (positions, tables) = (Arc::clone(positions), Arc::clone(tables));
    Ok(record_in_place(input, out, move |d_out| {
        Ok(rotate(d_out, &positions, &tables, heads, Rotation::Backward))
    }))
}

fn rotate(
    x: Tensor,
    positions: &[u32],
    tables: &RopeTables,
    heads: usize,
    rotation: Rotation,
) -> Tensor {
    let mut x = x.into_unique();
    let Device::Cpu(cpu) = x.device().clone();
    with_elements!(x.storage_mut(), |x| kernel::rope(&cpu, x, heads, tables, positions, rotation));
    x
}
