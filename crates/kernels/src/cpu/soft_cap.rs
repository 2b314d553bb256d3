//! A bound that numbers approach and never pass (Gemma 2, arXiv:2408.00118):
//! `out = cap * tanh(x / cap)`. Its slope is `1 - (out / cap)²`.
//!
//! NaN stays NaN; infinities become the bound.

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::math::tanh;
use crate::{Cpu, Element};

/// Bounds every number of `x`, flat.
pub fn soft_cap(cpu: &Cpu, x: &mut [f32], cap: f32) {
    cpu.pool.for_each_chunk(x, CHUNK, |_, x| at_level!(cpu, L => bound::<L>(x, cap)));
}

#[inline(always)]
fn bound<L: Level>(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh::<L>(*x / cap);
    }
}

/// The gradient of what was bounded: `d_x = d_out * slope`, in the place of `d_out`; `out` is what
/// came out. Both flat, of equal length.
pub fn soft_cap_backward<G: Element>(cpu: &Cpu, out: &[f32], cap: f32, d_out: &mut [G]) {
    assert_eq!(d_out.len(), out.len(), "soft_cap_backward: length of d_out");
    for_each(cpu, &(read(out, CHUNK), write(d_out, CHUNK)), |_, (out, d_out)| {
        at_level!(cpu, L => slopes::<L, G>(out, cap, d_out));
    });
}

#[inline(always)]
fn slopes<L: Level, G: Element>(out: &[f32], cap: f32, d_out: &mut [G]) {
    for (d, out) in d_out.iter_mut().zip(out) {
        let share = out / cap;
        *d = G::from_f32(d.to_f32() * L::mul_add(-share, share, 1.0));
    }
}
