//! Q5_0 and Q5_1: 32 numbers of 5 bits with one scale (and one minimum).
//!
//! | format | bytes | numbers |
//! |---|---|---|
//! | Q5_0 | `d` f16, `qh` u32, `qs` 16 | `d * (q - 16)` |
//! | Q5_1 | `d` f16, `m` f16, `qh` u32, `qs` 16 | `d * q + m` |
//!
//! The low four bits of a number are in `qs` as in Q4_0; the fifth of number `j` is bit `j` of `qh`.

use super::{each_block, f16_at, part};

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
