//! Maps over flat slices: conversion, addition, scaling, filling, and the bias of a linear layer.

use crate::cpu::chunks::{CHUNK, for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::at_level;
use crate::{Cpu, Element, element::Pod};

/// What a kernel does with the gradient that is already in its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// `out = value`; the old contents may be anything.
    Overwrite,
    /// `out += value`.
    Accumulate,
}

/// `out = x`, rounded to the nearest value of `O`.
pub fn convert<X: Element, O: Element>(cpu: &Cpu, x: &[X], out: &mut [O]) {
    assert_eq!(x.len(), out.len(), "convert: lengths of x and out");
    for_each(cpu, &(read(x, CHUNK), write(out, CHUNK)), |_, (x, out)| {
        at_level!(cpu, L => map(x, out, |x| x));
    });
}

/// `out = a + b`, added in f32.
pub fn add<A: Element, B: Element, O: Element>(cpu: &Cpu, a: &[A], b: &[B], out: &mut [O]) {
    assert_eq!(a.len(), out.len(), "add: lengths of a and out");
    assert_eq!(b.len(), out.len(), "add: lengths of b and out");
    for_each(cpu, &(read(a, CHUNK), read(b, CHUNK), write(out, CHUNK)), |_, (a, b, out)| {
        at_level!(cpu, L => map2(a, b, out, |a, b| a + b));
    });
}

/// `a += b`, added in f32.
pub fn add_assign<A: Element, B: Element>(cpu: &Cpu, a: &mut [A], b: &[B]) {
    assert_eq!(a.len(), b.len(), "add_assign: lengths of a and b");
    for_each(cpu, &(write(a, CHUNK), read(b, CHUNK)), |_, (a, b)| {
        at_level!(cpu, L => update(a, b, |a, b| a + b));
    });
}

/// `x *= factor`.
pub fn scale<X: Element>(cpu: &Cpu, x: &mut [X], factor: f32) {
    cpu.pool.for_each_chunk(x, CHUNK, |_, x| {
        at_level!(cpu, L => {
            for x in x {
                *x = X::from_f32(x.to_f32() * factor);
            }
        });
    });
}

/// `out = value` everywhere.
pub fn fill<T: Pod>(cpu: &Cpu, out: &mut [T], value: T) {
    cpu.pool.for_each_chunk(out, CHUNK, |_, out| out.fill(value));
}

/// Adds `bias` `[cols]` to every row of `x` `[rows, cols]`.
pub fn add_bias<X: Element>(cpu: &Cpu, x: &mut [X], bias: &[f32]) {
    let cols = bias.len();
    assert!(cols > 0 && x.len().is_multiple_of(cols), "add_bias: {} in rows of {cols}", x.len());
    cpu.pool.for_each_chunk(x, rows_per_chunk(cols) * cols, |_, x| {
        at_level!(cpu, L => x.chunks_exact_mut(cols).for_each(
            #[inline(always)]
            |row| update(row, bias, |x, bias| x + bias),
        ));
    });
}

/// The gradient of a bias: adds the sum over the rows of `d_out` `[rows, cols]` to `d_bias`
/// `[cols]`.
pub fn add_bias_backward<G: Element>(cpu: &Cpu, d_out: &[G], d_bias: &mut [f32]) {
    let cols = d_bias.len();
    assert!(
        cols > 0 && d_out.len().is_multiple_of(cols),
        "add_bias_backward: {} in rows of {cols}",
        d_out.len()
    );
    let rows = partial_rows(d_out.len() / cols);
    let mut partial = cpu.arena.zeros::<f32>((d_out.len() / cols).div_ceil(rows) * cols);
    for_each(cpu, &(read(d_out, rows * cols), write(&mut partial, cols)), |_, (d_out, partial)| {
        at_level!(cpu, L => d_out.chunks_exact(cols).for_each(
            #[inline(always)]
            |row| update(partial, row, |sum, d| sum + d),
        ));
    });
    add_partials(cpu, &partial, d_bias);
}

/// Rows whose sum makes one partial result: at most 64 partials, however many threads there are.
pub(crate) fn partial_rows(rows: usize) -> usize {
    rows.div_ceil(64).max(1)
}

/// Adds the partial sums `[n, cols]`, first to last, to `total` `[cols]`.
pub(crate) fn add_partials(cpu: &Cpu, partials: &[f32], total: &mut [f32]) {
    const COLS: usize = 256;
    let cols = total.len();
    cpu.pool.for_each_chunk(total, COLS, |index, total| {
        at_level!(cpu, L => partials.chunks_exact(cols).for_each(
            #[inline(always)]
            |partial| update(total, &partial[index * COLS..], |sum, part| sum + part),
        ));
    });
}

/// `out = f(x)`
#[inline(always)]
pub(crate) fn map<X: Element, O: Element>(x: &[X], out: &mut [O], f: impl Fn(f32) -> f32) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = O::from_f32(f(x.to_f32()));
    }
}

/// `out = f(x, y)`
#[inline(always)]
pub(crate) fn map2<X: Element, Y: Element, O: Element>(
    x: &[X],
    y: &[Y],
    out: &mut [O],
    f: impl Fn(f32, f32) -> f32,
) {
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out = O::from_f32(f(x.to_f32(), y.to_f32()));
    }
}

/// `out = f(out, x)`
#[inline(always)]
pub(crate) fn update<O: Element, X: Element>(out: &mut [O], x: &[X], f: impl Fn(f32, f32) -> f32) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = O::from_f32(f(out.to_f32(), x.to_f32()));
    }
}
