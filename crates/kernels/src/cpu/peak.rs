//! The arithmetic limit of this CPU, measured: multiply-adds on registers only, nothing else.
//!
//! A share of this number says how much of the machine a product or a training step uses.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use crate::Cpu;
use crate::simd::Simd;

/// Independent sums: more than the latency of a multiply-add times its throughput, and few enough
/// for the 16 registers of AVX2.
const SUMS: usize = 12;
/// Rounds of a measurement, about a hundredth of a second.
const ROUNDS: usize = 2_000_000;
/// Measurements, of which the best counts: nothing but interruptions makes one slower.
const REPEATS: usize = 5;

/// f32 multiply-adds in GFLOP/s (two operations each) of `threads` threads at the CPU's level.
///
/// # Panics
/// When the CPU has fewer threads.
#[must_use]
pub fn fma_f32_gflops(cpu: &Cpu, threads: usize) -> f64 {
    match cpu.simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 | Simd::Avx512Bf16 => {
            // SAFETY: `Cpu` exists only at a level that this machine has.
            best(cpu, threads, 32, || unsafe { x86::fma_avx512() })
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Simd::Avx2 => best(cpu, threads, 16, || unsafe { x86::fma_avx2() }),
        _ => best(cpu, threads, 8, multiply_add_portable),
    }
}

/// bf16 products added in f32 by `vdpbf16ps`, in GFLOP/s of `threads` threads; `None` where the
/// CPU's level has no such instruction.
///
/// # Panics
/// When the CPU has fewer threads.
#[must_use]
pub fn vdpbf16ps_gflops(cpu: &Cpu, threads: usize) -> Option<f64> {
    match cpu.simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512Bf16 => {
            // SAFETY: `Cpu` exists only at a level that this machine has.
            Some(best(cpu, threads, 64, || unsafe { x86::dot_bf16() }))
        }
        _ => None,
    }
}

/// int8 products added in 32 bits by `vpdpbusd`, in GOP/s of `threads` threads; `None` where the
/// CPU's level has no such instruction.
///
/// # Panics
/// When the CPU has fewer threads.
#[must_use]
pub fn vpdpbusd_gops(cpu: &Cpu, threads: usize) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if cpu.simd >= Simd::Avx512 && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: both features were found.
        return Some(best(cpu, threads, 128, || unsafe { x86::dot_int8() }));
    }
    let _ = (cpu, threads);
    None
}

/// The best of some measurements of `work`, which does `ROUNDS * SUMS` operations of `flops` each.
fn best(cpu: &Cpu, threads: usize, flops: usize, work: impl Fn() + Sync) -> f64 {
    let have = cpu.pool.threads();
    assert!((1..=have).contains(&threads), "{threads} threads were asked for, there are {have}");
    let seconds = |()| {
        let start = Instant::now();
        cpu.pool.run(threads, |_| work());
        start.elapsed().as_secs_f64()
    };
    let shortest = [(); REPEATS].map(seconds).into_iter().fold(f64::INFINITY, f64::min);
    (threads * ROUNDS * SUMS * flops) as f64 / shortest / 1e9
}

fn multiply_add_portable() {
    let (a, b) = (black_box([0.5_f32; 4]), black_box([1.0_f32; 4]));
    let mut sums = [[0.0_f32; 4]; SUMS];
    for _ in 0..ROUNDS {
        for sums in &mut sums {
            for lane in 0..4 {
                sums[lane] = sums[lane] * a[lane] + b[lane];
            }
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ROUNDS, SUMS, black_box};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) fn fma_avx512() {
        let (a, b) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(1.0)));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn dot_bf16() {
        let zero = _mm512_setzero_ps();
        let (a, b) = (black_box(_mm512_cvtneps_pbh(zero)), black_box(_mm512_cvtneps_pbh(zero)));
        // SAFETY: same size, any bit pattern is a value.
        let pair = |half: __m256bh| unsafe {
            let half: __m256i = std::mem::transmute(half);
            std::mem::transmute::<__m512i, __m512bh>(_mm512_broadcast_i64x4(half))
        };
        let (a, b) = (pair(a), pair(b));
        let mut sums = [zero; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn dot_int8() {
        let (a, b) = (black_box(_mm512_set1_epi8(1)), black_box(_mm512_set1_epi8(-1)));
        let mut sums = [_mm512_setzero_si512(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fma_avx2() {
        let (a, b) = (black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(1.0)));
        let mut sums = [_mm256_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_positive_and_bf16_exists_exactly_where_the_instruction_does() {
        for simd in Simd::available() {
            let cpu = Cpu::with_simd(1, simd);
            assert!(fma_f32_gflops(&cpu, 1) > 0.1, "{}", simd.name());
            let bf16 = vdpbf16ps_gflops(&cpu, 1);
            assert_eq!(bf16.is_some_and(|gflops| gflops > 0.1), simd == Simd::Avx512Bf16);
        }
    }
}
