//! Weights of plain numbers: F32, F16 and BF16, multiplied by the dense product.
//!
//! BF16 weights meet activations rounded to bf16 (`Precision::Bf16`); F32 and F16 weights are
//! multiplied as f32. A few rows of activations meet the weights where they lie
//! ([`stream`]). For more, numbers are used where they lie when they can be; F16, and rows that are
//! not aligned in their file, are copied as f32 or bf16, some rows at a time. So are quantised
//! ones, for [`super::matmul_exact`].

use super::Product;
use crate::cpu::chunks::{for_each, read, write};
use crate::cpu::gemm::{Elements, ElementsMut, Epilogue, Matrix, MatrixMut, Right, gemm, stream};
use crate::element::Pod;
use crate::quant::{BlockFormat, QuantMatrix, f16_to_f32};
use crate::{Buffer, Cpu, bf16};

/// Weight rows that are packed, or copied, at a time: at K 4096 they stay in the shared cache.
const ROWS: usize = 512;

/// See [`super::matmul`] and, where the product's weights are quantised, [`super::matmul_exact`].
pub(super) fn multiply(cpu: &Cpu, x: &Matrix<'_>, product: &mut Product<'_>) {
    let weight = product.weight;
    let (n, k) = (weight.rows(), weight.cols());
    let (out, epilogue) = (&mut product.out, &product.epilogue);
    if x.rows <= stream::ROWS && stream::gemm(cpu, x, weight, out, epilogue) {
        return;
    }
    let precision = stream::precision(weight.format());
    for first in (0..n).step_by(ROWS) {
        let rows = weight.slice_rows(first..n.min(first + ROWS));
        let (len, mut copies) = (rows.rows() * k, Copies { f32: None, bf16: None });
        let elements = in_place(&rows).unwrap_or_else(|| copies.fill(cpu, &rows, len));
        let right = Right::Matrix(Matrix::new(elements, rows.rows(), k).t());
        let mut out = columns_of(out, first, rows.rows());
        let epilogue = epilogue_of(epilogue, first, rows.rows());
        gemm(cpu, precision, x, &right, &mut out, &epilogue);
    }
}

/// The numbers where they lie: f32 or bf16, little-endian, aligned.
fn in_place(weight: &QuantMatrix) -> Option<Elements<'_>> {
    fn aligned<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
        // SAFETY: every bit pattern is a value.
        let (before, numbers, after) = unsafe { bytes.align_to() };
        (cfg!(target_endian = "little") && before.is_empty() && after.is_empty()).then_some(numbers)
    }
    match weight.format() {
        BlockFormat::F32 => aligned::<f32>(weight.bytes()).map(Elements::F32),
        BlockFormat::Bf16 => aligned::<bf16>(weight.bytes()).map(Elements::Bf16),
        _ => None,
    }
}

/// Numbers that cannot be used where they lie.
struct Copies {
    f32: Option<Buffer<f32>>,
    bf16: Option<Buffer<bf16>>,
}

impl Copies {
    fn fill(&mut self, cpu: &Cpu, weight: &QuantMatrix, len: usize) -> Elements<'_> {
        let bytes = weight.bytes();
        match weight.format() {
            BlockFormat::Bf16 => {
                let out = self.bf16.insert(cpu.arena.buffer(len));
                convert(cpu, bytes, out, |number| bf16::from_bits(u16::from_le_bytes(number)));
                Elements::Bf16(out)
            }
            BlockFormat::F16 => {
                let out = self.f32.insert(cpu.arena.buffer(len));
                convert(cpu, bytes, out, |number| f16_to_f32(u16::from_le_bytes(number)));
                Elements::F32(out)
            }
            BlockFormat::F32 => {
                let out = self.f32.insert(cpu.arena.buffer(len));
                convert(cpu, bytes, out, f32::from_le_bytes);
                Elements::F32(out)
            }
            _ => {
                let out = self.f32.insert(cpu.arena.buffer(len));
                let rows = write(out, weight.cols().max(1));
                for_each(cpu, &rows, |row, out| weight.dequantize_row(row, out));
                Elements::F32(out)
            }
        }
    }
}

fn convert<T: Pod, const SIZE: usize>(
    cpu: &Cpu,
    bytes: &[u8],
    out: &mut [T],
    number: impl Fn([u8; SIZE]) -> T + Sync,
) {
    const CHUNK: usize = 1 << 14;
    let chunks = (read(bytes.as_chunks().0, CHUNK), write(out, CHUNK));
    for_each(cpu, &chunks, |_, (bytes, out)| {
        for (out, bytes) in out.iter_mut().zip(bytes) {
            *out = number(*bytes);
        }
    });
}

/// `count` columns of a matrix from `first` on.
fn columns_of<'a>(out: &'a mut MatrixMut<'_>, first: usize, count: usize) -> MatrixMut<'a> {
    let (rows, stride) = (out.rows, out.stride);
    let elements: ElementsMut<'a> = match &mut out.elements {
        ElementsMut::F32(out) => ElementsMut::F32(&mut out[first..]),
        ElementsMut::Bf16(out) => ElementsMut::Bf16(&mut out[first..]),
    };
    MatrixMut::strided(elements, rows, count, stride)
}

/// What an epilogue does to `count` columns from `first` on.
fn epilogue_of<'a>(epilogue: &Epilogue<'a>, first: usize, count: usize) -> Epilogue<'a> {
    let bias = epilogue.bias.map(|bias| &bias[first..first + count]);
    let residual = epilogue.residual.map(|residual| {
        let elements: Elements<'a> = match residual.elements {
            Elements::F32(numbers) => Elements::F32(&numbers[first..]),
            Elements::Bf16(numbers) => Elements::Bf16(&numbers[first..]),
        };
        Matrix::strided(elements, residual.rows, count, residual.stride)
    });
    Epilogue { bias, residual, ..*epilogue }
}
