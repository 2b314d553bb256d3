//! The AVX2 micro-kernel: 6 rows by 16 columns of f32, 12 accumulators of 8 lanes.

use std::arch::x86_64::*;

use super::kernel::RawLeft;
use super::tile::RawTile;

const ROWS: usize = 6;
const COLS: usize = 16;
/// Lanes of a packed left panel.
const LANES: usize = 8;

type Micro = unsafe fn(RawLeft, *const u32, usize, &RawTile);

macro_rules! table {
    ($packed:literal) => {
        [
            multiply::<1, $packed>,
            multiply::<2, $packed>,
            multiply::<3, $packed>,
            multiply::<4, $packed>,
            multiply::<5, $packed>,
            multiply::<6, $packed>,
        ]
    };
}

static KERNELS: [[Micro; ROWS]; 2] = [table!(false), table!(true)];

/// One tile over `k` units of one f32.
///
/// # Safety
/// As [`super::kernel::Kernel::multiply_raw`]; the CPU has AVX2 and FMA.
pub(super) unsafe fn multiply_f32(left: RawLeft, right: *const u32, k: usize, tile: &RawTile) {
    // SAFETY: passed on to the caller.
    unsafe { KERNELS[usize::from(left.packed)][tile.rows - 1](left, right, k, tile) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<const R: usize, const PACKED: bool>(
    left: RawLeft,
    right: *const u32,
    k: usize,
    tile: &RawTile,
) {
    let row_stride = if PACKED { 4 } else { left.row_stride };
    let step = if PACKED { LANES * 4 } else { 4 };
    let (mut a, mut b) = (left.start, right.cast::<f32>());
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    for _ in 0..k {
        // SAFETY: the caller gives `R` rows and a right panel of `k` units.
        unsafe {
            let columns = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for (row, sums) in sums.iter_mut().enumerate() {
                let unit = _mm256_set1_ps(*a.add(row * row_stride).cast::<f32>());
                sums[0] = _mm256_fmadd_ps(unit, columns[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(unit, columns[1], sums[1]);
            }
            a = a.add(step);
            b = b.add(COLS);
        }
    }
    // SAFETY: the caller gives a valid tile of `R` rows.
    unsafe { store(&sums, tile) };
}

/// Whole f32 tiles without additions go out as vectors, everything else through the reference.
#[inline(always)]
unsafe fn store<const R: usize>(sums: &[[__m256; 2]; R], tile: &RawTile) {
    let plain = !tile.out_bf16 && !tile.add_bf16 && tile.bias.is_null() && tile.cols == COLS;
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: inside the tile, whose pointers are valid; `__m256` and `[f32; 8]` are the same
        // bits; called only from a function with AVX2.
        unsafe {
            if plain {
                let to = tile.out.add(row * tile.out_stride).cast::<f32>();
                for (half, &sum) in sums.iter().enumerate() {
                    let mut value = _mm256_mul_ps(sum, _mm256_set1_ps(tile.scale));
                    if !tile.add.is_null() {
                        let from = tile.add.add(row * tile.add_stride).cast::<f32>();
                        value = _mm256_add_ps(value, _mm256_loadu_ps(from.add(8 * half)));
                    }
                    _mm256_storeu_ps(to.add(8 * half), value);
                }
            } else {
                let sums: [[f32; 8]; 2] = std::mem::transmute(*sums);
                for col in 0..tile.cols {
                    tile.write(row, col, sums[col / 8][col % 8]);
                }
            }
        }
    }
}
