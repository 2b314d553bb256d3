//! From a CPU's level and a precision to the code that is compiled for them.

use super::AttentionShape;
use super::raw::RawRows;
use super::sight::Rule;
use super::vector::{Portable, Rounded, Single, Unit};
#[cfg(target_arch = "x86_64")]
use super::x86::{Bf16Pairs, F32x8, F32x16};
use crate::{Cpu, Precision, Simd};

/// What every task of an attention reads.
pub(super) struct Problem<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) shape: &'a AttentionShape,
    pub(super) q: RawRows,
    pub(super) k: RawRows,
    pub(super) v: RawRows,
    pub(super) segments: Option<&'a [u32]>,
    pub(super) key_lens: Option<&'a [usize]>,
}

impl Problem<'_> {
    /// Number of keys of batch element `b`.
    pub(super) fn key_len(&self, b: usize) -> usize {
        self.key_lens.map_or(self.shape.key_len, |lens| lens[b])
    }

    /// Who sees whom in batch element `b`.
    pub(super) fn rule(&self, b: usize) -> Rule {
        let segments = self.segments.map(|all| &all[b * self.shape.key_len..]);
        Rule::new(&self.cpu.arena, self.shape, self.key_len(b), segments)
    }
}

/// Work in numbered tasks that is written once for all levels.
pub(super) trait Work: Sync {
    /// Runs one task with register tiles of `ROWS` rows and `VECTORS` registers. Implementations
    /// are inlined into a function that is compiled for the level.
    ///
    /// # Safety
    /// The CPU has the level of `U`, and each task runs once.
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize);
}

/// Runs `count` tasks at the level of `cpu`.
pub(super) fn run_tasks<W: Work>(cpu: &Cpu, precision: Precision, work: &W, count: usize) {
    let task: unsafe fn(&W, usize) = match (cpu.simd, precision) {
        #[cfg(target_arch = "x86_64")]
        (Simd::Avx512Bf16, Precision::Bf16) => avx512_bf16,
        #[cfg(target_arch = "x86_64")]
        (Simd::Avx512, Precision::Bf16) => avx512::<W, Rounded<F32x16>>,
        #[cfg(target_arch = "x86_64")]
        (Simd::Avx512 | Simd::Avx512Bf16, Precision::F32) => avx512::<W, Single<F32x16>>,
        #[cfg(target_arch = "x86_64")]
        (Simd::Avx2, Precision::Bf16) => avx2::<W, Rounded<F32x8>>,
        #[cfg(target_arch = "x86_64")]
        (Simd::Avx2, Precision::F32) => avx2::<W, Single<F32x8>>,
        (_, Precision::Bf16) => portable::<W, Rounded<Portable>>,
        (_, Precision::F32) => portable::<W, Single<Portable>>,
    };
    // SAFETY: `Cpu` exists only at a level that this machine has; the pool runs each task once.
    cpu.pool.run(count, |index| unsafe { task(work, index) });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn avx512_bf16<W: Work>(work: &W, task: usize) {
    // SAFETY: passed on to the caller.
    unsafe { work.run::<Bf16Pairs, 8, 2>(task) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512<W: Work, U: Unit>(work: &W, task: usize) {
    // SAFETY: passed on to the caller.
    unsafe { work.run::<U, 8, 2>(task) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<W: Work, U: Unit>(work: &W, task: usize) {
    // SAFETY: passed on to the caller.
    unsafe { work.run::<U, 4, 2>(task) }
}

unsafe fn portable<W: Work, U: Unit>(work: &W, task: usize) {
    // SAFETY: passed on to the caller.
    unsafe { work.run::<U, 4, 1>(task) }
}
