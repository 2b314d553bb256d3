//! Prints how fast products with quantised weights are: of few rows as a share of the speed of
//! memory, of many as a share of the arithmetic peak, both measured around each of them:
//! `cargo bench -p danlu-kernels --bench quantised -- decode|prefill [FORMAT] [ROWS] [N] [K]`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use danlu_kernels::Cpu;
use danlu_kernels::cpu::gemm::{Epilogue, Matrix, MatrixMut};
use danlu_kernels::cpu::quantised::{Product, matmul};
use danlu_kernels::cpu::{bandwidth, peak};
use danlu_kernels::quant::{BlockFormat, QuantMatrix};

/// (N, K) of the layers of a 1.1B and a 7B LLaMA.
const SHAPES: &[(usize, usize)] = &[
    (2048, 2048),
    (5632, 2048),
    (2048, 5632),
    (256, 2048),
    (512, 2048),
    (32, 512),
    (32, 2048),
    (32000, 2048),
    (4096, 4096),
    (11008, 4096),
    (4096, 11008),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mode = arguments.next().unwrap_or("prefill".into());
    let format = arguments.next().unwrap_or("Q8_0".into());
    let mut number = |default| arguments.next().map_or(Ok(default), |word| word.parse());
    let rows = number(if mode == "decode" { 1 } else { 512 })?;
    let (n, k) = (number(0)?, number(0)?);
    let threads = number(2)?;
    let cpu = Cpu::new(threads)?;
    for name in format.split(',') {
        let format = BlockFormat::from_name(name).ok_or("an unknown format")?;
        for &(n_, k_) in SHAPES.iter().filter(|&&s| n == 0 || s == (n, k)) {
            if mode == "decode" {
                decode(&cpu, format, rows, n_, k_)?;
            } else {
                prefill(&cpu, format, rows, n_, k_)?;
            }
        }
    }
    Ok(())
}

fn matrix(
    format: BlockFormat,
    n: usize,
    k: usize,
    salt: usize,
) -> Result<QuantMatrix, Box<dyn std::error::Error>> {
    let len = format.row_bytes(k).ok_or("K is no whole number of blocks")? * n;
    let mut state = salt as u64 * 2 + 1;
    let bytes = (0..len).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // As the high byte of a number in any type it makes that neither large nor subnormal.
        (state >> 56) as u8 & 0x3b | 0x20
    });
    Ok(QuantMatrix::from_vec(format, (n, k), bytes.collect())?)
}

fn prefill(
    cpu: &Cpu,
    format: BlockFormat,
    m: usize,
    n: usize,
    k: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let weight = matrix(format, n, k, 0)?;
    let x: Vec<f32> = (0..m * k).map(|i| (i % 37) as f32 * 0.1 - 1.8).collect();
    let mut out = vec![0.0_f32; m * n];
    let threads = cpu.pool.threads();
    let peak =
        || peak::vpdpbusd_gops(cpu, threads).unwrap_or_else(|| peak::fma_f32_gflops(cpu, threads));
    let before = peak();
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 3 || begin.elapsed().as_secs_f64() < 0.6 {
        let start = Instant::now();
        let epilogue = Epilogue::default();
        let out = MatrixMut::new(&mut out[..], m, n);
        matmul(cpu, &Matrix::new(&x[..], m, k), &mut [Product { weight: &weight, out, epilogue }]);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let gops = 2.0 * (m * n * k) as f64 / times[times.len() / 2] / 1e9;
    let peak = before.max(peak());
    println!(
        "{:7} M {m:5} N {n:6} K {k:6}  {gops:7.1} GOP/s {:5.1}% of {peak:.0}",
        format.name(),
        100.0 * gops / peak
    );
    Ok(())
}

fn decode(
    cpu: &Cpu,
    format: BlockFormat,
    m: usize,
    n: usize,
    k: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let first = matrix(format, n, k, 0)?;
    let total = std::env::var("TOTAL").map_or(200_000_000, |v| v.parse().unwrap_or(0));
    let count = (total / first.bytes().len()).max(1);
    let weights: Vec<QuantMatrix> = (0..count)
        .map(|_| QuantMatrix::from_vec(format, (n, k), first.bytes().to_vec()))
        .collect::<Result<_, _>>()?;
    let bytes = count * first.bytes().len();
    let x: Vec<f32> = (0..m * k).map(|i| (i % 37) as f32 * 0.1 - 1.8).collect();
    let mut out = vec![0.0_f32; m * n];
    let (mut reads, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        reads.push(bandwidth::read_gb_per_s(cpu, bytes));
        let start = Instant::now();
        for weight in weights.iter().cycle().take((200_000_000 / first.bytes().len()).max(1)) {
            let epilogue = Epilogue::default();
            let out = MatrixMut::new(&mut out[..], m, n);
            matmul(cpu, &Matrix::new(&x[..], m, k), &mut [Product { weight, out, epilogue }]);
        }
        let done = (200_000_000 / first.bytes().len()).max(1) * first.bytes().len();
        ours.push(done as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    reads.sort_by(f64::total_cmp);
    ours.sort_by(f64::total_cmp);
    let (read, ours, best) = (reads[3], ours[3], ours[6]);
    println!(
        "{:7} M {m:5} N {n:6} K {k:6}  {ours:6.1} GB/s (best {best:.1}) {:5.1}% of {read:.1} \
         (best {:.1})",
        format.name(),
        100.0 * ours / read,
        reads[6]
    );
    Ok(())
}
