//! The micro-kernel and the layouts it reads.
//!
//! A left operand is rows of units in memory, read one unit at a time; a right operand is rows of
//! lanes, one row for each unit of the sum. `transpose_rows` makes right operands whose lanes are
//! the rows of a matrix (sums over the width of a head), `interleave_rows` those whose lanes are
//! its columns (sums over keys or queries).

use super::vector::{Unit, Vector};

/// The widths that a head has in scratch memory.
#[derive(Clone, Copy)]
pub(super) struct Widths {
    /// Dh.
    pub(super) head: usize,
    /// Units that hold Dh elements: the length of a sum over the head.
    pub(super) depth: usize,
    /// Units of a staged row: `depth` rounded up to whole registers.
    pub(super) row: usize,
    /// Lanes that hold Dh elements: Dh rounded up to whole registers.
    pub(super) lanes: usize,
}

impl Widths {
    pub(super) fn new<U: Unit>(head: usize) -> Self {
        let depth = head.div_ceil(U::DEPTH);
        let (row, lanes) =
            (depth.next_multiple_of(U::V::LANES), head.next_multiple_of(U::V::LANES));
        Self { head, depth, row, lanes }
    }
}

/// Sums of a tile, in registers.
pub(super) type Sums<V, const ROWS: usize, const VECTORS: usize> = [[V; VECTORS]; ROWS];

/// Memory of rows a stride apart.
#[derive(Clone, Copy)]
pub(super) struct Strided {
    pub(super) start: *const f32,
    pub(super) stride: usize,
}

impl Strided {
    /// The same rows from a column on.
    fn at(self, column: usize) -> Self {
        Self { start: self.start.wrapping_add(column), ..self }
    }
}

/// `sums[r][c] += Σ_d left[r][d] * right[d][c]` over `depth` units.
///
/// # Safety
/// As for [`Vector`]; `left` holds `ROWS` rows of `depth` units, `right` `depth` rows of `VECTORS`
/// registers.
#[inline(always)]
pub(super) unsafe fn multiply<U: Unit, const ROWS: usize, const VECTORS: usize>(
    mut sums: Sums<U::V, ROWS, VECTORS>,
    left: Strided,
    right: Strided,
    depth: usize,
) -> Sums<U::V, ROWS, VECTORS> {
    for d in 0..depth {
        // SAFETY: inside both operands by the caller's promise.
        unsafe {
            let lanes = right.start.add(d * right.stride);
            let mut b = [U::V::splat(0.0); VECTORS];
            for (c, b) in b.iter_mut().enumerate() {
                *b = U::V::load(lanes.add(c * U::V::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = U::V::splat(left.start.add(r * left.stride + d).read());
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = U::multiply_add(a, b, *sum);
                }
            }
        }
    }
    sums
}

/// The tile at `from`, rows `stride` apart.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn load<V: Vector, const ROWS: usize, const VECTORS: usize>(
    from: *const f32,
    stride: usize,
) -> Sums<V, ROWS, VECTORS> {
    // SAFETY: passed on to the caller.
    let mut sums = [[unsafe { V::splat(0.0) }; VECTORS]; ROWS];
    for (r, row) in sums.iter_mut().enumerate() {
        for (c, sum) in row.iter_mut().enumerate() {
            // SAFETY: passed on to the caller.
            *sum = unsafe { V::load(from.add(r * stride + c * V::LANES)) };
        }
    }
    sums
}

/// Writes the tile to `to`, rows `stride` apart.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn store<V: Vector, const ROWS: usize, const VECTORS: usize>(
    sums: &Sums<V, ROWS, VECTORS>,
    to: *mut f32,
    stride: usize,
) {
    for (r, row) in sums.iter().enumerate() {
        for (c, sum) in row.iter().enumerate() {
            // SAFETY: passed on to the caller.
            unsafe { V::store(*sum, to.add(r * stride + c * V::LANES)) }
        }
    }
}

/// Adds `left * right` over `depth` units to `ROWS` rows of `columns` sums, whole registers.
///
/// # Safety
/// As for [`multiply`]; `to` holds the sums, its rows `stride` apart.
#[inline(always)]
pub(super) unsafe fn add_product<U: Unit, const ROWS: usize, const VECTORS: usize>(
    (to, stride): (*mut f32, usize),
    left: Strided,
    right: Strided,
    (depth, columns): (usize, usize),
) {
    let width = VECTORS * U::V::LANES;
    let whole = columns / width * width;
    for column in (0..whole).step_by(width) {
        // SAFETY: passed on to the caller.
        unsafe {
            let to = (to.add(column), stride);
            add_tile::<U, ROWS, VECTORS>(to, left, right.at(column), depth);
        }
    }
    for column in (whole..columns).step_by(U::V::LANES) {
        // SAFETY: passed on to the caller.
        unsafe { add_tile::<U, ROWS, 1>((to.add(column), stride), left, right.at(column), depth) };
    }
}

#[inline(always)]
unsafe fn add_tile<U: Unit, const ROWS: usize, const VECTORS: usize>(
    (to, stride): (*mut f32, usize),
    left: Strided,
    right: Strided,
    depth: usize,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let sums = load::<U::V, ROWS, VECTORS>(to, stride);
        store(&multiply::<U, ROWS, VECTORS>(sums, left, right, depth), to, stride);
    }
}

/// Rows of `units` units become lanes: `to[u * to_stride + r] = from[r][u]`. `rows` and `units` are
/// multiples of the lanes.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn transpose_rows<V: Vector>(
    from: Strided,
    (rows, units): (usize, usize),
    to: *mut f32,
    to_stride: usize,
) {
    for u in (0..units).step_by(V::LANES) {
        for r in (0..rows).step_by(V::LANES) {
            // SAFETY: passed on to the caller.
            unsafe {
                let block = from.start.add(r * from.stride + u);
                V::transpose(block, from.stride, to.add(u * to_stride + r), to_stride);
            }
        }
    }
}

/// Columns stay lanes and rows become units: `to[r][column]` holds the column's elements of rows
/// `r * DEPTH ..`. `columns` is a multiple of the lanes, `rows` of `DEPTH`.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
pub(super) unsafe fn interleave_rows<U: Unit>(
    from: Strided,
    (rows, columns): (usize, usize),
    to: *mut f32,
) {
    for r in 0..rows / U::DEPTH {
        for column in (0..columns).step_by(U::V::LANES) {
            // SAFETY: passed on to the caller.
            unsafe {
                let first = from.start.add(r * U::DEPTH * from.stride + column / U::DEPTH);
                U::interleave(first, from.stride, to.add(r * columns + column));
            }
        }
    }
}
