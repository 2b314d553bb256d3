//! Q4_0 and Q4_1: 32 numbers of 4 bits with one scale (and one minimum).
//!
//! | format | bytes | numbers |
//! |---|---|---|
//! | Q4_0 | `d` f16, `qs` 16 | `d * (q - 8)` |
//! | Q4_1 | `d` f16, `m` f16, `qs` 16 | `d * q + m` |
//!
//! The low four bits of `qs[j]` are number `j`, the high four number `j + 16`.

use super::search::{
    bounds, clamped, extreme, mean_square, scale_and_minimum, signed_scale, weights,
};
use super::{each_block, each_block_of, f16_at, f16_to_f32, f32_to_f16, part};

pub(super) fn dequantize_q4_0(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 18], out: &mut [f32; 32]| {
        let d = f16_at(block, 0);
        let qs: [u8; 16] = part(block, 2);
        for (j, q) in qs.into_iter().enumerate() {
            out[j] = d * f32::from((q & 15) as i8 - 8);
            out[j + 16] = d * f32::from((q >> 4) as i8 - 8);
        }
    });
}

pub(super) fn dequantize_q4_1(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 20], out: &mut [f32; 32]| {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        let qs: [u8; 16] = part(block, 4);
        for (j, q) in qs.into_iter().enumerate() {
            out[j] = d * f32::from(q & 15) + m;
            out[j + 16] = d * f32::from(q >> 4) + m;
        }
    });
}

/// Without importance the bytes are those of the reference, which puts the number of the greatest
/// magnitude on -8.
pub(super) fn quantize_q4_0(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; 32], importance, block: &mut [u8; 18]| {
        let (d, quants) = symmetric(x, importance, 8.0);
        block[..2].copy_from_slice(&d.to_le_bytes());
        pack(&quants, &mut block[2..]);
    });
}

/// Without importance the bytes are those of the reference: the lowest number is 0, the highest 15.
pub(super) fn quantize_q4_1(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; 32], importance, block: &mut [u8; 20]| {
        let (d, m, quants) = affine(x, importance, 15.0);
        block[..2].copy_from_slice(&d.to_le_bytes());
        block[2..4].copy_from_slice(&m.to_le_bytes());
        pack(&quants, &mut block[4..]);
    });
}

/// Number `j` in the low half of byte `j`, number `j + 16` in the high half.
pub(super) fn pack(quants: &[u8; 32], bytes: &mut [u8]) {
    for (j, byte) in bytes.iter_mut().enumerate() {
        *byte = quants[j] & 15 | (quants[j + 16] & 15) << 4;
    }
}

/// Scale (as f16) and levels, 0 to `2 * half - 1`, of `d * (q - half)`.
pub(super) fn symmetric(
    x: &[f32; 32],
    importance: Option<&[f32; 32]>,
    half: f32,
) -> (u16, [u8; 32]) {
    if let Some(importance) = importance {
        let weights = weights(x, Some(importance), mean_square(x));
        let bits = f32_to_f16(signed_scale(x, &weights, half));
        let d = f16_to_f32(bits);
        return (bits, x.map(|x| (clamped(x / d, -half, half - 1.0) + half) as u8));
    }
    let d = extreme(x) / -half;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let most = 2.0 * half - 1.0;
    (f32_to_f16(d), x.map(|x| (x * inverse + (half + 0.5)).min(most) as u8))
}

/// Scale and minimum (as f16) and levels, 0 to `most`, of `d * q + m`.
pub(super) fn affine(
    x: &[f32; 32],
    importance: Option<&[f32; 32]>,
    most: f32,
) -> (u16, u16, [u8; 32]) {
    if let Some(importance) = importance {
        let weights = weights(x, Some(importance), mean_square(x));
        let (d, minimum) = scale_and_minimum(x, &weights, most);
        let (d_bits, m_bits) = (f32_to_f16(d), f32_to_f16(-minimum));
        let (d, m) = (f16_to_f32(d_bits), f16_to_f32(m_bits));
        return (d_bits, m_bits, x.map(|x| clamped((x - m) / d, 0.0, most) as u8));
    }
    let (lowest, highest) = bounds(x);
    let d = (highest - lowest) / most;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let quants = x.map(|x| ((x - lowest) * inverse + 0.5).min(most) as u8);
    (f32_to_f16(d), f32_to_f16(lowest), quants)
}
