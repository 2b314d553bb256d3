//! Q2_K: 256 numbers of 2 bits in 16 groups of 16, each with a 4-bit scale and minimum.
//!
//! Bytes: `scales` 16 (low four bits the scale, high four the minimum), `qs` 64, `d` f16,
//! `dmin` f16. A number of group `g` is `d * scale[g] * q - dmin * minimum[g]`.
//!
//! The numbers come in two halves of 128. In a half, bits `2s` and `2s + 1` of the half's byte `j`
//! (of 32) are its number `32 s + j`.

use super::super_block::with_minima;
use super::{SUPER_BLOCK, each_block, each_block_of, f16_at, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 84], out: &mut [f32; SUPER_BLOCK]| {
        let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
        let scales: [u8; 16] = part(block, 0);
        let qs: [u8; 64] = part(block, 16);
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group] & 15);
            let minimum = dmin * f32::from(scales[group] >> 4);
            let (from, shift) = (32 * (group / 8) + 16 * (group % 2), 2 * (group / 2 % 4));
            for (out, q) in out.iter_mut().zip(&qs[from..from + 16]) {
                *out = scale * f32::from(q >> shift & 3) - minimum;
            }
        }
    });
}

pub(super) fn quantize(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x, importance, block: &mut [u8; 84]| {
        let found = with_minima::<16, 16>(x, importance, 3.0, 15.0);
        for (group, byte) in block[..16].iter_mut().enumerate() {
            *byte = found.scales[group] | found.minima[group] << 4;
        }
        pack_two_bits(&found.quants, &mut block[16..80]);
        block[80..82].copy_from_slice(&found.d.to_le_bytes());
        block[82..].copy_from_slice(&found.dmin.to_le_bytes());
    });
}

/// The low two bits of each number, as above.
pub(super) fn pack_two_bits(quants: &[u8; SUPER_BLOCK], bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        let first = 128 * (at / 32) + at % 32;
        *byte = (0..4).fold(0, |byte, s| byte | (quants[first + 32 * s] & 3) << (2 * s));
    }
}
