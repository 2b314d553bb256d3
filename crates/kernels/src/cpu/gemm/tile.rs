//! What a micro-kernel writes: a tile of the output and everything done to it on the way.

use crate::bf16;
use crate::element::Element;

/// A tile `[rows, cols]` of an output, by address: `out = scale * product + add + bias`.
///
/// Strides are in bytes. `add` may be `out` itself (accumulation) or another matrix (a residual or
/// the f32 partial sum of earlier blocks); null means nothing is added. `bias` holds one f32 a
/// column; null means none.
#[derive(Clone, Copy)]
pub(super) struct RawTile {
    pub(super) out: *mut u8,
    pub(super) out_stride: usize,
    pub(super) out_bf16: bool,
    pub(super) add: *const u8,
    pub(super) add_stride: usize,
    pub(super) add_bf16: bool,
    pub(super) bias: *const f32,
    pub(super) scale: f32,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl RawTile {
    /// The part `rows x cols` that starts at `(row, col)`.
    ///
    /// # Safety
    /// The part lies inside the tile.
    pub(super) unsafe fn part(
        &self,
        (row, col): (usize, usize),
        (rows, cols): (usize, usize),
    ) -> Self {
        debug_assert!(row + rows <= self.rows && col + cols <= self.cols);
        let size = |is_bf16: bool| if is_bf16 { 2 } else { 4 };
        // A null stays null: nothing is added, no bias.
        let add_offset = row * self.add_stride + col * size(self.add_bf16);
        let add = if self.add.is_null() { self.add } else { self.add.wrapping_add(add_offset) };
        let bias = if self.bias.is_null() { self.bias } else { self.bias.wrapping_add(col) };
        // SAFETY: inside the tile by the caller's promise.
        let out = unsafe { self.out.add(row * self.out_stride + col * size(self.out_bf16)) };
        Self { out, add, bias, rows, cols, ..*self }
    }

    /// This tile as one pass of a sum that is cut along the depth: f32 outputs hold their own
    /// partial sums, bf16 outputs keep them in `sums` (an f32 tile and its stride in elements).
    pub(super) fn pass(&self, sums: (*mut f32, usize), first: bool, last: bool) -> Self {
        let mut pass = *self;
        let (sums, stride) = if self.out_bf16 {
            (sums.0.cast::<u8>(), sums.1 * 4)
        } else {
            (self.out, self.out_stride)
        };
        if !first {
            (pass.add, pass.add_stride, pass.add_bf16) = (sums, stride, false);
        }
        if !last {
            (pass.out, pass.out_stride, pass.out_bf16) = (sums, stride, false);
            pass.bias = std::ptr::null();
        }
        pass
    }

    /// Writes one element from its finished sum; the reference for every vector version.
    ///
    /// # Safety
    /// `row < rows`, `col < cols`, and the tile's pointers are valid for its shape.
    #[inline(always)]
    pub(super) unsafe fn write(&self, row: usize, col: usize, sum: f32) {
        let value = sum * self.scale;
        // SAFETY: passed on to the caller.
        unsafe {
            let value = if self.add.is_null() { value } else { value + self.added(row, col) };
            self.finish(row, col, value);
        }
    }

    /// What is added to the product of one element.
    ///
    /// # Safety
    /// As [`RawTile::write`]; something is added.
    #[inline(always)]
    pub(super) unsafe fn added(&self, row: usize, col: usize) -> f32 {
        // SAFETY: the caller gives a valid tile and a position inside it.
        unsafe {
            let from = self.add.add(row * self.add_stride);
            if self.add_bf16 {
                (*from.cast::<bf16>().add(col)).to_f32()
            } else {
                *from.cast::<f32>().add(col)
            }
        }
    }

    /// Writes one element that has all but the bias.
    ///
    /// # Safety
    /// As [`RawTile::write`].
    #[inline(always)]
    pub(super) unsafe fn finish(&self, row: usize, col: usize, value: f32) {
        // SAFETY: the caller gives a valid tile and a position inside it.
        unsafe {
            let value = if self.bias.is_null() { value } else { value + *self.bias.add(col) };
            let to = self.out.add(row * self.out_stride);
            if self.out_bf16 {
                *to.cast::<bf16>().add(col) = <bf16 as Element>::from_f32(value);
            } else {
                *to.cast::<f32>().add(col) = value;
            }
        }
    }
}
