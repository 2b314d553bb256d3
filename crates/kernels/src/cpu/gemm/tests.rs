//! Products against an f64 reference: every level, type, layout and tail; same bits on any number
//! of threads; nothing read or written outside the matrices.

use super::*;
use crate::bf16;
use crate::element::Element;
use crate::rng::Philox;

/// What lies between and around rows: a poison that would show up in any result that reads it.
const POISON: f32 = f32::NAN;
/// What lies between and around the rows of outputs; must survive.
const CANARY: f32 = 1234.0;

/// A stored matrix with gaps between rows, poisoned.
struct Stored {
    f32: Vec<f32>,
    bf16: Vec<bf16>,
    is_bf16: bool,
    rows: usize,
    cols: usize,
    stride: usize,
    transposed: bool,
}

impl Stored {
    /// A random matrix that is used as `[rows, cols]`.
    fn random(seed: u64, (rows, cols): (usize, usize), is_bf16: bool, transposed: bool) -> Self {
        let (rows, cols) = if transposed { (cols, rows) } else { (rows, cols) };
        let stride = cols + (seed % 3) as usize * 5;
        let len = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        let philox = Philox::new(seed, 0);
        let mut f32 = vec![POISON; len];
        for row in 0..rows {
            for col in 0..cols {
                let value = philox.normal((row * cols + col) as u64) as f32;
                f32[row * stride + col] =
                    if is_bf16 { <bf16 as Element>::from_f32(value).to_f32() } else { value };
            }
        }
        let bf16 = f32.iter().map(|&value| <bf16 as Element>::from_f32(value)).collect();
        Self { f32, bf16, is_bf16, rows, cols, stride, transposed }
    }

    fn matrix(&self) -> Matrix<'_> {
        let elements =
            if self.is_bf16 { Elements::Bf16(&self.bf16) } else { Elements::F32(&self.f32) };
        let matrix = Matrix::strided(elements, self.rows, self.cols, self.stride);
        if self.transposed { matrix.t() } else { matrix }
    }

    /// The numbers that a product of this precision uses, `[rows, cols]` as used.
    fn used(&self, precision: Precision) -> Vec<f64> {
        let (rows, cols) = self.matrix().shape();
        let (row_step, col_step) =
            if self.transposed { (1, self.stride) } else { (self.stride, 1) };
        let at = |row: usize, col: usize| self.f32[row * row_step + col * col_step];
        let used = |value: f32| match precision {
            Precision::F32 => f64::from(value),
            Precision::Bf16 => f64::from(<bf16 as Element>::from_f32(value).to_f32()),
        };
        (0..rows * cols).map(|index| used(at(index / cols, index % cols))).collect()
    }
}

/// One product and everything that may be varied about it.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: (usize, usize, usize),
    precision: Precision,
    /// bf16 in memory: A, B, C.
    bf16: [bool; 3],
    /// Stored as the transpose: A, B.
    transposed: [bool; 2],
    packed: bool,
    accumulate: bool,
    residual: bool,
    bias: bool,
    scale: f32,
}

impl Case {
    /// Every combination in turn as `index` counts up.
    fn numbered(index: u64, shape: (usize, usize, usize)) -> Self {
        let bits = Philox::new(99, 0).block(index)[0];
        let bit = |i: u32| bits >> i & 1 == 1;
        Self {
            shape,
            precision: if bit(0) { Precision::F32 } else { Precision::Bf16 },
            bf16: [bit(1), bit(2), bit(3)],
            transposed: [bit(4), bit(5)],
            packed: bit(6),
            accumulate: bit(7) && bit(8),
            residual: bit(7) && !bit(8),
            bias: bit(9),
            scale: if bit(10) { 1.0 } else { -0.375 },
        }
    }

    fn left(&self) -> Stored {
        let (m, k, _) = self.shape;
        Stored::random(1 + k as u64, (m, k), self.bf16[0], self.transposed[0])
    }

    fn right(&self) -> Stored {
        let (_, k, n) = self.shape;
        Stored::random(2 + k as u64, (k, n), self.bf16[1], self.transposed[1])
    }

    fn added(&self) -> Stored {
        let (m, _, n) = self.shape;
        Stored::random(3 + n as u64, (m, n), self.bf16[2], false)
    }

    fn bias(&self) -> Vec<f32> {
        (0..self.shape.2).map(|col| col as f32 * 0.25 - 3.0).collect()
    }

    /// C `[m, n]` without gaps, computed by `gemm` into memory with canaries around every row.
    fn run(&self, cpu: &Cpu, left: &Stored, right: &Stored) -> Vec<f32> {
        let (m, _, n) = self.shape;
        let (added, bias, stride) = (self.added(), self.bias(), n + 3);
        let mut out = vec![CANARY; m * stride + 7];
        for (row, line) in out.chunks_exact_mut(stride).enumerate().take(m) {
            for (col, value) in line[..n].iter_mut().enumerate() {
                *value = added.f32[row * added.stride + col];
            }
        }
        let packed = Packed::new(cpu, self.precision, &right.matrix());
        let b = if self.packed { Right::Packed(&packed) } else { Right::Matrix(right.matrix()) };
        let epilogue = Epilogue {
            scale: self.scale,
            accumulate: self.accumulate,
            bias: self.bias.then_some(&bias),
            residual: self.residual.then(|| added.matrix()),
        };
        let mut short: Vec<bf16> =
            out.iter().map(|&value| <bf16 as Element>::from_f32(value)).collect();
        let canary = <bf16 as Element>::from_f32(CANARY).to_f32();
        let elements =
            if self.bf16[2] { ElementsMut::Bf16(&mut short) } else { ElementsMut::F32(&mut out) };
        let mut c = MatrixMut::strided(elements, m, n, stride);
        gemm(cpu, self.precision, &left.matrix(), &b, &mut c, &epilogue);
        if self.bf16[2] {
            out = short.iter().map(|value| value.to_f32()).collect();
        }
        let canary = if self.bf16[2] { canary } else { CANARY };
        let mut product = Vec::new();
        for (row, line) in out.chunks(stride).enumerate() {
            let used = if row < m { n } else { 0 };
            product.extend_from_slice(&line[..used]);
            assert!(line[used..].iter().all(|&c| c == canary), "{self:?}: row {row} overwritten");
        }
        product
    }

    /// C in f64, and for every element a bound on the rounding of its f32 sum.
    fn expected(&self, left: &Stored, right: &Stored) -> Vec<(f64, f64)> {
        let (m, k, n) = self.shape;
        let (added, bias) = (self.added(), self.bias());
        let (left, right) = (left.used(self.precision), right.used(self.precision));
        let mut expected = Vec::new();
        for row in 0..m {
            let mut sums = vec![(0.0, 0.0); n];
            for depth in 0..k {
                for (sum, right) in sums.iter_mut().zip(&right[depth * n..]) {
                    let product = left[row * k + depth] * right;
                    *sum = (sum.0 + product, sum.1 + product.abs());
                }
            }
            for (col, (sum, size)) in sums.into_iter().enumerate() {
                let mut sum = sum * f64::from(self.scale);
                if self.accumulate || self.residual {
                    sum += f64::from(added.f32[row * added.stride + col]);
                }
                if self.bias {
                    sum += f64::from(bias[col]);
                }
                let rounding = (k as f64).sqrt().mul_add(1e-7, 4e-7) * (size + sum.abs() + 8.0);
                let stored = if self.bf16[2] { sum.abs() / 250.0 } else { 0.0 };
                expected.push((sum, rounding + stored));
            }
        }
        expected
    }
}

fn assert_close(case: &Case, simd: Simd, actual: &[f32], expected: &[(f64, f64)]) {
    assert_eq!(actual.len(), expected.len(), "{case:?}");
    for (index, (&actual, &(expected, tolerance))) in actual.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(actual) - expected).abs() <= tolerance,
            "{case:?} at {}: element {index} is {actual}, not {expected} +- {tolerance}",
            simd.name()
        );
    }
}

const SHAPES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 0, 5),
    (3, 7, 0),
    (0, 3, 4),
    (2, 2, 33),
    (1, 129, 100),
    (7, 33, 65),
    (8, 64, 32),
    (13, 17, 31),
    (14, 1100, 40),
    (15, 16, 16),
    (29, 5, 97),
    (57, 250, 129),
    (64, 1, 64),
    (70, 0, 9),
    (131, 67, 300),
    (40, 2100, 70),
];

#[test]
fn products_equal_the_f64_reference_for_all_types_layouts_and_tails() {
    let cpus: Vec<Cpu> = Simd::available().map(|simd| Cpu::with_simd(2, simd)).collect();
    for (number, &shape) in SHAPES.iter().enumerate() {
        for variant in 0..24 {
            let case = Case::numbered(number as u64 * 100 + variant, shape);
            let (left, right) = (case.left(), case.right());
            let expected = case.expected(&left, &right);
            for cpu in &cpus {
                assert_close(&case, cpu.simd, &case.run(cpu, &left, &right), &expected);
            }
        }
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    for simd in Simd::available() {
        let cpus = [1, 2, 4].map(|threads| Cpu::with_simd(threads, simd));
        for (number, &shape) in SHAPES.iter().enumerate() {
            for variant in 0..4 {
                let case = Case::numbered(number as u64 * 100 + variant, shape);
                let (left, right) = (case.left(), case.right());
                let [one, two, four] = cpus.each_ref().map(|cpu| {
                    let product = case.run(cpu, &left, &right);
                    product.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
                });
                assert!(one == two && one == four, "{case:?} at {}", simd.name());
            }
        }
    }
}

/// A row of a product does not depend on how many rows it is computed with, nor does it matter
/// whether the right-hand matrix was packed before or how it lies in memory.
#[test]
fn a_row_alone_has_the_bits_of_the_row_in_a_batch() {
    for simd in Simd::available() {
        let cpu = Cpu::with_simd(2, simd);
        for precision in [Precision::F32, Precision::Bf16] {
            let mut case = Case::numbered(0, (37, 1500, 70));
            case.precision = precision;
            case.bf16 = [true, true, false];
            case.transposed = [false, true];
            case.accumulate = false;
            case.residual = false;
            let (left, right) = (case.left(), case.right());
            let all = case.run(&cpu, &left, &right);
            for row in [0, 13, 36] {
                let alone = Case { shape: (1, 1500, 70), packed: !case.packed, ..case };
                let mut line = case.left();
                line.rows = 1;
                let start = row * line.stride;
                line.bf16 = line.bf16[start..start + line.cols].to_vec();
                let alone = alone.run(&cpu, &line, &right);
                assert_eq!(alone, all[row * 70..][..70], "{precision:?} at {}", simd.name());
            }
        }
    }
}

#[test]
fn not_a_number_and_infinity_reach_exactly_their_row_or_column() {
    for simd in Simd::available() {
        let cpu = Cpu::with_simd(2, simd);
        for precision in [Precision::F32, Precision::Bf16] {
            for m in [3, 40] {
                let (k, n) = (45, 50);
                let mut a = vec![1.0_f32; m * k];
                a[2 * k + 44] = f32::NAN;
                a[k + 3] = f32::INFINITY;
                let b = vec![1.0_f32; k * n];
                let mut c = vec![0.0_f32; m * n];
                let (a, b) = (Matrix::new(&a[..], m, k), Matrix::new(&b[..], k, n));
                let mut out = MatrixMut::new(&mut c[..], m, n);
                gemm(&cpu, precision, &a, &Right::Matrix(b), &mut out, &Epilogue::default());
                for (row, line) in c.chunks(n).enumerate() {
                    let as_expected = |&value: &f32| match row {
                        1 => value == f32::INFINITY,
                        2 => value.is_nan(),
                        _ => value == k as f32,
                    };
                    assert!(line.iter().all(as_expected), "{precision:?} {} {row}", simd.name());
                }
            }
        }
    }
}
