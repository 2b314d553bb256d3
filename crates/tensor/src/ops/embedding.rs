//! Rows of a table by index: `out[i] = table[ids[i]] (+ positions_table[positions[i]])`.
//!
//! `table: [V, D]`, `ids: [rows]`, `out: [rows, D]` f32: the start of the residual stream.
//! `d_table[ids[i]] += d_out[i]`, in the order of `i`.

use std::sync::Arc;

use danlu_kernels::cpu::embedding::{self as kernel, PositionTable};

use super::add;
use crate::autograd::record;
use crate::{DType, Device, Error, Param, Result, Tensor, with_elements};

/// The rows of `table` `[V, D]` that `ids` name, `[rows, D]`.
///
/// # Errors
/// When an id is not below `V`, or the table is no matrix.
pub fn embedding(table: &Param, ids: &[u32]) -> Result<Tensor> {
    let width = check_table("embedding", table, ids, "token id", "the vocabulary")?;
    let Device::Cpu(cpu) = table.device();
    let mut out = table.device().empty(DType::F32, [ids.len(), width]);
    let rows = out.as_f32_mut("embedding", "out")?;
    match table.frozen() {
        Some(matrix) => cpu.pool.for_each_chunk(rows, width, |row, out| {
            matrix.dequantize_row(ids[row] as usize, out);
        }),
        None => kernel::embedding(cpu, &table.values(), ids, rows),
    }
    let (saved, ids) = (table.clone(), Arc::<[u32]>::from(ids));
    Ok(record(&[], table.wants_gradient(), out, move |d_out| {
        add_rows(&saved, &ids, &d_out);
        Ok(Vec::new())
    }))
}

/// The rows of `table` `[V, D]` that `ids` name plus the rows of `positions_table`
/// `[max_positions, D]` that `positions` name, `[rows, D]`: the input of GPT-2.
///
/// # Errors
/// When an id or a position is outside its table, or the tables and lists do not fit each other.
pub fn embedding_with_positions(
    table: &Param,
    positions_table: &Param,
    ids: &[u32],
    positions: &[u32],
) -> Result<Tensor> {
    const OP: &str = "embedding_with_positions";
    let width = check_table(OP, table, ids, "token id", "the vocabulary")?;
    let position_width =
        check_table(OP, positions_table, positions, "position", "the context length")?;
    if width != position_width || ids.len() != positions.len() {
        return Err(Error::Value {
            op: OP,
            message: format!(
                "{} ids in a table of width {width} do not fit {} positions in a table of width \
                 {position_width}",
                ids.len(),
                positions.len()
            ),
        });
    }
    if table.frozen().is_some() || positions_table.frozen().is_some() {
        let (x, places) = (embedding(table, ids)?, embedding(positions_table, positions)?);
        return add(&x, &places);
    }
    let Device::Cpu(cpu) = table.device();
    let mut out = table.device().empty(DType::F32, [ids.len(), width]);
    let places = PositionTable { table: &positions_table.values(), positions };
    kernel::embedding_with_positions(cpu, &table.values(), ids, places, out.as_f32_mut(OP, "out")?);
    let trains = table.wants_gradient() || positions_table.wants_gradient();
    let saved = (table.clone(), Arc::<[u32]>::from(ids));
    let saved_positions = (positions_table.clone(), Arc::<[u32]>::from(positions));
    Ok(record(&[], trains, out, move |d_out| {
        for (table, ids) in [&saved, &saved_positions] {
            add_rows(table, ids, &d_out);
        }
        Ok(Vec::new())
    }))
}

/// Adds the rows of `d_out` to the rows of the table's gradient that `ids` name.
fn add_rows(table: &Param, ids: &[u32], d_out: &Tensor) {
    let Device::Cpu(cpu) = table.device();
    Param::add_gradients([table], |[d_table]| {
        with_elements!(d_out.storage(), |d_out| kernel::embedding_backward(
            cpu, d_out, ids, d_table
        ));
    });
}

/// The width of a table, after a check of what is looked up in it.
fn check_table(
    op: &'static str,
    table: &Param,
    ids: &[u32],
    id_name: &str,
    limit_name: &str,
) -> Result<usize> {
    let &[height, width] = table.shape().dims() else {
        return Err(table.shape_error(op, "the table", "a matrix"));
    };
    if let Some((row, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= height) {
        return Err(Error::Value {
            op,
            message: format!("{id_name} {id} in row {row} is outside {limit_name} 0..{height}"),
        });
    }
    Ok(width)
}
