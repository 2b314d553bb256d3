//! Root mean square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467), alone or fused with
//! the addition to the residual stream before it.
//!
//! `x: [rows, D]` of either type, `weight: [D]`, `out: [rows, D]` in the compute type: `out = x *
//! (weight + offset) / sqrt(mean(x²) + eps)`; the offset is 0 but in Gemma's files, whose weights
//! say how far a gain is from 1. Fused: `sum = x + delta` in f32, `out = rms_norm(sum)`. The
//! gradient of `x` is added in place to what `x` has so far, which for the fused form is the
//! gradient of `sum`, so that the residual stream has one gradient buffer from end to start.

use std::ops::Deref;

use danlu_kernels::Buffer;
use danlu_kernels::cpu::rms_norm::{self as kernel, RmsNorm, RmsNormSaved};

use crate::autograd::{place_for, record_into, record_residual};
use crate::params::Values;
use crate::{DType, Device, Param, Result, Tensor, with_elements};

/// The constants of a norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNormSpec {
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the weight.
    pub offset: f32,
}

impl From<f32> for RmsNormSpec {
    /// The norm as published: no offset.
    fn from(eps: f32) -> Self {
        Self { eps, offset: 0.0 }
    }
}

/// What rows are multiplied by: the weight itself, or with the offset added.
enum Gain<'a> {
    Weight(Values<'a>),
    Sum(Buffer<f32>),
}

impl<'a> Gain<'a> {
    fn new(weight: &'a Param, offset: f32) -> Self {
        let values = weight.values();
        if offset == 0.0 {
            return Self::Weight(values);
        }
        let Device::Cpu(cpu) = weight.device();
        let mut sum = cpu.arena.buffer(values.len());
        for (sum, weight) in sum.iter_mut().zip(&*values) {
            *sum = weight + offset;
        }
        Self::Sum(sum)
    }
}

impl Deref for Gain<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            Self::Weight(values) => values,
            Self::Sum(sum) => sum,
        }
    }
}

/// What the backward needs.
struct Saved {
    x: Tensor,
    weight: Param,
    spec: RmsNormSpec,
    inv_rms: Buffer<f32>,
}

/// The rows of `x` `[rows, D]` divided by their root mean square and multiplied by `weight` `[D]`;
/// in the compute type of the weight's store.
///
/// # Errors
/// When the widths differ.
pub fn rms_norm(x: &Tensor, weight: &Param, spec: impl Into<RmsNormSpec>) -> Result<Tensor> {
    const OP: &str = "rms_norm";
    weight.expect_shape(OP, "weight", [x.shape().cols()])?;
    let spec = spec.into();
    let Device::Cpu(cpu) = x.device();
    let mut out = x.device().empty(weight.precision().into(), x.shape());
    let mut inv_rms = cpu.arena.buffer(x.shape().rows());
    with_elements!(x.storage(), |x| with_elements!(out.storage_mut(), |out| {
        let norm = RmsNorm { weight: &Gain::new(weight, spec.offset), eps: spec.eps };
        kernel::rms_norm(cpu, x, norm, out, &mut inv_rms);
    }));
    let saved = Saved { x: x.detach(), weight: weight.clone(), spec, inv_rms };
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
    spec: impl Into<RmsNormSpec>,
) -> Result<(Tensor, Tensor)> {
    const OP: &str = "add_rms_norm";
    weight.expect_shape(OP, "weight", [x.shape().cols()])?;
    delta.expect_shape(OP, "delta", x.shape())?;
    let spec = spec.into();
    let Device::Cpu(cpu) = x.device();
    let mut sum = x.device().empty(DType::F32, x.shape());
    let mut out = x.device().empty(weight.precision().into(), x.shape());
    let mut inv_rms = cpu.arena.buffer(x.shape().rows());
    let (values, total) = (x.as_f32(OP, "x")?, sum.as_f32_mut(OP, "sum")?);
    with_elements!(delta.storage(), |delta| with_elements!(out.storage_mut(), |out| {
        let norm = RmsNorm { weight: &Gain::new(weight, spec.offset), eps: spec.eps };
        kernel::add_rms_norm(cpu, values, delta, norm, total, out, &mut inv_rms);
    }));
    let saved = Saved { x: sum.detach(), weight: weight.clone(), spec, inv_rms };
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
        let d_x_values = d_x.as_f32_mut("rms_norm", "d_x")?;
        let gain = Gain::new(&self.weight, self.spec.offset);
        Param::add_gradients([&self.weight], |[d_weight]| {
            with_elements!(self.x.storage(), |x| with_elements!(d_out.storage(), |d_out| {
                let saved = RmsNormSaved { x, weight: &gain, inv_rms: &self.inv_rms };
                kernel::rms_norm_backward(cpu, saved, d_out, store, d_x_values, d_weight);
            }));
        });
        Ok(d_x)
    }
}
