//! Q5_K: 256 numbers of 5 bits in 8 groups of 32, each with a 6-bit scale and minimum.
//!
//! Bytes: `d` f16, `dmin` f16, `scales` 12, `qh` 32, `qs` 128. As Q4_K, with a fifth bit: that of
//! number `j` of group `g` is bit `g` of `qh[j]`.

use super::q4_k::{pack_four_bits, pack_scales, unpack_scales};
use super::super_block::with_minima;
use super::{SUPER_BLOCK, each_block, each_block_of, f16_at, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 176], out: &mut [f32; SUPER_BLOCK]| {
        let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
        let (scales, minima) = unpack_scales(&part(block, 4));
        let qh: [u8; 32] = part(block, 16);
        let qs: [u8; 128] = part(block, 48);
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minima[group]);
            let (from, shift) = (32 * (group / 2), 4 * (group % 2));
            for (out, (low, high)) in out.iter_mut().zip(qs[from..from + 32].iter().zip(&qh)) {
                let q = low >> shift & 15 | (high >> group & 1) << 4;
                *out = scale * f32::from(q) - minimum;
            }
        }
    });
}

pub(super) fn quantize(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x, importance, block: &mut [u8; 176]| {
        let found = with_minima::<32, 8>(x, importance, 31.0, 63.0);
        block[..16].copy_from_slice(&pack_scales(&found));
        for (j, byte) in block[16..48].iter_mut().enumerate() {
            *byte = (0..8).fold(0, |byte, g| byte | (found.quants[32 * g + j] >> 4) << g);
        }
        pack_four_bits(&found.quants, &mut block[48..]);
    });
}
