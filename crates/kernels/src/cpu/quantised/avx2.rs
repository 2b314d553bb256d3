//! AVX2: `vpmaddubsw` multiplies 32 bytes and adds them by twos, `vpmaddwd` those by twos again.
//!
//! A tile is two rows by sixteen columns. The sum of two products must fit in 16 bits: those of
//! quants below 64 do; wide ones are taken as |quant - 128| times x with the sign of quant - 128.

use std::arch::x86_64::*;

use super::kernel::{COLS, Format, Kind, Level, Multiply, Rows, Stream, Tile, Unpack, WeightBlock};
use super::words::{Lanes, Source, Words};

pub(super) enum Avx2 {}

/// Lanes of a register.
const HALF: usize = 8;

/// Sixteen lanes, the first eight in the first register.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Ymm([__m256i; 2]);

/// Methods of [`Lanes`] that are one expression of intrinsics for either register.
macro_rules! lanes {
    ($(
        fn $name:ident($self:ident $(, $argument:ident: $type:ty)*) = |$half:ident| $value:expr;
    )*) => {$(
        #[inline(always)]
        fn $name($self $(, $argument: $type)*) -> Self {
            // SAFETY: lanes exist only where the CPU has these instructions.
            unsafe {
                let $half = 0;
                let first = $value;
                let $half = 1;
                Self([first, $value])
            }
        }
    )*};
}

impl Lanes for Ymm {
    const CENTRES_WIDE: bool = true;

    lanes! {
        fn and(self, mask: u32) = |half| _mm256_and_si256(self.0[half], all(mask));
        fn xor(self, mask: u32) = |half| _mm256_xor_si256(self.0[half], all(mask));
        fn or(self, other: Self) = |half| _mm256_or_si256(self.0[half], other.0[half]);
        fn plus(self, number: u32) = |half| _mm256_add_epi32(self.0[half], all(number));
        fn add(self, other: Self) = |half| _mm256_add_epi32(self.0[half], other.0[half]);
        fn times(self, number: u32) = |half| _mm256_mullo_epi32(self.0[half], all(number));
        fn shift_left(self, bits: usize) = |half| {
            _mm256_sllv_epi32(self.0[half], all(bits as u32))
        };
        fn shift_right(self, bits: usize) = |half| {
            _mm256_srlv_epi32(self.0[half], all(bits as u32))
        };
        fn look_up(self, table: &[u8; 16]) = |half| {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            _mm256_shuffle_epi8(table, self.0[half])
        };
        fn add_products(self, quants: Self, x: i32, wide: bool) = |half| {
            let (quants, x) = (quants.0[half], all(x as u32));
            let twos = if wide {
                let signed = _mm256_xor_si256(quants, _mm256_set1_epi8(-128));
                _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed))
            } else {
                _mm256_maddubs_epi16(quants, x)
            };
            let fours = _mm256_madd_epi16(twos, _mm256_set1_epi16(1));
            _mm256_add_epi32(self.0[half], fours)
        };
        fn times_f32(self, factor: Self) = |half| {
            bits(_mm256_mul_ps(_mm256_cvtepi32_ps(self.0[half]), float(factor.0[half])))
        };
        fn times_f32_plus(self, factor: Self, sum: Self) = |half| {
            let number = _mm256_cvtepi32_ps(self.0[half]);
            bits(_mm256_fmadd_ps(number, float(factor.0[half]), float(sum.0[half])))
        };
        fn multiply_add(self, factor: Self, sum: Self) = |half| {
            let number = float(self.0[half]);
            bits(_mm256_fmadd_ps(number, float(factor.0[half]), float(sum.0[half])))
        };
    }

    #[inline(always)]
    fn f16_to_f32(self) -> Self {
        // SAFETY: lanes exist only where the CPU has these instructions.
        unsafe {
            let low = self.and(0xffff);
            // Packs lanes 0 to 3, 8 to 11, 4 to 7, 12 to 15.
            let packed = _mm256_packus_epi32(low.0[0], low.0[1]);
            let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            let high = _mm256_extracti128_si256::<1>(packed);
            let low = _mm256_castsi256_si128(packed);
            Self([bits(_mm256_cvtph_ps(low)), bits(_mm256_cvtph_ps(high))])
        }
    }

    #[inline(always)]
    unsafe fn four_words(start: *const u8, row_bytes: usize) -> [Ymm; 4] {
        // SAFETY: the caller gives sixteen rows of 16 bytes.
        unsafe {
            let low = four_words_of_eight_rows(start, row_bytes);
            let high = four_words_of_eight_rows(start.add(HALF * row_bytes), row_bytes);
            let join = |word: usize| Ymm([low[word], high[word]]);
            [join(0), join(1), join(2), join(3)]
        }
    }

    #[inline(always)]
    unsafe fn splat(number: u32) -> Self {
        // SAFETY: by the caller.
        Self(unsafe { [all(number); 2] })
    }

    #[inline(always)]
    unsafe fn load(words: &Words) -> Self {
        // SAFETY: 64 aligned bytes; the instruction by the caller.
        unsafe {
            let start = words.0.as_ptr();
            let half = |at: *const u32| _mm256_load_si256(at.cast());
            Self([half(start), half(start.add(HALF))])
        }
    }

    #[inline(always)]
    fn store(self, out: &mut Words) {
        // SAFETY: 64 aligned bytes; lanes exist only where the CPU has the instruction.
        unsafe {
            _mm256_store_si256(out.0.as_mut_ptr().cast(), self.0[0]);
            _mm256_store_si256(out.0.as_mut_ptr().add(HALF).cast(), self.0[1]);
        }
    }
}

#[inline(always)]
unsafe fn all(number: u32) -> __m256i {
    // SAFETY: called only where the CPU has AVX2.
    unsafe { _mm256_set1_epi32(number as i32) }
}

#[inline(always)]
unsafe fn bits(floats: __m256) -> __m256i {
    // SAFETY: called only where the CPU has AVX2.
    unsafe { _mm256_castps_si256(floats) }
}

#[inline(always)]
unsafe fn float(lanes: __m256i) -> __m256 {
    // SAFETY: called only where the CPU has AVX2.
    unsafe { _mm256_castsi256_ps(lanes) }
}

impl Level for Avx2 {
    type Lanes = Ymm;

    fn unpack<F: Format>() -> Unpack {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn compiled<F: Format>(weights: Source, out: &mut [WeightBlock]) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { super::multiply::unpack::<Avx2, F>(weights, out) }
        }
        compiled::<F>
    }

    fn multiply<K: Kind>() -> &'static [Multiply] {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn rows<K: Kind, const R: usize>(
            rows: Rows,
            tile: &Tile,
            blocks_and_zero: (usize, i32),
            sums: *mut [f32; COLS],
        ) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe {
                super::multiply::multiply_tile::<Ymm, K, R, 1>(rows, tile, blocks_and_zero, sums);
            }
        }
        &[rows::<K, 1>, rows::<K, 2>]
    }

    fn stream<F: Format>() -> [Stream; 4] {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn rows<F: Format, const R: usize>(
            rows: Rows,
            weights: Source,
            blocks: usize,
            sums: *mut [f32; COLS],
        ) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { super::multiply::stream::<Avx2, F, R>(rows, weights, blocks, sums) }
        }
        [rows::<F, 1>, rows::<F, 2>, rows::<F, 3>, rows::<F, 4>]
    }
}

/// Four words of each of eight rows.
///
/// # Safety
/// 16 bytes can be read at each `start + row * row_bytes`; the CPU has AVX2.
#[inline(always)]
unsafe fn four_words_of_eight_rows(start: *const u8, row_bytes: usize) -> [__m256i; 4] {
    // SAFETY: by the caller.
    unsafe {
        let load = |row: usize| _mm_loadu_si128(start.add(row * row_bytes).cast());
        let rows = |first: usize| _mm256_set_m128i(load(first + 4), load(first));
        let (a, b, c, d) = (rows(0), rows(1), rows(2), rows(3));
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}
