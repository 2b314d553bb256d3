//! A right-hand matrix packed once and multiplied many times: weights of a step, or of a model.

use super::kernel::{Format, Kernel};
use super::matrix::{Elements, Matrix};
use super::panels::Operand;
use crate::Cpu;
use crate::arena::Buffer;
use crate::bf16;
use crate::element::{Element, Precision};
use crate::simd::Simd;

/// A right-hand matrix `[K, N]`, packed for one precision and instruction level.
///
/// Made from a [`Matrix`] by [`Packed::new`] and given to [`super::gemm`] as [`super::Right`]. It
/// can only be used with the precision it was packed for, on a [`Cpu`] of the same level.
#[derive(Debug)]
pub struct Packed {
    precision: Precision,
    kernel: Kernel,
    /// `[K, N]`.
    shape: (usize, usize),
    form: Form,
}

#[derive(Debug)]
enum Form {
    Panels(Operand),
    /// The rows `[K, N]`, at the portable level.
    Rows(Buffer<f32>),
}

impl Packed {
    /// Packs `b [K, N]` on all threads.
    ///
    /// # Panics
    /// When the matrix reaches beyond its elements.
    #[must_use]
    pub fn new(cpu: &Cpu, precision: Precision, b: &Matrix<'_>) -> Self {
        b.check();
        let kernel = Kernel::new(cpu.simd, precision);
        let form = if cpu.simd == Simd::Portable {
            Form::Rows(widened_rows(cpu, &kernel, b))
        } else {
            Form::Panels(Operand::new(cpu, kernel, b))
        };
        Self { precision, kernel, shape: b.shape(), form }
    }

    /// The precision this matrix was packed for.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Rows and columns, `[K, N]`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match &self.form {
            Form::Panels(operand) => operand.len() * size_of::<u32>(),
            Form::Rows(rows) => rows.len() * size_of::<f32>(),
        }
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The panels; not at the portable level.
    pub(super) fn operand(&self) -> &Operand {
        match &self.form {
            Form::Panels(operand) => operand,
            Form::Rows(_) => unreachable!("the portable level has rows"),
        }
    }

    /// The rows `[K, N]`; only at the portable level.
    pub(super) fn rows(&self) -> &[f32] {
        match &self.form {
            Form::Rows(rows) => rows,
            Form::Panels(_) => unreachable!("only the portable level has rows"),
        }
    }
}

fn widened_rows(cpu: &Cpu, kernel: &Kernel, b: &Matrix<'_>) -> Buffer<f32> {
    let (k, n) = b.shape();
    let round = kernel.format() == Format::F32Rounded;
    let (row_step, col_step) = if b.transposed { (1, b.stride) } else { (b.stride, 1) };
    let mut rows = cpu.arena.buffer(k * n);
    cpu.pool.for_each_chunk(&mut rows, n.max(1), |row, out| {
        for (col, out) in out.iter_mut().enumerate() {
            let at = row * row_step + col * col_step;
            let value = match b.elements {
                Elements::F32(slice) => slice[at],
                Elements::Bf16(slice) => slice[at].to_f32(),
            };
            let rounded = <bf16 as Element>::from_f32(value).to_f32();
            *out = if round { rounded } else { value };
        }
    });
    rows
}
