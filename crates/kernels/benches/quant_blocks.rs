//! How fast blocks are made and read, on one thread: `cargo bench -p danlu-kernels --bench
//! quant_blocks`. Prints millions of numbers per second.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use danlu_kernels::quant::BlockFormat;

const NUMBERS: usize = 1 << 18;
const REPEATS: usize = 5;

fn main() {
    let values: Vec<f32> = (0..NUMBERS).map(|i| ((i as f32 * 0.7).sin()) * 0.02).collect();
    println!("{:>8} {:>12} {:>12} {:>14}", "format", "quantize", "importance", "dequantize");
    for &format in BlockFormat::ALL {
        let mut bytes = vec![0; format.row_bytes(NUMBERS).unwrap()];
        let mut read = vec![0.0; NUMBERS];
        let importance = vec![1.0; NUMBERS];
        let quantize = best(|| format.quantize(&values, None, &mut bytes).unwrap());
        let weighted = best(|| format.quantize(&values, Some(&importance), &mut bytes).unwrap());
        let dequantize = best(|| format.dequantize(&bytes, &mut read));
        println!("{format:>8} {quantize:>12.1} {weighted:>12.1} {dequantize:>14.1}");
    }
}

/// Millions of numbers per second, the best of some runs.
fn best(mut run: impl FnMut()) -> f64 {
    let times = (0..REPEATS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    NUMBERS as f64 / times.fold(f64::INFINITY, f64::min) / 1e6
}
