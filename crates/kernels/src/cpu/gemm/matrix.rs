//! Views of matrices in memory: f32 or bf16, with a stride between rows, as stored or transposed.

use crate::bf16;

/// The numbers of a matrix that is read.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

/// The numbers of a matrix that is written.
#[derive(Debug)]
pub enum ElementsMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// bfloat16.
    Bf16(&'a mut [bf16]),
}

/// A matrix that is read. Element `(row, col)` as stored lies at `row * stride + col`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The numbers.
    pub elements: Elements<'a>,
    /// Rows as stored.
    pub rows: usize,
    /// Columns as stored.
    pub cols: usize,
    /// Elements from one stored row to the next, at least `cols`.
    pub stride: usize,
    /// Use the matrix as its transpose, `[cols, rows]`.
    pub transposed: bool,
}

/// A matrix that is written, `[rows, cols]`. Element `(row, col)` lies at `row * stride + col`;
/// what lies between `cols` and `stride` is never touched.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// The numbers.
    pub elements: ElementsMut<'a>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Elements from one row to the next, at least `cols`.
    pub stride: usize,
}

impl<'a> From<&'a [f32]> for Elements<'a> {
    fn from(slice: &'a [f32]) -> Self {
        Elements::F32(slice)
    }
}

impl<'a> From<&'a [bf16]> for Elements<'a> {
    fn from(slice: &'a [bf16]) -> Self {
        Elements::Bf16(slice)
    }
}

impl<'a> From<&'a mut [f32]> for ElementsMut<'a> {
    fn from(slice: &'a mut [f32]) -> Self {
        ElementsMut::F32(slice)
    }
}

impl<'a> From<&'a mut [bf16]> for ElementsMut<'a> {
    fn from(slice: &'a mut [bf16]) -> Self {
        ElementsMut::Bf16(slice)
    }
}

impl Elements<'_> {
    fn len(&self) -> usize {
        match self {
            Elements::F32(slice) => slice.len(),
            Elements::Bf16(slice) => slice.len(),
        }
    }

    /// Bytes of one element.
    pub(crate) fn size(&self) -> usize {
        match self {
            Elements::F32(_) => size_of::<f32>(),
            Elements::Bf16(_) => size_of::<bf16>(),
        }
    }

    pub(crate) fn as_bytes_ptr(&self) -> *const u8 {
        match self {
            Elements::F32(slice) => slice.as_ptr().cast(),
            Elements::Bf16(slice) => slice.as_ptr().cast(),
        }
    }
}

impl<'a> Matrix<'a> {
    /// A row-major `[rows, cols]` matrix without gaps between rows.
    ///
    /// # Panics
    /// When `elements` is shorter than `rows * cols`.
    #[must_use]
    pub fn new(elements: impl Into<Elements<'a>>, rows: usize, cols: usize) -> Self {
        Self::strided(elements, rows, cols, cols)
    }

    /// A row-major `[rows, cols]` matrix with `stride` elements from one row to the next.
    ///
    /// # Panics
    /// When a row would reach beyond `elements` or into the next row.
    #[must_use]
    pub fn strided(
        elements: impl Into<Elements<'a>>,
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Self {
        let matrix = Self { elements: elements.into(), rows, cols, stride, transposed: false };
        matrix.check();
        matrix
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn t(mut self) -> Self {
        self.transposed = !self.transposed;
        self
    }

    /// Rows and columns as used, after the transpose if there is one.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        if self.transposed { (self.cols, self.rows) } else { (self.rows, self.cols) }
    }

    pub(crate) fn check(&self) {
        check_bounds(self.elements.len(), self.rows, self.cols, self.stride);
    }
}

impl<'a> MatrixMut<'a> {
    /// A row-major `[rows, cols]` matrix without gaps between rows.
    ///
    /// # Panics
    /// When `elements` is shorter than `rows * cols`.
    #[must_use]
    pub fn new(elements: impl Into<ElementsMut<'a>>, rows: usize, cols: usize) -> Self {
        Self::strided(elements, rows, cols, cols)
    }

    /// A row-major `[rows, cols]` matrix with `stride` elements from one row to the next.
    ///
    /// # Panics
    /// When a row would reach beyond `elements` or into the next row.
    #[must_use]
    pub fn strided(
        elements: impl Into<ElementsMut<'a>>,
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Self {
        let matrix = Self { elements: elements.into(), rows, cols, stride };
        matrix.check();
        matrix
    }

    pub(crate) fn check(&self) {
        let len = match &self.elements {
            ElementsMut::F32(slice) => slice.len(),
            ElementsMut::Bf16(slice) => slice.len(),
        };
        check_bounds(len, self.rows, self.cols, self.stride);
    }
}

/// Every element of a `[rows, cols]` matrix lies inside `len` elements, and rows do not overlap.
fn check_bounds(len: usize, rows: usize, cols: usize, stride: usize) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(rows == 1 || stride >= cols, "rows of {cols} elements overlap at stride {stride}");
    let end = (rows - 1).checked_mul(stride).and_then(|start| start.checked_add(cols));
    assert!(
        end.is_some_and(|end| end <= len),
        "[{rows}, {cols}] with stride {stride} does not fit in {len} elements"
    );
}
