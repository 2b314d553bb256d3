//! Prints how fast products are, in GFLOP/s and as a share of the peak measured around each of
//! them: `cargo bench -p danlu-kernels --bench gemm -- [f32|bf16] [THREADS] [PART OF A NAME]`.
#![allow(clippy::print_stdout)]

use danlu_kernels::cpu::gemm::speed::{Operands, SHAPES, gflops};
use danlu_kernels::cpu::{bandwidth, peak};
use danlu_kernels::{Cpu, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let precision = match arguments.next().as_deref() {
        None | Some("bf16") => Precision::Bf16,
        Some("f32") => Precision::F32,
        Some(other) => return Err(format!("expected f32 or bf16, not {other}").into()),
    };
    let threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    let part = arguments.next().unwrap_or_default();
    let cpu = Cpu::new(threads)?;
    let peak = || match precision {
        Precision::F32 => peak::fma_f32_gflops(&cpu, threads),
        Precision::Bf16 => peak::vdpbf16ps_gflops(&cpu, threads)
            .unwrap_or_else(|| peak::fma_f32_gflops(&cpu, threads)),
    };
    println!("{precision:?}, {threads} threads, {}", cpu.simd.name());
    println!("memory: {:.1} GB/s", bandwidth::read_gb_per_s(&cpu, 256 << 20));
    println!("operands in memory, then in the shared cache; GFLOP/s and share of the peak");
    println!("{:24} {:>6} {:>6} {:>6} {:>16} {:>16}", "", "M", "N", "K", "memory", "cache");
    let (mut work, mut time) = (0.0, [0.0; 2]);
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&part)) {
        let (m, n, k) = shape.mnk;
        print!("{:24} {m:6} {n:6} {k:6}", shape.name);
        work += (m * n * k) as f64;
        for (operands, time) in [Operands::InMemory, Operands::InCache].into_iter().zip(&mut time) {
            let before = peak();
            let gflops = gflops(&cpu, precision, shape, operands);
            let share = gflops / before.max(peak());
            print!(" {gflops:8.1} {:6.1}%", 100.0 * share);
            *time += (m * n * k) as f64 / share;
        }
        println!();
    }
    let [memory, cache] = time.map(|time| 100.0 * work / time);
    println!("all of them: {memory:.1}% of peak from memory, {cache:.1}% from cache");
    Ok(())
}
