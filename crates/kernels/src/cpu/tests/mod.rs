//! Laws of the elementwise and row kernels: against f64, on every instruction level, with 1, 2 and
//! 4 threads, for both number types, on odd sizes, with canaries behind every output.

mod activations;
mod flat;
mod loss;
mod math;
mod norms;
mod optimisers;
mod rows;

use std::fmt::Debug;

use crate::rng::Philox;
use crate::{Cpu, Element, Simd};

/// Widths of rows: around one register, a model's, and one that is neither even nor large.
const WIDTHS: &[usize] = &[1, 15, 16, 17, 384, 1000];

/// Elements behind an output that no kernel may touch.
const CANARIES: usize = 40;

/// Runs a kernel on every level this machine has, with 1, 2 and 4 threads. The bits must not depend
/// on the threads; `check` judges each level.
fn on_every_cpu<R: PartialEq + Debug>(run: impl Fn(&Cpu) -> R, check: impl Fn(R)) {
    for simd in Simd::available() {
        let one = run(&Cpu::with_simd(1, simd));
        for threads in [2, 4] {
            let many = run(&Cpu::with_simd(threads, simd));
            assert!(one == many, "{simd:?}: {threads} threads give other bits than one");
        }
        check(one);
    }
}

/// An output of `len` elements filled with `old`, off its natural alignment, with canaries behind.
struct Output<T> {
    memory: Vec<T>,
    len: usize,
}

impl<T: Element> Output<T> {
    fn new(len: usize, old: f32) -> Self {
        let mut memory = vec![T::from_f32(old); len + 1];
        memory.resize(len + 1 + CANARIES, T::from_f32(-77.0));
        Self { memory, len }
    }

    fn with(values: &[f32]) -> Self {
        let mut output = Self::new(values.len(), 0.0);
        for (out, &value) in output.slice().iter_mut().zip(values) {
            *out = T::from_f32(value);
        }
        output
    }

    fn slice(&mut self) -> &mut [T] {
        &mut self.memory[1..=self.len]
    }

    /// The bits of what was written, after a look at the canaries.
    fn bits(&self) -> Vec<u32> {
        let canaries = &self.memory[self.len + 1..];
        assert!(canaries.iter().all(|c| c.to_f32() == -77.0), "wrote past the end");
        self.memory[1..=self.len].iter().map(|value| value.to_f32().to_bits()).collect()
    }
}

/// `n` numbers like activations, already rounded to `T`.
fn normals<T: Element>(n: usize, stream: u64) -> Vec<T> {
    let philox = Philox::new(2026, stream);
    (0..n as u64).map(|i| T::from_f32(philox.normal(i) as f32)).collect()
}

fn to_f64<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| f64::from(value.to_f32())).collect()
}

/// The error that storing a result in `T` may add, as a share of the result.
fn rounding<T: Element>() -> f64 {
    if size_of::<T>() == 2 { 1.0 / 256.0 } else { 0.0 }
}

/// Every value within `relative` of its own size plus `absolute`, of what it should be.
fn assert_close(what: &str, bits: &[u32], want: &[f64], relative: f64, absolute: f64) {
    assert_eq!(bits.len(), want.len(), "{what}: length");
    for (i, (&bits, &want)) in bits.iter().zip(want).enumerate() {
        let got = f64::from(f32::from_bits(bits));
        let error = (got - want).abs();
        assert!(error <= relative * want.abs() + absolute, "{what}[{i}]: {got}, should be {want}");
    }
}

/// The gradient of `f` at `x` by central differences in f64.
fn slope(f: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut moved = x.to_vec();
    (0..x.len())
        .map(|i| {
            moved[i] = x[i] + STEP;
            let above = f(&moved);
            moved[i] = x[i] - STEP;
            let below = f(&moved);
            moved[i] = x[i];
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The error function by a series whose terms all have one sign.
fn erf_f64(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, 0.0);
    for n in 1..200 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}
