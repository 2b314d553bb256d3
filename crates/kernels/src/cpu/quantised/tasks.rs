//! The work of a product, cut into tasks of 32 columns.

use std::cell::RefCell;
use std::ops::Range;

use super::Product;
use super::activations::Activations;
use super::formats::{self, Kernel};
use super::kernel::{BLOCK, COLS, STRIPS, TILE_BLOCKS, Tile, UNITS, WeightBlock};
use super::portable::Portable;
use super::words::{LANES, Source, Words, prefetch};
use crate::cpu::gemm::{Elements, ElementsMut, Epilogue, Matrix};
use crate::par::SharedMut;
use crate::quant::{BlockFormat, QuantMatrix};
use crate::{Cpu, Element, Simd, bf16};

/// Rows of activations that share an unpacked tile.
const TASK_ROWS: usize = 512;

/// The fastest kernel of a level for a format; none for plain numbers.
fn kernel(simd: Simd, format: BlockFormat) -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    if simd >= Simd::Avx2 && is_x86_feature_detected!("f16c") {
        if simd >= Simd::Avx512 && is_x86_feature_detected!("avx512vnni") {
            return formats::kernel::<super::avx512::Avx512>(format);
        }
        return formats::kernel::<super::avx2::Avx2>(format);
    }
    let _ = simd;
    formats::kernel::<Portable>(format)
}

/// The output of a product, shared by tasks that write disjoint columns.
enum Out<'a> {
    F32(SharedMut<'a, f32>),
    Bf16(SharedMut<'a, bf16>),
}

/// One product, seen by all its tasks.
struct Job<'a> {
    kernel: Kernel,
    weight: &'a QuantMatrix,
    bytes: &'a [u8],
    out: Out<'a>,
    out_stride: usize,
    epilogue: &'a Epilogue<'a>,
    /// Number of the first task, and of the first one of the next product.
    tasks: Range<usize>,
}

/// Sums of a row of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Sums([f32; COLS]);

/// What a thread needs for a task.
struct Scratch {
    tile: Tile,
    sums: Vec<Sums>,
    /// Rows of a last strip with less than sixteen.
    bytes: Vec<u8>,
    /// Address of the tile that was fetched while the last one was unpacked.
    fetched: usize,
}

const ZERO: WeightBlock = {
    let words = Words([0; LANES]);
    WeightBlock { quants: [words; UNITS], scales: [words; 2], minima: [words; 2] }
};

thread_local! {
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(Box::new(Scratch {
        tile: Tile { strips: [[ZERO; TILE_BLOCKS]; STRIPS] },
        sums: Vec::new(),
        bytes: Vec::new(),
        fetched: 0,
    }));
}

/// Runs all products; their shapes were checked.
pub(super) fn run(cpu: &Cpu, x: &Matrix<'_>, products: &mut [Product<'_>]) {
    let row_blocks = x.rows.div_ceil(TASK_ROWS);
    let mut jobs = Vec::with_capacity(products.len());
    let mut count = 0;
    for product in products.iter_mut() {
        let weight = product.weight;
        let Some(kernel) = kernel(cpu.simd, weight.format()) else { continue };
        let tasks = count..count + row_blocks * weight.rows().div_ceil(COLS);
        count = tasks.end;
        let out = match &mut product.out.elements {
            ElementsMut::F32(out) => Out::F32(SharedMut::new(out)),
            ElementsMut::Bf16(out) => Out::Bf16(SharedMut::new(out)),
        };
        jobs.push(Job {
            kernel,
            weight,
            bytes: weight.bytes(),
            out,
            out_stride: product.out.stride,
            epilogue: &product.epilogue,
            tasks,
        });
    }
    let activations = Activations::new(cpu, x);
    cpu.pool.run(count, |task| {
        let Some(job) = jobs.iter().find(|job| job.tasks.contains(&task)) else { return };
        SCRATCH.with_borrow_mut(|scratch| {
            let task = task - job.tasks.start;
            let tiles = job.weight.rows().div_ceil(COLS);
            let rows = task / tiles * TASK_ROWS..x.rows.min((task / tiles + 1) * TASK_ROWS);
            job.run(&activations, rows, task % tiles, scratch);
        });
    });
}

impl Job<'_> {
    fn run(&self, x: &Activations, rows: Range<usize>, tile: usize, scratch: &mut Scratch) {
        self.fetch(tile, scratch);
        scratch.sums.clear();
        scratch.sums.resize(rows.len(), Sums([0.0; COLS]));
        if rows.len() <= self.kernel.stream.len() {
            self.stream(x, rows.start, tile, scratch);
        } else {
            self.multiply(x, rows.clone(), tile, scratch);
        }
        let cols = tile * COLS..self.weight.rows().min((tile + 1) * COLS);
        for (index, row) in rows.enumerate() {
            let at = row * self.out_stride + cols.start;
            let sums = &scratch.sums[index].0[..cols.len()];
            // SAFETY: each task has its own rows and columns.
            unsafe {
                match &self.out {
                    Out::F32(out) => self.write(out.slice(at, cols.len()), row, cols.start, sums),
                    Out::Bf16(out) => self.write(out.slice(at, cols.len()), row, cols.start, sums),
                }
            }
        }
    }

    fn write<T: Element>(&self, out: &mut [T], row: usize, col: usize, sums: &[f32]) {
        let epilogue = self.epilogue;
        for (index, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
            let mut value = sum * epilogue.scale;
            if epilogue.accumulate {
                value += out.to_f32();
            }
            if let Some(residual) = &epilogue.residual {
                let at = row * residual.stride + col + index;
                value += match residual.elements {
                    Elements::F32(numbers) => numbers[at],
                    Elements::Bf16(numbers) => numbers[at].to_f32(),
                };
            }
            if let Some(bias) = epilogue.bias {
                value += bias[col + index];
            }
            *out = T::from_f32(value);
        }
    }

    /// Many rows: the weights are unpacked into a tile, which all rows are multiplied by.
    fn multiply(&self, x: &Activations, rows: Range<usize>, tile: usize, scratch: &mut Scratch) {
        let blocks = self.weight.cols() / BLOCK;
        for block in (0..blocks).step_by(TILE_BLOCKS) {
            let depth = TILE_BLOCKS.min(blocks - block);
            for strip in 0..STRIPS {
                let source = self.source(tile, strip, block..block + depth, &mut scratch.bytes);
                // SAFETY: the source has so many blocks; the kernel is one of this CPU's.
                unsafe { (self.kernel.unpack)(source, &mut scratch.tile.strips[strip][..depth]) };
            }
            let step = self.kernel.multiply.len();
            for (index, sums) in scratch.sums.chunks_mut(step).enumerate() {
                let x = x.rows(rows.start + index * step, block);
                let (multiply, depth) =
                    (self.kernel.multiply[sums.len() - 1], (depth, self.kernel.zero));
                // SAFETY: ..
                unsafe { multiply(x, &scratch.tile, depth, sums.as_mut_ptr().cast()) };
            }
        }
    }

    /// Few rows: the weights are multiplied as they are unpacked.
    fn stream(&self, x: &Activations, first_row: usize, tile: usize, scratch: &mut Scratch) {
        let blocks = self.weight.cols() / BLOCK;
        for strip in 0..STRIPS {
            let source = self.source(tile, strip, 0..blocks, &mut scratch.bytes);
            let sums = scratch.sums.as_mut_ptr().cast::<[f32; COLS]>();
            let kernel = self.kernel.stream[scratch.sums.len() - 1];
            // SAFETY: ..
            unsafe {
                let sums = sums.cast::<Words>().add(strip).cast();
                kernel(x.rows(first_row, 0), source, blocks, sums);
            }
        }
    }

    /// A strip of a tile's columns, from the first of some blocks on. Less than sixteen columns
    /// are copied beside zeros.
    fn source(
        &self,
        tile: usize,
        strip: usize,
        blocks: Range<usize>,
        copy: &mut Vec<u8>,
    ) -> Source {
        let (format, row_bytes) = (self.weight.format(), self.weight.row_bytes());
        let bytes_of = |blocks: usize| blocks * BLOCK / format.block_len() * format.block_bytes();
        let (begin, len) = (bytes_of(blocks.start), bytes_of(blocks.len()));
        let first = tile * COLS + strip * LANES;
        let rows = self.weight.rows().saturating_sub(first).min(LANES);
        let after = (first + COLS) * row_bytes + begin * LANES;
        let ahead = self.bytes.as_ptr().wrapping_add(after);
        if rows == LANES {
            let start = self.bytes[first * row_bytes + begin..].as_ptr();
            return Source { start, row_bytes, ahead };
        }
        copy.clear();
        copy.resize(LANES * len, 0);
        for (row, to) in copy.chunks_exact_mut(len).take(rows).enumerate() {
            let from = (first + row) * row_bytes + begin;
            to.copy_from_slice(&self.bytes[from..from + len]);
        }
        Source { start: copy.as_ptr(), row_bytes: len, ahead }
    }

    /// Fetches a tile's weight rows into L2, unless the tile before it has done so.
    fn fetch(&self, tile: usize, scratch: &mut Scratch) {
        let tile_bytes = COLS * self.weight.row_bytes();
        let begin = tile * tile_bytes;
        let bytes = &self.bytes[begin..self.bytes.len().min(begin + tile_bytes)];
        if scratch.fetched != bytes.as_ptr() as usize {
            for line in bytes.chunks(64) {
                prefetch(line.as_ptr());
            }
        }
        scratch.fetched = bytes.as_ptr() as usize + tile_bytes;
    }
}
