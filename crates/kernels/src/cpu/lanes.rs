//! Reductions over sixteen explicit lanes, so that every instruction level adds in the same order.
//!
//! Element `i` goes to lane `i % 16`; at the end the lanes are combined pairwise. Sixteen f32 fill
//! one AVX-512 register, two AVX2 registers or four SSE or NEON registers.

use crate::Element;

/// Number of lanes.
pub(crate) const LANES: usize = 16;

/// Σ term(x)
#[inline(always)]
pub(crate) fn sum<X: Element>(x: &[X], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, tail) = x.as_chunks::<LANES>();
    for x in blocks {
        for i in 0..LANES {
            lanes[i] += term(x[i].to_f32());
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *lane += term(x.to_f32());
    }
    combine(lanes, |a, b| a + b)
}

/// Σ term(x, y)
#[inline(always)]
pub(crate) fn sum2<X: Element, Y: Element>(
    x: &[X],
    y: &[Y],
    term: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for i in 0..LANES {
            lanes[i] += term(x[i].to_f32(), y[i].to_f32());
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(x_tail.iter().zip(y_tail)) {
        *lane += term(x.to_f32(), y.to_f32());
    }
    combine(lanes, |a, b| a + b)
}

/// Σ term(x, y, z)
#[inline(always)]
pub(crate) fn sum3<X: Element, Y: Element, Z: Element>(
    x: &[X],
    y: &[Y],
    z: &[Z],
    term: impl Fn(f32, f32, f32) -> f32,
) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let (z, z_tail) = z.as_chunks::<LANES>();
    for ((x, y), z) in x.iter().zip(y).zip(z) {
        for i in 0..LANES {
            lanes[i] += term(x[i].to_f32(), y[i].to_f32(), z[i].to_f32());
        }
    }
    for (lane, ((x, y), z)) in lanes.iter_mut().zip(x_tail.iter().zip(y_tail).zip(z_tail)) {
        *lane += term(x.to_f32(), y.to_f32(), z.to_f32());
    }
    combine(lanes, |a, b| a + b)
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

/// Folds the upper half of the lanes onto the lower half until one is left. Out of line, since a
/// compiler that sees it lays out the lanes of the loops above for this fold instead of for speed.
#[inline(never)]
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
