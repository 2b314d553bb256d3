//! Formats without blocks: F32, F16 and BF16.

use half::bf16;

use crate::Element;

/// The value of an IEEE half-precision number.
#[must_use]
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits & 0x3ff);
    let magnitude = match exponent {
        // Subnormal: an exact multiple of 2^-24.
        0 => (mantissa as f32 / (1 << 24) as f32).to_bits(),
        // Infinity or NaN, with its payload.
        31 => 0x7f80_0000 | mantissa << 13,
        // Rebias the exponent from 15 to 127.
        _ => (exponent + 112) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The value of a bf16 number.
#[must_use]
#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest half-precision number, ties to even; beyond its range, infinity.
#[must_use]
#[inline(always)]
pub fn f32_to_f16(value: f32) -> u16 {
    half::f16::from_f32(value).to_bits()
}

pub(super) fn dequantize_f32(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, f32::from_le_bytes);
}

pub(super) fn dequantize_f16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |number| f16_to_f32(u16::from_le_bytes(number)));
}

pub(super) fn dequantize_bf16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |number| bf16_to_f32(u16::from_le_bytes(number)));
}

pub(super) fn quantize_f32(values: &[f32], _: Option<&[f32]>, bytes: &mut [u8]) {
    each_of(values, bytes, f32::to_le_bytes);
}

pub(super) fn quantize_f16(values: &[f32], _: Option<&[f32]>, bytes: &mut [u8]) {
    each_of(values, bytes, |value| f32_to_f16(value).to_le_bytes());
}

pub(super) fn quantize_bf16(values: &[f32], _: Option<&[f32]>, bytes: &mut [u8]) {
    each_of(values, bytes, |value| <bf16 as Element>::from_f32(value).to_bits().to_le_bytes());
}

#[inline(always)]
fn each_of<const N: usize>(values: &[f32], bytes: &mut [u8], write: impl Fn(f32) -> [u8; N]) {
    for (number, value) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *number = write(*value);
    }
}

#[inline(always)]
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (out, number) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = read(*number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_has_its_arithmetic_value() {
        for bits in 0..=u16::MAX {
            let (exponent, mantissa) = (i32::from(bits >> 10) & 31, f64::from(bits & 0x3ff));
            let magnitude = match exponent {
                0 => mantissa * 2f64.powi(-24),
                31 if mantissa == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + mantissa / 1024.0) * 2f64.powi(exponent - 15),
            };
            let expected = if bits >> 15 == 1 { -magnitude } else { magnitude } as f32;
            let found = f16_to_f32(bits);
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{bits:#06x}");
            assert_eq!(found.is_sign_negative(), bits >> 15 == 1, "{bits:#06x}");
        }
    }
}
