//! AVX-512 with VNNI: `vpdpbusd` multiplies 64 bytes and adds them by fours into 16 lanes.
//!
//! A tile is 6 rows by 32 columns (4 rows where a block has two scales): 12 integer and 12 f32
//! sums, two registers of weights and one of activations.

use std::arch::x86_64::*;

use super::kernel::{COLS, Format, Kind, Level, Multiply, Rows, Stream, Tile, Unpack, WeightBlock};
use super::words::{Lanes, Source, Words};

pub(super) enum Avx512 {}

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Zmm(__m512i);

/// Methods of [`Lanes`] that are one expression of intrinsics.
macro_rules! lanes {
    ($(fn $name:ident($self:ident $(, $argument:ident: $type:ty)*) = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name($self $(, $argument: $type)*) -> Self {
            // SAFETY: lanes exist only where the CPU has these instructions.
            Self(unsafe { $value })
        }
    )*};
}

impl Lanes for Zmm {
    lanes! {
        fn and(self, mask: u32) = _mm512_and_si512(self.0, all(mask));
        fn xor(self, mask: u32) = _mm512_xor_si512(self.0, all(mask));
        fn or(self, other: Self) = _mm512_or_si512(self.0, other.0);
        fn add(self, other: Self) = _mm512_add_epi32(self.0, other.0);
        fn plus(self, number: u32) = _mm512_add_epi32(self.0, all(number));
        fn times(self, number: u32) = _mm512_mullo_epi32(self.0, all(number));
        fn shift_left(self, bits: usize) = _mm512_sllv_epi32(self.0, all(bits as u32));
        fn shift_right(self, bits: usize) = _mm512_srlv_epi32(self.0, all(bits as u32));
        fn look_up(self, table: &[u8; 16]) = {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, self.0)
        };
        fn f16_to_f32(self) = bits(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(self.0)));
        fn add_products(self, quants: Self, x: i32, _wide: bool) = {
            _mm512_dpbusd_epi32(self.0, quants.0, _mm512_set1_epi32(x))
        };
        fn times_f32(self, factor: Self) = {
            bits(_mm512_mul_ps(_mm512_cvtepi32_ps(self.0), float(factor)))
        };
        fn times_f32_plus(self, factor: Self, sum: Self) = {
            bits(_mm512_fmadd_ps(_mm512_cvtepi32_ps(self.0), float(factor), float(sum)))
        };
        fn multiply_add(self, factor: Self, sum: Self) = {
            bits(_mm512_fmadd_ps(float(self), float(factor), float(sum)))
        };
    }

    #[inline(always)]
    fn add_where(self, bits: Self, four: usize, number: u8) -> Self {
        // Byte `four / 2` of its lane in all four bytes, and a bit of it in each.
        let byte = |lane: i32| (4 * lane + four as i32 / 2) * 0x0101_0101;
        let mask = 0x0804_0201_u32 << (4 * (four % 2));
        // SAFETY: lanes exist only where the CPU has these instructions.
        unsafe {
            let from = _mm512_set4_epi32(byte(3), byte(2), byte(1), byte(0));
            let bytes = _mm512_shuffle_epi8(bits.0, from);
            let set = _mm512_test_epi8_mask(bytes, all(mask));
            Self(_mm512_mask_add_epi8(self.0, set, self.0, _mm512_set1_epi8(number as i8)))
        }
    }

    #[inline(always)]
    unsafe fn four_words(start: *const u8, row_bytes: usize) -> [Zmm; 4] {
        // SAFETY: the caller gives sixteen rows of 16 bytes.
        unsafe {
            let load = |row: usize| _mm_loadu_si128(start.add(row * row_bytes).cast());
            let rows = |first: usize| {
                let rows = _mm512_castsi128_si512(load(first));
                let rows = _mm512_inserti32x4::<1>(rows, load(first + 4));
                let rows = _mm512_inserti32x4::<2>(rows, load(first + 8));
                _mm512_inserti32x4::<3>(rows, load(first + 12))
            };
            let [a, b, c, d] = transpose(rows(0), rows(1), rows(2), rows(3));
            [Zmm(a), Zmm(b), Zmm(c), Zmm(d)]
        }
    }

    /// Loads every row once: where loads are the limit, that pays for more shuffles.
    #[inline(always)]
    unsafe fn sixteen_words(start: *const u8, row_bytes: usize) -> [Zmm; 16] {
        // SAFETY: the caller gives sixteen rows of 64 bytes.
        unsafe {
            let four = |row: usize| start.wrapping_add(row * row_bytes);
            let rows = [
                words_of_four_rows(four(0), row_bytes),
                words_of_four_rows(four(4), row_bytes),
                words_of_four_rows(four(8), row_bytes),
                words_of_four_rows(four(12), row_bytes),
            ];
            let mut words = [Zmm(rows[0][0]); 16];
            for word in 0..4 {
                let (a, b, c, d) = (rows[0][word], rows[1][word], rows[2][word], rows[3][word]);
                // Even and odd lanes of two, then of all four.
                let (ab_even, ab_odd) =
                    (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
                let (cd_even, cd_odd) =
                    (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
                words[word] = Zmm(_mm512_shuffle_i32x4::<0x88>(ab_even, cd_even));
                words[4 + word] = Zmm(_mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd));
                words[8 + word] = Zmm(_mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even));
                words[12 + word] = Zmm(_mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd));
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn splat(number: u32) -> Self {
        // SAFETY: by the caller.
        Self(unsafe { all(number) })
    }

    #[inline(always)]
    unsafe fn load(words: &Words) -> Self {
        // SAFETY: 64 aligned bytes; the instruction by the caller.
        Self(unsafe { _mm512_load_si512(words.0.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, out: &mut Words) {
        // SAFETY: 64 aligned bytes; lanes exist only where the CPU has the instruction.
        unsafe { _mm512_store_si512(out.0.as_mut_ptr().cast(), self.0) }
    }
}

/// Of each lane of 128 bits of four vectors, number `i` of the results has the four words `i`.
#[inline(always)]
unsafe fn transpose(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 4] {
    // SAFETY: called only where the CPU has AVX-512.
    unsafe {
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab_low, cd_low),
            _mm512_unpackhi_epi64(ab_low, cd_low),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// Four rows of 64 bytes: lane `b` of 128 bits of number `i` has word `4 * b + i` of each.
#[inline(always)]
unsafe fn words_of_four_rows(start: *const u8, row_bytes: usize) -> [__m512i; 4] {
    // SAFETY: by the caller.
    unsafe {
        let load = |row: usize| _mm512_loadu_si512(start.add(row * row_bytes).cast());
        transpose(load(0), load(1), load(2), load(3))
    }
}

impl Zmm {
    /// Adds the products of two bf16 of each lane.
    #[inline(always)]
    pub(in crate::cpu) fn add_bf16_products(self, a: Self, b: Self) -> Self {
        // SAFETY: same size, any bit pattern is a value; called only with AVX-512 BF16.
        unsafe {
            let [a, b] = [a.0, b.0].map(|pairs| std::mem::transmute::<__m512i, __m512bh>(pairs));
            Self(bits(_mm512_dpbf16_ps(float(self), a, b)))
        }
    }
}

#[inline(always)]
unsafe fn all(number: u32) -> __m512i {
    // SAFETY: called only where the CPU has AVX-512.
    unsafe { _mm512_set1_epi32(number as i32) }
}

#[inline(always)]
unsafe fn bits(floats: __m512) -> __m512i {
    // SAFETY: called only where the CPU has AVX-512.
    unsafe { _mm512_castps_si512(floats) }
}

#[inline(always)]
unsafe fn float(lanes: Zmm) -> __m512 {
    // SAFETY: called only where the CPU has AVX-512.
    unsafe { _mm512_castsi512_ps(lanes.0) }
}

impl Level for Avx512 {
    type Lanes = Zmm;

    fn unpack<F: Format>() -> Unpack {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
        unsafe fn compiled<F: Format>(weights: Source, out: &mut [WeightBlock]) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { super::multiply::unpack::<Avx512, F>(weights, out) }
        }
        compiled::<F>
    }

    fn multiply<K: Kind>() -> &'static [Multiply] {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
        unsafe fn rows<K: Kind, const R: usize>(
            rows: Rows,
            tile: &Tile,
            blocks_and_zero: (usize, i32),
            sums: *mut [f32; COLS],
        ) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe {
                super::multiply::multiply_tile::<Zmm, K, R, 2>(rows, tile, blocks_and_zero, sums);
            }
        }
        let all: &[Multiply] =
            &[rows::<K, 1>, rows::<K, 2>, rows::<K, 3>, rows::<K, 4>, rows::<K, 5>, rows::<K, 6>];
        if K::SCALES == 1 { all } else { &all[..4] }
    }

    fn stream<F: Format>() -> [Stream; 4] {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
        unsafe fn rows<F: Format, const R: usize>(
            rows: Rows,
            weights: Source,
            blocks: usize,
            sums: *mut [f32; COLS],
        ) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { super::multiply::stream::<Avx512, F, R>(rows, weights, blocks, sums) }
        }
        [rows::<F, 1>, rows::<F, 2>, rows::<F, 3>, rows::<F, 4>]
    }
}
