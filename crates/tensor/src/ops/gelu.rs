//! GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415), exact or in GPT-2's approximation.
//!
//! `x, out`: any shape and type. `out = x * P(x)`, `P` the normal distribution function;
//! `d_x = d_out * (P(x) + x * P'(x))`.

use danlu_kernels::cpu::gelu as kernel;
pub use danlu_kernels::cpu::gelu::Gelu;

use crate::autograd::record;
use crate::{Device, Result, Tensor, with_elements};

/// `x * P(x)` in the given form.
///
/// # Errors
/// Never on the CPU.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    let Device::Cpu(cpu) = x.device();
    let mut out = x.device().empty(x.dtype(), x.shape());
    with_elements!(x.storage(), |x| with_elements!(out.storage_mut(), |out| {
        kernel::gelu(cpu, form, x, out);
    }));
    let saved = x.detach();
    Ok(record(&[x], false, out, move |d_out| {
        let Device::Cpu(cpu) = saved.device();
        let mut d_x = saved.device().empty(saved.dtype(), saved.shape());
        with_elements!(saved.storage(), |x| with_elements!(d_out.storage(), |d_out| {
            with_elements!(d_x.storage_mut(), |d_x| {
                kernel::gelu_backward(cpu, form, x, d_out, d_x);
            });
        }));
        Ok(vec![Some(d_x)])
    }))
}
