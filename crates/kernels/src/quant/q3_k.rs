//! Q3_K: 256 numbers of 3 bits in 16 groups of 16, each with a signed 6-bit scale.
//!
//! Bytes: `hmask` 32, `qs` 64, `scales` 12, `d` f16. A number of group `g` is
//! `d * (scale[g] - 32) * (q - 4)`, where the low two bits of `q` are laid out as in Q2_K and the
//! third bit of number `32 s + j` is bit `s` of `hmask[j]`.

use super::q2_k::pack_two_bits;
use super::super_block::signed;
use super::{SUPER_BLOCK, each_block, each_block_of, f16_at, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 110], out: &mut [f32; SUPER_BLOCK]| {
        let d = f16_at(block, 108);
        let scales = unpack_scales(&part(block, 96));
        let hmask: [u8; 32] = part(block, 0);
        let qs: [u8; 64] = part(block, 32);
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[group]);
            let column = 16 * (group % 2);
            let from = 32 * (group / 8) + column;
            let (shift, bit) = (2 * (group / 2 % 4), group / 2);
            let parts = qs[from..from + 16].iter().zip(&hmask[column..column + 16]);
            for (out, (low, high)) in out.iter_mut().zip(parts) {
                let q = (low >> shift & 3) | (high >> bit & 1) << 2;
                *out = scale * f32::from(q as i8 - 4);
            }
        }
    });
}

/// The 16 scales of a Q3_K block, -32 to 31 each, from their 12 bytes: scale `g` has its low four
/// bits in half a byte of the first eight, its high two in a quarter of a byte of the last four.
#[must_use]
#[inline(always)]
pub fn unpack_scales(packed: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|group| {
        let low = packed[group % 8] >> (4 * (group / 8)) & 15;
        let high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

pub(super) fn quantize(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x, importance, block: &mut [u8; 110]| {
        let found = signed::<16, 16>(x, importance, 4.0, 32.0);
        for (j, byte) in block[..32].iter_mut().enumerate() {
            *byte = (0..8).fold(0, |byte, s| byte | (found.quants[32 * s + j] >> 2) << s);
        }
        pack_two_bits(&found.quants, &mut block[32..96]);
        block[96..108].copy_from_slice(&pack_scales(&found.scales));
        block[108..].copy_from_slice(&found.d.to_le_bytes());
    });
}

fn pack_scales(scales: &[i8; 16]) -> [u8; 12] {
    let mut packed = [0; 12];
    for (group, scale) in scales.iter().enumerate() {
        let scale = (scale + 32).cast_unsigned();
        packed[group % 8] |= (scale & 15) << (4 * (group / 8));
        packed[8 + group % 4] |= (scale >> 4) << (2 * (group / 4));
    }
    packed
}
