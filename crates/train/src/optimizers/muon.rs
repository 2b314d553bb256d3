//! Muon on one matrix: momentum, then the nearest orthogonal matrix as the update.
//!
//! Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". The momentum is
//! orthogonalised by five steps of the quintic iteration `X <- aX + (bA + cA²)X` with `A = XXᵀ`,
//! which pushes all singular values towards 1 without computing them.

use danlu_kernels::cpu::elementwise::scale;
use danlu_kernels::cpu::gemm::{Epilogue, Matrix, MatrixMut, Right, gemm};
use danlu_kernels::cpu::muon::{MuonMomentum, MuonUpdate, muon_momentum, muon_update};
use danlu_kernels::cpu::reduce::sum_of_squares;
use danlu_kernels::{Buffer, Cpu, Precision};

use super::StepSettings;

/// The published coefficients: fast rather than exact, singular values end in about 0.7..1.2.
const QUINTIC: (f32, f32, f32) = (3.4445, -4.7750, 2.0315);
const ITERATIONS: usize = 5;
/// The published momentum.
const MOMENTUM: f32 = 0.95;

/// Updates a matrix `value: [rows, cols]` and its running mean of gradients.
pub(super) fn step(
    cpu: &Cpu,
    settings: &StepSettings<'_>,
    (rows, cols): (usize, usize),
    value: &mut [f32],
    gradient: &[f32],
    average: &mut [f32],
) {
    let momentum = MuonMomentum {
        momentum: MOMENTUM,
        nesterov: true,
        grad_scale: settings.gradient_scale as f32,
    };
    let mut update: Buffer<f32> = cpu.arena.buffer(value.len());
    muon_momentum(cpu, momentum, gradient, average, &mut update);
    let update = orthogonalise(cpu, settings.precision, update, rows, cols);
    let last = MuonUpdate {
        lr: settings.muon_learning_rate as f32,
        weight_decay: settings.config.weight_decay as f32,
        scale: (rows as f32 / cols as f32).max(1.0).sqrt(),
    };
    muon_update(cpu, last, &update, value);
}

/// The matrix `x: [rows, cols]` with its singular values moved close to 1.
pub(super) fn orthogonalise(
    cpu: &Cpu,
    precision: Precision,
    mut x: Buffer<f32>,
    rows: usize,
    cols: usize,
) -> Buffer<f32> {
    let norm = sum_of_squares(cpu, &x).sqrt() as f32;
    scale(cpu, &mut x, 1.0 / (norm + 1e-7));
    // A = XXᵀ of the smaller side: for a tall matrix the iteration is XᵀX from the right.
    let tall = rows > cols;
    let side = rows.min(cols);
    let (a, b, c) = QUINTIC;
    let mut gram: Buffer<f32> = cpu.arena.buffer(side * side);
    let mut poly: Buffer<f32> = cpu.arena.buffer(side * side);
    let mut next: Buffer<f32> = cpu.arena.buffer(x.len());
    for _ in 0..ITERATIONS {
        let matrix = Matrix::new(&x[..], rows, cols);
        let (left, right) = if tall { (matrix.t(), matrix) } else { (matrix, matrix.t()) };
        multiply(cpu, precision, left, right, &mut gram, &Epilogue::default());
        poly.copy_from_slice(&gram);
        scale(cpu, &mut poly, b);
        let square = Matrix::new(&gram[..], side, side);
        let add = Epilogue { accumulate: true, scale: c, ..Epilogue::default() };
        multiply(cpu, precision, square, square, &mut poly, &add);
        next.copy_from_slice(&x);
        scale(cpu, &mut next, a);
        let poly = Matrix::new(&poly[..], side, side);
        let (left, right) = if tall { (matrix, poly) } else { (poly, matrix) };
        let add = Epilogue { accumulate: true, ..Epilogue::default() };
        multiply(cpu, precision, left, right, &mut next, &add);
        std::mem::swap(&mut x, &mut next);
    }
    x
}

fn multiply(
    cpu: &Cpu,
    precision: Precision,
    left: Matrix<'_>,
    right: Matrix<'_>,
    out: &mut [f32],
    epilogue: &Epilogue<'_>,
) {
    let (rows, cols) = (left.shape().0, right.shape().1);
    let mut out = MatrixMut::new(out, rows, cols);
    gemm(cpu, precision, &left, &Right::Matrix(right), &mut out, epilogue);
}

#[cfg(test)]
mod tests {
    use super::*;
    use danlu_kernels::rng::Philox;

    /// Singular values of the result lie where the published coefficients put them: for any unit
    /// vector u, |uᵀX| or |Xu| stays within their range.
    #[test]
    fn every_direction_keeps_a_length_near_one() {
        let cpu = Cpu::new(2).unwrap();
        for (rows, cols) in [(16, 16), (24, 60), (60, 24), (1, 8)] {
            let random = Philox::new(3, (rows * cols) as u64);
            let mut x = cpu.arena.buffer(rows * cols);
            for (i, value) in x.iter_mut().enumerate() {
                *value = random.normal(i as u64) as f32;
            }
            let x = orthogonalise(&cpu, Precision::F32, x, rows, cols);
            let side = rows.min(cols);
            for trial in 0..20 {
                let draw = Philox::new(4, trial);
                let u: Vec<f64> = (0..side).map(|i| draw.normal(i as u64)).collect();
                let length = u.iter().map(|v| v * v).sum::<f64>().sqrt();
                let at = |r: usize, c: usize| f64::from(x[r * cols + c]);
                let image: f64 = (0..rows.max(cols))
                    .map(|j| {
                        let dot = |i: usize| if rows <= cols { at(i, j) } else { at(j, i) };
                        (0..side).map(|i| u[i] / length * dot(i)).sum::<f64>().powi(2)
                    })
                    .sum();
                assert!((0.4..=1.4).contains(&image.sqrt()), "{rows}x{cols}: {}", image.sqrt());
            }
        }
    }
}
