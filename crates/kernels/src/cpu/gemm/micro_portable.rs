//! The micro-kernel in plain Rust, 4 rows by 8 columns of f32: any CPU, and the reference.

use super::kernel::RawLeft;
use super::tile::RawTile;

const ROWS: usize = 4;
const COLS: usize = 8;

/// One tile; `k` units of f32.
///
/// # Safety
/// As [`super::kernel::Kernel::multiply_raw`].
pub(super) unsafe fn multiply_f32(left: RawLeft, right: *const u32, k: usize, tile: &RawTile) {
    let (step, right) = (if left.packed { ROWS } else { 1 }, right.cast::<f32>());
    let mut sums = [[0.0_f32; COLS]; ROWS];
    for unit in 0..k {
        // SAFETY: the panel holds `k` units of `COLS` lanes.
        let b = unsafe { *right.add(unit * COLS).cast::<[f32; COLS]>() };
        for (row, sums) in sums.iter_mut().enumerate().take(tile.rows) {
            // SAFETY: the left operand holds `tile.rows` rows of `k` units.
            let a =
                unsafe { *left.start.add(row * left.row_stride + unit * step * 4).cast::<f32>() };
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
    for (row, sums) in sums.iter().enumerate().take(tile.rows) {
        for (col, &sum) in sums.iter().enumerate().take(tile.cols) {
            // SAFETY: inside the tile, whose pointers are valid.
            unsafe { tile.write(row, col, sum) };
        }
    }
}
