//! Q6_K: 256 numbers of 6 bits in 16 groups of 16, each with a signed 8-bit scale.
//!
//! Bytes: `ql` 128, `qh` 64, `scales` 16 signed, `d` f16. A number of group `g` is
//! `d * scale[g] * (q - 32)`.
//!
//! The numbers come in two halves of 128, each with 64 bytes of `ql` and 32 of `qh`. Number
//! `32 s + j` of a half has its low four bits in byte `32 (s % 2) + j` of its `ql` (the low half of
//! the byte for s < 2, the high one otherwise) and its high two in bits `2s`, `2s + 1` of byte `j`
//! of its `qh`.

use super::super_block::signed;
use super::{SUPER_BLOCK, each_block, each_block_of, f16_at, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 210], out: &mut [f32; SUPER_BLOCK]| {
        let d = f16_at(block, 208);
        let ql: [u8; 128] = part(block, 0);
        let qh: [u8; 64] = part(block, 128);
        let scales: [u8; 16] = part(block, 192);
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group] as i8);
            let (half, s, column) = (group / 8, group / 2 % 4, 16 * (group % 2));
            let (low_from, high_from) = (64 * half + 32 * (s % 2) + column, 32 * half + column);
            let parts = ql[low_from..low_from + 16].iter().zip(&qh[high_from..high_from + 16]);
            for (out, (low, high)) in out.iter_mut().zip(parts) {
                let q = low >> (4 * (s / 2)) & 15 | (high >> (2 * s) & 3) << 4;
                *out = scale * f32::from(q as i8 - 32);
            }
        }
    });
}

pub(super) fn quantize(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x, importance, block: &mut [u8; 210]| {
        let found = signed::<16, 16>(x, importance, 32.0, 128.0);
        for (at, byte) in block[..128].iter_mut().enumerate() {
            let first = 128 * (at / 64) + at % 64;
            *byte = found.quants[first] & 15 | (found.quants[first + 64] & 15) << 4;
        }
        for (at, byte) in block[128..192].iter_mut().enumerate() {
            let first = 128 * (at / 32) + at % 32;
            *byte = (0..4).fold(0, |byte, s| byte | found.quants[first + 32 * s] >> 4 << (2 * s));
        }
        for (byte, scale) in block[192..208].iter_mut().zip(found.scales) {
            *byte = scale.cast_unsigned();
        }
        block[208..].copy_from_slice(&found.d.to_le_bytes());
    });
}
