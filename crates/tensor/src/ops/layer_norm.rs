//! Layer normalisation (Ba, Kiros and Hinton 2016, arXiv:1607.06450), alone or fused with the
//! addition to the residual stream before it.
//!
//! `x: [rows, D]` f32, `weight, bias: [D]`, `out: [rows, D]` in the compute type:
//! `out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`. Fused: `sum = x + delta`,
//! `out = layer_norm(sum)`. Gradients of `x` are added in place, as in [`super::rms_norm`].

use danlu_kernels::Buffer;
use danlu_kernels::cpu::layer_norm::{
    self as kernel, LayerNorm, LayerNormGradients, LayerNormSaved, LayerNormStatistics,
};

use crate::autograd::{place_for, record_into, record_residual};
use crate::{DType, Device, Param, Result, Tensor, with_elements};

/// What the backward needs.
struct Saved {
    x: Tensor,
    weight: Param,
    bias: Param,
    mean: Buffer<f32>,
    inv_std: Buffer<f32>,
}

/// The rows of `x` `[rows, D]` f32 with mean 0 and variance 1, times `weight` plus `bias`, `[D]`
/// each; in the compute type of the weight's store.
///
/// # Errors
/// When `x` is not f32 or the widths differ.
pub fn layer_norm(x: &Tensor, weight: &Param, bias: &Param, eps: f32) -> Result<Tensor> {
    const OP: &str = "layer_norm";
    check_widths(OP, x, weight, bias)?;
    let Device::Cpu(cpu) = x.device();
    let mut out = x.device().empty(weight.precision().into(), x.shape());
    let (mut mean, mut inv_std) =
        (cpu.arena.buffer(x.shape().rows()), cpu.arena.buffer(x.shape().rows()));
    let values = x.as_f32(OP, "x")?;
    with_elements!(out.storage_mut(), |out| {
        let norm = LayerNorm { weight: &weight.values(), bias: &bias.values(), eps };
        let statistics = LayerNormStatistics { mean: &mut mean, inv_std: &mut inv_std };
        kernel::layer_norm(cpu, values, norm, out, statistics);
    });
    let saved = Saved { x: x.detach(), weight: weight.clone(), bias: bias.clone(), mean, inv_std };
    Ok(record_into(x, weight.wants_gradient(), out, |d_out, so_far| saved.backward(&d_out, so_far)))
}

/// `sum = x + delta` in f32 and `out = layer_norm(sum)` in one pass; `x: [rows, D]` f32, `delta` of
/// any type. Returns `(sum, out)`.
///
/// # Errors
/// When `x` is not f32 or the shapes differ.
pub fn add_layer_norm(
    x: &Tensor,
    delta: &Tensor,
    weight: &Param,
    bias: &Param,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    const OP: &str = "add_layer_norm";
    check_widths(OP, x, weight, bias)?;
    delta.expect_shape(OP, "delta", x.shape())?;
    let Device::Cpu(cpu) = x.device();
    let mut sum = x.device().empty(DType::F32, x.shape());
    let mut out = x.device().empty(weight.precision().into(), x.shape());
    let (mut mean, mut inv_std) =
        (cpu.arena.buffer(x.shape().rows()), cpu.arena.buffer(x.shape().rows()));
    let (values, total) = (x.as_f32(OP, "x")?, sum.as_f32_mut(OP, "sum")?);
    with_elements!(delta.storage(), |delta| with_elements!(out.storage_mut(), |out| {
        let norm = LayerNorm { weight: &weight.values(), bias: &bias.values(), eps };
        let statistics = LayerNormStatistics { mean: &mut mean, inv_std: &mut inv_std };
        kernel::add_layer_norm(cpu, values, delta, norm, total, out, statistics);
    }));
    let saved =
        Saved { x: sum.detach(), weight: weight.clone(), bias: bias.clone(), mean, inv_std };
    let trains = weight.wants_gradient();
    Ok(record_residual([x, delta], trains, (sum, out), |d_sum, d_out| {
        saved.backward(&d_out, d_sum)
    }))
}

fn check_widths(op: &'static str, x: &Tensor, weight: &Param, bias: &Param) -> Result<()> {
    weight.expect_shape(op, "weight", [x.shape().cols()])?;
    bias.expect_shape(op, "bias", [x.shape().cols()])
}

impl Saved {
    /// Adds the gradient of the normalised tensor to `so_far`.
    fn backward(self, d_out: &Tensor, so_far: Option<Tensor>) -> Result<Tensor> {
        let Device::Cpu(cpu) = self.x.device();
        let (mut d_x, store) = place_for(so_far, &self.x, DType::F32);
        let x = self.x.as_f32("layer_norm", "x")?;
        let d_x_values = d_x.as_f32_mut("layer_norm", "d_x")?;
        let weight = &self.weight.values();
        let saved = LayerNormSaved { x, weight, mean: &self.mean, inv_std: &self.inv_std };
        Param::add_gradients([&self.weight, &self.bias], |[weight, bias]| {
            let gradients = LayerNormGradients { weight, bias };
            with_elements!(d_out.storage(), |d_out| kernel::layer_norm_backward(
                cpu, saved, d_out, store, d_x_values, gradients
            ));
        });
        Ok(d_x)
    }
}
