//! The micro-kernel: a few rows times one packed panel of columns, the heart of every product.
//!
//! A [`Kernel`] is chosen once by instruction level and precision. Operands are cut into *panels*:
//! a left panel holds up to [`Kernel::rows`] rows, a right panel up to [`Kernel::cols`] columns.
//! Along the depth K a packed panel is a sequence of 32-bit *units*: one f32, or for `vdpbf16ps` a
//! pair of consecutive bf16. A packed right panel is `[units][cols]`, a packed left panel
//! `[units][left_lanes]`; lanes and depth beyond the matrix are zeros.
#![allow(unsafe_code)]

use std::ops::Range;

use super::matrix::{Elements, Matrix};
use super::pack::{self, Source};
use super::tile::RawTile;
use crate::bf16;
use crate::element::Precision;
use crate::simd::Simd;

/// What a 32-bit unit of a packed panel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One f32.
    F32,
    /// One f32 that was rounded to bf16: bf16 products on a CPU without bf16 instructions.
    F32Rounded,
    /// Two bf16, consecutive in depth, the first in the low half.
    Bf16Pairs,
}

/// The micro-kernel of an instruction level and a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    simd: Simd,
    format: Format,
    /// Most rows of a tile.
    pub(crate) rows: usize,
    /// Columns of a right panel, and most columns of a tile.
    pub(crate) cols: usize,
    /// Lanes of a packed left panel, at least `rows`.
    pub(crate) left_lanes: usize,
}

/// The left operand of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left<'a> {
    /// A panel made by [`Kernel::pack_left`].
    Packed(&'a [u32]),
    /// Rows in memory, `stride` elements apart; only where [`Kernel::reads_f32_rows`]. With
    /// `Precision::Bf16` the numbers must already be rounded to bf16.
    RowsF32(&'a [f32], usize),
    /// Rows in memory, `stride` elements apart; only where [`Kernel::reads_bf16_rows`].
    RowsBf16(&'a [bf16], usize),
}

/// An f32 tile `[rows, cols]` to write: `out = scale * product`, added to what is there if
/// `accumulate`. `rows` and `cols` are at most the kernel's.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// Row-major, `stride` elements from one row to the next.
    pub(crate) out: &'a mut [f32],
    /// Elements between rows.
    pub(crate) stride: usize,
    /// Rows of the tile.
    pub(crate) rows: usize,
    /// Columns of the tile.
    pub(crate) cols: usize,
    /// Add to the tile instead of overwriting it.
    pub(crate) accumulate: bool,
    /// Multiplies the product.
    pub(crate) scale: f32,
}

/// The left operand by address: a row is `row_stride` bytes from the next, and `packed` says that
/// it is a packed panel (then `row_stride` is four).
#[derive(Clone, Copy)]
pub(super) struct RawLeft {
    pub(super) start: *const u8,
    pub(super) row_stride: usize,
    pub(super) packed: bool,
}

// SAFETY: only read through, while the matrix it came from is borrowed.
unsafe impl Sync for RawLeft {}

impl RawLeft {
    /// The rows of a matrix as stored.
    pub(super) fn rows(a: &Matrix<'_>) -> Self {
        let row_stride = a.stride * a.elements.size();
        Self { start: a.elements.as_bytes_ptr(), row_stride, packed: false }
    }
}

/// Elements of the largest tile of any kernel.
pub(crate) const TILE_MAX: usize = 14 * 32;

/// Most panels that [`Kernel::pack_right_panels`] packs at once.
pub(super) const RIGHT_PANELS: usize = 8;

impl Kernel {
    /// The fastest kernel of a level.
    pub(crate) fn new(simd: Simd, precision: Precision) -> Self {
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

    pub(crate) fn simd(&self) -> Simd {
        self.simd
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether [`Left::RowsBf16`] can be multiplied without packing.
    pub(crate) fn reads_bf16_rows(&self) -> bool {
        self.format == Format::Bf16Pairs
    }

    /// Whether [`Left::RowsF32`] can be multiplied without packing.
    pub(crate) fn reads_f32_rows(&self) -> bool {
        !self.reads_bf16_rows()
    }

    /// Whether the rows of `a` can be multiplied as they are, without packing or conversion.
    pub(super) fn reads_rows_of(&self, a: &Matrix<'_>) -> bool {
        let same_type = match a.elements {
            Elements::F32(_) => self.format == Format::F32,
            Elements::Bf16(_) => self.format == Format::Bf16Pairs,
        };
        same_type && !a.transposed
    }

    /// Depth elements in one unit.
    pub(crate) fn unit(&self) -> usize {
        if self.format == Format::Bf16Pairs { 2 } else { 1 }
    }

    /// Units that hold `k` depth elements.
    pub(crate) fn units(&self, k: usize) -> usize {
        k.div_ceil(self.unit())
    }

    /// Units (32 bits each) of a packed left panel of depth `k`.
    pub(crate) fn left_len(&self, k: usize) -> usize {
        self.units(k) * self.left_lanes
    }

    /// Units (32 bits each) of a packed right panel of depth `k`.
    pub(crate) fn right_len(&self, k: usize) -> usize {
        self.units(k) * self.cols
    }

    /// Packs `rows` (at most [`Kernel::rows`]) of `a [M, K]` over `depth` into a left panel of
    /// `left_len(depth.len())` units.
    pub(crate) fn pack_left(
        &self,
        a: &Matrix<'_>,
        rows: Range<usize>,
        depth: Range<usize>,
        out: &mut [u32],
    ) {
        assert!(rows.len() <= self.rows, "a left panel has at most {} rows", self.rows);
        pack::panel(self, Source::left(a, rows, depth), self.left_lanes, out);
    }

    /// Packs the rows of several left panels at once; panel `i` holds rows `cuts[i] ..
    /// cuts[i + 1]` of `a [M, K]`, counted from `first`.
    pub(super) fn pack_left_panels(
        &self,
        a: &Matrix<'_>,
        (first, cuts): (usize, &[usize]),
        depth: Range<usize>,
        out: &mut [u32],
    ) {
        let rows = first..first + cuts[cuts.len() - 1];
        pack::panels(self, Source::left(a, rows, depth), cuts, self.left_lanes, out);
    }

    /// Packs several right panels at once: all of `columns` of `b [K, N]` over `depth`.
    pub(super) fn pack_right_panels(
        &self,
        b: &Matrix<'_>,
        columns: Range<usize>,
        depth: Range<usize>,
        out: &mut [u32],
    ) {
        let mut cuts = [0; RIGHT_PANELS + 1];
        let panels = columns.len().div_ceil(self.cols);
        for (panel, cut) in cuts.iter_mut().enumerate() {
            *cut = (panel * self.cols).min(columns.len());
        }
        pack::panels(self, Source::right(b, columns, depth), &cuts[..=panels], self.cols, out);
    }

    /// Packs `columns` (at most [`Kernel::cols`]) of `b [K, N]` over `depth` into a right panel of
    /// `right_len(depth.len())` units.
    pub(crate) fn pack_right(
        &self,
        b: &Matrix<'_>,
        columns: Range<usize>,
        depth: Range<usize>,
        out: &mut [u32],
    ) {
        pack::panel(self, Source::right(b, columns, depth), self.cols, out);
    }

    /// `tile = scale * left * right (+ tile)` over depth `k`.
    ///
    /// # Panics
    /// When an operand is too short for the tile, or the left rows are of a type that this kernel
    /// does not read.
    pub(crate) fn multiply(&self, left: Left<'_>, right: &[u32], k: usize, tile: &mut Tile<'_>) {
        let (rows, cols) = (tile.rows, tile.cols);
        assert!(rows <= self.rows && cols <= self.cols, "a tile of {rows} x {cols} is too large");
        assert!(right.len() >= self.right_len(k), "the right panel is shorter than depth {k}");
        if rows == 0 || cols == 0 {
            return;
        }
        let holds = |len: usize, stride: usize, cols: usize| (rows - 1) * stride + cols <= len;
        assert!(holds(tile.out.len(), tile.stride, cols), "the tile reaches beyond its memory");
        let left = match left {
            Left::Packed(panel) => {
                assert!(panel.len() >= self.left_len(k), "the left panel is shorter than {k}");
                RawLeft { start: panel.as_ptr().cast(), row_stride: 4, packed: true }
            }
            Left::RowsF32(slice, stride) => {
                assert!(self.reads_f32_rows() && holds(slice.len(), stride, k));
                RawLeft { start: slice.as_ptr().cast(), row_stride: stride * 4, packed: false }
            }
            Left::RowsBf16(slice, stride) => {
                assert!(self.reads_bf16_rows() && holds(slice.len(), stride, k));
                RawLeft { start: slice.as_ptr().cast(), row_stride: stride * 2, packed: false }
            }
        };
        let out: *mut u8 = tile.out.as_mut_ptr().cast();
        let raw = RawTile {
            out,
            out_stride: tile.stride * 4,
            out_bf16: false,
            add: if tile.accumulate { out } else { std::ptr::null() },
            add_stride: tile.stride * 4,
            add_bf16: false,
            bias: std::ptr::null(),
            scale: tile.scale,
            rows,
            cols,
        };
        // SAFETY: the assertions above hold every operand to the tile's shape, and `Cpu` exists
        // only at a level that this machine has.
        unsafe { self.multiply_raw(left, right.as_ptr(), k, &raw) }
    }

    /// The same by address, for tiles of any type.
    ///
    /// # Safety
    /// `left` holds `tile.rows` rows of depth `k`, `right` a panel of depth `k`, the tile's
    /// pointers are valid for its shape, `1 <= tile.rows <= self.rows`,
    /// `1 <= tile.cols <= self.cols`, and the CPU has the kernel's level.
    #[inline]
    pub(super) unsafe fn multiply_raw(
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
                _ => super::micro_portable::multiply_f32(left, right, k, tile),
            }
        }
    }
}
