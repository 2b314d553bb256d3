//! Products of a few rows with weights that are read where they lie: rows of F32, F16 or BF16 in
//! the bytes of a file, at any alignment.
//!
//! Sixteen weight rows pass by side by side, 16 bytes of each at a time. In registers those are
//! transposed to words, one lane a weight row, and a word becomes one unit or two (see
//! [`super::kernel`]), which meet the same units of every row of x. So an output is a lane that is
//! summed along K in the order of the packed kernels and has the same bits; weights are read once,
//! at the speed of memory, and never copied.

use std::ops::Range;

use super::kernel::{Kernel, RawLeft};
use super::matrix::{Matrix, MatrixMut};
use super::panels::depth_block;
use super::skinny::LeftRows;
use super::tile::RawTile;
use super::{Epilogue, Output};
use crate::Cpu;
use crate::cpu::quantised::words::{LANES, LINE, Lanes, Source, Words, rows_of_a_lane};
use crate::element::Precision;
use crate::quant::{BlockFormat, QuantMatrix};
use crate::simd::Simd;

/// Most rows of activations: beyond, packing the weights pays.
pub(in crate::cpu) const ROWS: usize = 16;
/// Rows of activations that pass by together; the others find the weights in L2.
const GROUP: usize = 4;
/// Bytes of a weight row that are transposed together.
const STEP: usize = 16;

/// `c = scale * x W^T (+ c) (+ residual) (+ bias)` with `x: [M, K]`, M at most [`ROWS`], and a
/// weight `[N, K]` of plain numbers, if this CPU has a kernel for it; whether it has. All were
/// checked.
pub(in crate::cpu) fn gemm(
    cpu: &Cpu,
    x: &Matrix<'_>,
    weight: &QuantMatrix,
    c: &mut MatrixMut<'_>,
    epilogue: &Epilogue<'_>,
) -> bool {
    let kernel = Kernel::new(cpu.simd, precision(weight.format()));
    let Some(strips) = strips(&kernel, weight.format()) else { return false };
    let output = Output::new(c, epilogue);
    let left = LeftRows::new(cpu, &kernel, x);
    let job = Job { kernel, strips, left: left.raw(), weight, output: &output.tile };
    let n = weight.rows();
    let of_a_lane = rows_of_a_lane(weight.row_bytes(), n.div_ceil(LANES), cpu.pool.threads());
    let of_a_task = LANES * of_a_lane;
    cpu.pool.run(n.div_ceil(of_a_task), |task| {
        // SAFETY: every task has its own columns of the output.
        unsafe { job.run(task * of_a_task..n.min((task + 1) * of_a_task)) };
    });
    true
}

/// How products with weights of a format of plain numbers are computed.
pub(in crate::cpu) fn precision(format: BlockFormat) -> Precision {
    if format == BlockFormat::Bf16 { Precision::Bf16 } else { Precision::F32 }
}

/// `(x, weights, k, sums)`: the products of some rows of x and sixteen weight rows over depth `k`.
type Strip = unsafe fn(RawLeft, Source, usize, &mut [Words; GROUP]);

/// A product as all its tasks see it.
struct Job<'a> {
    kernel: Kernel,
    /// For one row of x, two rows, and so on.
    strips: [Strip; GROUP],
    left: RawLeft,
    weight: &'a QuantMatrix,
    output: &'a RawTile,
}

// SAFETY: tasks write disjoint columns of the output; everything else is only read.
unsafe impl Sync for Job<'_> {}

impl Job<'_> {
    /// All rows of x times some weight rows: sixteen that lie `step` rows apart, then the sixteen
    /// after them.
    ///
    /// # Safety
    /// Nothing else writes these columns of the output.
    unsafe fn run(&self, cols: Range<usize>) {
        let (row_bytes, mut first) = (self.weight.row_bytes(), cols.start);
        while first < cols.end {
            let step = (cols.end - first) / LANES;
            for first in first..first + step {
                let start = self.weight.row(first).as_ptr();
                // SAFETY: the last row is `15 * step` after the first; by the caller.
                unsafe { self.strip(Source { start, row_bytes: step * row_bytes }, first, step) };
            }
            first += step * LANES;
            if step == 0 {
                // Less than sixteen.
                let bytes = &self.weight.bytes()[first * row_bytes..cols.end * row_bytes];
                let mut copy = vec![0; LANES * row_bytes];
                copy[..bytes.len()].copy_from_slice(bytes);
                // SAFETY: the copy has sixteen rows; by the caller.
                unsafe { self.strip(Source { start: copy.as_ptr(), row_bytes }, first, 1) };
                first = cols.end;
            }
        }
    }

    /// All rows of x times sixteen weight rows, columns `first`, `first + step` and so on of the
    /// output, as many as it has.
    ///
    /// # Safety
    /// The rows can be read; nothing else writes these columns.
    unsafe fn strip(&self, rows: Source, first: usize, step: usize) {
        let (k, m) = (self.weight.cols(), self.output.rows);
        let (size, block) = (self.weight.row_bytes() / k.max(1), depth_block(&self.kernel, k));
        let mut totals = [[0.0_f32; LANES]; ROWS];
        let mut sums = [Words([0; LANES]); GROUP];
        for depth in (0..k.max(1)).step_by(block) {
            let len = block.min(k - depth);
            let rows = Source { start: rows.start.wrapping_add(depth * size), ..rows };
            for group in (0..m).step_by(GROUP) {
                let count = GROUP.min(m - group);
                let offset = group * self.left.row_stride + depth / self.kernel.unit() * 4;
                let left = RawLeft { start: self.left.start.wrapping_add(offset), ..self.left };
                // SAFETY: by the caller; the CPU has the kernel's level.
                unsafe { self.strips[count - 1](left, rows, len, &mut sums) };
                for (totals, sums) in totals[group..m].iter_mut().zip(&sums) {
                    for (total, sum) in totals.iter_mut().zip(sums.0) {
                        let product = f32::from_bits(sum) * self.output.scale;
                        *total = if depth == 0 { product } else { product + *total };
                    }
                }
            }
            if depth == 0 && !self.output.add.is_null() {
                self.for_each(&mut totals, (first, step), |total, row, col| {
                    // SAFETY: inside the output.
                    *total += unsafe { self.output.added(row, col) };
                });
            }
        }
        self.for_each(&mut totals, (first, step), |total, row, col| {
            // SAFETY: inside the output; by the caller.
            unsafe { self.output.finish(row, col, *total) };
        });
    }

    /// Calls `f` with each total that has a place in the output, its row and its column.
    #[inline(always)]
    fn for_each(
        &self,
        totals: &mut [[f32; LANES]; ROWS],
        (first, step): (usize, usize),
        mut f: impl FnMut(&mut f32, usize, usize),
    ) {
        for (row, totals) in totals.iter_mut().enumerate().take(self.output.rows) {
            for (total, col) in totals.iter_mut().zip((first..self.output.cols).step_by(step)) {
                f(total, row, col);
            }
        }
    }
}

/// How numbers lie in words, and how they are multiplied.
trait Numbers<V: Lanes> {
    /// Bytes of a number.
    const BYTES: usize;
    /// Units that a word becomes.
    const UNITS: usize;
    /// Unit `index` of each word.
    fn unit(words: V, index: usize) -> V;
    #[inline(always)]
    fn multiply_add(sum: V, unit: V, x: V) -> V {
        unit.multiply_add(x, sum)
    }
}

/// A unit for each f32.
enum F32 {}
/// A unit for each f16, widened.
enum F16 {}
/// A unit for each bf16, widened.
enum Bf16 {}
/// A unit for two bf16.
enum Bf16Pairs {}

impl<V: Lanes> Numbers<V> for F32 {
    const BYTES: usize = 4;
    const UNITS: usize = 1;

    #[inline(always)]
    fn unit(words: V, _: usize) -> V {
        words
    }
}

impl<V: Lanes> Numbers<V> for F16 {
    const BYTES: usize = 2;
    const UNITS: usize = 2;

    #[inline(always)]
    fn unit(words: V, index: usize) -> V {
        words.shift_right(16 * index).f16_to_f32()
    }
}

impl<V: Lanes> Numbers<V> for Bf16 {
    const BYTES: usize = 2;
    const UNITS: usize = 2;

    #[inline(always)]
    fn unit(words: V, index: usize) -> V {
        if index == 0 { words.shift_left(16) } else { words.and(0xffff_0000) }
    }
}

/// The body of every [`Strip`].
///
/// # Safety
/// `R` rows of x and sixteen of the weights can be read over depth `k`, and the CPU has the
/// instructions of `V`.
#[inline(always)]
unsafe fn strip<V: Lanes, N: Numbers<V>, const R: usize>(
    mut x: RawLeft,
    mut rows: Source,
    k: usize,
    sums: &mut [Words; GROUP],
) {
    // SAFETY: by the caller.
    unsafe {
        let mut totals = [V::splat(0); R];
        let numbers = STEP / N::BYTES;
        for step in 0..k / numbers {
            if step.is_multiple_of(LINE / STEP) {
                rows.prefetch(0, LINE);
            }
            add_step::<V, N, R>(&mut totals, x, rows, 4 * N::UNITS);
            x.start = x.start.add(4 * 4 * N::UNITS);
            rows.start = rows.start.add(STEP);
        }
        let rest = k % numbers;
        if rest > 0 {
            // The numbers after them may be of other rows, or of nobody.
            let (mut weights_copy, mut x_copy) = ([Words([0; LANES]); 4], [Words([0; LANES]); R]);
            let start = weights_copy.as_mut_ptr().cast::<u8>();
            for row in 0..LANES {
                let from = rows.start.add(row * rows.row_bytes);
                start.add(row * STEP).copy_from_nonoverlapping(from, rest * N::BYTES);
            }
            for (row, copy) in x_copy.iter_mut().enumerate() {
                let from = x.start.add(row * x.row_stride);
                let bytes = rest * N::BYTES * N::UNITS;
                copy.0.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(from, bytes);
            }
            let rows = Source { start, row_bytes: STEP };
            let row_stride = size_of::<Words>();
            let x = RawLeft { start: x_copy.as_ptr().cast(), row_stride, packed: false };
            let units = (rest * N::BYTES * N::UNITS).div_ceil(4);
            add_step::<V, N, R>(&mut totals, x, rows, units);
        }
        for (total, sums) in totals.iter().zip(sums) {
            total.store(sums);
        }
    }
}

/// Adds the products of the first `units` units of 16 bytes of sixteen weight rows.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn add_step<V: Lanes, N: Numbers<V>, const R: usize>(
    totals: &mut [V; R],
    x: RawLeft,
    rows: Source,
    units: usize,
) {
    // SAFETY: by the caller.
    unsafe {
        let words = V::four_words(rows.start, rows.row_bytes);
        for index in 0..4 * N::UNITS {
            if index >= units {
                return;
            }
            let unit = N::unit(words[index / N::UNITS], index % N::UNITS);
            for (row, total) in totals.iter_mut().enumerate() {
                let of_x = x.start.add(row * x.row_stride + 4 * index).cast::<u32>();
                *total = N::multiply_add(*total, unit, V::splat(of_x.read_unaligned()));
            }
        }
    }
}

/// The kernels of a CPU for weights of a format; none where it has no vectors.
fn strips(kernel: &Kernel, format: BlockFormat) -> Option<[Strip; GROUP]> {
    #[cfg(target_arch = "x86_64")]
    return levels::strips(kernel.simd(), format);
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The body compiled for each level.
#[cfg(target_arch = "x86_64")]
mod levels {
    use super::*;
    use crate::cpu::quantised::avx2::Ymm;
    use crate::cpu::quantised::avx512::Zmm;

    impl Numbers<Zmm> for Bf16Pairs {
        const BYTES: usize = 2;
        const UNITS: usize = 1;

        #[inline(always)]
        fn unit(words: Zmm, _: usize) -> Zmm {
            words
        }
        #[inline(always)]
        fn multiply_add(sum: Zmm, unit: Zmm, x: Zmm) -> Zmm {
            sum.add_bf16_products(x, unit)
        }
    }

    macro_rules! level {
        ($name:ident, $lanes:ty, $features:literal) => {
            fn $name<N: Numbers<$lanes>>() -> Option<[Strip; GROUP]> {
                #[target_feature(enable = $features)]
                unsafe fn rows<N: Numbers<$lanes>, const R: usize>(
                    x: RawLeft,
                    rows: Source,
                    k: usize,
                    sums: &mut [Words; GROUP],
                ) {
                    // SAFETY: passed on to the caller; the features are those of this function.
                    unsafe { strip::<$lanes, N, R>(x, rows, k, sums) }
                }
                Some([rows::<N, 1>, rows::<N, 2>, rows::<N, 3>, rows::<N, 4>])
            }
        };
    }
    level!(avx2, Ymm, "avx2,fma,f16c");
    level!(avx512, Zmm, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c");
    level!(avx512_bf16, Zmm, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c");

    pub(super) fn strips(simd: Simd, format: BlockFormat) -> Option<[Strip; GROUP]> {
        match (simd, format) {
            (Simd::Avx2, BlockFormat::F32) => avx2::<F32>(),
            (Simd::Avx2, BlockFormat::F16) => avx2::<F16>(),
            (Simd::Avx2, BlockFormat::Bf16) => avx2::<Bf16>(),
            (Simd::Avx512Bf16, BlockFormat::Bf16) => avx512_bf16::<Bf16Pairs>(),
            (Simd::Avx512 | Simd::Avx512Bf16, BlockFormat::F32) => avx512::<F32>(),
            (Simd::Avx512 | Simd::Avx512Bf16, BlockFormat::F16) => avx512::<F16>(),
            (Simd::Avx512, BlockFormat::Bf16) => avx512::<Bf16>(),
            _ => None,
        }
    }
}
