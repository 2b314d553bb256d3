//! Views of `[B, T, width]` elements whose rows (tokens) may lie apart: a plain tensor, a KV cache
//! with room for more tokens, or the columns of one head group in a fused `[B, T, Q + K + V]`.

use std::marker::PhantomData;

/// Rows that are read.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, E> {
    elements: &'a [E],
    row_stride: usize,
    batch_stride: usize,
}

/// Rows that are written. Views of one buffer made by [`RowsMut::split_columns`] never share an
/// element.
#[derive(Debug)]
pub struct RowsMut<'a, E> {
    start: *mut E,
    len: usize,
    row_stride: usize,
    batch_stride: usize,
    lifetime: PhantomData<&'a mut [E]>,
}

// SAFETY: like `&mut [E]`: the view is the only way to its rows.
unsafe impl<E: Send> Send for RowsMut<'_, E> {}
// SAFETY: a shared view gives out addresses only; who writes through them promises disjointness.
unsafe impl<E: Sync> Sync for RowsMut<'_, E> {}

/// Whether `batch` times `rows` rows of `width` elements lie within `len`.
fn reaches(batch: usize, rows: usize, width: usize, strides: (usize, usize)) -> usize {
    if batch == 0 || rows == 0 {
        return 0;
    }
    (batch - 1) * strides.1 + (rows - 1) * strides.0 + width
}

impl<'a, E> Rows<'a, E> {
    /// Element `c` of row `t` of batch element `b` is `elements[b * batch_stride + t * row_stride
    /// + c]`.
    #[must_use]
    pub fn new(elements: &'a [E], row_stride: usize, batch_stride: usize) -> Self {
        Self { elements, row_stride, batch_stride }
    }

    /// `[B, rows, width]` without gaps.
    #[must_use]
    pub fn contiguous(elements: &'a [E], rows: usize, width: usize) -> Self {
        Self::new(elements, width, rows * width)
    }

    /// Panics unless `[batch, rows, width]` lies within the elements.
    pub(super) fn check(&self, name: &str, (batch, rows, width): (usize, usize, usize)) {
        let end = reaches(batch, rows, width, (self.row_stride, self.batch_stride));
        let len = self.elements.len();
        assert!(end <= len, "{name} [{batch}, {rows}, {width}] ends at {end} of {len} elements");
        assert!(rows < 2 || self.row_stride >= width, "the rows of {name} overlap");
    }

    /// Address, elements from row to row, elements from batch element to batch element.
    pub(super) fn parts(&self) -> (*const E, usize, usize) {
        (self.elements.as_ptr(), self.row_stride, self.batch_stride)
    }
}

impl<'a, E> RowsMut<'a, E> {
    /// Element `c` of row `t` of batch element `b` is `elements[b * batch_stride + t * row_stride
    /// + c]`.
    #[must_use]
    pub fn new(elements: &'a mut [E], row_stride: usize, batch_stride: usize) -> Self {
        let (start, len) = (elements.as_mut_ptr(), elements.len());
        Self { start, len, row_stride, batch_stride, lifetime: PhantomData }
    }

    /// `[B, rows, width]` without gaps.
    #[must_use]
    pub fn contiguous(elements: &'a mut [E], rows: usize, width: usize) -> Self {
        Self::new(elements, width, rows * width)
    }

    /// Cuts the columns of `[B, rows, widths[0] + .. + widths[N - 1]]` into N views side by side.
    ///
    /// # Panics
    /// When the elements are not a whole number of batch elements.
    #[must_use]
    pub fn split_columns<const N: usize>(
        elements: &'a mut [E],
        rows: usize,
        widths: [usize; N],
    ) -> [Self; N] {
        let row_stride: usize = widths.iter().sum();
        let batch_stride = rows * row_stride;
        let (start, len) = (elements.as_mut_ptr(), elements.len());
        assert!(
            len.is_multiple_of(batch_stride.max(1)),
            "{len} elements are no whole number of {rows} rows of {row_stride}"
        );
        let mut column = 0;
        widths.map(|width| {
            let view = Self {
                start: start.wrapping_add(column),
                len: len.saturating_sub(column),
                row_stride,
                batch_stride,
                lifetime: PhantomData,
            };
            column += width;
            view
        })
    }

    /// Panics unless `[batch, rows, width]` lies within the elements.
    pub(super) fn check(&self, name: &str, (batch, rows, width): (usize, usize, usize)) {
        let end = reaches(batch, rows, width, (self.row_stride, self.batch_stride));
        let len = self.len;
        assert!(end <= len, "{name} [{batch}, {rows}, {width}] ends at {end} of {len} elements");
        assert!(rows < 2 || self.row_stride >= width, "the rows of {name} overlap");
    }

    /// As [`Rows::parts`].
    pub(super) fn parts(&mut self) -> (*mut E, usize, usize) {
        (self.start, self.row_stride, self.batch_stride)
    }
}
