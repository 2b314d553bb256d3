//! Q4_K and Q5_K: 8 groups of 32 numbers of 4 or 5 bits, scales and minima of 6 bits.

use super::super::kernel::{Format, Level, OneMinimum, Sink};
use super::super::words::{Columns, Lanes};
use super::{field, fields, join};

pub(super) struct Q4K;
pub(super) struct Q5K;

impl Format for Q4K {
    type Kind = OneMinimum;
    const ZERO: u8 = 0;
    const BYTES: usize = 144;
    const BLOCKS: usize = 8;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let scales = Scales::new(columns);
        for pair in 0..4 {
            let packed = columns.eight_words(16 + 32 * pair);
            for group in 2 * pair..2 * pair + 2 {
                let quants = fields(packed, 4 * (group % 2), 4);
                let (scale, minimum) = scales.of(group);
                out.block(group, quants, [scale; 2], Some([minimum; 2]));
            }
        }
    }
}

impl Format for Q5K {
    type Kind = OneMinimum;
    const ZERO: u8 = 0;
    const BYTES: usize = 176;
    const BLOCKS: usize = 8;

    #[inline(always)]
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>) {
        let scales = Scales::new(columns);
        let high = columns.eight_words(16);
        for pair in 0..4 {
            let packed = columns.eight_words(48 + 32 * pair);
            for group in 2 * pair..2 * pair + 2 {
                let mut quants = fields(packed, 4 * (group % 2), 4);
                for (quants, high) in quants.iter_mut().zip(high) {
                    *quants = join(*quants, 4, field(high, group, 1));
                }
                let (scale, minimum) = scales.of(group);
                out.block(group, quants, [scale; 2], Some([minimum; 2]));
            }
        }
    }
}

/// The scales and minima of both formats, from their first 16 bytes; see
/// [`crate::quant::unpack_scales_q4_k`].
struct Scales<V> {
    scale: V,
    minus_minimum: V,
    scales: [V; 2],
    minima: [V; 2],
}

impl<V: Lanes> Scales<V> {
    #[inline(always)]
    fn new<L: Level<Lanes = V>>(columns: &Columns<L>) -> Self {
        let [d, first, second, third] = columns.four_words(0);
        Self {
            scale: d.f16_to_f32(),
            minus_minimum: d.shift_right(16).xor(0x8000).f16_to_f32(),
            scales: [field(first, 0, 6), join(field(third, 0, 4), 4, field(first, 6, 2))],
            minima: [field(second, 0, 6), join(field(third, 4, 4), 4, field(second, 6, 2))],
        }
    }

    /// The scale and the minimum of a group.
    #[inline(always)]
    fn of(&self, group: usize) -> (V, V) {
        let number = |words: &[V; 2]| words[group / 4].byte(group % 4);
        let scale = number(&self.scales).times_f32(self.scale);
        (scale, number(&self.minima).times_f32(self.minus_minimum))
    }
}
