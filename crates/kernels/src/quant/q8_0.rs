//! Q8_0: 32 numbers of 8 bits with one scale.
//!
//! Bytes: `d` f16, `qs` 32 signed. Number `j` is `d * qs[j]`.

use super::{each_block, f16_at, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 34], out: &mut [f32; 32]| {
        let d = f16_at(block, 0);
        let qs: [u8; 32] = part(block, 2);
        for (out, q) in out.iter_mut().zip(qs) {
            *out = d * f32::from(q as i8);
        }
    });
}
