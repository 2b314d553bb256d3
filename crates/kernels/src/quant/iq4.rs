//! IQ4_NL and IQ4_XS: 4 bits that choose one of 16 values, dense near zero where weights are.
//!
//! | format | bytes | numbers |
//! |---|---|---|
//! | IQ4_NL | `d` f16, `qs` 16 | 32: `d * value[q]`, `qs` as in Q4_0 |
//! | IQ4_XS | `d` f16, `scales_h` u16, `scales_l` 4, `qs` 128 | 256: `d * scale[g] * value[q]` |
//!
//! IQ4_XS has 8 groups of 32, each laid out in 16 bytes of `qs` as in Q4_0. The low four bits of
//! scale `g` plus 32 are half `g % 2` of `scales_l[g / 2]`, its high two are bits `2g`, `2g + 1` of
//! `scales_h`.

use super::q4_0::pack;
use super::search::{best_scale, clamped, extreme, mean_square, signed_scale, weights};
use super::{SUPER_BLOCK, each_block, each_block_of, f16_at, f16_to_f32, f32_to_f16, part};

/// The values that 4 bits choose from.
pub const IQ4_VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub(super) fn dequantize_nl(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 18], out: &mut [f32; 32]| {
        scaled_values(f16_at(block, 0), &part(block, 2), out);
    });
}

pub(super) fn dequantize_xs(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 136], out: &mut [f32; SUPER_BLOCK]| {
        let d = f16_at(block, 0);
        let high = u16::from_le_bytes([block[2], block[3]]);
        let low: [u8; 4] = part(block, 4);
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let low = low[group / 2] >> (4 * (group % 2)) & 15;
            let scale = (low | ((high >> (2 * group) & 3) as u8) << 4) as i8 - 32;
            scaled_values(d * f32::from(scale), &part(block, 8 + 16 * group), out);
        }
    });
}

#[inline(always)]
fn scaled_values(scale: f32, qs: &[u8; 16], out: &mut [f32; 32]) {
    for (j, q) in qs.iter().enumerate() {
        out[j] = scale * f32::from(IQ4_VALUES[usize::from(q & 15)]);
        out[j + 16] = scale * f32::from(IQ4_VALUES[usize::from(q >> 4)]);
    }
}

pub(super) fn quantize_nl(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; 32], importance, block: &mut [u8; 18]| {
        let d = f32_to_f16(scale(x, &weights(x, importance, mean_square(x))));
        block[..2].copy_from_slice(&d.to_le_bytes());
        pack(&choices(x, f16_to_f32(d)), &mut block[2..]);
    });
}

pub(super) fn quantize_xs(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; SUPER_BLOCK], importance, block| {
        let block: &mut [u8; 136] = block;
        let around = mean_square(x);
        let (mut scales, mut totals) = ([0.0; 8], [0.0; 8]);
        for (group, x) in x.as_chunks::<32>().0.iter().enumerate() {
            let w = weights(x, importance.map(|all| &all.as_chunks().0[group]), around);
            scales[group] = scale(x, &w);
            totals[group] = w.iter().sum();
        }
        let d = f32_to_f16(signed_scale(&scales, &totals, 32.0));
        block[..2].copy_from_slice(&d.to_le_bytes());
        block[2..8].fill(0);
        for (group, x) in x.as_chunks::<32>().0.iter().enumerate() {
            let scale = clamped(scales[group] / f16_to_f32(d), -32.0, 31.0);
            let bits = (scale + 32.0) as u8;
            block[4 + group / 2] |= (bits & 15) << (4 * (group % 2));
            block[2 + group / 4] |= bits >> 4 << (2 * (group % 4));
            let quants = choices(x, f16_to_f32(d) * scale);
            pack(&quants, &mut block[8 + 16 * group..24 + 16 * group]);
        }
    });
}

/// The scale with which the table is nearest to a group.
fn scale(x: &[f32; 32], w: &[f32; 32]) -> f32 {
    let extreme = extreme(x);
    if extreme == 0.0 {
        return 0.0;
    }
    // The extreme goes to about either end of the table.
    let ends = [IQ4_VALUES[0], IQ4_VALUES[15]].map(f32::from);
    let around = |end: f32| (-7..=7_i8).map(move |step| (end + f32::from(step)) / extreme);
    let inverses = ends.into_iter().flat_map(around);
    best_scale(x, w, inverses, nearest_value)
}

fn choices(x: &[f32; 32], scale: f32) -> [u8; 32] {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    x.map(|x| choice(x * inverse) as u8)
}

/// The nearest value: the first, and one step more for each midpoint that lies below.
#[inline(always)]
fn nearest_value(x: f32) -> f32 {
    let mut value = f32::from(IQ4_VALUES[0]);
    for pair in IQ4_VALUES.windows(2) {
        let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
        value += if x > (low + high) / 2.0 { high - low } else { 0.0 };
    }
    value
}

/// The place of the nearest value: how many midpoints between neighbours lie below.
#[inline(always)]
fn choice(x: f32) -> usize {
    let midpoint = |pair: &[i8]| (f32::from(pair[0]) + f32::from(pair[1])) / 2.0;
    IQ4_VALUES.windows(2).filter(|pair| x > midpoint(pair)).count()
}
