//! Picks rows: `out[i] = x[numbers[i]]`, as the last token of a prompt, or the tokens that an
//! expert is given. Backward: `d_x[numbers[i]] += d_out[i]`, in the order of `i`.

use danlu_kernels::cpu::elementwise::{Store, fill};
use danlu_kernels::cpu::embedding::embedding_backward;

use crate::autograd::{place_for, record_into};
use crate::{DType, Device, Result, Tensor, with_elements};

const OP: &str = "select_rows";

/// The rows of `x` `[rows, cols]` with these numbers, in this order: `[numbers, cols]`.
///
/// # Errors
/// When a number is not below `rows`.
pub fn select_rows(x: &Tensor, numbers: &[usize]) -> Result<Tensor> {
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
    let (like, ids) = (x.detach(), numbers.iter().map(|&n| n as u32).collect::<Vec<_>>());
    Ok(record_into(x, false, out, move |d_out, so_far| {
        let Device::Cpu(cpu) = like.device();
        let (mut d_x, store) = place_for(so_far, &like, DType::F32);
        let rows = d_x.as_f32_mut(OP, "d_x")?;
        if store == Store::Overwrite {
            fill(cpu, rows, 0.0);
        }
        with_elements!(d_out.storage(), |d_out| embedding_backward(cpu, d_out, &ids, rows));
        Ok(d_x)
    }))
}
