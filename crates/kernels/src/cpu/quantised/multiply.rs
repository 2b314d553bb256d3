//! The micro-kernels, written once for all instruction levels.
//!
//! The products of a block of 32 are added as integers, exactly; what is rounded is
//! `product = integer * scale (+ minimum * sum of x)` and `sum += product * scale of x`, in the
//! order of blocks. So every level, every number of rows and both ways to get at the weights give
//! the same bits.

// Rows and strips index several arrays at once.
#![allow(clippy::needless_range_loop)]

use super::kernel::{
    ActivationBlock, COLS, Format, Kind, Level, Rows, STRIPS, Sink, Tile, UNITS, WeightBlock,
};
use super::words::{Columns, Lanes, Source, Words};

/// A block of weights, in registers or in a tile.
trait Weights<V> {
    fn quants(&self, strip: usize, unit: usize) -> V;
    fn scale(&self, strip: usize, part: usize) -> V;
    fn minimum(&self, strip: usize, part: usize) -> V;
}

impl<V: Lanes, const S: usize> Weights<V> for [&WeightBlock; S] {
    #[inline(always)]
    fn quants(&self, strip: usize, unit: usize) -> V {
        // SAFETY: only a kernel of the level calls this.
        unsafe { V::load(&self[strip].quants[unit]) }
    }
    #[inline(always)]
    fn scale(&self, strip: usize, part: usize) -> V {
        // SAFETY: only a kernel of the level calls this.
        unsafe { V::load(&self[strip].scales[part]) }
    }
    #[inline(always)]
    fn minimum(&self, strip: usize, part: usize) -> V {
        // SAFETY: only a kernel of the level calls this.
        unsafe { V::load(&self[strip].minima[part]) }
    }
}

/// A strip in registers.
struct Registers<V> {
    quants: [V; UNITS],
    scales: [V; 2],
    minima: [V; 2],
}

impl<V: Lanes> Weights<V> for Registers<V> {
    #[inline(always)]
    fn quants(&self, _: usize, unit: usize) -> V {
        self.quants[unit]
    }
    #[inline(always)]
    fn scale(&self, _: usize, part: usize) -> V {
        self.scales[part]
    }
    #[inline(always)]
    fn minimum(&self, _: usize, part: usize) -> V {
        self.minima[part]
    }
}

/// Adds one block's products of `R` rows and `S` strips to their sums.
///
/// # Safety
/// The rows can be read, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn add_block<V: Lanes, K: Kind, const R: usize, const S: usize>(
    sums: &mut [[V; S]; R],
    x: [&ActivationBlock; R],
    weights: &impl Weights<V>,
    zero: i32,
) {
    // SAFETY: passed on to the caller.
    let splat = |number: f32| unsafe { V::splat(number.to_bits()) };
    let mut products = *sums;
    for part in 0..K::SCALES {
        let which = if K::SCALES == 1 { 0 } else { 1 + part };
        let mut dots = *sums;
        for (dots, x) in dots.iter_mut().zip(x) {
            let exact = K::MINIMA || K::WIDE && V::CENTRES_WIDE;
            let start = if exact { 0 } else { x.sums[which].wrapping_mul(-zero) };
            // SAFETY: passed on to the caller.
            *dots = [unsafe { V::splat(start as u32) }; S];
        }
        // Of one row and strip, every other product goes to sums of its own: added one by one they
        // would wait for each other. Integers add to the same.
        // SAFETY: passed on to the caller.
        let mut others = [[unsafe { V::splat(0) }; S]; R];
        for unit in part * UNITS / K::SCALES..(part + 1) * UNITS / K::SCALES {
            let dots = if R * S == 1 && unit % 2 == 1 { &mut others } else { &mut dots };
            for strip in 0..S {
                let quants = weights.quants(strip, unit);
                for (dots, x) in dots.iter_mut().zip(x) {
                    // SAFETY: four of 32 bytes.
                    let four = unsafe { x.quants.as_ptr().add(4 * unit).cast::<i32>().read() };
                    dots[strip] = dots[strip].add_products(quants, four, K::WIDE);
                }
            }
        }
        if R * S == 1 {
            dots[0][0] = dots[0][0].add(others[0][0]);
        }
        for strip in 0..S {
            let scale = weights.scale(strip, part);
            for (products, dots) in products.iter_mut().zip(dots) {
                products[strip] = if part == 0 {
                    dots[strip].times_f32(scale)
                } else {
                    dots[strip].times_f32_plus(scale, products[strip])
                };
            }
            if K::MINIMA {
                let minimum = weights.minimum(strip, part);
                for (products, x) in products.iter_mut().zip(x) {
                    let sum = splat(x.sums_f32[which]);
                    products[strip] = minimum.multiply_add(sum, products[strip]);
                }
            }
        }
    }
    for ((sums, products), x) in sums.iter_mut().zip(products).zip(x) {
        let scale = splat(x.scale);
        for strip in 0..S {
            sums[strip] = products[strip].multiply_add(scale, sums[strip]);
        }
    }
}

/// The rows' blocks number `index`.
///
/// # Safety
/// They can be read for `'a`.
#[inline(always)]
unsafe fn blocks_of<'a, const R: usize>(rows: Rows, index: usize) -> [&'a ActivationBlock; R] {
    // SAFETY: by the caller.
    let mut blocks = [unsafe { &*rows.start.add(index) }; R];
    for (row, block) in blocks.iter_mut().enumerate() {
        // SAFETY: by the caller.
        *block = unsafe { &*rows.start.add(row * rows.stride + index) };
    }
    blocks
}

/// `R` rows times a tile, `S` strips at a time.
///
/// # Safety
/// `R` rows of `blocks` blocks can be read and their sums written, and the CPU has the instructions
/// of `V`.
#[inline(always)]
pub(super) unsafe fn multiply_tile<V: Lanes, K: Kind, const R: usize, const S: usize>(
    rows: Rows,
    tile: &Tile,
    (blocks, zero): (usize, i32),
    sums: *mut [f32; COLS],
) {
    for first in (0..STRIPS).step_by(S) {
        // SAFETY: by the caller; `f32` sums are loaded and stored as lanes of their bits.
        unsafe {
            let place =
                |row: usize, strip: usize| &mut *sums.add(row).cast::<Words>().add(first + strip);
            let mut totals = [[V::load(place(0, 0)); S]; R];
            for row in 0..R {
                for strip in 0..S {
                    totals[row][strip] = V::load(place(row, strip));
                }
            }
            for index in 0..blocks {
                let mut weights = [&tile.strips[first][index]; S];
                for strip in 0..S {
                    weights[strip] = &tile.strips[first + strip][index];
                }
                add_block::<V, K, R, S>(&mut totals, blocks_of(rows, index), &weights, zero);
            }
            for row in 0..R {
                for strip in 0..S {
                    totals[row][strip].store(place(row, strip));
                }
            }
        }
    }
}

/// Multiplies blocks as they are unpacked.
struct Stream<V, F, const R: usize> {
    rows: Rows,
    sums: [[V; 1]; R],
    format: std::marker::PhantomData<F>,
}

impl<V: Lanes, F: Format, const R: usize> Sink<V> for Stream<V, F, R> {
    #[inline(always)]
    fn block(&mut self, index: usize, quants: [V; UNITS], scales: [V; 2], minima: Option<[V; 2]>) {
        let weights = Registers { quants, scales, minima: minima.unwrap_or(scales) };
        let zero = i32::from(F::ZERO);
        // SAFETY: by `stream`, which makes the only one.
        unsafe {
            let x = blocks_of(self.rows, index);
            add_block::<V, F::Kind, R, 1>(&mut self.sums, x, &weights, zero);
        }
    }
}

/// The body of every [`super::kernel::Stream`].
///
/// # Safety
/// `R` rows of `blocks` blocks and as much of sixteen weight rows can be read, the first sixteen of
/// the rows' sums written, and the CPU has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn stream<L: Level, F: Format, const R: usize>(
    rows: Rows,
    weights: Source,
    blocks: usize,
    sums: *mut [f32; COLS],
) {
    // SAFETY: by the caller.
    unsafe {
        let place = |row: usize| &mut *sums.add(row).cast::<Words>();
        let mut sums = [[L::Lanes::load(place(0))]; R];
        for row in 0..R {
            sums[row][0] = L::Lanes::load(place(row));
        }
        let mut sink = Stream::<L::Lanes, F, R> { rows, sums, format: std::marker::PhantomData };
        for block in 0..blocks / F::BLOCKS {
            weights.prefetch(block * F::BYTES, F::BYTES);
            F::unpack(&Columns::<L>::new(weights, block, F::BYTES), &mut sink);
            sink.rows.start = sink.rows.start.add(F::BLOCKS);
        }
        for row in 0..R {
            sink.sums[row][0].store(place(row));
        }
    }
}

/// Stores blocks as they are unpacked.
struct Store<'a>(&'a mut [WeightBlock]);

impl<V: Lanes> Sink<V> for Store<'_> {
    #[inline(always)]
    fn block(&mut self, index: usize, quants: [V; UNITS], scales: [V; 2], minima: Option<[V; 2]>) {
        let block = &mut self.0[index];
        for (out, quants) in block.quants.iter_mut().zip(quants) {
            quants.store(out);
        }
        for part in 0..2 {
            scales[part].store(&mut block.scales[part]);
            if let Some(minima) = minima {
                minima[part].store(&mut block.minima[part]);
            }
        }
    }
}

/// The body of every [`super::kernel::Unpack`].
///
/// # Safety
/// As much of sixteen weight rows as there are places for can be read, and the CPU has the
/// instructions of `L`.
#[inline(always)]
pub(super) unsafe fn unpack<L: Level, F: Format>(weights: Source, out: &mut [WeightBlock]) {
    for (block, out) in out.chunks_exact_mut(F::BLOCKS).enumerate() {
        weights.prefetch(block * F::BYTES, F::BYTES);
        // SAFETY: by the caller.
        let columns = unsafe { Columns::<L>::new(weights, block, F::BYTES) };
        F::unpack(&columns, &mut Store(out));
    }
}
