//! Picks rows, as the last token of a prompt. Not differentiable.

use crate::autograd::refuse_recording;
use crate::{Result, Tensor, with_elements};

/// The rows of `x` `[rows, cols]` with these numbers, in this order: `[numbers, cols]`.
///
/// # Errors
/// When a number is not below `rows`, or gradients would be wanted.
pub fn select_rows(x: &Tensor, numbers: &[usize]) -> Result<Tensor> {
    const OP: &str = "select_rows";
    refuse_recording(OP, &[x], false)?;
    let (rows, cols) = (x.shape().rows(), x.shape().cols());
    if let Some(number) = numbers.iter().find(|&&number| number >= rows) {
        return Err(x.shape_error(OP, "x", format!("more than {number} rows")));
    }
    let mut out = x.device().empty(x.dtype(), [numbers.len(), cols]);
    with_elements!((x.storage(), out.storage_mut()), |x, out| {
        for (to, number) in out.chunks_exact_mut(cols).zip(numbers) {
            to.copy_from_slice(&x[number * cols..(number + 1) * cols]);
        }
    });
    Ok(out)
}
