//! The AVX-512 micro-kernels: 14 rows by 32 columns, 28 accumulators of 16 lanes.
//!
//! Every unit costs two loads of the right panel, a broadcast per row and two multiply-adds per
//! row, so the multiply-add pipes are the limit and loads from L2 hide behind them.

use std::arch::x86_64::*;

use super::kernel::RawLeft;
use super::tile::RawTile;

const ROWS: usize = 14;
const COLS: usize = 32;
/// Lanes of a packed left panel.
const LANES: usize = 16;
/// How far ahead of its use the right panel is fetched into L1, in units (128 bytes each).
const AHEAD: usize = 12;

/// What differs between f32 and bf16: how one unit is multiplied and how bf16 is written.
trait Arithmetic {
    /// Depth elements in a unit.
    const UNIT: usize;
    unsafe fn multiply_add(sum: __m512, a: __m512, b: __m512) -> __m512;
    unsafe fn to_bf16(value: __m512) -> __m256i;
}

struct F32;
struct Bf16;

impl Arithmetic for F32 {
    const UNIT: usize = 1;

    #[inline(always)]
    unsafe fn multiply_add(sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: called only from functions with AVX-512 F.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    /// Round to nearest even by integer arithmetic, a NaN made quiet, as `Element::from_f32`.
    #[inline(always)]
    unsafe fn to_bf16(value: __m512) -> __m256i {
        // SAFETY: called only from functions with AVX-512 F.
        unsafe { super::pack_avx512::round_to_bf16(value) }
    }
}

impl Arithmetic for Bf16 {
    const UNIT: usize = 2;

    #[inline(always)]
    unsafe fn multiply_add(sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: same size, any bit pattern is a value; called only with AVX-512 BF16.
        unsafe {
            let a: __m512bh = std::mem::transmute(a);
            let b: __m512bh = std::mem::transmute(b);
            _mm512_dpbf16_ps(sum, a, b)
        }
    }

    #[inline(always)]
    unsafe fn to_bf16(value: __m512) -> __m256i {
        // SAFETY: same size, any bit pattern is a value; called only with AVX-512 BF16.
        unsafe { std::mem::transmute(_mm512_cvtneps_pbh(value)) }
    }
}

/// The body once for every row below `R`, written out: a loop over all 14 rows would be too long
/// for the compiler to unroll, and sums that are not unrolled live in memory.
macro_rules! each_row {
    ($count:ident, $row:ident, $body:block) => {
        each_row!(@ $count, $row, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    };
    (@ $count:ident, $row:ident, $body:block, $($index:literal)*) => {$(
        if $count > $index {
            #[allow(non_upper_case_globals)]
            const $row: usize = $index;
            $body
        }
    )*};
}

type Micro = unsafe fn(RawLeft, *const u32, usize, &RawTile);

macro_rules! table {
    ($kernel:ident, $packed:literal) => {
        [
            $kernel::<1, $packed>,
            $kernel::<2, $packed>,
            $kernel::<3, $packed>,
            $kernel::<4, $packed>,
            $kernel::<5, $packed>,
            $kernel::<6, $packed>,
            $kernel::<7, $packed>,
            $kernel::<8, $packed>,
            $kernel::<9, $packed>,
            $kernel::<10, $packed>,
            $kernel::<11, $packed>,
            $kernel::<12, $packed>,
            $kernel::<13, $packed>,
            $kernel::<14, $packed>,
        ]
    };
}

static F32_KERNELS: [[Micro; ROWS]; 2] = [table!(tile_f32, false), table!(tile_f32, true)];
static BF16_KERNELS: [[Micro; ROWS]; 2] = [table!(tile_bf16, false), table!(tile_bf16, true)];

/// One tile of f32 products over `k` units of one f32.
///
/// # Safety
/// As [`super::kernel::Kernel::multiply_raw`]; the CPU has AVX-512 F, BW, DQ and VL.
pub(super) unsafe fn multiply_f32(left: RawLeft, right: *const u32, k: usize, tile: &RawTile) {
    // SAFETY: passed on to the caller.
    unsafe { F32_KERNELS[usize::from(left.packed)][tile.rows - 1](left, right, k, tile) }
}

/// One tile of bf16 products over depth `k`.
///
/// # Safety
/// As [`super::kernel::Kernel::multiply_raw`]; the CPU also has AVX-512 BF16.
pub(super) unsafe fn multiply_bf16(left: RawLeft, right: *const u32, k: usize, tile: &RawTile) {
    // SAFETY: passed on to the caller.
    unsafe { BF16_KERNELS[usize::from(left.packed)][tile.rows - 1](left, right, k, tile) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn tile_f32<const R: usize, const PACKED: bool>(
    left: RawLeft,
    right: *const u32,
    k: usize,
    tile: &RawTile,
) {
    // SAFETY: passed on to the caller; the features are those of this function.
    unsafe { multiply::<F32, R, PACKED>(left, right, k, tile) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn tile_bf16<const R: usize, const PACKED: bool>(
    left: RawLeft,
    right: *const u32,
    k: usize,
    tile: &RawTile,
) {
    // SAFETY: passed on to the caller; the features are those of this function.
    unsafe { multiply::<Bf16, R, PACKED>(left, right, k, tile) }
}

#[inline(always)]
unsafe fn multiply<A: Arithmetic, const R: usize, const PACKED: bool>(
    left: RawLeft,
    right: *const u32,
    k: usize,
    tile: &RawTile,
) {
    let row_stride = if PACKED { 4 } else { left.row_stride };
    let step = if PACKED { LANES * 4 } else { 4 };
    // A left row that is not packed ends with half a unit when its depth is odd.
    let units = if PACKED { k.div_ceil(A::UNIT) } else { k / A::UNIT };
    let (mut a, mut b) = (left.start, right.cast::<f32>());
    // SAFETY: the caller gives `R` rows and a right panel of depth `k`; prefetches may point
    // anywhere.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        prefetch_output::<R>(tile);
        for _ in 0..units {
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * COLS).cast());
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * COLS + 16).cast());
            _mm_prefetch::<_MM_HINT_T1>(b.wrapping_add(96 * COLS).cast());
            _mm_prefetch::<_MM_HINT_T1>(b.wrapping_add(96 * COLS + 16).cast());
            let columns = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
            each_row!(R, row, {
                let unit = a.add(row * row_stride).cast::<f32>().read_unaligned();
                let unit = _mm512_set1_ps(unit);
                sums[row][0] = A::multiply_add(sums[row][0], unit, columns[0]);
                sums[row][1] = A::multiply_add(sums[row][1], unit, columns[1]);
            });
            a = a.add(step);
            b = b.add(COLS);
        }
        if units * A::UNIT < k && !PACKED {
            let columns = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
            each_row!(R, row, {
                let half = a.add(row * row_stride).cast::<u16>().read_unaligned();
                let unit = _mm512_castsi512_ps(_mm512_set1_epi32(i32::from(half)));
                sums[row][0] = A::multiply_add(sums[row][0], unit, columns[0]);
                sums[row][1] = A::multiply_add(sums[row][1], unit, columns[1]);
            });
        }
        store::<A, R>(&sums, tile);
    }
}

/// Asks for the tile's lines for writing: they arrive while the sums are computed, even from the
/// cache of another core.
#[inline(always)]
fn prefetch_output<const R: usize>(tile: &RawTile) {
    let bytes = if tile.out_bf16 { 2 } else { 4 } * tile.cols;
    each_row!(R, row, {
        let to = tile.out.wrapping_add(row * tile.out_stride);
        // SAFETY: a prefetch may be given any address.
        unsafe {
            _mm_prefetch::<_MM_HINT_ET0>(to.cast());
            _mm_prefetch::<_MM_HINT_ET0>(to.wrapping_add(bytes / 2).cast());
            _mm_prefetch::<_MM_HINT_ET0>(to.wrapping_add(bytes - 1).cast());
        }
    });
}

#[inline(always)]
unsafe fn store<A: Arithmetic, const R: usize>(sums: &[[__m512; 2]; R], tile: &RawTile) {
    let mask = ((1_u64 << tile.cols) - 1) as u32;
    let masks = [mask as u16, (mask >> 16) as u16];
    // SAFETY: the masks confine every access to the tile's columns.
    unsafe {
        let scale = _mm512_set1_ps(tile.scale);
        let mut bias = [_mm512_setzero_ps(); 2];
        if !tile.bias.is_null() {
            for half in 0..2 {
                bias[half] = _mm512_maskz_loadu_ps(masks[half], tile.bias.wrapping_add(16 * half));
            }
        }
        each_row!(R, row, {
            store_row::<A>(sums[row], tile, row, (scale, bias, masks));
        });
    }
}

#[inline(always)]
unsafe fn store_row<A: Arithmetic>(
    sums: [__m512; 2],
    tile: &RawTile,
    row: usize,
    (scale, bias, masks): (__m512, [__m512; 2], [u16; 2]),
) {
    // SAFETY: the masks confine every access to the tile's columns.
    unsafe {
        for half in 0..2 {
            let mut value = _mm512_mul_ps(sums[half], scale);
            if !tile.add.is_null() {
                let from = tile.add.add(row * tile.add_stride);
                let add = load(from, half, masks[half], tile.add_bf16);
                value = _mm512_add_ps(value, add);
            }
            value = _mm512_add_ps(value, bias[half]);
            let to = tile.out.add(row * tile.out_stride);
            if tile.out_bf16 {
                let to = to.cast::<i16>().wrapping_add(16 * half);
                _mm256_mask_storeu_epi16(to, masks[half], A::to_bf16(value));
            } else {
                let to = to.cast::<f32>().wrapping_add(16 * half);
                _mm512_mask_storeu_ps(to, masks[half], value);
            }
        }
    }
}

#[inline(always)]
unsafe fn load(row: *const u8, half: usize, mask: u16, is_bf16: bool) -> __m512 {
    // SAFETY: the mask confines the access to the tile's columns.
    unsafe {
        if is_bf16 {
            let bits = _mm256_maskz_loadu_epi16(mask, row.cast::<i16>().wrapping_add(16 * half));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
        } else {
            _mm512_maskz_loadu_ps(mask, row.cast::<f32>().wrapping_add(16 * half))
        }
    }
}
