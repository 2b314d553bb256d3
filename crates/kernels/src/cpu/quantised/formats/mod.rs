//! The formats: how the bytes of a block become quants, scales and minima. One short file for each
//! family; the layouts are described in [`crate::quant`].

mod iq4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_k;
mod q5_0;
mod q6_k;
mod q8_0;

use super::kernel::{Format, Level, Multiply, Stream, Unpack};
use super::words::Lanes;
use crate::quant::BlockFormat;

/// How the blocks of a format are multiplied at an instruction level.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    /// The quant that stands for zero.
    pub(super) zero: i32,
    pub(super) unpack: Unpack,
    /// For one row of activations, two rows, and so on.
    pub(super) multiply: &'static [Multiply],
    /// For one row of activations, two rows, and so on.
    pub(super) stream: [Stream; 4],
}

/// The kernel of a format; none for plain numbers.
pub(super) fn kernel<L: Level>(format: BlockFormat) -> Option<Kernel> {
    fn of<F: Format, L: Level>() -> Option<Kernel> {
        let (unpack, multiply) = (L::unpack::<F>(), L::multiply::<F::Kind>());
        Some(Kernel { zero: i32::from(F::ZERO), unpack, multiply, stream: L::stream::<F>() })
    }
    match format {
        BlockFormat::F32 | BlockFormat::F16 | BlockFormat::Bf16 => None,
        BlockFormat::Q4_0 => of::<q4_0::Q4_0, L>(),
        BlockFormat::Q4_1 => of::<q4_0::Q4_1, L>(),
        BlockFormat::Q5_0 => of::<q5_0::Q5_0, L>(),
        BlockFormat::Q5_1 => of::<q5_0::Q5_1, L>(),
        BlockFormat::Q8_0 => of::<q8_0::Q8_0, L>(),
        BlockFormat::Q2K => of::<q2_k::Q2K, L>(),
        BlockFormat::Q3K => of::<q3_k::Q3K, L>(),
        BlockFormat::Q4K => of::<q4_k::Q4K, L>(),
        BlockFormat::Q5K => of::<q4_k::Q5K, L>(),
        BlockFormat::Q6K => of::<q6_k::Q6K, L>(),
        BlockFormat::Iq4Nl => of::<iq4::Iq4Nl, L>(),
        BlockFormat::Iq4Xs => of::<iq4::Iq4Xs, L>(),
    }
}

/// `bits` low bits of each byte of a word.
const fn low_bits(bits: u32) -> u32 {
    each_byte((1 << bits) - 1)
}

/// A number in each byte of a word.
const fn each_byte(number: u32) -> u32 {
    0x0101_0101 * number
}

/// `bits` bits of each byte, from bit `shift` on.
#[inline(always)]
fn field<V: Lanes>(words: V, shift: usize, bits: u32) -> V {
    words.shift_right(shift).and(low_bits(bits))
}

/// `bits` bits of each byte, from bit `shift` on.
#[inline(always)]
fn fields<V: Lanes>(mut words: [V; 8], shift: usize, bits: u32) -> [V; 8] {
    for words in &mut words {
        *words = field(*words, shift, bits);
    }
    words
}

/// `high` put before fields of `low_bits` bits.
#[inline(always)]
fn join<V: Lanes>(low: V, low_bits: usize, high: V) -> V {
    low.or(high.shift_left(low_bits))
}

/// 32 numbers as Q4_0 packs them: the low four bits of each byte are the first 16, the high four
/// the others.
#[inline(always)]
fn nibbles<V: Lanes>([a, b, c, d]: [V; 4]) -> [V; 8] {
    let mut quants = [a, b, c, d, a, b, c, d];
    for (unit, quants) in quants.iter_mut().enumerate() {
        *quants = field(*quants, 4 * (unit / 4), 4);
    }
    quants
}

/// Signed bytes `2 * block` and `2 * block + 1` of sixteen, times `d`.
#[inline(always)]
fn signed_scales<V: Lanes>(bytes: &[V; 4], block: usize, d: V) -> [V; 2] {
    let mut scales = [bytes[block / 2]; 2];
    for (half, scale) in scales.iter_mut().enumerate() {
        let byte = scale.byte(2 * (block % 2) + half);
        // Extends the sign.
        *scale = byte.xor(128).plus(128_u32.wrapping_neg()).times_f32(d);
    }
    scales
}
