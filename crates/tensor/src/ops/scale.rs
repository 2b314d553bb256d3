//! Every number times a constant: `out = factor * x`, `d_x = factor * d_out`, any shape and type.
//! Both work in place in memory that nobody else holds.

use danlu_kernels::cpu::elementwise as kernel;

use crate::autograd::record_in_place;
use crate::{Device, Result, Tensor, with_elements};

/// `factor * x`. Give `x` away to have it done in place.
///
/// # Errors
/// Never on the CPU.
pub fn scale(x: Tensor, factor: f32) -> Result<Tensor> {
    let input = x.edge().cloned();
    Ok(record_in_place(input, scaled(x, factor), move |d_out| Ok(scaled(d_out, factor))))
}

fn scaled(x: Tensor, factor: f32) -> Tensor {
    let mut x = x.into_unique();
    let Device::Cpu(cpu) = x.device().clone();
    with_elements!(x.storage_mut(), |x| kernel::scale(&cpu, x, factor));
    x
}
