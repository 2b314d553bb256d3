//! Which vector instructions this CPU has, found once at run time.
//!
//! Levels are ordered: a higher one can run everything a lower one can. The highest is not always
//! the fastest; [`preferred`] knows. `DANLU_SIMD` forces a level so that every path can be tested
//! on one machine.

/// An instruction level. `Portable` is plain Rust and runs everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// Plain Rust, any CPU.
    Portable,
    /// AVX2 with fused multiply-add (x86-64-v3).
    Avx2,
    /// AVX-512 F, BW, DQ and VL (x86-64-v4).
    Avx512,
    /// AVX-512 with `vdpbf16ps`: two bf16 products added into an f32 lane.
    Avx512Bf16,
}

/// Every level with the name that `DANLU_SIMD` and reports use.
pub const LEVELS: &[(Simd, &str)] = &[
    (Simd::Portable, "portable"),
    (Simd::Avx2, "avx2"),
    (Simd::Avx512, "avx512"),
    (Simd::Avx512Bf16, "avx512_bf16"),
];

/// `DANLU_SIMD` asked for something this CPU or this program does not have.
#[derive(Debug, thiserror::Error)]
#[error(
    "DANLU_SIMD={asked} cannot be used: this CPU has {}; choose one of portable, avx2, avx512, \
     avx512_bf16 up to that level",
    detect().name()
)]
pub struct UnsupportedSimd {
    asked: String,
}

impl Simd {
    /// The name used by `DANLU_SIMD`, `doctor` and benchmark reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|(level, _)| *level == self).map_or("unknown", |(_, name)| name)
    }

    /// Every level this CPU can execute, lowest first.
    pub fn available() -> impl Iterator<Item = Simd> {
        let best = detect();
        LEVELS.iter().map(|(level, _)| *level).filter(move |level| *level <= best)
    }
}

/// The best level of this CPU.
#[must_use]
pub fn detect() -> Simd {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx512 && is_x86_feature_detected!("avx512bf16") {
            return Simd::Avx512Bf16;
        }
        if avx512 {
            return Simd::Avx512;
        }
        if avx2 {
            return Simd::Avx2;
        }
    }
    Simd::Portable
}

/// The fastest level of this CPU: [`detect`], but for one case.
///
/// Intel's cores (Sapphire Rapids and its kin) finish a `vdpbf16ps` of 32 products every second
/// cycle and two multiply-adds of 16 products every cycle: bf16 widened to f32 is multiplied twice
/// as fast there (162 against 340 GFLOP/s measured on two cores). AMD's cores finish one
/// `vdpbf16ps` and one multiply-add a cycle.
#[must_use]
pub fn preferred() -> Simd {
    let best = detect();
    if best == Simd::Avx512Bf16 && is_intel() { Simd::Avx512 } else { best }
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    let name = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
    name.as_flattened() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

/// The level named by `DANLU_SIMD`, or [`preferred`] when the variable is not set.
///
/// # Errors
/// When the variable names an unknown level or one this CPU lacks.
pub fn from_environment() -> Result<Simd, UnsupportedSimd> {
    let Ok(asked) = std::env::var("DANLU_SIMD") else { return Ok(preferred()) };
    LEVELS
        .iter()
        .find(|(level, name)| *name == asked && *level <= detect())
        .map(|(level, _)| *level)
        .ok_or(UnsupportedSimd { asked })
}
