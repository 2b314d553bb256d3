//! The two number types that kernels read and write, f32 and bf16, and the precision of products.

use half::bf16;

/// How matrix products are computed. Master weights and all reductions are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// f32 activations, f32 products.
    F32,
    /// bf16 activations, bf16 products added in f32.
    Bf16,
}

/// A type that any bit pattern is a valid value of, so that recycled memory can be handed out.
///
/// # Safety
/// Every bit pattern of `size_of::<Self>()` bytes must be a valid `Self` without drop glue, and
/// its alignment must be at most 64.
#[allow(unsafe_code)]
pub unsafe trait Pod: Copy + Send + Sync + 'static {}

macro_rules! pod {
    ($($name:ty),*) => {$(
        #[allow(unsafe_code)]
        // SAFETY: plain numbers; every bit pattern is a value.
        unsafe impl Pod for $name {}
    )*};
}
pod!(f32, f64, bf16, u8, u16, u32, i32, u64);

/// A number stored as f32 or bf16 and computed with as f32.
pub trait Element: Pod + Default + std::fmt::Debug + PartialEq {
    /// Short name for messages.
    const NAME: &'static str;
    /// The value as f32 (exact for both types).
    fn to_f32(self) -> f32;
    /// The nearest value of this type, ties to even.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    const NAME: &'static str = "f32";
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    const NAME: &'static str = "bf16";
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    /// Round to nearest, ties to even, without a branch so that loops vectorise. A NaN keeps its
    /// sign and becomes quiet.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet_nan = (bits >> 16) | 0x40;
        bf16::from_bits(if value.is_nan() { quiet_nan } else { rounded } as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounding_equals_the_half_crate() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            let (ours, theirs) = (<bf16 as Element>::from_f32(value), bf16::from_f32(value));
            assert_eq!(ours.to_bits(), theirs.to_bits(), "at {value} ({bits:#x})");
        }
    }
}
