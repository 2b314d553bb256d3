//! Products with quantised weights: `out = x W^T`, W [N, K] rows of blocks as they lie in a file.
//!
//! **Method.** Rows of x become signed bytes with a scale for each 32 (`activations`). Weights
//! are unpacked on the way, sixteen rows at a time (`words`), by the few lines that each format
//! has in `formats`, to one of five kinds of blocks: 32 unsigned bytes, a scale (or one for each
//! half), and perhaps a minimum. `multiply` multiplies them. For up to four rows of x
//! (`kernel::Stream`) blocks never leave the registers, so W is read at the speed of memory; for
//! more they are stored in a tile of 32 columns by 256 numbers of depth, which stays in L1 while up
//! to 512 rows are multiplied by it (`tasks`). There is no second copy of the weights, packed or
//! not.
//!
//! **Precision.** Products of a block are integers, added exactly; each block's sum is scaled in
//! f32, blocks are added in order. The only loss is the rounding of x, half a scale at most.
//! Formats of plain numbers go through the dense product (`plain`).
//!
//! **Determinism.** The order of additions depends on K only. An output has the same bits for any
//! number of threads, alone or among other rows, and at every instruction level.
//!
//! **Arithmetic** (Zen 4; a vpdpbusd, an FMA or a multiplication of 64 bytes takes one cycle, and
//! they share pipes; conversions and additions have others). Of a block of 32 by 16 columns, a row
//! of x takes 8 vpdpbusd (peak: nothing else), and one multiplication by the scale of the weights
//! and one FMA by that of x: 8 of 10, at most 80 % of the peak. A minimum or a scale for each half
//! costs one more (73 %), both three more (62 %). Sharing a scale of x among 256 numbers, as the K
//! formats allow, would make 89 % of 80 %, but triple the error where one number is large.
//! Unpacking takes some 30 cycles for the same 16 columns: 1 % at 512 rows. One row of x at a time,
//! 16 blocks of Q4_0 (288 bytes) take about 48 cycles from L2: 22 GB/s a core; Q8_0 33, Q4_K 24.
//! From memory it is 13 to 18, for want of lines that arrive in time.
#![allow(unsafe_code)]

mod activations;
#[cfg(target_arch = "x86_64")]
pub(in crate::cpu) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(in crate::cpu) mod avx512;
mod formats;
mod kernel;
mod multiply;
mod plain;
mod portable;
mod tasks;
#[cfg(test)]
mod tests;
pub(in crate::cpu) mod words;

use crate::Cpu;
use crate::cpu::chunks::{for_each, read, write};
use crate::cpu::gemm::{Epilogue, Matrix, MatrixMut};
use crate::quant::QuantMatrix;

/// One of the products of [`matmul`].
#[derive(Debug)]
pub struct Product<'a> {
    /// W [N, K].
    pub weight: &'a QuantMatrix,
    /// [M, N].
    pub out: MatrixMut<'a>,
    /// What is done to the product on its way to `out`.
    pub epilogue: Epilogue<'a>,
}

/// `out = scale * x W^T (+ out) (+ residual) (+ bias)` for each product. `x` [M, K] is rounded to
/// bytes once for all of them, and they are computed in one job of the pool.
///
/// A row of x with a NaN or an infinity gives a row of NaN.
///
/// # Panics
/// When shapes do not fit together or a matrix reaches beyond its elements.
pub fn matmul(cpu: &Cpu, x: &Matrix<'_>, products: &mut [Product<'_>]) {
    for product in products.iter() {
        check(x, product);
    }
    if x.rows == 0 {
        return;
    }
    tasks::run(cpu, x, products);
    for product in products.iter_mut().filter(|product| !product.weight.format().is_quantized()) {
        plain::multiply(cpu, x, product);
    }
}

/// [`matmul`] without rounding `x` to bytes: weights are widened to f32 some rows at a time. Slow;
/// for comparisons in which only the weights may differ.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_exact(cpu: &Cpu, x: &Matrix<'_>, products: &mut [Product<'_>]) {
    for product in products {
        check(x, product);
        plain::multiply(cpu, x, product);
    }
}

fn check(x: &Matrix<'_>, product: &Product<'_>) {
    let (weight, out) = (product.weight, &product.out);
    assert!(
        !x.transposed && x.cols == weight.cols() && x.rows == out.rows && out.cols == weight.rows(),
        "[{}, {}] x [{}, {}]^T does not give [{}, {}]",
        x.rows,
        x.cols,
        weight.rows(),
        weight.cols(),
        out.rows,
        out.cols
    );
    x.check();
    out.check();
    if let Some(bias) = product.epilogue.bias {
        assert_eq!(bias.len(), out.cols, "one bias a column");
    }
    if let Some(residual) = &product.epilogue.residual {
        residual.check();
        assert!(!residual.transposed, "a residual is added as stored");
        assert!(!product.epilogue.accumulate, "either accumulate or add a residual");
        assert_eq!((residual.rows, residual.cols), (out.rows, out.cols), "shape of the residual");
    }
}

/// `out[i] = table[ids[i]]`; `table` [V, D], `out` [ids.len(), D].
///
/// # Panics
/// When an id is not below V, or `out` has another length.
pub fn embedding(cpu: &Cpu, table: &QuantMatrix, ids: &[u32], out: &mut [f32]) {
    let cols = table.cols();
    assert_eq!(out.len(), ids.len() * cols, "places for {} rows of {cols}", ids.len());
    if cols == 0 {
        return;
    }
    for_each(cpu, &(read(ids, 1), write(out, cols)), |_, (ids, out)| {
        table.dequantize_row(ids[0] as usize, out);
    });
}
