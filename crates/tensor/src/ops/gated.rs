//! Gated activations (Shazeer 2020, arXiv:2002.05202): SwiGLU, LLaMA's, and GeGLU, Gemma's, with
//! GELU in its tanh form.
//!
//! `gate, up, out: [rows, F]` of one type. With `f` = SiLU (`x * sigmoid(x)`) or GELU:
//! `out = f(gate) * up`, `d_up = d_out * f(gate)`, `d_gate = d_out * up * f'(gate)`.

use danlu_kernels::cpu::{geglu as gelu_kernel, swiglu as silu_kernel};

use crate::autograd::record;
use crate::{Device, Result, Tensor, with_elements};

/// What the gate goes through.
#[derive(Clone, Copy)]
enum Gate {
    Silu,
    Gelu,
}

/// `silu(gate) * up`.
///
/// # Errors
/// When the shapes or the types differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gated("swiglu", gate, up, Gate::Silu)
}

/// `gelu(gate) * up`.
///
/// # Errors
/// When the shapes or the types differ.
pub fn geglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gated("geglu", gate, up, Gate::Gelu)
}

fn gated(op: &'static str, gate: &Tensor, up: &Tensor, form: Gate) -> Result<Tensor> {
    up.expect_shape(op, "up", gate.shape())?;
    up.expect_dtype(op, "up", gate.dtype())?;
    let Device::Cpu(cpu) = gate.device();
    let mut out = gate.device().empty(gate.dtype(), gate.shape());
    with_elements!((gate.storage(), up.storage(), out.storage_mut()), |gate, up, out| {
        match form {
            Gate::Silu => silu_kernel::swiglu(cpu, gate, up, out),
            Gate::Gelu => gelu_kernel::geglu(cpu, gate, up, out),
        }
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
                |gate, up, d_gate, d_up| match form {
                    Gate::Silu => silu_kernel::swiglu_backward(cpu, gate, up, d_out, d_gate, d_up),
                    Gate::Gelu => gelu_kernel::geglu_backward(cpu, gate, up, d_out, d_gate, d_up),
                }
            );
        });
        Ok(vec![Some(d_gate), Some(d_up)])
    }))
}
