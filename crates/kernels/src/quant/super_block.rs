//! 256 numbers in groups with scales, which are integers under one scale of scales.

use super::search::{
    at_best_level, clamped, loss, mean_square, positive_scale, scale_and_minimum, signed_scale,
    weights,
};
use super::{SUPER_BLOCK, f16_to_f32, f32_to_f16};

/// Groups `d * scale * q - dmin * minimum`.
pub(super) struct WithMinima<const GROUPS: usize> {
    pub(super) d: u16,
    pub(super) dmin: u16,
    pub(super) scales: [u8; GROUPS],
    pub(super) minima: [u8; GROUPS],
    pub(super) quants: [u8; SUPER_BLOCK],
}

/// Groups `d * scale * q`.
pub(super) struct Signed<const GROUPS: usize> {
    pub(super) d: u16,
    pub(super) scales: [i8; GROUPS],
    /// q plus the number of negative levels, so none is negative.
    pub(super) quants: [u8; SUPER_BLOCK],
}

/// Splits into groups of `LEN` (`GROUPS` of them), each with the weights of its errors.
#[inline(always)]
fn groups<const LEN: usize, const GROUPS: usize>(
    x: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
) -> [([f32; LEN], [f32; LEN]); GROUPS] {
    let around = mean_square(x);
    std::array::from_fn(|group| {
        let part = |all: &[f32; SUPER_BLOCK]| std::array::from_fn(|i| all[group * LEN + i]);
        let x: [f32; LEN] = part(x);
        (x, weights(&x, importance.map(part).as_ref(), around))
    })
}

/// A pair of integers and those around it, the pair itself first.
const NEIGHBOURS: [(f32, f32); 9] = [
    (0.0, 0.0),
    (-1.0, -1.0),
    (-1.0, 0.0),
    (-1.0, 1.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (1.0, -1.0),
    (1.0, 0.0),
    (1.0, 1.0),
];

/// q from 0 to `most`, scales and minima from 0 to `most_scale`.
pub(super) fn with_minima<const LEN: usize, const GROUPS: usize>(
    x: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
    most: f32,
    most_scale: f32,
) -> WithMinima<GROUPS> {
    at_best_level(
        #[inline(always)]
        || search_with_minima::<LEN, GROUPS>(x, importance, most, most_scale),
    )
}

#[inline(always)]
fn search_with_minima<const LEN: usize, const GROUPS: usize>(
    x: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
    most: f32,
    most_scale: f32,
) -> WithMinima<GROUPS> {
    let groups = groups::<LEN, GROUPS>(x, importance);
    let found = groups.each_ref().map(|(x, w)| scale_and_minimum(x, w, most));
    let totals = groups.each_ref().map(|(_, w)| w.iter().sum());
    let integers = |values: [f32; GROUPS]| {
        let bits = f32_to_f16(positive_scale(&values, &totals, most_scale));
        let d = f16_to_f32(bits);
        (bits, d, values.map(|value| clamped(value / d, 0.0, most_scale)))
    };
    let (d_bits, d, scales) = integers(found.map(|(scale, _)| scale));
    let (dmin_bits, dmin, minima) = integers(found.map(|(_, minimum)| minimum));
    // Rounded apart, a scale and a minimum are not the best pair.
    let mut pairs = [(0.0, 0.0); GROUPS];
    for (group, (x, w)) in groups.iter().enumerate() {
        let mut least = f32::INFINITY;
        for (up, across) in NEIGHBOURS {
            let scale = (scales[group] + up).clamp(0.0, most_scale);
            let minimum = (minima[group] + across).clamp(0.0, most_scale);
            let found = loss(x, w, (d * scale, dmin * minimum), most);
            if found < least {
                (least, pairs[group]) = (found, (scale, minimum));
            }
        }
    }
    let mut quants = [0; SUPER_BLOCK];
    for (group, quants) in quants.as_chunks_mut::<LEN>().0.iter_mut().enumerate() {
        let (scale, minimum) = (d * pairs[group].0, dmin * pairs[group].1);
        for (q, x) in quants.iter_mut().zip(&groups[group].0) {
            *q = clamped((x + minimum) / scale, 0.0, most) as u8;
        }
    }
    let scales = pairs.map(|(scale, _)| scale as u8);
    let minima = pairs.map(|(_, minimum)| minimum as u8);
    WithMinima { d: d_bits, dmin: dmin_bits, scales, minima, quants }
}

/// q from `-most` to `most - 1`, scales from `-most_scale` to `most_scale - 1`.
pub(super) fn signed<const LEN: usize, const GROUPS: usize>(
    x: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
    most: f32,
    most_scale: f32,
) -> Signed<GROUPS> {
    at_best_level(
        #[inline(always)]
        || search_signed::<LEN, GROUPS>(x, importance, most, most_scale),
    )
}

#[inline(always)]
fn search_signed<const LEN: usize, const GROUPS: usize>(
    x: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
    most: f32,
    most_scale: f32,
) -> Signed<GROUPS> {
    let groups = groups::<LEN, GROUPS>(x, importance);
    let found = groups.each_ref().map(|(x, w)| signed_scale(x, w, most));
    let totals = groups.each_ref().map(|(_, w)| w.iter().sum());
    let d = f32_to_f16(signed_scale(&found, &totals, most_scale));
    let scales =
        found.map(|scale| clamped(scale / f16_to_f32(d), -most_scale, most_scale - 1.0) as i8);
    let mut quants = [0; SUPER_BLOCK];
    for (group, quants) in quants.as_chunks_mut::<LEN>().0.iter_mut().enumerate() {
        let scale = f16_to_f32(d) * f32::from(scales[group]);
        for (q, x) in quants.iter_mut().zip(&groups[group].0) {
            *q = (clamped(x / scale, -most, most - 1.0) + most) as u8;
        }
    }
    Signed { d, scales, quants }
}
