//! Q6_K: 16 groups of 16 numbers of 6 bits, signed scales of 8 bits.

use super::super::kernel::{Format, Level, Sink, TwoScales};
use super::super::words::{Columns, Lanes};
use super::{field, fields, join, signed_scales};

pub(super) struct Q6K;

impl Format for Q6K {
    type Kind = TwoScales;
    const ZERO: u8 = 32;
    const BYTES: usize = 210;
    const BLOCKS: usize = 8;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let d = columns.word(206).shift_right(16).f16_to_f32();
        let scales = columns.four_words(192);
        for half in 0..2 {
            let low = columns.sixteen_words(64 * half);
            let high = columns.eight_words(128 + 32 * half);
            for group in 0..4 {
                let mut quants = fields(low[group % 2], 4 * (group / 2), 4);
                for (quants, high) in quants.iter_mut().zip(high) {
                    *quants = join(*quants, 4, field(high, 2 * group, 2));
                }
                let block = 4 * half + group;
                out.block(block, quants, signed_scales(&scales, block, d), None);
            }
        }
    }
}
