//! Copies rows into a larger tensor, as new keys and values into a cache. Not differentiable.

use crate::autograd::refuse_recording;
use crate::{Result, Tensor, with_elements};

/// Writes `x` `[rows, cols]` over the rows `start .. start + rows` of `into` `[capacity, cols]`.
///
/// # Errors
/// When the rows do not fit, types differ, or gradients would be wanted.
///
/// # Panics
/// When `into` is shared.
pub fn copy_rows(x: &Tensor, into: &mut Tensor, start: usize) -> Result<()> {
    const OP: &str = "copy_rows";
    refuse_recording(OP, &[x, into], false)?;
    let (rows, cols) = (x.shape().rows(), x.shape().cols());
    let capacity = into.shape().rows();
    into.expect_shape(OP, "into", [capacity, cols])?;
    into.expect_dtype(OP, "into", x.dtype())?;
    if start > capacity || rows > capacity - start {
        return Err(x.shape_error(OP, "x", format!("at most {capacity} rows from row {start} on")));
    }
    with_elements!((x.storage(), into.storage_mut()), |x, into| {
        into[start * cols..(start + rows) * cols].copy_from_slice(x);
    });
    Ok(())
}
