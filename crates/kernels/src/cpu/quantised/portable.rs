//! Plain Rust: the reference, and what runs where there is nothing better.

use super::kernel::{Format, Kind, Level, Multiply, Stream, Unpack};
use super::multiply::{multiply_tile, stream, unpack};
use super::words::{LANES, Lanes, Words};
use crate::quant::f16_to_f32;

pub(super) enum Portable {}

impl Words {
    #[inline(always)]
    fn each(mut self, change: impl Fn(u32) -> u32) -> Self {
        for lane in &mut self.0 {
            *lane = change(*lane);
        }
        self
    }

    #[inline(always)]
    fn each_with(mut self, other: Self, change: impl Fn(u32, u32) -> u32) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = change(*lane, other);
        }
        self
    }
}

impl Lanes for Words {
    #[inline(always)]
    fn and(self, mask: u32) -> Self {
        self.each(|lane| lane & mask)
    }
    #[inline(always)]
    fn xor(self, mask: u32) -> Self {
        self.each(|lane| lane ^ mask)
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self.each_with(other, |lane, other| lane | other)
    }
    #[inline(always)]
    fn plus(self, number: u32) -> Self {
        self.each(|lane| lane.wrapping_add(number))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.each_with(other, u32::wrapping_add)
    }
    #[inline(always)]
    fn times(self, number: u32) -> Self {
        self.each(|lane| lane.wrapping_mul(number))
    }
    #[inline(always)]
    fn shift_left(self, bits: usize) -> Self {
        self.each(|lane| lane << bits)
    }
    #[inline(always)]
    fn shift_right(self, bits: usize) -> Self {
        self.each(|lane| lane >> bits)
    }
    #[inline(always)]
    fn look_up(self, table: &[u8; 16]) -> Self {
        self.each(|lane| {
            u32::from_le_bytes(lane.to_le_bytes().map(|byte| table[usize::from(byte % 16)]))
        })
    }
    #[inline(always)]
    fn f16_to_f32(self) -> Self {
        self.each(|lane| f16_to_f32(lane as u16).to_bits())
    }
    #[inline(always)]
    unsafe fn four_words(start: *const u8, row_bytes: usize) -> [Words; 4] {
        let mut out = [Words([0; LANES]); 4];
        for row in 0..LANES {
            // SAFETY: the caller gives sixteen rows of 16 bytes.
            let bytes = unsafe { start.add(row * row_bytes).cast::<[[u8; 4]; 4]>().read() };
            for (out, bytes) in out.iter_mut().zip(bytes) {
                out.0[row] = u32::from_le_bytes(bytes);
            }
        }
        out
    }

    #[inline(always)]
    unsafe fn splat(number: u32) -> Self {
        Words([number; LANES])
    }
    #[inline(always)]
    fn add_products(self, quants: Self, x: i32, _wide: bool) -> Self {
        let x = x.to_le_bytes();
        self.each_with(quants, |sum, quants| {
            let mut sum = sum as i32;
            for (quant, x) in quants.to_le_bytes().into_iter().zip(x) {
                sum += i32::from(quant) * i32::from(x as i8);
            }
            sum as u32
        })
    }
    #[inline(always)]
    fn times_f32(self, factor: Self) -> Self {
        self.each_with(factor, |lane, factor| {
            (lane as i32 as f32 * f32::from_bits(factor)).to_bits()
        })
    }
    #[inline(always)]
    fn times_f32_plus(self, factor: Self, sum: Self) -> Self {
        self.each(|lane| (lane as i32 as f32).to_bits()).multiply_add(factor, sum)
    }
    #[inline(always)]
    fn multiply_add(mut self, factor: Self, sum: Self) -> Self {
        for lane in 0..LANES {
            let [a, b, c] = [self, factor, sum].map(|lanes| f32::from_bits(lanes.0[lane]));
            self.0[lane] = a.mul_add(b, c).to_bits();
        }
        self
    }
    #[inline(always)]
    unsafe fn load(words: &Words) -> Self {
        *words
    }
    #[inline(always)]
    fn store(self, out: &mut Words) {
        *out = self;
    }
}

impl Level for Portable {
    type Lanes = Words;

    fn unpack<F: Format>() -> Unpack {
        unpack::<Self, F>
    }

    fn multiply<K: Kind>() -> &'static [Multiply] {
        &[multiply_tile::<Words, K, 1, 1>]
    }

    fn stream<F: Format>() -> [Stream; 4] {
        [stream::<Self, F, 1>, stream::<Self, F, 2>, stream::<Self, F, 3>, stream::<Self, F, 4>]
    }
}
