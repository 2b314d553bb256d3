//! Q3_K: 16 groups of 16 numbers of 3 bits, signed scales of 6 bits.

use super::super::kernel::{Format, Level, Sink, TwoScales};
use super::super::words::{Columns, Lanes};
use super::{each_byte, field, fields, join, signed_scales};

pub(super) struct Q3K;

impl Format for Q3K {
    type Kind = TwoScales;
    const ZERO: u8 = 4;
    const BYTES: usize = 110;
    const BLOCKS: usize = 8;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let d = columns.word(106).shift_right(16).f16_to_f32();
        let [_, first, second, third] = columns.four_words(92);
        let scales = unpack_scales([first, second, third]);
        let high = columns.eight_words(0);
        for half in 0..2 {
            let low = columns.eight_words(32 + 32 * half);
            for group in 0..4 {
                let block = 4 * half + group;
                let mut quants = fields(low, 2 * group, 2);
                for (quants, high) in quants.iter_mut().zip(high) {
                    *quants = join(*quants, 2, field(high, block, 1));
                }
                out.block(block, quants, signed_scales(&scales, block, d), None);
            }
        }
    }
}

/// The 16 scales as signed bytes; see [`crate::quant::unpack_scales_q3_k`].
#[inline(always)]
fn unpack_scales<V: Lanes>([first, second, high]: [V; 3]) -> [V; 4] {
    let mut scales = [first, second, first, second];
    for (four, scale) in scales.iter_mut().enumerate() {
        let joined = join(field(*scale, 4 * (four / 2), 4), 4, field(high, 2 * four, 2));
        // 32 less in each byte: 96 more never carries, and flipping bit 7 takes 128 off.
        *scale = joined.plus(each_byte(128 - 32)).xor(each_byte(128));
    }
    scales
}
