//! A weight matrix as it lies in a file: rows of blocks in bytes that are shared, not copied.

use std::ops::Range;
use std::sync::Arc;

use super::BlockFormat;

/// Bytes that many matrices lie in: a mapped file or a buffer. `as_ref` must return the same bytes
/// at every call.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A matrix [rows, cols] in a [`BlockFormat`], row after row. Cloning it shares the bytes.
#[derive(Clone)]
pub struct QuantMatrix {
    format: BlockFormat,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    shared: SharedBytes,
    range: Range<usize>,
}

/// Bytes that do not hold the matrix they are said to hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A row that is no whole number of blocks.
    #[error("a row of {cols} numbers is not a multiple of {block_len}, the block of {format}")]
    PartialBlock {
        /// The format.
        format: BlockFormat,
        /// Numbers per row.
        cols: usize,
        /// Numbers per block.
        block_len: usize,
    },
    /// More or fewer bytes than the shape needs.
    #[error("{rows} x {cols} numbers of {format} need {expected} bytes, there are {found}")]
    Length {
        /// The format.
        format: BlockFormat,
        /// Rows.
        rows: usize,
        /// Numbers per row.
        cols: usize,
        /// Bytes needed; `usize::MAX` when they are more than can be counted.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A range beyond the end of the shared bytes.
    #[error("bytes {begin}..{end} lie outside the {len} bytes there are")]
    OutOfBounds {
        /// First byte.
        begin: usize,
        /// Behind the last byte.
        end: usize,
        /// Shared bytes.
        len: usize,
    },
}

impl QuantMatrix {
    /// The matrix [rows, cols] in `shared[range]`.
    ///
    /// # Errors
    /// When a row is no whole number of blocks, or the range has another length than the matrix or
    /// reaches beyond the bytes.
    pub fn new(
        format: BlockFormat,
        (rows, cols): (usize, usize),
        shared: SharedBytes,
        range: Range<usize>,
    ) -> Result<Self, ShapeError> {
        let len = (*shared).as_ref().len();
        if range.start > range.end || range.end > len {
            return Err(ShapeError::OutOfBounds { begin: range.start, end: range.end, len });
        }
        if !cols.is_multiple_of(format.block_len()) {
            let block_len = format.block_len();
            return Err(ShapeError::PartialBlock { format, cols, block_len });
        }
        let row_bytes = format.row_bytes(cols).unwrap_or(usize::MAX);
        let expected = row_bytes.saturating_mul(rows);
        if expected != range.len() {
            let found = range.len();
            return Err(ShapeError::Length { format, rows, cols, expected, found });
        }
        Ok(Self { format, rows, cols, row_bytes, shared, range })
    }

    /// A matrix that owns its bytes.
    ///
    /// # Errors
    /// As [`QuantMatrix::new`].
    pub fn from_vec(
        format: BlockFormat,
        shape: (usize, usize),
        bytes: Vec<u8>,
    ) -> Result<Self, ShapeError> {
        let range = 0..bytes.len();
        Self::new(format, shape, Arc::new(bytes), range)
    }

    /// How its numbers are stored.
    #[must_use]
    pub fn format(&self) -> BlockFormat {
        self.format
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers per row.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes per row.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// All its bytes, row after row.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &(*self.shared).as_ref()[self.range.clone()]
    }

    /// The bytes of row `index`.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn row(&self, index: usize) -> &[u8] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        let begin = index * self.row_bytes;
        &self.bytes()[begin..begin + self.row_bytes]
    }

    /// The rows `rows` as a matrix that shares these bytes.
    ///
    /// # Panics
    /// When they are not among the rows there are.
    #[must_use]
    pub fn slice_rows(&self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let begin = self.range.start + rows.start * self.row_bytes;
        let range = begin..begin + rows.len() * self.row_bytes;
        Self { rows: rows.len(), range, ..self.clone() }
    }

    /// Writes the numbers of row `index` to `out` `[cols]`.
    ///
    /// # Panics
    /// When there is no such row or `out` has another length.
    pub fn dequantize_row(&self, index: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.cols, "places for a row of {} numbers", self.cols);
        self.format.dequantize(self.row(index), out);
    }
}

impl std::fmt::Debug for QuantMatrix {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "QuantMatrix({} [{}, {}])", self.format, self.rows, self.cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_refused_unless_its_bytes_are_exactly_its_rows() {
        let shared: SharedBytes = Arc::new(vec![0_u8; 100]);
        let new = |shape, range| QuantMatrix::new(BlockFormat::Q8_0, shape, shared.clone(), range);
        assert_eq!(new((2, 32), 3..71).map(|m| m.row_bytes()), Ok(34));
        for (shape, range, expected) in [
            ((2, 32), 3..70, "need 68 bytes, there are 67"),
            ((2, 32), 33..101, "outside the 100 bytes"),
            ((2, 33), 3..71, "not a multiple of 32"),
            ((usize::MAX, 64), 0..68, "there are 68"),
            ((1, usize::MAX - 31), 0..68, "there are 68"),
        ] {
            let error = new(shape, range).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn rows_and_slices_of_rows_share_the_bytes() {
        let bytes: Vec<u8> = (0..24).collect();
        let shared: SharedBytes = Arc::new(bytes);
        let matrix = QuantMatrix::new(BlockFormat::Bf16, (5, 2), shared, 2..22).unwrap();
        assert_eq!(matrix.row(4), [18, 19, 20, 21]);
        let middle = matrix.slice_rows(1..3);
        assert_eq!((middle.rows(), middle.row(1)), (2, matrix.row(2)));
        assert_eq!(middle.bytes().as_ptr(), matrix.row(1).as_ptr());
        let mut out = [0.0; 2];
        matrix.dequantize_row(0, &mut out);
        assert_eq!(out.map(f32::to_bits), [0x0302_0000, 0x0504_0000]);
    }
}
