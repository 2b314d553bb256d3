//! Q4_0 and Q4_1: 32 numbers of 4 bits and a scale, or a scale and a minimum.

use super::super::kernel::{Format, Level, OneMinimum, OneScale, Sink};
use super::super::words::{Columns, Lanes};
use super::nibbles;

pub(super) struct Q4_0;
pub(super) struct Q4_1;

impl Format for Q4_0 {
    type Kind = OneScale;
    const ZERO: u8 = 8;
    const BYTES: usize = 18;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let scale = columns.word(0).f16_to_f32();
        out.block(0, nibbles(columns.four_words(2)), [scale; 2], None);
    }
}

impl Format for Q4_1 {
    type Kind = OneMinimum;
    const ZERO: u8 = 0;
    const BYTES: usize = 20;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let both = columns.word(0);
        let (scale, minimum) = (both.f16_to_f32(), both.shift_right(16).f16_to_f32());
        out.block(0, nibbles(columns.four_words(4)), [scale; 2], Some([minimum; 2]));
    }
}
