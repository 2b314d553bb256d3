//! One body, every instruction level: how a kernel's plain loop becomes AVX-512, AVX2 or portable.
//!
//! A kernel writes its loop once as an `#[inline(always)]` function that is generic over [`Level`].
//! [`at_level!`] inlines it into a function that is compiled for the instructions that
//! [`Cpu::simd`](crate::Cpu::simd) names, and the compiler vectorises it there.
#![allow(unsafe_code)]

/// What a body may know about the level it is compiled for.
pub(crate) trait Level {
    /// Whether `a * b + c` is one instruction with one rounding.
    const FUSED: bool;

    /// `a * b + c`, fused where the level has the instruction. (Without it, `f32::mul_add` would
    /// be a slow library call.)
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        if Self::FUSED { a.mul_add(b, c) } else { a * b + c }
    }
}

/// Whatever the compilation target has, and no more.
pub(crate) enum Portable {}

impl Level for Portable {
    const FUSED: bool = false;
}

/// AVX2 or AVX-512: both have fused multiply-add.
#[cfg(target_arch = "x86_64")]
pub(crate) enum Fused {}

#[cfg(target_arch = "x86_64")]
impl Level for Fused {
    const FUSED: bool = true;
}

/// Runs `body` compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn with_avx2<R>(body: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2,fma")]
    fn compiled<R>(body: impl FnOnce() -> R) -> R {
        body()
    }
    assert!(crate::simd::detect() >= crate::Simd::Avx2, "this CPU has no AVX2");
    // SAFETY: the assertion has just found every instruction that `compiled` enables.
    unsafe { compiled(body) }
}

/// Runs `body` compiled for AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn with_avx512<R>(body: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn compiled<R>(body: impl FnOnce() -> R) -> R {
        body()
    }
    assert!(crate::simd::detect() >= crate::Simd::Avx512, "this CPU has no AVX-512");
    // SAFETY: the assertion has just found every instruction that `compiled` enables.
    unsafe { compiled(body) }
}

/// `at_level!(cpu, L => body::<L>(..))`: evaluates the expression with `L` bound to the [`Level`]
/// of `cpu.simd`, compiled for its instructions. `body`, and every closure in it that calls a
/// function of `L`, must be `#[inline(always)]`: what stays outside is compiled without them.
macro_rules! at_level {
    ($cpu:expr, $level:ident => $body:expr) => {
        match $cpu.simd {
            #[cfg(target_arch = "x86_64")]
            $crate::Simd::Avx512 | $crate::Simd::Avx512Bf16 => $crate::cpu::dispatch::with_avx512(
                #[inline(always)]
                || {
                    #[allow(dead_code)]
                    type $level = $crate::cpu::dispatch::Fused;
                    $body
                },
            ),
            #[cfg(target_arch = "x86_64")]
            $crate::Simd::Avx2 => $crate::cpu::dispatch::with_avx2(
                #[inline(always)]
                || {
                    #[allow(dead_code)]
                    type $level = $crate::cpu::dispatch::Fused;
                    $body
                },
            ),
            _ => {
                #[allow(dead_code)]
                type $level = $crate::cpu::dispatch::Portable;
                $body
            }
        }
    };
}
pub(crate) use at_level;
