//! GeGLU (Shazeer 2020, arXiv:2002.05202) with GELU in its tanh form, as in Gemma:
//! `out = gelu(gate) * up`.
//!
//! Backward: `d_up = d_out * gelu(gate)`, `d_gate = d_out * up * gelu'(gate)`.
//!
//! NaN stays NaN; minus infinity in `gate` gives NaN (it is minus infinity times zero).

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::elementwise::map2;
use crate::cpu::gelu::{by_tanh, by_tanh_backward};
use crate::{Cpu, Element};

/// `gate, up, out`: flat, of equal length.
pub fn geglu<X: Element, O: Element>(cpu: &Cpu, gate: &[X], up: &[X], out: &mut [O]) {
    assert_eq!(gate.len(), out.len(), "geglu: length of gate");
    assert_eq!(up.len(), out.len(), "geglu: length of up");
    let chunks = (read(gate, CHUNK), read(up, CHUNK), write(out, CHUNK));
    for_each(cpu, &chunks, |_, (gate, up, out)| {
        at_level!(cpu, L => map2(gate, up, out, |gate, up| by_tanh::<L>(gate) * up));
    });
}

/// All slices flat, of equal length; the gradients are overwritten.
pub fn geglu_backward<X: Element, G: Element, O: Element>(
    cpu: &Cpu,
    gate: &[X],
    up: &[X],
    d_out: &[G],
    d_gate: &mut [O],
    d_up: &mut [O],
) {
    let len = gate.len();
    assert!(
        [up.len(), d_out.len(), d_gate.len(), d_up.len()] == [len; 4],
        "geglu_backward: {len} gates, up {}, d_out {}, d_gate {}, d_up {}",
        up.len(),
        d_out.len(),
        d_gate.len(),
        d_up.len()
    );
    let inputs = (read(gate, CHUNK), read(up, CHUNK), read(d_out, CHUNK));
    let outputs = (write(d_gate, CHUNK), write(d_up, CHUNK));
    for_each(cpu, &(inputs, outputs), |_, ((gate, up, d_out), (d_gate, d_up))| {
        at_level!(cpu, L => backward::<L, _, _, _>(gate, up, d_out, d_gate, d_up));
    });
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
        *d_up = O::from_f32(d_out * by_tanh::<L>(gate));
        *d_gate = O::from_f32(by_tanh_backward::<L>(gate, d_out * up));
    }
}
