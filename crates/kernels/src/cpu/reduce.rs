//! Sums over flat buffers and the search for what is not a number.

use crate::Cpu;
use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::at_level;
use crate::cpu::lanes::{LANES, combine};

/// NaN and infinities found in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// How many there are.
    pub count: usize,
    /// Where the first one is.
    pub first_index: usize,
}

/// Σ x², added in f64. No sum of f32 squares overflows an f64, so the result is finite exactly when
/// every element is: only then is there a reason to call [`non_finite`].
#[must_use]
pub fn sum_of_squares(cpu: &Cpu, x: &[f32]) -> f64 {
    sum_in_f64(cpu, x, |x| x * x)
}

/// Σ x, added in f64.
#[must_use]
pub fn sum(cpu: &Cpu, x: &[f32]) -> f64 {
    sum_in_f64(cpu, x, |x| x)
}

/// Counts NaN and infinities; `None` when every element is finite.
#[must_use]
pub fn non_finite(cpu: &Cpu, x: &[f32]) -> Option<NonFinite> {
    let mut counts = cpu.arena.zeros::<u32>(x.len().div_ceil(CHUNK));
    for_each(cpu, &(read(x, CHUNK), write(&mut counts, 1)), |_, (x, count)| {
        at_level!(cpu, L => count[0] = x.iter().map(|x| u32::from(!x.is_finite())).sum());
    });
    let chunk = counts.iter().position(|&count| count > 0)?;
    let inside = x[chunk * CHUNK..].iter().position(|x| !x.is_finite())?;
    let count = counts.iter().map(|&count| count as usize).sum();
    Some(NonFinite { count, first_index: chunk * CHUNK + inside })
}

fn sum_in_f64(cpu: &Cpu, x: &[f32], term: impl Fn(f64) -> f64 + Sync) -> f64 {
    let mut partials = cpu.arena.zeros::<f64>(x.len().div_ceil(CHUNK));
    for_each(cpu, &(read(x, CHUNK), write(&mut partials, 1)), |_, (x, partial)| {
        at_level!(cpu, L => partial[0] = add_up(x, &term));
    });
    partials.iter().sum()
}

#[inline(always)]
fn add_up(x: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let (blocks, tail) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for i in 0..LANES {
            lanes[i] += term(f64::from(block[i]));
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *lane += term(f64::from(*x));
    }
    combine(lanes, |a, b| a + b)
}
