//! What the tiles are made of: a register of f32 lanes, and the 32-bit units that products read.
//!
//! Every level implements [`Vector`]; [`Unit`] says what a unit holds: one f32, one f32 rounded to
//! bf16, or for `vdpbf16ps` two bf16 that follow each other along the sum. All functions are
//! inlined into one that is compiled for the level; calling them is unsafe because the CPU must
//! have it.

use std::marker::PhantomData;

use crate::quant::f16_to_f32;
use crate::{Element, bf16};

/// `LANES` f32 in a register.
///
/// # Safety
/// The implementing level's functions may only be called on a CPU that has the level, and pointers
/// must be valid for `LANES` elements of any alignment.
pub(super) trait Vector: Copy {
    const LANES: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(x: Self, to: *mut f32);
    /// Reads `LANES` bf16.
    unsafe fn load_bf16(from: *const bf16) -> Self;
    /// Rounds to nearest even.
    unsafe fn store_bf16(x: Self, to: *mut bf16);
    /// Reads `LANES` f16.
    unsafe fn load_f16(from: *const u16) -> Self;
    /// Reads `LANES` signed bytes.
    unsafe fn load_i8(from: *const i8) -> Self;
    unsafe fn add(a: Self, b: Self) -> Self;
    unsafe fn sub(a: Self, b: Self) -> Self;
    unsafe fn mul(a: Self, b: Self) -> Self;
    unsafe fn div(a: Self, b: Self) -> Self;
    /// `a * b + c`.
    unsafe fn mul_add(a: Self, b: Self, c: Self) -> Self;
    /// The larger; `b` if either is NaN.
    unsafe fn max(a: Self, b: Self) -> Self;
    /// `x - floor(x)`, and any finite number for minus infinity.
    unsafe fn fraction(x: Self) -> Self;
    /// `a * 2^floor(x)` for x up to 128; zero for minus infinity.
    unsafe fn scale(a: Self, x: Self) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(x: Self) -> f32;
    /// The largest lane.
    unsafe fn largest(x: Self) -> f32;
    /// Lane `l` if `low <= l < high`, else `otherwise`.
    unsafe fn keep_range(x: Self, low: i32, high: i32, otherwise: Self) -> Self;
    /// Lane `l` if `ids[l] == id`, else `otherwise`.
    unsafe fn keep_equal(x: Self, ids: *const u32, id: u32, otherwise: Self) -> Self;
    /// Asks for a cache line ahead of its use; any address will do.
    #[inline(always)]
    fn fetch(_line: *const u8) {}
    /// Transposes `LANES` rows of `LANES` f32, `stride` apart, into rows `to_stride` apart.
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize);
}

/// How products read memory and what they add up.
///
/// # Safety
/// As for [`Vector`].
pub(super) trait Unit {
    type V: Vector;
    /// Elements of the sum in a unit.
    const DEPTH: usize;
    /// Whether elements in memory are units as they lie, if they are bf16 and if they are f32.
    const IS_BF16: bool;
    const IS_F32: bool;
    /// Coefficients of the polynomial for 2^x on [0, 1], highest power first: a minimax fit of the
    /// relative error by Lawson's iteration.
    const EXP2: &'static [f32];
    /// `a * b + c` for units a and b.
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Writes `LANES / DEPTH` units that hold x.
    unsafe fn store(x: Self::V, to: *mut f32);
    /// Writes `LANES` results as bf16.
    #[inline(always)]
    unsafe fn store_bf16(x: Self::V, to: *mut bf16) {
        // SAFETY: the caller has the level and the room.
        unsafe { Self::V::store_bf16(x, to) }
    }
    /// From `DEPTH` rows, `stride` units apart, takes `LANES` elements of each and writes `LANES`
    /// units that each hold a column.
    unsafe fn interleave(from: *const f32, stride: usize, to: *mut f32);
}

/// Relative error 1.5e-7.
const EXP2_F32: &[f32] =
    &[0.001_877_576_7, 0.008_989_34, 0.055_826_318, 0.240_153_61, 0.693_153_1, 0.999_999_94];
/// Relative error 2.7e-6: a thousandth of what rounding to bf16 loses.
pub(super) const EXP2_BF16: &[f32] =
    &[0.013_534_168, 0.052_011_46, 0.241_442_75, 0.693_003_83, 1.000_002_6];

/// 2^x for x up to 128, zero for minus infinity; NaN stays NaN.
#[inline(always)]
pub(super) unsafe fn exp2<U: Unit>(x: U::V) -> U::V {
    // SAFETY: the caller has the level.
    unsafe {
        let fraction = U::V::fraction(x);
        let mut power = U::V::splat(U::EXP2[0]);
        for c in &U::EXP2[1..] {
            power = U::V::mul_add(power, fraction, U::V::splat(*c));
        }
        U::V::scale(power, x)
    }
}

/// Scores that never pass a bound: `cap * tanh(x / cap)` (Gemma 2, arXiv:2408.00118).
#[derive(Clone, Copy)]
pub(super) struct SoftCap {
    /// What a score is multiplied by before tanh, and after: `scale / cap` and `cap / scale`, so
    /// that the result is still to be scaled.
    inner: f32,
    outer: f32,
}

impl SoftCap {
    pub(super) fn new(cap: f32, scale: f32) -> Self {
        Self { inner: scale / cap, outer: cap / scale }
    }

    /// The score under the cap, and its slope. NaN stays NaN.
    #[inline(always)]
    pub(super) unsafe fn apply<U: Unit>(self, score: U::V) -> (U::V, U::V) {
        /// Where tanh is -1, and the exponential still finite.
        const LOWEST: f32 = -126.0;
        let log2 = 2.0 * std::f32::consts::LOG2_E * self.inner;
        // SAFETY: the caller has the level.
        unsafe {
            let (zero, one, two) = (U::V::splat(0.0), U::V::splat(1.0), U::V::splat(2.0));
            let x = U::V::max(U::V::splat(LOWEST), U::V::mul(score, U::V::splat(log2)));
            let power = exp2::<U>(U::V::sub(zero, x));
            // tanh = 2 s - 1, and its slope 1 - tanh² = 4 s (1 - s) without cancellation.
            let s = U::V::div(one, U::V::add(one, power));
            let tanh = U::V::sub(U::V::mul(two, s), one);
            let slope = U::V::mul(U::V::mul(U::V::splat(4.0), s), U::V::mul(power, s));
            (U::V::mul(tanh, U::V::splat(self.outer)), slope)
        }
    }
}

/// Units of one f32.
pub(super) struct Single<V>(PhantomData<V>);

/// Units of one f32 that was rounded to bf16: bf16 products without bf16 instructions.
pub(super) struct Rounded<V>(PhantomData<V>);

impl<V: Vector> Unit for Single<V> {
    type V = V;
    const DEPTH: usize = 1;
    const IS_BF16: bool = false;
    const IS_F32: bool = true;
    const EXP2: &'static [f32] = EXP2_F32;

    #[inline(always)]
    unsafe fn multiply_add(a: V, b: V, c: V) -> V {
        // SAFETY: the caller has the level.
        unsafe { V::mul_add(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(x: V, to: *mut f32) {
        // SAFETY: the caller has the level and the room.
        unsafe { V::store(x, to) }
    }

    #[inline(always)]
    unsafe fn interleave(from: *const f32, _stride: usize, to: *mut f32) {
        // SAFETY: the caller has the level and the room; a unit is an element, so nothing moves.
        unsafe { V::store(V::load(from), to) }
    }
}

impl<V: Vector> Unit for Rounded<V> {
    type V = V;
    const DEPTH: usize = 1;
    const IS_BF16: bool = false;
    const IS_F32: bool = false;
    const EXP2: &'static [f32] = EXP2_BF16;

    #[inline(always)]
    unsafe fn multiply_add(a: V, b: V, c: V) -> V {
        // SAFETY: the caller has the level.
        unsafe { V::mul_add(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(x: V, to: *mut f32) {
        let mut rounded = [bf16::ZERO; 16];
        // SAFETY: no level has more than 16 lanes; the caller has the level and the room.
        unsafe {
            V::store_bf16(x, rounded.as_mut_ptr());
            V::store(V::load_bf16(rounded.as_ptr()), to);
        }
    }

    #[inline(always)]
    unsafe fn interleave(from: *const f32, _stride: usize, to: *mut f32) {
        // SAFETY: the caller has the level and the room; a unit is an element, so nothing moves.
        unsafe { V::store(V::load(from), to) }
    }
}

/// Eight lanes of plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 8]);

/// `floor(x)`, -127 from -126 down, and what is left of x; NaN stays NaN in the latter.
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    /// 1.5 * 2^23: adding it rounds a small number to an integer, held in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Half an integer, so that it is not rounded further down.
    let x = if x < -126.5 { -126.5 } else { x };
    let rounded = (x - 0.5) + ROUND;
    let floor = rounded.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
    (floor, x - (rounded - ROUND))
}

impl Portable {
    #[inline(always)]
    fn map2(a: Self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(a.0[lane], b.0[lane])))
    }
}

// SAFETY of the blocks below: pointers are valid for eight elements by the trait's contract.
impl Vector for Portable {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(x: Self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(x.0) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const bf16) -> Self {
        // SAFETY: see above.
        Self(unsafe { from.cast::<[bf16; 8]>().read_unaligned() }.map(Element::to_f32))
    }

    #[inline(always)]
    unsafe fn store_bf16(x: Self, to: *mut bf16) {
        // SAFETY: see above.
        unsafe { to.cast::<[bf16; 8]>().write_unaligned(x.0.map(Element::from_f32)) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: see above.
        Self(unsafe { from.cast::<[u16; 8]>().read_unaligned() }.map(f16_to_f32))
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: see above.
        Self(unsafe { from.cast::<[i8; 8]>().read_unaligned() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn add(a: Self, b: Self) -> Self {
        Self::map2(a, b, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(a: Self, b: Self) -> Self {
        Self::map2(a, b, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(a: Self, b: Self) -> Self {
        Self::map2(a, b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(a: Self, b: Self) -> Self {
        Self::map2(a, b, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn mul_add(a: Self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|lane| a.0[lane] * b.0[lane] + c.0[lane]))
    }

    #[inline(always)]
    unsafe fn max(a: Self, b: Self) -> Self {
        Self::map2(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn fraction(x: Self) -> Self {
        Self(x.0.map(|x| split(x).1))
    }

    #[inline(always)]
    unsafe fn scale(a: Self, x: Self) -> Self {
        Self::map2(a, x, |a, x| a * f32::from_bits((split(x).0 + 127).cast_unsigned() << 23))
    }

    #[inline(always)]
    unsafe fn sum(x: Self) -> f32 {
        let [a, b, c, d, e, f, g, h] = x.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    unsafe fn largest(x: Self) -> f32 {
        x.0.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
    }

    #[inline(always)]
    unsafe fn keep_range(x: Self, low: i32, high: i32, otherwise: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            let inside = low <= lane as i32 && (lane as i32) < high;
            if inside { x.0[lane] } else { otherwise.0[lane] }
        }))
    }

    #[inline(always)]
    unsafe fn keep_equal(x: Self, ids: *const u32, id: u32, otherwise: Self) -> Self {
        // SAFETY: see above.
        let ids = unsafe { ids.cast::<[u32; 8]>().read_unaligned() };
        Self(std::array::from_fn(
            |lane| if ids[lane] == id { x.0[lane] } else { otherwise.0[lane] },
        ))
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        for row in 0..8 {
            for column in 0..8 {
                // SAFETY: the caller has eight rows of eight elements in both.
                unsafe { *to.add(column * to_stride + row) = *from.add(row * stride + column) }
            }
        }
    }
}
