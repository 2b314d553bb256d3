//! Matrix products: `C = scale * A B (+ C) (+ bias)`, f32 or bf16 in memory, any layout.
//!
//! The right-hand matrix is packed into panels of columns (once by the caller as [`Packed`], or on
//! the way), rows of the left one are packed a panel at a time while they are needed, and a
//! micro-kernel multiplies a panel by a panel with the whole tile of the output in registers. See
//! Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008).
//!
//! **Precision.** With [`Precision::F32`] products and sums are f32. With [`Precision::Bf16`] both
//! operands are rounded to bf16, products are exact and summed in f32. Where the CPU has
//! `vdpbf16ps` it is used; it takes bf16 subnormals as zero and rounds each sum of two products in
//! its own way. Everywhere else the rounded operands are multiplied as f32: the same meaning, not
//! the same last bits.
//!
//! **Determinism.** The order in which an element of C is summed depends on K and the instruction
//! level only: never on threads, and not on M, N, layout or packing.
#![allow(unsafe_code)]

mod blocked;
mod kernel;
mod matrix;
#[cfg(target_arch = "x86_64")]
mod micro_avx2;
#[cfg(target_arch = "x86_64")]
mod micro_avx512;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pack_avx512;
mod packed;
mod panels;
mod portable;
mod scratch;
mod skinny;
pub mod speed;
pub(in crate::cpu) mod stream;
#[cfg(test)]
mod tests;
mod tile;

pub use matrix::{Elements, ElementsMut, Matrix, MatrixMut};
pub use packed::Packed;

use crate::Cpu;
use crate::element::Precision;
use crate::simd::Simd;
use kernel::Kernel;
use panels::Operand;

/// The right-hand matrix `[K, N]`: in memory, or packed before.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Packed on the way.
    Matrix(Matrix<'a>),
    /// Packed before; its precision must be that of the product.
    Packed(&'a Packed),
}

/// What happens to a product on its way to the output.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Multiplies the product.
    pub scale: f32,
    /// Add to what the output holds instead of overwriting it.
    pub accumulate: bool,
    /// One number a column, `[N]`, added to every row.
    pub bias: Option<&'a [f32]>,
    /// A matrix `[M, N]`, not transposed, added to the product; not together with `accumulate`.
    pub residual: Option<Matrix<'a>>,
}

impl Default for Epilogue<'_> {
    /// The plain product.
    fn default() -> Self {
        Self { scale: 1.0, accumulate: false, bias: None, residual: None }
    }
}

impl Right<'_> {
    /// Rows and columns, `[K, N]`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Right::Matrix(matrix) => matrix.shape(),
            Right::Packed(packed) => packed.shape(),
        }
    }
}

/// `C = scale * A B (+ C) (+ residual) (+ bias)` with `a: [M, K]`, `b: [K, N]`, `c: [M, N]`.
///
/// # Panics
/// When shapes do not fit together, a matrix reaches beyond its elements, or a packed matrix was
/// packed for another precision or instruction level.
pub fn gemm(
    cpu: &Cpu,
    precision: Precision,
    a: &Matrix<'_>,
    b: &Right<'_>,
    c: &mut MatrixMut<'_>,
    epilogue: &Epilogue<'_>,
) {
    check(precision, a, b, c, epilogue);
    let ((m, _), n) = (a.shape(), c.cols);
    if m == 0 || n == 0 {
        return;
    }
    let kernel = Kernel::new(cpu.simd, precision);
    if let Right::Packed(packed) = b {
        assert_eq!(*packed.kernel(), kernel, "the right-hand matrix was packed for another CPU");
    }
    let output = Output::new(c, epilogue);
    if cpu.simd == Simd::Portable {
        return portable::gemm(cpu, precision, a, b, &output);
    }
    if m <= kernel.rows {
        return skinny::gemm(cpu, &kernel, a, b, &output);
    }
    match b {
        Right::Packed(packed) => blocked::gemm(cpu, kernel, a, packed.operand(), &output),
        Right::Matrix(b) => blocked::gemm(cpu, kernel, a, &Operand::new(cpu, kernel, b), &output),
    }
}

fn check(
    precision: Precision,
    a: &Matrix<'_>,
    b: &Right<'_>,
    c: &MatrixMut<'_>,
    epilogue: &Epilogue<'_>,
) {
    let ((m, k), (b_k, n)) = (a.shape(), b.shape());
    assert!(
        k == b_k && m == c.rows && n == c.cols,
        "[{m}, {k}] x [{b_k}, {n}] does not give [{}, {}]",
        c.rows,
        c.cols
    );
    a.check();
    c.check();
    match b {
        Right::Matrix(matrix) => matrix.check(),
        Right::Packed(packed) => assert_eq!(packed.precision(), precision),
    }
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), n, "one bias a column");
    }
    if let Some(residual) = &epilogue.residual {
        residual.check();
        assert!(!residual.transposed, "a residual is added as stored");
        assert!(!epilogue.accumulate, "either accumulate or add a residual");
        assert_eq!((residual.rows, residual.cols), (m, n), "the residual has the product's shape");
    }
}

/// The output and everything that is added to it, by address, shared by all tasks.
struct Output<'a> {
    tile: tile::RawTile,
    lifetime: std::marker::PhantomData<(&'a mut [f32], &'a [f32])>,
}

// SAFETY: tasks write disjoint tiles; everything else is only read.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    fn new(c: &'a mut MatrixMut<'_>, epilogue: &Epilogue<'a>) -> Self {
        let (out, size): (*mut u8, usize) = match &mut c.elements {
            ElementsMut::F32(slice) => (slice.as_mut_ptr().cast(), 4),
            ElementsMut::Bf16(slice) => (slice.as_mut_ptr().cast(), 2),
        };
        let (add, add_stride, add_bf16) = match &epilogue.residual {
            Some(matrix) => {
                let size = matrix.elements.size();
                (matrix.elements.as_bytes_ptr(), matrix.stride * size, size == 2)
            }
            None if epilogue.accumulate => (out.cast_const(), c.stride * size, size == 2),
            None => (std::ptr::null(), 0, false),
        };
        let tile = tile::RawTile {
            out,
            out_stride: c.stride * size,
            out_bf16: size == 2,
            add,
            add_stride,
            add_bf16,
            bias: epilogue.bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
            scale: epilogue.scale,
            rows: c.rows,
            cols: c.cols,
        };
        Self { tile, lifetime: std::marker::PhantomData }
    }
}

/// Asks for a cache line to be brought to L2; the address may be any.
#[inline(always)]
fn prefetch_l2(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may be given any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
