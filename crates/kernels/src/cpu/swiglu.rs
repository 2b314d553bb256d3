//! SwiGLU (Shazeer 2020, arXiv:2002.05202): `out = silu(gate) * up` with
//! `silu(x) = x * sigmoid(x)`.
//!
//! Backward, with `s = sigmoid(gate)`: `d_up = d_out * gate * s`,
//! `d_gate = d_out * up * s * (1 + gate * (1 - s))`.
//!
//! NaN stays NaN; minus infinity in `gate` gives NaN (it is minus infinity times zero).

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::map2;
use crate::cpu::math::sigmoid;
use crate::{Cpu, Element};

/// `gate, up, out`: flat, of equal length.
pub fn swiglu<X: Element, O: Element>(cpu: &Cpu, gate: &[X], up: &[X], out: &mut [O]) {
    assert_eq!(gate.len(), out.len(), "swiglu: length of gate");
    assert_eq!(up.len(), out.len(), "swiglu: length of up");
    for_each(
        cpu,
        &(read(gate, CHUNK), read(up, CHUNK), write(out, CHUNK)),
        |_, (gate, up, out)| {
            at_level!(cpu, L => map2(gate, up, out, forward::<L>));
        },
    );
}

/// All slices flat, of equal length; the gradients are overwritten.
pub fn swiglu_backward<X: Element, G: Element, O: Element>(
    cpu: &Cpu,
    gate: &[X],
    up: &[X],
    d_out: &[G],
    d_gate: &mut [O],
    d_up: &mut [O],
) {
    assert_eq!(up.len(), gate.len(), "swiglu_backward: length of up");
    assert_eq!(d_out.len(), gate.len(), "swiglu_backward: length of d_out");
    assert_eq!(d_gate.len(), gate.len(), "swiglu_backward: length of d_gate");
    assert_eq!(d_up.len(), gate.len(), "swiglu_backward: length of d_up");
    let inputs = (read(gate, CHUNK), read(up, CHUNK), read(d_out, CHUNK));
    let outputs = (write(d_gate, CHUNK), write(d_up, CHUNK));
    for_each(cpu, &(inputs, outputs), |_, ((gate, up, d_out), (d_gate, d_up))| {
        at_level!(cpu, L => backward::<L, _, _, _>(gate, up, d_out, d_gate, d_up));
    });
}

#[inline(always)]
fn forward<L: Level>(gate: f32, up: f32) -> f32 {
    gate * sigmoid::<L>(gate) * up
}

#[inline(always)]
fn backward<L: Level, X: Element, G: Element, O: Element>(
    gate: &[X],
    up: &[X],
    d_out: &[G],
    d_gate: &mut [O],
    d_up: &mut [O],
) {
    let inputs = gate.iter().zip(up).zip(d_out);
    for ((d_gate, d_up), ((gate, up), d_out)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
        let (gate, up, d_out) = (gate.to_f32(), up.to_f32(), d_out.to_f32());
        let s = sigmoid::<L>(gate);
        *d_up = O::from_f32(d_out * (gate * s));
        *d_gate = O::from_f32(d_out * up * (s * L::mul_add(gate, 1.0 - s, 1.0)));
    }
}
