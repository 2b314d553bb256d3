//! The residual stream: `out = x + delta`.
//!
//! `x, out: [rows, D]` f32, `delta: [rows, D]` of any type. Both gradients are that of `out`,
//! shared.

use danlu_kernels::cpu::elementwise;

use crate::autograd::record;
use crate::{DType, Device, Result, Tensor, with_elements};

/// `x + delta`, in f32.
///
/// # Errors
/// When `x` is not f32 or the shapes differ.
pub fn add(x: &Tensor, delta: &Tensor) -> Result<Tensor> {
    delta.expect_shape("add", "delta", x.shape())?;
    let Device::Cpu(cpu) = x.device();
    let a = x.as_f32("add", "x")?;
    let mut out = x.device().empty(DType::F32, x.shape());
    let sum = out.as_f32_mut("add", "out")?;
    with_elements!(delta.storage(), |b| elementwise::add(cpu, a, b, sum));
    Ok(record(&[x, delta], false, out, |d_out| Ok(vec![Some(d_out.clone()), Some(d_out)])))
}
