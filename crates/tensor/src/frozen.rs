//! Weights that are read where they lie in a file and never trained: products with them, in either
//! direction.
//!
//! A frozen matrix `[N, K]` has no gradient of its own, but one passes through it: `d_x = d_out W`.

use std::fmt;
use std::sync::{Arc, OnceLock};

use danlu_kernels::cpu::gemm::{Elements, Epilogue, Matrix, MatrixMut, Right, gemm};
use danlu_kernels::cpu::quantised::{Product, matmul, matmul_exact};
use danlu_kernels::quant::QuantMatrix;
use danlu_kernels::{Cpu, Precision};

use crate::{Device, ParamStore};

/// The place of a frozen parameter's matrix, which is bound once, when a file is opened.
#[derive(Clone, Default)]
pub struct Frozen(Arc<OnceLock<QuantMatrix>>);

impl Frozen {
    /// The matrix.
    #[must_use]
    pub fn get(&self) -> Option<&QuantMatrix> {
        self.0.get()
    }

    /// Binds the matrix; whether there was none before.
    pub(crate) fn set(&self, matrix: QuantMatrix) -> bool {
        self.0.set(matrix).is_ok()
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(matrix) => matrix.fmt(out),
            None => out.write_str("not bound"),
        }
    }
}

/// Rows of a weight that are f32 at once.
const PANEL: usize = 128;

/// `out = x Wᵀ` for each product. Where the weights are quantised, activations are rounded to
/// bytes, unless the store is exact.
pub(crate) fn multiply(store: &ParamStore, x: &Matrix<'_>, products: &mut [Product<'_>]) {
    let Device::Cpu(cpu) = store.device();
    if store.is_exact() { matmul_exact(cpu, x, products) } else { matmul(cpu, x, products) }
}

/// `d_x (+)= d_out W`; `d_out: [M, N]`, `d_x: [M, K]`.
pub(crate) fn multiply_back(
    cpu: &Cpu,
    d_out: &Matrix<'_>,
    weight: &QuantMatrix,
    d_x: &mut MatrixMut<'_>,
    accumulate: bool,
) {
    for_each_panel(cpu, weight, |start, panel| {
        let epilogue = Epilogue { accumulate: accumulate || start > 0, ..Epilogue::default() };
        let left = columns(d_out, start, panel.rows);
        gemm(cpu, precision_of(d_out), &left, &Right::Matrix(panel), d_x, &epilogue);
    });
}

/// Shows the rows of a weight as f32, [`PANEL`] at a time: the number of the first, and the rows.
fn for_each_panel(cpu: &Cpu, weight: &QuantMatrix, mut f: impl FnMut(usize, Matrix<'_>)) {
    let cols = weight.cols();
    let mut scratch = cpu.arena.buffer::<f32>(PANEL.min(weight.rows()) * cols);
    for start in (0..weight.rows()).step_by(PANEL) {
        let len = PANEL.min(weight.rows() - start);
        let panel = &mut scratch[..len * cols];
        cpu.pool.for_each_chunk(panel, cols, |row, out| weight.dequantize_row(start + row, out));
        f(start, Matrix::new(&*panel, len, cols));
    }
}

/// Some columns of a matrix that is not transposed.
fn columns<'a>(matrix: &Matrix<'a>, start: usize, len: usize) -> Matrix<'a> {
    let (rows, stride) = (matrix.rows, matrix.stride);
    match matrix.elements {
        Elements::F32(x) => Matrix::strided(&x[start..], rows, len, stride),
        Elements::Bf16(x) => Matrix::strided(&x[start..], rows, len, stride),
    }
}

/// Products with frozen weights are computed in the type of the activations.
fn precision_of(x: &Matrix<'_>) -> Precision {
    match x.elements {
        Elements::F32(_) => Precision::F32,
        Elements::Bf16(_) => Precision::Bf16,
    }
}
