//! Root mean square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467), alone or fused with
//! the addition to the residual stream before it.
//!
//! `x: [rows, D]` f32, `weight: [D]`, `out: [rows, D]` in the compute type:
//! `out = x * weight / sqrt(mean(x²) + eps)`. Fused: `sum = x + delta`, `out = rms_norm(sum)`.
//! The gradient of `x` is added in place to what `x` has so far, which for the fused form is the
//! gradient of `sum`, so that the residual stream has one gradient buffer from end to start.

use danlu_kernels::Buffer;
use danlu_kernels::cpu::rms_norm::{self as kernel, RmsNorm, RmsNormSaved};

use crate::autograd::{place_for, record_into, record_residual};
use crate::{DType, Device, Param, Result, Tensor, with_elements};

/// What the backward needs.
struct Saved {
    x: Tensor,
    weight: Param,
    inv_rms: Buffer<f32>,
}

/// The rows of `x` `[rows, D]` f32 divided by their root mean square and multiplied by `weight`
/// `[D]`; in the compute type of the weight's store.
///
/// # Errors
/// When `x` is not f32 or the widths differ.
pub fn rms_norm(x: &Tensor, weight: &Param, eps: f32) -> Result<Tensor> {
    const OP: &str = "rms_norm";
    weight.expect_shape(OP, "weight", [x.shape().cols()])?;
    let Device::Cpu(cpu) = x.device();
    let mut out = x.device().empty(weight.precision().into(), x.shape());
    let mut inv_rms = cpu.arena.buffer(x.shape().rows());
    let values = x.as_f32(OP, "x")?;
    with_elements!(out.storage_mut(), |out| {
        let norm = RmsNorm { weight: &weight.values(), eps };
        kernel::rms_norm(cpu, values, norm, out, &mut inv_rms);
    });
    let saved = Saved { x: x.detach(), weight: weight.clone(), inv_rms };
    Ok(record_into(x, weight.wants_gradient(), out, |d_out, so_far| saved.backward(&d_out, so_far)))
}

/// `sum = x + delta` in f32 and `out = rms_norm(sum)` in one pass; `x: [rows, D]` f32, `delta` of
/// any type. Returns `(sum, out)`.
///
/// # Errors
/// When `x` is not f32 or the shapes differ.
pub fn add_rms_norm(
    x: &Tensor,
    delta: &Tensor,
    weight: &Param,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    const OP: &str = "add_rms_norm";
    weight.expect_shape(OP, "weight", [x.shape().cols()])?;
    delta.expect_shape(OP, "delta", x.shape())?;
    let Device::Cpu(cpu) = x.device();
    let mut sum = x.device().empty(DType::F32, x.shape());
    let mut out = x.device().empty(weight.precision().into(), x.shape());
    let mut inv_rms = cpu.arena.buffer(x.shape().rows());
    let (values, total) = (x.as_f32(OP, "x")?, sum.as_f32_mut(OP, "sum")?);
    with_elements!(delta.storage(), |delta| with_elements!(out.storage_mut(), |out| {
        let norm = RmsNorm { weight: &weight.values(), eps };
        kernel::add_rms_norm(cpu, values, delta, norm, total, out, &mut inv_rms);
    }));
    let saved = Saved { x: sum.detach(), weight: weight.clone(), inv_rms };
    let trains = weight.wants_gradient();
    Ok(record_residual([x, delta], trains, (sum, out), |d_sum, d_out| {
        saved.backward(&d_out, d_sum)
    }))
}

impl Saved {
    /// Adds the gradient of the normalised tensor to `so_far`.
    fn backward(self, d_out: &Tensor, so_far: Option<Tensor>) -> Result<Tensor> {
        let Device::Cpu(cpu) = self.x.device();
        let (mut d_x, store) = place_for(so_far, &self.x, DType::F32);
        let x = self.x.as_f32("rms_norm", "x")?;
        let d_x_values = d_x.as_f32_mut("rms_norm", "d_x")?;
        let saved = RmsNormSaved { x, weight: &self.weight.values(), inv_rms: &self.inv_rms };
        Param::add_gradients([&self.weight], |[d_weight]| {
            with_elements!(d_out.storage(), |d_out| kernel::rms_norm_backward(
                cpu, saved, d_out, store, d_x_values, d_weight
            ));
        });
        Ok(d_x)
    }
}
