//! Q4_K: 256 numbers of 4 bits in 8 groups of 32, each with a 6-bit scale and minimum.
//!
//! Bytes: `d` f16, `dmin` f16, `scales` 12, `qs` 128. A number of group `g` is
//! `d * scale[g] * q - dmin * minimum[g]`. In each run of 32 bytes of `qs` the low four bits are
//! one group, the high four the next.

use super::super_block::{WithMinima, with_minima};
use super::{SUPER_BLOCK, each_block, each_block_of, f16_at, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 144], out: &mut [f32; SUPER_BLOCK]| {
        let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
        let (scales, minima) = unpack_scales(&part(block, 4));
        let qs: [u8; 128] = part(block, 16);
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            let minimum = dmin * f32::from(minima[group]);
            let (from, shift) = (32 * (group / 2), 4 * (group % 2));
            for (out, q) in out.iter_mut().zip(&qs[from..from + 32]) {
                *out = scale * f32::from(q >> shift & 15) - minimum;
            }
        }
    });
}

/// The 8 scales and 8 minima of a Q4_K or Q5_K block, 0 to 63 each, from their 12 bytes.
///
/// Bytes 0 to 3 hold scales 0 to 3 in their low six bits, bytes 4 to 7 minima 0 to 3. Byte `8 + i`
/// holds the low four bits of scale `4 + i` and, above them, of minimum `4 + i`; their high two
/// bits are the high two of bytes `i` and `4 + i`.
#[must_use]
#[inline(always)]
pub fn unpack_scales(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for i in 0..4 {
        scales[i] = packed[i] & 63;
        minima[i] = packed[4 + i] & 63;
        scales[4 + i] = packed[8 + i] & 15 | packed[i] >> 6 << 4;
        minima[4 + i] = packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4;
    }
    (scales, minima)
}

pub(super) fn quantize(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x, importance, block: &mut [u8; 144]| {
        let found = with_minima::<32, 8>(x, importance, 15.0, 63.0);
        block[..16].copy_from_slice(&pack_scales(&found));
        pack_four_bits(&found.quants, &mut block[16..]);
    });
}

/// The first sixteen bytes of a Q4_K or Q5_K block: the two f16 and the packed scales.
pub(super) fn pack_scales(found: &WithMinima<8>) -> [u8; 16] {
    let WithMinima { d, dmin, scales, minima, .. } = found;
    let mut packed = [0; 16];
    packed[..2].copy_from_slice(&d.to_le_bytes());
    packed[2..4].copy_from_slice(&dmin.to_le_bytes());
    for i in 0..4 {
        packed[4 + i] = scales[i] | scales[4 + i] >> 4 << 6;
        packed[8 + i] = minima[i] | minima[4 + i] >> 4 << 6;
        packed[12 + i] = scales[4 + i] & 15 | (minima[4 + i] & 15) << 4;
    }
    packed
}

/// The low four bits of each number, as above.
pub(super) fn pack_four_bits(quants: &[u8; SUPER_BLOCK], bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        let first = 64 * (at / 32) + at % 32;
        *byte = quants[first] & 15 | (quants[first + 32] & 15) << 4;
    }
}
