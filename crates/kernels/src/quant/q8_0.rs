//! Q8_0: 32 numbers of 8 bits with one scale.
//!
//! Bytes: `d` f16, `qs` 32 signed. Number `j` is `d * qs[j]`.

use super::search::extreme;
use super::{each_block, each_block_of, f16_at, f32_to_f16, part};

pub(super) fn dequantize(bytes: &[u8], out: &mut [f32]) {
    each_block(bytes, out, |block: &[u8; 34], out: &mut [f32; 32]| {
        let d = f16_at(block, 0);
        let qs: [u8; 32] = part(block, 2);
        for (out, q) in out.iter_mut().zip(qs) {
            *out = d * f32::from(q as i8);
        }
    });
}

/// The number of the greatest magnitude becomes 127 or -127; at 8 bits importance changes nothing
/// worth a search.
pub(super) fn quantize(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    each_block_of(values, importance, bytes, |x: &[f32; 32], _, block: &mut [u8; 34]| {
        let d = extreme(x).abs() / 127.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        block[..2].copy_from_slice(&f32_to_f16(d).to_le_bytes());
        for (byte, x) in block[2..].iter_mut().zip(x) {
            *byte = ((x * inverse).round() as i8).cast_unsigned();
        }
    });
}
