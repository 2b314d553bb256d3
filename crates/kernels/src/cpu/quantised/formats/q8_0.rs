//! Q8_0: 32 signed bytes and a scale.

use super::super::kernel::{Format, Level, Sink, WideScale};
use super::super::words::{Columns, Lanes};
use super::each_byte;

pub(super) struct Q8_0;

impl Format for Q8_0 {
    type Kind = WideScale;
    const ZERO: u8 = 128;
    const BYTES: usize = 34;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let scale = columns.word(0).f16_to_f32();
        let mut quants = columns.eight_words(2);
        for unit in &mut quants {
            *unit = unit.xor(each_byte(128));
        }
        out.block(0, quants, [scale; 2], None);
    }
}
