//! Q2_K: 16 groups of 16 numbers of 2 bits, scales and minima of 4 bits.

use super::super::kernel::{Format, Level, Sink, TwoMinima};
use super::super::words::{Columns, Lanes};
use super::fields;

pub(super) struct Q2K;

impl Format for Q2K {
    type Kind = TwoMinima;
    const ZERO: u8 = 0;
    const BYTES: usize = 84;
    const BLOCKS: usize = 8;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let d = columns.word(80);
        let (scale, minus_minimum) = (d.f16_to_f32(), d.shift_right(16).xor(0x8000).f16_to_f32());
        let both = columns.four_words(0);
        for half in 0..2 {
            let packed = columns.eight_words(16 + 32 * half);
            for group in 0..4 {
                let block = 4 * half + group;
                let byte = |part: usize| both[block / 2].byte(2 * (block % 2) + part);
                let scale = |part: usize| byte(part).and(15).times_f32(scale);
                let minimum = |part: usize| byte(part).shift_right(4).times_f32(minus_minimum);
                let quants = fields(packed, 2 * group, 2);
                let minima = Some([minimum(0), minimum(1)]);
                out.block(block, quants, [scale(0), scale(1)], minima);
            }
        }
    }
}
