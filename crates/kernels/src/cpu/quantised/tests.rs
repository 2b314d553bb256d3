//! Products against dequantised weights in f64; the same bits at every level, for any number of
//! threads, and for a row alone or among others; nothing written outside the output.

use super::*;
use crate::bf16;
use crate::cpu::gemm::{Elements, ElementsMut};
use crate::element::Element;
use crate::quant::BlockFormat;
use crate::rng::Philox;
use crate::simd::Simd;

/// What lies between the rows of an output; must survive.
const CANARY: f32 = 1234.0;

/// Where a block has its f16 numbers; the rest may be any bytes.
fn f16_places(format: BlockFormat) -> &'static [usize] {
    match format {
        BlockFormat::Q2K => &[80, 82],
        BlockFormat::Q3K => &[108],
        BlockFormat::Q6K => &[208],
        BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q4K | BlockFormat::Q5K => &[0, 2],
        _ => &[0],
    }
}

/// Random blocks with scales of either sign between 2^-7 and 2^-3.
fn weights(format: BlockFormat, rows: usize, cols: usize) -> QuantMatrix {
    let philox = Philox::new(7, format as u64);
    let len = format.row_bytes(cols).unwrap() * rows;
    let mut bytes: Vec<u8> = (0..len).map(|at| philox.block(at as u64)[0] as u8).collect();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        if !format.is_quantized() {
            // A sign and a number from 1 to 2, in any of the three formats.
            let last = block.len() - 1;
            block[last] = block[last] & 0x80 | 0x3f;
            continue;
        }
        for &at in f16_places(format) {
            block[at + 1] = block[at + 1] & 0x8f | 0x20;
        }
    }
    QuantMatrix::from_vec(format, (rows, cols), bytes).unwrap()
}

fn activations(rows: usize, cols: usize) -> Vec<f32> {
    let philox = Philox::new(11, cols as u64);
    (0..rows * cols).map(|at| philox.normal(at as u64) as f32).collect()
}

fn product(cpu: &Cpu, x: &[f32], rows: usize, weight: &QuantMatrix) -> Vec<f32> {
    let mut out = vec![CANARY; rows * weight.rows()];
    let x = Matrix::new(x, rows, weight.cols());
    let out_matrix = MatrixMut::new(&mut out[..], rows, weight.rows());
    let epilogue = Epilogue::default();
    matmul(cpu, &x, &mut [Product { weight, out: out_matrix, epilogue }]);
    out
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The exact product and how far from it rounding x may lead.
fn reference(x: &[f32], weight: &QuantMatrix) -> Vec<(f64, f64)> {
    let mut row = vec![0.0; weight.cols()];
    let mut out = Vec::new();
    for n in 0..weight.rows() {
        weight.dequantize_row(n, &mut row);
        let (mut sum, mut bound) = (0.0, 0.0);
        for (x, w) in x.chunks(32).zip(row.chunks(32)) {
            let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let half = if weight.format().is_quantized() { largest / 127.0 * 0.5001 } else { 0.0 };
            for (x, w) in x.iter().zip(w) {
                let relative = if weight.format() == BlockFormat::Bf16 { 0.004 } else { 1e-5 };
                sum += f64::from(*x) * f64::from(*w);
                bound += f64::from(half * w.abs()) + f64::from((x * w).abs()) * relative;
            }
            // The offset of quants and minima are subtracted from larger sums.
            bound += f64::from(largest) * 1e-4;
        }
        out.push((sum, bound));
    }
    out
}

#[test]
fn every_format_at_every_level_is_within_the_rounding_of_the_activations() {
    for &format in BlockFormat::ALL {
        let cols = if format.block_len() > 32 { 768 } else { 288 };
        let weight = weights(format, 37, cols);
        for level in Simd::available() {
            let cpu = Cpu::with_simd(1, level);
            for rows in [1, 2, 3, 4, 5, 13] {
                let x = activations(rows, cols);
                let out = product(&cpu, &x, rows, &weight);
                for (x, out) in x.chunks(cols).zip(out.chunks(weight.rows())) {
                    for ((sum, bound), out) in reference(x, &weight).into_iter().zip(out) {
                        let error = (f64::from(*out) - sum).abs();
                        assert!(
                            error <= bound,
                            "{format} {} {rows} rows: {out} for {sum}, bound {bound}",
                            level.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn levels_give_the_same_bits() {
    for &format in BlockFormat::ALL.iter().filter(|format| format.is_quantized()) {
        let weight = weights(format, 48, 512);
        for rows in [1, 4, 7] {
            let x = activations(rows, 512);
            let expected = product(&Cpu::with_simd(1, Simd::Portable), &x, rows, &weight);
            for level in Simd::available() {
                let out = product(&Cpu::with_simd(1, level), &x, rows, &weight);
                assert_eq!(bits(&out), bits(&expected), "{format} {} {rows} rows", level.name());
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_among_others_and_on_any_number_of_threads() {
    for &format in BlockFormat::ALL {
        let (rows, weight) = (515, weights(format, 70, 256));
        let x = activations(rows, 256);
        for level in Simd::available().filter(|&level| level != Simd::Portable) {
            let cpu = Cpu::with_simd(1, level);
            let all = product(&cpu, &x, rows, &weight);
            for row in [0, 6, 511, 512, 514] {
                let alone = product(&cpu, &x[row * 256..(row + 1) * 256], 1, &weight);
                assert_eq!(bits(&alone), bits(&all[row * 70..(row + 1) * 70]), "{format} {row}");
            }
            for threads in [2, 4] {
                let out = product(&Cpu::with_simd(threads, level), &x, rows, &weight);
                assert!(bits(&out) == bits(&all), "{format} with {threads} threads");
            }
        }
    }
}

#[test]
fn several_products_share_activations_and_epilogues_apply_to_strided_outputs() {
    let cpu = Cpu::new(2).unwrap();
    for rows in [1, 5, 20] {
        let x = activations(rows, 256);
        let formats = [BlockFormat::Q4K, BlockFormat::Q6K, BlockFormat::Bf16, BlockFormat::Q8_0];
        let all: Vec<QuantMatrix> = formats.map(|format| weights(format, 45, 256)).into();
        let plain: Vec<Vec<f32>> =
            all.iter().map(|weight| product(&cpu, &x, rows, weight)).collect();
        let residual: Vec<f32> = activations(rows, 45);
        let bias: Vec<f32> = (0..45).map(|col| col as f32 * 0.5).collect();
        let mut first = vec![CANARY; rows * 50];
        let mut second = residual.clone();
        let mut third = vec![bf16::from_f32(CANARY); rows * 47];
        let mut fourth = vec![CANARY; rows * 45];
        let added = Some(Matrix::new(&residual[..], rows, 45));
        let with_residual = Epilogue { bias: Some(&bias), residual: added, ..Epilogue::default() };
        let onto = Epilogue { scale: -0.5, accumulate: true, ..Epilogue::default() };
        let (out, weight) = (MatrixMut::strided(&mut first[..], rows, 45, 50), &all[0]);
        let one = Product { weight, out, epilogue: with_residual };
        let (out, weight) = (MatrixMut::new(&mut second[..], rows, 45), &all[1]);
        let two = Product { weight, out, epilogue: onto };
        let (out, weight) = (MatrixMut::strided(&mut third[..], rows, 45, 47), &all[2]);
        let three = Product { weight, out, epilogue: with_residual };
        let (out, weight) = (MatrixMut::new(&mut fourth[..], rows, 45), &all[3]);
        let four = Product { weight, out, epilogue: Epilogue::default() };
        matmul(&cpu, &Matrix::new(&x[..], rows, 256), &mut [one, two, three, four]);
        for (row, col) in (0..rows).flat_map(|row| (0..45).map(move |col| (row, col))) {
            let at = row * 45 + col;
            assert_eq!(first[row * 50 + col], plain[0][at] + residual[at] + bias[col]);
            assert_eq!(second[at], plain[1][at] * -0.5 + residual[at]);
            let sum = plain[2][at] + residual[at] + bias[col];
            assert_eq!(third[row * 47 + col], <bf16 as Element>::from_f32(sum));
            assert_eq!(fourth[at], plain[3][at]);
        }
        assert!((0..rows).all(|row| first[row * 50..][45..50].iter().all(|&c| c == CANARY)));
    }
}

#[test]
fn bf16_and_strided_activations_are_the_same_numbers() {
    let cpu = Cpu::new(1).unwrap();
    let weight = weights(BlockFormat::Q5_0, 33, 64);
    let x: Vec<bf16> = activations(6, 70).iter().map(|&x| Element::from_f32(x)).collect();
    let dense: Vec<f32> =
        (0..6 * 64).map(|at| Element::to_f32(x[at / 64 * 70 + at % 64])).collect();
    let expected = product(&cpu, &dense, 6, &weight);
    let mut out = vec![0.0_f32; 6 * 33];
    let elements = ElementsMut::F32(&mut out);
    let out_matrix = MatrixMut::new(elements, 6, 33);
    let x = Matrix::strided(Elements::Bf16(&x), 6, 64, 70);
    let epilogue = Epilogue::default();
    matmul(&cpu, &x, &mut [Product { weight: &weight, out: out_matrix, epilogue }]);
    assert_eq!(bits(&out), bits(&expected));
}

#[test]
fn what_is_not_finite_stays_in_its_row_and_zeros_and_tiny_numbers_give_zero() {
    let weight = weights(BlockFormat::Q4_0, 20, 64);
    for level in Simd::available() {
        let cpu = Cpu::with_simd(1, level);
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = activations(3, 64);
            x[64 + 40] = poison;
            x[128..].fill(1e-40);
            let out = product(&cpu, &x, 3, &weight);
            assert!(out[..20].iter().all(|out| out.is_finite()));
            assert!(out[20..40].iter().all(|out| out.is_nan()), "{} {poison}", level.name());
            assert!(out[40..].iter().all(|&out| out == 0.0), "{}", level.name());
        }
    }
}

#[test]
fn weights_that_are_not_aligned_give_the_same_product() {
    let cpu = Cpu::new(1).unwrap();
    for format in [BlockFormat::F32, BlockFormat::F16, BlockFormat::Bf16, BlockFormat::Q8_0] {
        let aligned = weights(format, 40, 64);
        let len = aligned.bytes().len();
        for shift in [1, 2, 3] {
            let mut bytes = vec![0; shift];
            bytes.extend_from_slice(aligned.bytes());
            let shared = std::sync::Arc::new(bytes);
            let moved = QuantMatrix::new(format, (40, 64), shared, shift..shift + len).unwrap();
            for rows in [1, 9] {
                let x = activations(rows, 64);
                let out = product(&cpu, &x, rows, &moved);
                assert_eq!(bits(&out), bits(&product(&cpu, &x, rows, &aligned)), "{format}");
            }
        }
    }
}

#[test]
fn embedding_looks_rows_up_in_any_format() {
    let cpu = Cpu::new(2).unwrap();
    for &format in BlockFormat::ALL {
        let table = weights(format, 5, 256);
        let mut out = vec![0.0; 3 * 256];
        embedding(&cpu, &table, &[4, 0, 4], &mut out);
        for (id, out) in [4, 0, 4].into_iter().zip(out.chunks(256)) {
            let mut row = vec![0.0; 256];
            table.dequantize_row(id, &mut row);
            assert_eq!(bits(out), bits(&row), "{format}");
        }
    }
}

#[test]
fn a_product_has_the_same_bits_however_its_columns_are_cut_into_tasks() {
    let (n, cut, cpu) = (700, 35, Cpu::new(2).unwrap());
    for &format in BlockFormat::ALL {
        let k = 13_usize.next_multiple_of(format.block_len());
        let weight = weights(format, n, k);
        for rows in [1, 4, 5, 16, 17, 40] {
            let x = activations(rows, k);
            let all = product(&cpu, &x, rows, &weight);
            for first in (0..n).step_by(cut) {
                let part = product(&cpu, &x, rows, &weight.slice_rows(first..first + cut));
                for (all, part) in all.chunks(n).zip(part.chunks(cut)) {
                    assert_eq!(bits(&all[first..first + cut]), bits(part), "{format} {rows}");
                }
            }
        }
    }
}

#[test]
fn few_rows_of_plain_weights_have_the_bits_of_many_at_any_depth_with_an_epilogue() {
    let many = 20;
    for format in [BlockFormat::F32, BlockFormat::F16, BlockFormat::Bf16] {
        for (n, k) in [(1, 1), (17, 7), (300, 9), (33, 2050), (16, 4099)] {
            let (weight, x) = (weights(format, n, k), activations(many, k));
            let (bias, residual) = (activations(1, n), activations(many, n));
            for level in Simd::available().filter(|&level| level != Simd::Portable) {
                let cpu = Cpu::with_simd(1, level);
                let run = |rows: usize| {
                    let mut out = residual[..rows * n].to_vec();
                    let residual = Some(Matrix::new(&residual[..rows * n], rows, n));
                    let bias = Some(&bias[..]);
                    let epilogue = Epilogue { scale: 0.3, bias, residual, ..Epilogue::default() };
                    let (x, weight) = (Matrix::new(&x[..rows * k], rows, k), &weight);
                    let out_matrix = MatrixMut::new(&mut out[..], rows, n);
                    matmul(&cpu, &x, &mut [Product { weight, out: out_matrix, epilogue }]);
                    out
                };
                let expected = run(many);
                for rows in [1, 2, 3, 4, 5, 11, 16] {
                    let what = format!("{format} {} {rows} rows of {k}", level.name());
                    assert_eq!(bits(&run(rows)), bits(&expected[..rows * n]), "{what}");
                }
            }
        }
    }
}
