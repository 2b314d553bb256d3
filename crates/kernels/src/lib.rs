//! Loops on slices: the arithmetic of Danlu and everything `unsafe` it needs.
//!
//! Read in this order: [`simd`] (what this CPU can do), [`par`] (the thread pool), [`arena`]
//! (memory that is reused from step to step), [`element`] (f32 and bf16), [`rng`] (counter-based
//! random numbers), [`quant`] (quantised weights, one file per format), then [`cpu`], one file per
//! operation, each with its backward beside it.
//!
//! **Invariants.** A kernel knows rows, columns and strides, never a tensor or a layer. It
//! allocates nothing but scratch from the arena. Its result has the same bits for any number of
//! threads: work is cut into chunks that do not depend on the thread count, and partial sums are
//! added in order.

pub mod arena;
pub mod cpu;
pub mod element;
pub mod par;
pub mod quant;
pub mod rng;
pub mod simd;

pub use arena::{Arena, Buffer};
pub use element::{Element, Precision};
pub use half::bf16;
pub use par::Pool;
pub use simd::Simd;

/// The CPU as a value: its threads, its instruction level and its memory.
#[derive(Debug)]
pub struct Cpu {
    /// The threads every kernel runs on.
    pub pool: Pool,
    /// The instruction set every kernel dispatches on.
    pub simd: Simd,
    /// Where outputs and scratch come from.
    pub arena: Arena,
}

impl Cpu {
    /// A CPU with `threads` threads (at least one) at the best instruction level found, or at the
    /// one that the environment variable `DANLU_SIMD` names.
    ///
    /// # Errors
    /// When `DANLU_SIMD` names an unknown level or one this CPU lacks.
    pub fn new(threads: usize) -> Result<Self, simd::UnsupportedSimd> {
        Ok(Self::with_simd(threads, simd::from_environment()?))
    }

    /// A CPU with `threads` threads at a given level; tests use it to run every level.
    ///
    /// # Panics
    /// When this machine cannot execute `simd`.
    #[must_use]
    pub fn with_simd(threads: usize, simd: Simd) -> Self {
        assert!(
            simd <= simd::detect(),
            "{simd:?} was asked for, this CPU has {:?}",
            simd::detect()
        );
        Self { pool: Pool::new(threads), simd, arena: Arena::new() }
    }
}
