//! The vectors and units of AVX-512, AVX-512 BF16 and AVX2.

use std::arch::x86_64::*;

use super::vector::{EXP2_BF16, Unit, Vector};
use crate::bf16;

/// Sixteen lanes of AVX-512.
#[derive(Clone, Copy)]
pub(super) struct F32x16(__m512);

/// Eight lanes of AVX2.
#[derive(Clone, Copy)]
pub(super) struct F32x8(__m256);

/// Units of two bf16, multiplied by `vdpbf16ps`.
pub(super) struct Bf16Pairs;

/// Functions of one expression each.
macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $out:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($argument: $type),*) $(-> $out)? {
            // SAFETY: the caller has the level, and pointers hold as many elements as lanes.
            unsafe { $body }
        }
    )*};
}

impl Vector for F32x16 {
    const LANES: usize = 16;
    functions! {
        fn splat(x: f32) -> Self = Self(_mm512_set1_ps(x));
        fn load(from: *const f32) -> Self = Self(_mm512_loadu_ps(from));
        fn store(x: Self, to: *mut f32) = _mm512_storeu_ps(to, x.0);
        fn load_bf16(from: *const bf16) -> Self = {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
        };
        fn store_bf16(x: Self, to: *mut bf16) = {
            // Round to nearest even by integer arithmetic; a NaN becomes quiet.
            let bits = _mm512_castps_si512(x.0);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_add_epi32(bits, half);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x.0, x.0);
            let rounded = _mm512_mask_mov_epi32(rounded, nan, quiet);
            let narrow = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            _mm256_storeu_si256(to.cast(), narrow);
        };
        fn load_f16(from: *const u16) -> Self =
            Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast())));
        fn load_i8(from: *const i8) -> Self =
            Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))));
        fn add(a: Self, b: Self) -> Self = Self(_mm512_add_ps(a.0, b.0));
        fn sub(a: Self, b: Self) -> Self = Self(_mm512_sub_ps(a.0, b.0));
        fn mul(a: Self, b: Self) -> Self = Self(_mm512_mul_ps(a.0, b.0));
        fn div(a: Self, b: Self) -> Self = Self(_mm512_div_ps(a.0, b.0));
        fn mul_add(a: Self, b: Self, c: Self) -> Self = Self(_mm512_fmadd_ps(a.0, b.0, c.0));
        fn max(a: Self, b: Self) -> Self = Self(_mm512_max_ps(a.0, b.0));
        fn fraction(x: Self) -> Self =
            Self(_mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x.0));
        fn scale(a: Self, x: Self) -> Self = Self(_mm512_scalef_ps(a.0, x.0));
        fn sum(x: Self) -> f32 = _mm512_reduce_add_ps(x.0);
        fn largest(x: Self) -> f32 = _mm512_reduce_max_ps(x.0);
        fn keep_range(x: Self, low: i32, high: i32, otherwise: Self) -> Self = {
            let from = (0xffff_u32 << low.clamp(0, 16)) as u16;
            let below = !(0xffff_u32 << high.clamp(0, 16)) as u16;
            Self(_mm512_mask_mov_ps(otherwise.0, from & below, x.0))
        };
        fn keep_equal(x: Self, ids: *const u32, id: u32, otherwise: Self) -> Self = {
            let ids = _mm512_loadu_si512(ids.cast());
            let equal = _mm512_cmpeq_epi32_mask(ids, _mm512_set1_epi32(id as i32));
            Self(_mm512_mask_mov_ps(otherwise.0, equal, x.0))
        };
    }

    #[inline(always)]
    fn fetch(line: *const u8) {
        // SAFETY: a prefetch of any address is harmless, and every x86-64 CPU has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller has AVX-512 and 16 rows of 16 in both places.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(from.add(i * stride));
            }
            // Two levels inside the 128-bit quarters, two between them.
            let mut pairs = rows;
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            let mut fours = rows;
            for i in 0..4 {
                for half in 0..2 {
                    let a = _mm512_castps_pd(pairs[4 * i + half]);
                    let b = _mm512_castps_pd(pairs[4 * i + half + 2]);
                    fours[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    fours[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            for column in 0..4 {
                let (a, b) = (fours[column], fours[column + 4]);
                let (c, d) = (fours[column + 8], fours[column + 12]);
                let (ab_even, ab_odd) =
                    (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
                let (cd_even, cd_odd) =
                    (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
                let quarters = [
                    _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even),
                    _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd),
                    _mm512_shuffle_f32x4::<0xdd>(ab_even, cd_even),
                    _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd),
                ];
                for (quarter, row) in quarters.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * quarter + column) * to_stride), row);
                }
            }
        }
    }
}

impl Unit for Bf16Pairs {
    type V = F32x16;
    const DEPTH: usize = 2;
    const IS_BF16: bool = true;
    const IS_F32: bool = false;
    const EXP2: &'static [f32] = EXP2_BF16;
    functions! {
        fn multiply_add(a: F32x16, b: F32x16, c: F32x16) -> F32x16 = {
            // Same size, any bit pattern is a value.
            let a = std::mem::transmute::<__m512, __m512bh>(a.0);
            let b = std::mem::transmute::<__m512, __m512bh>(b.0);
            F32x16(_mm512_dpbf16_ps(c.0, a, b))
        };
        fn store(x: F32x16, to: *mut f32) = {
            let narrow = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x.0));
            _mm256_storeu_si256(to.cast(), narrow);
        };
        fn store_bf16(x: F32x16, to: *mut bf16) = Self::store(x, to.cast());
        fn interleave(from: *const f32, stride: usize, to: *mut f32) = {
            let first = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            let second = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.add(stride).cast()));
            let units = _mm512_or_si512(first, _mm512_slli_epi32::<16>(second));
            _mm512_storeu_si512(to.cast(), units);
        };
    }
}

impl Vector for F32x8 {
    const LANES: usize = 8;
    functions! {
        fn splat(x: f32) -> Self = Self(_mm256_set1_ps(x));
        fn load(from: *const f32) -> Self = Self(_mm256_loadu_ps(from));
        fn store(x: Self, to: *mut f32) = _mm256_storeu_ps(to, x.0);
        fn load_bf16(from: *const bf16) -> Self = {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
        };
        fn store_bf16(x: Self, to: *mut bf16) = {
            let bits = _mm256_castps_si256(x.0);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let rounded = _mm256_castsi256_ps(_mm256_add_epi32(bits, half));
            let quiet = _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000)));
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x.0, x.0);
            let rounded = _mm256_castps_si256(_mm256_blendv_ps(rounded, quiet, nan));
            let high = _mm256_srli_epi32::<16>(rounded);
            let packed = _mm256_permute4x64_epi64::<0x08>(_mm256_packus_epi32(high, high));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(packed));
        };
        fn load_f16(from: *const u16) -> Self =
            Self(_mm256_cvtph_ps(_mm_loadu_si128(from.cast())));
        fn load_i8(from: *const i8) -> Self =
            Self(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))));
        fn add(a: Self, b: Self) -> Self = Self(_mm256_add_ps(a.0, b.0));
        fn sub(a: Self, b: Self) -> Self = Self(_mm256_sub_ps(a.0, b.0));
        fn mul(a: Self, b: Self) -> Self = Self(_mm256_mul_ps(a.0, b.0));
        fn div(a: Self, b: Self) -> Self = Self(_mm256_div_ps(a.0, b.0));
        fn mul_add(a: Self, b: Self, c: Self) -> Self = Self(_mm256_fmadd_ps(a.0, b.0, c.0));
        fn max(a: Self, b: Self) -> Self = Self(_mm256_max_ps(a.0, b.0));
        fn fraction(x: Self) -> Self = {
            let x = _mm256_max_ps(_mm256_set1_ps(-127.0), x.0);
            Self(_mm256_sub_ps(x, _mm256_floor_ps(x)))
        };
        fn scale(a: Self, x: Self) -> Self = {
            let floor = _mm256_floor_ps(_mm256_max_ps(_mm256_set1_ps(-127.0), x.0));
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(floor), _mm256_set1_epi32(127));
            Self(_mm256_mul_ps(a.0, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))))
        };
        fn sum(x: Self) -> f32 = {
            let four = _mm_add_ps(_mm256_castps256_ps128(x.0), _mm256_extractf128_ps::<1>(x.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        };
        fn largest(x: Self) -> f32 = {
            let four = _mm_max_ps(_mm256_castps256_ps128(x.0), _mm256_extractf128_ps::<1>(x.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        };
        fn keep_range(x: Self, low: i32, high: i32, otherwise: Self) -> Self = {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let outside = _mm256_or_si256(
                _mm256_cmpgt_epi32(_mm256_set1_epi32(low), lane),
                _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(high - 1)),
            );
            Self(_mm256_blendv_ps(x.0, otherwise.0, _mm256_castsi256_ps(outside)))
        };
        fn keep_equal(x: Self, ids: *const u32, id: u32, otherwise: Self) -> Self = {
            let ids = _mm256_loadu_si256(ids.cast());
            let equal = _mm256_cmpeq_epi32(ids, _mm256_set1_epi32(id as i32));
            Self(_mm256_blendv_ps(otherwise.0, x.0, _mm256_castsi256_ps(equal)))
        };
    }

    #[inline(always)]
    fn fetch(line: *const u8) {
        // SAFETY: a prefetch of any address is harmless, and every x86-64 CPU has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller has AVX2 and 8 rows of 8 in both places.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm256_loadu_ps(from.add(i * stride));
            }
            let mut fours = rows;
            for i in 0..2 {
                let (a, b, c, d) = (rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]);
                let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                fours[4 * i] = _mm256_shuffle_ps::<0x44>(ab_low, cd_low);
                fours[4 * i + 1] = _mm256_shuffle_ps::<0xee>(ab_low, cd_low);
                fours[4 * i + 2] = _mm256_shuffle_ps::<0x44>(ab_high, cd_high);
                fours[4 * i + 3] = _mm256_shuffle_ps::<0xee>(ab_high, cd_high);
            }
            for column in 0..4 {
                let (a, b) = (fours[column], fours[column + 4]);
                _mm256_storeu_ps(to.add(column * to_stride), _mm256_permute2f128_ps::<0x20>(a, b));
                let below = to.add((column + 4) * to_stride);
                _mm256_storeu_ps(below, _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }
    }
}
