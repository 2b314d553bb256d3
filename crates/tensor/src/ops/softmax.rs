//! Softmax: each row of numbers becomes a row of probabilities.
//!
//! `x, out: [rows, cols]` of one type.
//!
//! ```text
//! forward    out[i] = exp(x[i] - max(x)) / Σ_j exp(x[j] - max(x))
//! backward   d_x[i] = out[i] * (d_out[i] - Σ_j out[j] * d_out[j])
//! ```
//!
//! The backward needs the output only: that is what is saved, not the input.
//!
//! This is the shortest operation that has everything an operation has: read it first. A function
//! checks its arguments, asks the device for the output, lets the kernel of that device fill it and
//! records how to go back.

use danlu_kernels::cpu::softmax as kernel;

use crate::autograd::record;
use crate::{Device, Result, Tensor, with_elements};

/// The softmax of every row of `x` `[rows, cols]`.
///
/// # Errors
/// When the rows are empty.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let cols = x.shape().cols();
    if cols == 0 {
        return Err(x.shape_error("softmax", "x", "rows of at least one element"));
    }
    let mut out = x.device().empty(x.dtype(), x.shape());
    match x.device() {
        Device::Cpu(cpu) => with_elements!((x.storage(), out.storage_mut()), |x, out| {
            kernel::softmax(cpu, x, cols, out);
        }),
    }
    let p = out.detach();
    Ok(record(&[x], false, out, move |d_out| Ok(vec![Some(backward(&p, &d_out))])))
}

/// `p, d_out -> d_x`, all `[rows, cols]`; `p` is what the forward returned.
fn backward(p: &Tensor, d_out: &Tensor) -> Tensor {
    let cols = p.shape().cols();
    let mut d_x = p.device().empty(p.dtype(), p.shape());
    match p.device() {
        Device::Cpu(cpu) => with_elements!((p.storage(), d_x.storage_mut()), |p, d_x| {
            with_elements!(d_out.storage(), |d_out| {
                kernel::softmax_backward(cpu, p, d_out, cols, d_x);
            });
        }),
    }
    d_x
}
