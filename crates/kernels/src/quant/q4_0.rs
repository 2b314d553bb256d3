//! Q4_0 and Q4_1: 32 numbers of 4 bits with one scale (and one minimum).
//!
//! | format | bytes | numbers |
//! |---|---|---|
//! | Q4_0 | `d` f16, `qs` 16 | `d * (q - 8)` |
//! | Q4_1 | `d` f16, `m` f16, `qs` 16 | `d * q + m` |
//!
//! The low four bits of `qs[j]` are number `j`, the high four number `j + 16`.

use super::{each_block, f16_at, part};

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
