//! How fast this machine reads memory, measured: the limit of decoding and of optimiser steps.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use crate::Cpu;
use crate::simd::Simd;

/// Numbers of a task: 1 MiB.
const CHUNK: usize = (1 << 20) / size_of::<u64>();
/// Numbers added side by side, several vectors of any width.
const LANES: usize = 64;
/// Passes over the memory; the median counts.
const PASSES: usize = 5;

/// Gigabytes (10^9) a second that all threads together read from `bytes` of memory, the median of
/// some passes. `bytes` well beyond the last cache measures memory, less measures that cache.
#[must_use]
pub fn read_gb_per_s(cpu: &Cpu, bytes: usize) -> f64 {
    let len = (bytes / size_of::<u64>()).next_multiple_of(LANES).max(LANES);
    let mut memory = cpu.arena.buffer::<u64>(len);
    cpu.pool.for_each_chunk(&mut memory, CHUNK, |_, chunk| chunk.fill(1));
    let mut seconds = [(); PASSES].map(|()| {
        let start = Instant::now();
        cpu.pool.run(len.div_ceil(CHUNK), |task| {
            let chunk = &memory[task * CHUNK..((task + 1) * CHUNK).min(len)];
            black_box(sum(cpu.simd, chunk));
        });
        start.elapsed().as_secs_f64()
    });
    seconds.sort_by(f64::total_cmp);
    (len * size_of::<u64>()) as f64 / seconds[PASSES / 2] / 1e9
}

fn sum(simd: Simd, numbers: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512(numbers: &[u64]) -> u64 {
            sum_lanes(numbers)
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(numbers: &[u64]) -> u64 {
            sum_lanes(numbers)
        }
        match simd {
            // SAFETY: `Cpu` exists only at a level that this machine has.
            Simd::Avx512 | Simd::Avx512Bf16 => return unsafe { avx512(numbers) },
            // SAFETY: as above.
            Simd::Avx2 => return unsafe { avx2(numbers) },
            Simd::Portable => {}
        }
    }
    let _ = simd;
    sum_lanes(numbers)
}

#[inline(always)]
fn sum_lanes(numbers: &[u64]) -> u64 {
    let mut sums = [0_u64; LANES];
    for numbers in numbers.chunks_exact(LANES) {
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum = sum.wrapping_add(*number);
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_read_at_every_level() {
        let numbers: Vec<u64> = (0..LANES as u64 * 9).collect();
        for level in Simd::available() {
            assert_eq!(sum(level, &numbers), numbers.iter().sum());
            assert!(read_gb_per_s(&Cpu::with_simd(2, level), 8 << 20) > 0.01);
        }
    }
}
