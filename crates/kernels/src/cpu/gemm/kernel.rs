//! The micro-kernel: a few rows times one packed panel of columns, the heart of every product.
//!
//! A [`Kernel`] is chosen once by instruction level and precision. Operands are cut into *panels*:
//! a left panel holds up to [`Kernel::rows`] rows, a right panel up to [`Kernel::cols`] columns.
//! Along the depth K they are sequences of 32-bit *units*: one f32, or for `vdpbf16ps` a pair of
//! consecutive bf16. A packed right panel is `[units][cols]`. A left panel is read where it lies in
//! memory if its rows already consist of units, or else copied: to rows of units, or, if it is
//! stored as its transpose, to a packed panel `[units][left_lanes]`.

use super::matrix::{Elements, Matrix};
use super::tile::RawTile;
use crate::element::Precision;
use crate::simd::Simd;

/// What a 32-bit unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One f32.
    F32,
    /// One f32 that was rounded to bf16: bf16 products on a CPU without bf16 instructions.
    F32Rounded,
    /// Two bf16, consecutive in depth, the first in the low half.
    Bf16Pairs,
}

/// The micro-kernel of an instruction level and a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    simd: Simd,
    format: Format,
    /// Most rows of a tile.
    pub(super) rows: usize,
    /// Columns of a right panel, and most columns of a tile.
    pub(super) cols: usize,
    /// Lanes of a packed left panel, at least `rows`.
    pub(super) left_lanes: usize,
}

/// The left operand by address.
#[derive(Clone, Copy)]
pub(super) struct RawLeft {
    pub(super) start: *const u8,
    /// Bytes from one row to the next; four in a packed panel.
    pub(super) row_stride: usize,
    /// A packed panel, not rows.
    pub(super) packed: bool,
}

// SAFETY: only read through, while the memory it points to is borrowed.
unsafe impl Sync for RawLeft {}

impl RawLeft {
    /// The rows of a matrix as stored, from `row` and `depth` on.
    pub(super) fn rows(a: &Matrix<'_>, row: usize, depth: usize) -> Self {
        let size = a.elements.size();
        let start = a.elements.as_bytes_ptr().wrapping_add((row * a.stride + depth) * size);
        Self { start, row_stride: a.stride * size, packed: false }
    }
}

/// Elements of the largest tile of any kernel.
pub(super) const TILE_MAX: usize = 14 * 32;

impl Kernel {
    /// The fastest kernel of a level.
    pub(super) fn new(simd: Simd, precision: Precision) -> Self {
        let format = match precision {
            Precision::F32 => Format::F32,
            Precision::Bf16 if simd >= Simd::Avx512Bf16 => Format::Bf16Pairs,
            Precision::Bf16 => Format::F32Rounded,
        };
        let (rows, cols, left_lanes) = match simd {
            Simd::Portable => (4, 8, 4),
            Simd::Avx2 => (6, 16, 8),
            Simd::Avx512 | Simd::Avx512Bf16 => (14, 32, 16),
        };
        Self { simd, format, rows, cols, left_lanes }
    }

    pub(super) fn simd(&self) -> Simd {
        self.simd
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Whether the rows of `a` consist of units: they can be multiplied where they are.
    pub(super) fn reads_rows_of(&self, a: &Matrix<'_>) -> bool {
        let same_type = match a.elements {
            Elements::F32(_) => self.format == Format::F32,
            Elements::Bf16(_) => self.format == Format::Bf16Pairs,
        };
        same_type && !a.transposed
    }

    /// Depth elements in one unit.
    pub(super) fn unit(&self) -> usize {
        if self.format == Format::Bf16Pairs { 2 } else { 1 }
    }

    /// Units that hold `k` depth elements.
    pub(super) fn units(&self, k: usize) -> usize {
        k.div_ceil(self.unit())
    }

    /// Units from one row of units of depth `k` to the next: whole cache lines, and an odd number
    /// of them so that rows do not all start in the same set of a cache.
    pub(super) fn row_stride(&self, k: usize) -> usize {
        (self.units(k).div_ceil(16) | 1) * 16
    }

    /// Writes one tile.
    ///
    /// # Safety
    /// `left` holds `tile.rows` rows of depth `k`, `right` a packed panel of depth `k`, the tile's
    /// pointers are valid for its shape, `1 <= tile.rows <= self.rows`,
    /// `1 <= tile.cols <= self.cols`, and the CPU has the kernel's level.
    #[inline]
    pub(super) unsafe fn multiply(
        &self,
        left: RawLeft,
        right: *const u32,
        k: usize,
        tile: &RawTile,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.simd {
                #[cfg(target_arch = "x86_64")]
                Simd::Avx512Bf16 if self.format == Format::Bf16Pairs => {
                    super::micro_avx512::multiply_bf16(left, right, k, tile);
                }
                #[cfg(target_arch = "x86_64")]
                Simd::Avx512 | Simd::Avx512Bf16 => {
                    super::micro_avx512::multiply_f32(left, right, k, tile);
                }
                #[cfg(target_arch = "x86_64")]
                Simd::Avx2 => super::micro_avx2::multiply_f32(left, right, k, tile),
                _ => unreachable!("products without own vector code do not use tiles"),
            }
        }
    }
}
