//! IQ4_NL and IQ4_XS: 4 bits that choose one of 16 values, dense near zero where weights are.
//!
//! | format | bytes | numbers |
//! |---|---|---|
//! | IQ4_NL | `d` f16, `qs` 16 | 32: `d * value[q]`, `qs` as in Q4_0 |
//! | IQ4_XS | `d` f16, `scales_h` u16, `scales_l` 4, `qs` 128 | 256: `d * (scale[g] - 32) * value[q]` |
//!
//! IQ4_XS has 8 groups of 32, each laid out in 16 bytes of `qs` as in Q4_0. The low four bits of
//! scale `g` are half `g % 2` of `scales_l[g / 2]`, its high two are bits `2g`, `2g + 1` of
//! `scales_h`.

use super::{SUPER_BLOCK, each_block, f16_at, part};

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
