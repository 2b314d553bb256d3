//! Q5_0 and Q5_1: 32 numbers of 5 bits and a scale, or a scale and a minimum.

use super::super::kernel::{Format, Level, OneMinimum, OneScale, Sink};
use super::super::words::{Columns, Lanes};
use super::nibbles;

pub(super) struct Q5_0;
pub(super) struct Q5_1;

impl Format for Q5_0 {
    type Kind = OneScale;
    const ZERO: u8 = 16;
    const BYTES: usize = 22;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let [first, second, _, _] = columns.four_words(0);
        let (scale, high) = (first.f16_to_f32(), first.shift_right(16).or(second.shift_left(16)));
        out.block(0, five_bits(columns.four_words(6), high), [scale; 2], None);
    }
}

impl Format for Q5_1 {
    type Kind = OneMinimum;
    const ZERO: u8 = 0;
    const BYTES: usize = 24;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let [both, high, _, _] = columns.four_words(0);
        let (scale, minimum) = (both.f16_to_f32(), both.shift_right(16).f16_to_f32());
        let quants = five_bits(columns.four_words(8), high);
        out.block(0, quants, [scale; 2], Some([minimum; 2]));
    }
}

/// The fifth bit of number `j` is bit `j` of `high`.
#[inline(always)]
fn five_bits<V: Lanes>(packed: [V; 4], high: V) -> [V; 8] {
    let mut quants = nibbles(packed);
    for (unit, quants) in quants.iter_mut().enumerate() {
        *quants = quants.add_where(high, unit, 16);
    }
    quants
}
