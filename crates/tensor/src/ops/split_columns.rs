//! Cuts rows into parts, as queries, keys and values out of one projection.
//!
//! `x: [rows, Σ widths]` becomes one `[rows, width]` for each width; backward, the gradients of the
//! parts lie side by side again, zero where nothing depends on a part.

use crate::autograd::record_many;
use crate::{Device, Result, Tensor, with_elements};

/// Rows that a task copies.
const ROWS_AT_ONCE: usize = 64;

/// The columns of `x` in parts of these widths, each a tensor of its own.
///
/// # Errors
/// When the widths do not add up to the columns.
pub fn split_columns(x: &Tensor, widths: &[usize]) -> Result<Vec<Tensor>> {
    const OP: &str = "split_columns";
    let (rows, cols) = (x.shape().rows(), x.shape().cols());
    x.expect_shape(OP, "x", [rows, widths.iter().sum()])?;
    let mut parts = Vec::with_capacity(widths.len());
    let mut start = 0;
    for &width in widths {
        let mut part = x.device().empty(x.dtype(), [rows, width]);
        copy_columns(x, (cols, start), &mut part, (width, 0), width);
        parts.push(part);
        start += width;
    }
    // Nothing of x is needed to go back: it is not kept.
    let (device, dtype, shape) = (x.device().clone(), x.dtype(), x.shape());
    let widths = widths.to_vec();
    Ok(record_many(&[x], false, parts, move |d_parts| {
        let mut d_x = device.empty(dtype, shape);
        let mut start = 0;
        for (d_part, &width) in d_parts.into_iter().zip(&widths) {
            let zeros = || device.tensor(dtype, [rows, width], &vec![0.0; rows * width]);
            let d_part = d_part.unwrap_or_else(zeros).into_dtype(dtype);
            copy_columns(&d_part, (width, 0), &mut d_x, (cols, start), width);
            start += width;
        }
        Ok(vec![Some(d_x)])
    }))
}

/// Copies `width` columns of every row; `(cols, start)` says how wide rows are and where it begins.
fn copy_columns(
    from: &Tensor,
    (from_cols, from_start): (usize, usize),
    into: &mut Tensor,
    (into_cols, into_start): (usize, usize),
    width: usize,
) {
    if from_cols == 0 || into_cols == 0 {
        return;
    }
    let Device::Cpu(cpu) = from.device();
    with_elements!((from.storage(), into.storage_mut()), |from, into| {
        cpu.pool.for_each_chunk(into, ROWS_AT_ONCE * into_cols, |chunk, into| {
            let from = &from[chunk * ROWS_AT_ONCE * from_cols..];
            for (into, from) in into.chunks_exact_mut(into_cols).zip(from.chunks(from_cols)) {
                into[into_start..into_start + width]
                    .copy_from_slice(&from[from_start..from_start + width]);
            }
        });
    });
}
