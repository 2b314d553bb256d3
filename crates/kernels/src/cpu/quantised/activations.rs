//! Rows of activations as signed bytes, 32 numbers to a scale.
//!
//! `scale = max |x| / 127`, `quant = x / scale` rounded to the nearest integer, ties to even: an
//! error of at most half a scale. A block with a NaN or an infinity becomes NaN.

use super::kernel::{ActivationBlock, BLOCK, Rows};
use crate::cpu::chunks::{for_each, read, write};
use crate::cpu::dispatch::at_level;
use crate::cpu::gemm::{Elements, Matrix};
use crate::element::Pod;
use crate::{Buffer, Cpu, Element};

// SAFETY: plain numbers without gaps; every bit pattern is a value; aligned to 64 bytes.
unsafe impl Pod for ActivationBlock {}

/// Rows of a task.
const ROWS: usize = 8;
/// Adding it leaves no place for a fraction: the sum is rounded to an integer, ties to even.
const ROUND: f32 = (3 << 22) as f32;

/// A matrix [M, K] of activations.
pub(super) struct Activations {
    blocks: Buffer<ActivationBlock>,
    /// Blocks from one row to the next: an odd number of cache lines, so that the rows of a tile do
    /// not compete for the same places in L1.
    stride: usize,
}

impl Activations {
    /// `x` [M, K], not transposed, K a multiple of 32.
    pub(super) fn new(cpu: &Cpu, x: &Matrix<'_>) -> Self {
        match x.elements {
            Elements::F32(numbers) => Self::quantize(cpu, numbers, x),
            Elements::Bf16(numbers) => Self::quantize(cpu, numbers, x),
        }
    }

    fn quantize<X: Element>(cpu: &Cpu, numbers: &[X], x: &Matrix<'_>) -> Self {
        let stride = (x.cols / BLOCK) | 1;
        let mut blocks = cpu.arena.buffer::<ActivationBlock>(x.rows * stride);
        let used = &numbers[..(x.rows - 1) * x.stride + x.cols];
        let chunks = (read(used, ROWS * x.stride), write(&mut blocks, ROWS * stride));
        for_each(cpu, &chunks, |_, (x_rows, rows)| {
            at_level!(cpu, L => {
                for (x_row, row) in x_rows.chunks(x.stride).zip(rows.chunks_mut(stride)) {
                    for (x, block) in x_row[..x.cols].as_chunks().0.iter().zip(row) {
                        *block = quantize_block(x);
                    }
                }
            });
        });
        Self { blocks, stride }
    }

    /// The rows from `row` on, from block `block` on.
    pub(super) fn rows(&self, row: usize, block: usize) -> Rows {
        let start = self.blocks[row * self.stride + block..].as_ptr();
        Rows { start, stride: self.stride }
    }
}

#[inline(always)]
fn quantize_block<X: Element>(x: &[X; BLOCK]) -> ActivationBlock {
    let mut numbers = [0.0_f32; BLOCK];
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = x.to_f32();
    }
    // As integers, magnitudes keep their order and NaN is larger than infinity.
    let mut largest = 0;
    for number in numbers {
        largest = largest.max(number.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    let inverse = 127.0 / largest;
    if !inverse.is_normal() {
        // Nothing but zeros (or numbers below 10^-36), or something that is not finite.
        let scale = if largest < 1.0 { 0.0 } else { f32::NAN };
        let (quants, sums, sums_f32) = ([0; BLOCK], [0; 3], [0.0; 3]);
        return ActivationBlock { quants, scale, sums, sums_f32, unused: 0 };
    }
    let mut rounded = [0_i32; BLOCK];
    for (rounded, number) in rounded.iter_mut().zip(numbers) {
        *rounded = (number * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    }
    let mut quants = [0_i8; BLOCK];
    for (quant, rounded) in quants.iter_mut().zip(rounded) {
        *quant = rounded as i8;
    }
    let (first, second) = rounded.split_at(BLOCK / 2);
    let (first, second) = (first.iter().sum::<i32>(), second.iter().sum::<i32>());
    let sums = [first + second, first, second];
    let sums_f32 = sums.map(|sum| sum as f32);
    ActivationBlock { quants, scale: largest / 127.0, sums, sums_f32, unused: 0 }
}
