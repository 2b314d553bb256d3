//! SwiGLU, the gated activation of LLaMA (Shazeer 2020, arXiv:2002.05202).
//!
//! `gate, up, out: [rows, F]` of one type. With `s = sigmoid(gate)`: `out = gate * s * up`,
//! `d_up = d_out * gate * s`, `d_gate = d_out * up * s * (1 + gate * (1 - s))`.

use danlu_kernels::cpu::swiglu as kernel;

use crate::autograd::record;
use crate::{Device, Result, Tensor, with_elements};

/// `silu(gate) * up`.
///
/// # Errors
/// When the shapes or the types differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    up.expect_shape("swiglu", "up", gate.shape())?;
    up.expect_dtype("swiglu", "up", gate.dtype())?;
    let Device::Cpu(cpu) = gate.device();
    let mut out = gate.device().empty(gate.dtype(), gate.shape());
    with_elements!((gate.storage(), up.storage(), out.storage_mut()), |gate, up, out| {
        kernel::swiglu(cpu, gate, up, out);
    });
    let saved = (gate.detach(), up.detach());
    Ok(record(&[gate, up], false, out, move |d_out| {
        let (gate, up) = saved;
        let Device::Cpu(cpu) = gate.device();
        let empty = || gate.device().empty(gate.dtype(), gate.shape());
        let (mut d_gate, mut d_up) = (empty(), empty());
        with_elements!(d_out.storage(), |d_out| {
            let outputs = (d_gate.storage_mut(), d_up.storage_mut());
            with_elements!(
                (gate.storage(), up.storage(), outputs.0, outputs.1),
                |gate, up, d_gate, d_up| {
                    kernel::swiglu_backward(cpu, gate, up, d_out, d_gate, d_up);
                }
            );
        });
        Ok(vec![Some(d_gate), Some(d_up)])
    }))
}
