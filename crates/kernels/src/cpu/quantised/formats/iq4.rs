//! IQ4_NL and IQ4_XS: 4 bits that choose one of 16 values.

use super::super::kernel::{Format, Level, Sink, WideScale};
use super::super::words::{Columns, Lanes};
use super::nibbles;
use crate::quant::IQ4_VALUES;

pub(super) struct Iq4Nl;
pub(super) struct Iq4Xs;

/// The values, plus 128.
const VALUES: [u8; 16] = {
    let mut values = [0; 16];
    let mut index = 0;
    while index < 16 {
        values[index] = (IQ4_VALUES[index] as i16 + 128) as u8;
        index += 1;
    }
    values
};

impl Format for Iq4Nl {
    type Kind = WideScale;
    const ZERO: u8 = 128;
    const BYTES: usize = 18;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let scale = columns.word(0).f16_to_f32();
        out.block(0, values(columns.four_words(2)), [scale; 2], None);
    }
}

impl Format for Iq4Xs {
    type Kind = WideScale;
    const ZERO: u8 = 128;
    const BYTES: usize = 136;
    const BLOCKS: usize = 8;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let [d_and_high, all_low, _, _] = columns.four_words(0);
        let d = d_and_high.f16_to_f32();
        for group in 0..8 {
            let low = all_low.shift_right(4 * group).and(15);
            let high = d_and_high.shift_right(16 + 2 * group).and(3);
            let scale = low.or(high.shift_left(4)).plus(32_u32.wrapping_neg()).times_f32(d);
            out.block(group, values(columns.four_words(8 + 16 * group)), [scale; 2], None);
        }
    }
}

#[inline(always)]
fn values<V: Lanes>(packed: [V; 4]) -> [V; 8] {
    let mut quants = nibbles(packed);
    for unit in &mut quants {
        *unit = unit.look_up(&VALUES);
    }
    quants
}
