//! Q5_0 and Q5_1: 32 numbers of 5 bits with one scale (and one minimum).
//!
//! | format | bytes | numbers |
//! |---|---|---|
//! | Q5_0 | `d` f16, `qh` u32, `qs` 16 | `d * (q - 16)` |
//! | Q5_1 | `d` f16, `m` f16, `qh` u32, `qs` 16 | `d * q + m` |
//!
//! The low four bits of a number are in `qs` as in Q4_0; the fifth of number `j` is bit `j` of
//! `qh`.

use super::q4_0::{affine, pack, symmetric};
use super::{each_block, each_block_of, f16_at, part};

pub(super) fn dequantize_q5_0(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 22], out: &mut [f32; 32]| {
        let d = f16_at(block, 0);
        let quants = unpack(part(block, 2), part(block, 6));
        for (out, q) in out.iter_mut().zip(quants) {
            *out = d * f32::from(q as i8 - 16);
        }
    });
}

pub(super) fn dequantize_q5_1(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 24], out: &mut [f32; 32]| {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        let quants = unpack(part(block, 4), part(block, 8));
        for (out, q) in out.iter_mut().zip(quants) {
            *out = d * f32::from(q) + m;
        }
    });
}

/// The 32 quants, 0 to 31 each.
#[inline(always)]
fn unpack(high: [u8; 4], low: [u8; 16]) -> [u8; 32] {
    let high = u32::from_le_bytes(high);
    std::array::from_fn(|j| {
        let low = low[j % 16] >> (4 * (j / 16)) & 15;
        low | ((high >> j & 1) as u8) << 4
    })
}

/// As Q4_0, with the number of the greatest magnitude on -16.
pub(super) fn quantize_q5_0(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; 32], importance, block: &mut [u8; 22]| {
        let (d, quants) = symmetric(x, importance, 16.0);
        block[..2].copy_from_slice(&d.to_le_bytes());
        block[2..6].copy_from_slice(&fifth_bits(&quants));
        pack(&quants, &mut block[6..]);
    });
}

/// As Q4_1, with the highest number on 31.
pub(super) fn quantize_q5_1(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; 32], importance, block: &mut [u8; 24]| {
        let (d, m, quants) = affine(x, importance, 31.0);
        block[..2].copy_from_slice(&d.to_le_bytes());
        block[2..4].copy_from_slice(&m.to_le_bytes());
        block[4..8].copy_from_slice(&fifth_bits(&quants));
        pack(&quants, &mut block[8..]);
    });
}

fn fifth_bits(quants: &[u8; 32]) -> [u8; 4] {
    let bits = quants.iter().rev().fold(0_u32, |bits, q| bits << 1 | u32::from(q >> 4));
    bits.to_le_bytes()
}
