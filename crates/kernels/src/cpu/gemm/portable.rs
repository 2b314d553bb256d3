//! Products without own vector code, through the `matrixmultiply` crate, which has kernels for the
//! common CPUs. bf16 numbers are widened to f32 block by block.

use super::kernel::{Format, Kernel};
use super::matrix::{Elements, Matrix};
use super::packed::Packed;
use super::{Output, Right};
use crate::Cpu;
use crate::bf16;
use crate::element::{Element, Precision};

/// Rows of a task.
const ROWS: usize = 64;

/// See [`super::gemm`], which has checked the shapes.
pub(super) fn gemm(
    cpu: &Cpu,
    precision: Precision,
    a: &Matrix<'_>,
    b: &Right<'_>,
    output: &Output<'_>,
) {
    let kernel = Kernel::new(cpu.simd, precision);
    match b {
        Right::Packed(packed) => by_rows(cpu, &kernel, a, packed, output),
        Right::Matrix(matrix) => {
            by_rows(cpu, &kernel, a, &Packed::new(cpu, precision, matrix), output);
        }
    }
}

fn by_rows(cpu: &Cpu, kernel: &Kernel, a: &Matrix<'_>, b: &Packed, output: &Output<'_>) {
    let ((m, k), n) = (a.shape(), output.tile.cols);
    cpu.pool.run(m.div_ceil(ROWS), |task| {
        let rows = task * ROWS..((task + 1) * ROWS).min(m);
        let mut left = cpu.arena.buffer::<f32>(rows.len() * k);
        let mut sums = cpu.arena.zeros::<f32>(rows.len() * n);
        widen(kernel, a, rows.start, k, &mut left);
        // SAFETY: `left` is [rows, k], the packed rows are [k, n] and `sums` [rows, n], all without
        // gaps.
        unsafe {
            matrixmultiply::sgemm(
                rows.len(),
                k,
                n,
                1.0,
                left.as_ptr(),
                k as isize,
                1,
                b.rows().as_ptr(),
                n as isize,
                1,
                0.0,
                sums.as_mut_ptr(),
                n as isize,
                1,
            );
        }
        for (row, sums) in sums.chunks_exact(n).enumerate() {
            for (col, &sum) in sums.iter().enumerate() {
                // SAFETY: inside the output; every task has its own rows.
                unsafe { output.tile.write(rows.start + row, col, sum) };
            }
        }
    });
}

/// Rows `first ..` of `a`, as many as `out [rows, K]` holds, as f32 and rounded if need be.
fn widen(kernel: &Kernel, a: &Matrix<'_>, first: usize, k: usize, out: &mut [f32]) {
    let round = kernel.format() == Format::F32Rounded;
    let (row_step, col_step) = if a.transposed { (1, a.stride) } else { (a.stride, 1) };
    for (row, out) in out.chunks_exact_mut(k.max(1)).enumerate() {
        for (col, out) in out.iter_mut().enumerate() {
            let at = (first + row) * row_step + col * col_step;
            let value = match a.elements {
                Elements::F32(slice) => slice[at],
                Elements::Bf16(slice) => slice[at].to_f32(),
            };
            *out = if round { <bf16 as Element>::from_f32(value).to_f32() } else { value };
        }
    }
}
