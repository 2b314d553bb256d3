//! The element types of weight files, and their conversion to f32 and i64.

pub use danlu_kernels::quant::{bf16_to_f32, f16_to_f32};

/// An element type, by its safetensors name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// Two f32: a real and an imaginary part.
    C64,
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// 8-bit floats with 4 bits of exponent, no infinity.
    F8E4M3,
    /// The upper half of an F16.
    F8E5M2,
    /// A power of two, for scales.
    F8E8M0,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// A byte that is 0 or 1.
    Bool,
}

/// Every type with its name in a safetensors header and its size in bytes.
const DTYPES: &[(Dtype, &str, usize)] = &[
    (Dtype::C64, "C64", 8),
    (Dtype::F64, "F64", 8),
    (Dtype::F32, "F32", 4),
    (Dtype::F16, "F16", 2),
    (Dtype::Bf16, "BF16", 2),
    (Dtype::F8E4M3, "F8_E4M3", 1),
    (Dtype::F8E5M2, "F8_E5M2", 1),
    (Dtype::F8E8M0, "F8_E8M0", 1),
    (Dtype::I64, "I64", 8),
    (Dtype::I32, "I32", 4),
    (Dtype::I16, "I16", 2),
    (Dtype::I8, "I8", 1),
    (Dtype::U64, "U64", 8),
    (Dtype::U32, "U32", 4),
    (Dtype::U16, "U16", 2),
    (Dtype::U8, "U8", 1),
    (Dtype::Bool, "BOOL", 1),
];

impl Dtype {
    /// The type with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its name in a safetensors header.
    #[must_use]
    pub fn name(self) -> &'static str {
        // The table is in the order of the variants; a test holds it there.
        DTYPES[self as usize].1
    }

    /// Bytes per element.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        DTYPES[self as usize].2
    }

    /// Whether its elements are real floats, which can be converted to f32.
    #[must_use]
    pub fn is_float(self) -> bool {
        (Self::F64..=Self::F8E8M0).contains(&self)
    }

    /// Converts little-endian floats, F64 rounded to the nearest; false, with `out` as it was, for
    /// other types. `bytes` and `out` have equally many elements.
    pub(crate) fn read_f32(self, bytes: &[u8], out: &mut [f32]) -> bool {
        match self {
            Self::F64 => fill(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => fill(bytes, out, f32::from_le_bytes),
            Self::F16 => fill(bytes, out, |b| f16_to_f32(u16::from_le_bytes(b))),
            Self::Bf16 => fill(bytes, out, |b| bf16_to_f32(u16::from_le_bytes(b))),
            Self::F8E4M3 => fill(bytes, out, |[b]| f8_e4m3_to_f32(b)),
            Self::F8E5M2 => fill(bytes, out, |[b]| f16_to_f32(u16::from(b) << 8)),
            Self::F8E8M0 => fill(bytes, out, |[b]| f8_e8m0_to_f32(b)),
            _ => return false,
        }
        true
    }

    /// Converts little-endian integers and booleans; false, with `out` as it was, for other types
    /// and for a U64 beyond `i64::MAX`. `bytes` and `out` have equally many elements.
    pub(crate) fn read_i64(self, bytes: &[u8], out: &mut [i64]) -> bool {
        match self {
            Self::I64 => fill(bytes, out, i64::from_le_bytes),
            Self::I32 => fill(bytes, out, |b| i32::from_le_bytes(b).into()),
            Self::I16 => fill(bytes, out, |b| i16::from_le_bytes(b).into()),
            Self::I8 => fill(bytes, out, |b| i8::from_le_bytes(b).into()),
            Self::U32 => fill(bytes, out, |b| u32::from_le_bytes(b).into()),
            Self::U16 => fill(bytes, out, |b| u16::from_le_bytes(b).into()),
            Self::U8 | Self::Bool => fill(bytes, out, |[b]| b.into()),
            Self::U64 if bytes.as_chunks::<8>().0.iter().all(|b| b[7] < 0x80) => {
                fill(bytes, out, i64::from_le_bytes);
            }
            _ => return false,
        }
        true
    }
}

/// 1 sign, 4 exponent (bias 7), 3 mantissa bits; all ones is NaN and there is no infinity
/// (<https://arxiv.org/abs/2209.05433>).
fn f8_e4m3_to_f32(bits: u8) -> f32 {
    let (exponent, mantissa) = (u32::from(bits >> 3 & 15), u32::from(bits & 7));
    let magnitude = match (exponent, mantissa) {
        (15, 7) => f32::NAN.to_bits(),
        // Subnormal: an exact multiple of 2^-9.
        (0, _) => (mantissa as f32 / 512.0).to_bits(),
        _ => (exponent + 120) << 23 | mantissa << 20,
    };
    f32::from_bits(u32::from(bits & 0x80) << 24 | magnitude)
}

/// 2^(bits - 127); all ones is NaN.
fn f8_e8m0_to_f32(bits: u8) -> f32 {
    match bits {
        // 2^-127 is subnormal.
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(bits) << 23),
    }
}

fn fill<T, const N: usize>(bytes: &[u8], out: &mut [T], read: impl Fn([u8; N]) -> T) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = read(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_are_those_of_the_variants() {
        for (index, &(dtype, name, size)) in DTYPES.iter().enumerate() {
            assert_eq!(dtype as usize, index, "{name} is out of order");
            assert_eq!((dtype.name(), dtype.size_bytes()), (name, size));
            assert_eq!(Dtype::from_name(name), Some(dtype));
            let (bytes, mut floats, mut integers) = (vec![0; size], [9.0], [9]);
            assert_eq!(dtype.read_f32(&bytes, &mut floats), dtype.is_float(), "{name}");
            let is_integer = !dtype.is_float() && dtype != Dtype::C64;
            assert_eq!(dtype.read_i64(&bytes, &mut integers), is_integer, "{name}");
        }
        assert_eq!(Dtype::from_name("f32"), None);
    }

    #[test]
    fn every_8_bit_float_has_its_arithmetic_value() {
        for bits in 0..=u8::MAX {
            let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f64::from(bits & 7));
            let magnitude = match (exponent, bits & 7) {
                (15, 7) => f64::NAN,
                (0, _) => mantissa / 8.0 * 2f64.powi(-6),
                _ => (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
            };
            let expected = (if bits >> 7 == 1 { -magnitude } else { magnitude }) as f32;
            let found = f8_e4m3_to_f32(bits);
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{bits:#04x}");
            let scale = f8_e8m0_to_f32(bits);
            let expected = 2f64.powi(i32::from(bits) - 127) as f32;
            assert!(scale == expected || bits == 255 && scale.is_nan(), "{bits:#04x}: {scale:e}");
        }
    }

    #[test]
    fn integers_keep_their_sign_and_what_does_not_fit_is_refused() {
        let mut out = [0; 2];
        assert!(Dtype::I16.read_i64(&[0xff, 0xff, 1, 0], &mut out));
        assert_eq!(out, [-1, 1]);
        assert!(Dtype::U16.read_i64(&[0xff, 0xff, 1, 0], &mut out));
        assert_eq!(out, [65_535, 1]);
        let large = [[0xff; 8], [0; 8]].concat();
        assert!(Dtype::I64.read_i64(&large, &mut out));
        assert_eq!(out, [-1, 0]);
        assert!(!Dtype::U64.read_i64(&large, &mut out));
    }
}
