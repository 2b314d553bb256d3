//! Reductions over sixteen explicit lanes, so that every instruction level adds in the same order.
//!
//! Element `i` goes to lane `i % 16`; at the end the lanes are combined pairwise. Sixteen f32 fill
//! one AVX-512 register, two AVX2 registers or four SSE or NEON registers.

use std::array::from_fn;

use crate::Element;

/// Number of lanes.
pub(crate) const LANES: usize = 16;

/// Σ term(x)
#[inline(always)]
pub(crate) fn sum<X: Element>(x: &[X], term: impl Fn(f32) -> f32) -> f32 {
    let (x, x_tail) = x.as_chunks::<LANES>();
    add_up(
        x.iter().map(|x| from_fn(|i| term(x[i].to_f32()))),
        x_tail.iter().map(|x| term(x.to_f32())),
    )
}

/// Σ term(x, y)
#[inline(always)]
pub(crate) fn sum2<X: Element, Y: Element>(
    x: &[X],
    y: &[Y],
    term: impl Fn(f32, f32) -> f32,
) -> f32 {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    add_up(
        x.iter().zip(y).map(|(x, y)| from_fn(|i| term(x[i].to_f32(), y[i].to_f32()))),
        x_tail.iter().zip(y_tail).map(|(x, y)| term(x.to_f32(), y.to_f32())),
    )
}

/// Σ term(x, y, z)
#[inline(always)]
pub(crate) fn sum3<X: Element, Y: Element, Z: Element>(
    x: &[X],
    y: &[Y],
    z: &[Z],
    term: impl Fn(f32, f32, f32) -> f32,
) -> f32 {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let (z, z_tail) = z.as_chunks::<LANES>();
    add_up(
        x.iter()
            .zip(y)
            .zip(z)
            .map(|((x, y), z)| from_fn(|i| term(x[i].to_f32(), y[i].to_f32(), z[i].to_f32()))),
        x_tail
            .iter()
            .zip(y_tail)
            .zip(z_tail)
            .map(|((x, y), z)| term(x.to_f32(), y.to_f32(), z.to_f32())),
    )
}

/// The largest element; minus infinity for an empty slice. NaN is passed over.
#[inline(always)]
pub(crate) fn max<X: Element>(x: &[X]) -> f32 {
    let (blocks, tail) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = larger(x.to_f32(), *lane);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *lane = larger(x.to_f32(), *lane);
    }
    combine(lanes, larger)
}

/// `a` if it is larger, else `b`: one vector instruction, unlike `f32::max` with its rule for NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn add_up(blocks: impl Iterator<Item = [f32; LANES]>, tail: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(tail) {
        *lane += value;
    }
    combine(lanes, |a, b| a + b)
}

/// Folds the upper half of the lanes onto the lower half until one is left.
#[inline(always)]
pub(crate) fn combine<T: Copy>(mut lanes: [T; LANES], both: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = both(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}
