//! The work of products, cut into tasks of some columns, which are weight rows.

use std::cell::RefCell;
use std::ops::Range;

use super::Product;
use super::activations::Activations;
use super::formats::{self, Kernel};
use super::kernel::{BLOCK, COLS, STRIPS, TILE_BLOCKS, Tile, UNITS, WeightBlock};
use super::portable::Portable;
use super::words::{LANES, Source, Words, rows_of_a_lane, strips_of_a_task};
use crate::cpu::gemm::{Elements, ElementsMut, Epilogue, Matrix};
use crate::par::SharedMut;
use crate::quant::{BlockFormat, QuantMatrix};
use crate::{Cpu, Element, Simd, bf16};

/// Rows of activations that share an unpacked tile.
const TASK_ROWS: usize = 512;

/// Most tiles of a task: they share what the caches hold of the activations over a tile's depth,
/// and their sums stay there, too.
const TASK_TILES: usize = 4;

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
    /// Columns of a task, [`COLS`] or some strips of sixteen.
    cols: usize,
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
    /// A row of finished sums.
    finished: Vec<f32>,
    /// Rows of a last strip with less than sixteen.
    bytes: Vec<u8>,
}

const ZERO: WeightBlock = {
    let words = Words([0; LANES]);
    WeightBlock { quants: [words; UNITS], scales: [words; 2], minima: [words; 2] }
};

thread_local! {
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(Box::new(Scratch {
        tile: Tile { strips: [[ZERO; TILE_BLOCKS]; STRIPS] },
        sums: Vec::new(),
        finished: Vec::new(),
        bytes: Vec::new(),
    }));
}

/// Runs all products; their shapes were checked.
pub(super) fn run(cpu: &Cpu, x: &Matrix<'_>, products: &mut [Product<'_>]) {
    let row_blocks = x.rows.div_ceil(TASK_ROWS);
    let strips = products.iter().map(|product| product.weight.rows().div_ceil(LANES)).sum();
    let mut jobs = Vec::with_capacity(products.len());
    let mut count = 0;
    for product in products.iter_mut() {
        let weight = product.weight;
        let Some(kernel) = kernel(cpu.simd, weight.format()) else { continue };
        let cols = if x.rows <= kernel.stream.len() {
            LANES * rows_of_a_lane(weight.row_bytes(), strips, cpu.pool.threads())
        } else {
            COLS * (strips_of_a_task(strips, cpu.pool.threads()) / STRIPS).clamp(1, TASK_TILES)
        };
        let tasks = count..count + row_blocks * weight.rows().div_ceil(cols);
        count = tasks.end;
        let out = match &mut product.out.elements {
            ElementsMut::F32(out) => Out::F32(SharedMut::new(out)),
            ElementsMut::Bf16(out) => Out::Bf16(SharedMut::new(out)),
        };
        let (out_stride, epilogue) = (product.out.stride, &product.epilogue);
        let bytes = weight.bytes();
        jobs.push(Job { kernel, weight, bytes, out, out_stride, epilogue, cols, tasks });
    }
    if jobs.is_empty() {
        return;
    }
    let activations = Activations::new(cpu, x);
    cpu.pool.run(count, |task| {
        let Some(job) = jobs.iter().find(|job| job.tasks.contains(&task)) else { return };
        SCRATCH.with_borrow_mut(|scratch| {
            let (task, of_a_row) = (task - job.tasks.start, job.weight.rows().div_ceil(job.cols));
            let (first_row, first_col) = (task / of_a_row * TASK_ROWS, task % of_a_row * job.cols);
            let rows = first_row..x.rows.min(first_row + TASK_ROWS);
            let cols = first_col..job.weight.rows().min(first_col + job.cols);
            job.run(&activations, rows, cols, scratch);
        });
    });
}

impl Job<'_> {
    fn run(&self, x: &Activations, rows: Range<usize>, cols: Range<usize>, scratch: &mut Scratch) {
        let Scratch { tile, sums, finished, bytes } = scratch;
        sums.clear();
        if rows.len() <= self.kernel.stream.len() {
            sums.resize(rows.len(), Sums([0.0; COLS]));
            finished.resize(rows.len() * cols.len(), 0.0);
            self.stream(x, (rows.start, &cols), (sums, finished, bytes));
            for (row, sums) in rows.zip(finished.chunks_exact(cols.len())) {
                self.write_row(row, cols.start, sums);
            }
        } else {
            let tiles = cols.len().div_ceil(COLS);
            sums.resize(rows.len() * tiles, Sums([0.0; COLS]));
            self.multiply(x, (&rows, &cols), (tile, sums, bytes));
            for (first, sums) in cols.clone().step_by(COLS).zip(sums.chunks_exact(rows.len())) {
                let len = COLS.min(cols.end - first);
                for (row, sums) in rows.clone().zip(sums) {
                    self.write_row(row, first, &sums.0[..len]);
                }
            }
        }
    }

    /// Writes finished sums to a row, from a column on; both are this task's.
    fn write_row(&self, row: usize, col: usize, sums: &[f32]) {
        let (at, len) = (row * self.out_stride + col, sums.len());
        // SAFETY: each task has its own rows and columns.
        unsafe {
            match &self.out {
                Out::F32(out) => self.write(out.slice(at, len), row, col, sums),
                Out::Bf16(out) => self.write(out.slice(at, len), row, col, sums),
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
    fn multiply(
        &self,
        x: &Activations,
        (rows, cols): (&Range<usize>, &Range<usize>),
        (tile, sums, bytes): (&mut Tile, &mut [Sums], &mut Vec<u8>),
    ) {
        let (blocks, step) = (self.weight.cols() / BLOCK, self.kernel.multiply.len());
        for block in (0..blocks).step_by(TILE_BLOCKS) {
            let depth = TILE_BLOCKS.min(blocks - block);
            for (first, sums) in cols.clone().step_by(COLS).zip(sums.chunks_exact_mut(rows.len())) {
                for (strip, place) in tile.strips.iter_mut().enumerate() {
                    let first = first + strip * LANES;
                    let source = self.source((first, 1), block..block + depth, bytes);
                    // SAFETY: the source has so many blocks; the kernel is one of this CPU's.
                    unsafe { (self.kernel.unpack)(source, &mut place[..depth]) };
                }
                for (index, sums) in sums.chunks_mut(step).enumerate() {
                    let x = x.rows(rows.start + index * step, block);
                    let multiply = self.kernel.multiply[sums.len() - 1];
                    // SAFETY: as many rows as sums, the tile's blocks; a kernel of this CPU.
                    unsafe {
                        multiply(x, tile, (depth, self.kernel.zero), sums.as_mut_ptr().cast());
                    }
                }
            }
        }
    }

    /// Few rows: the weights are multiplied as they are unpacked, sixteen weight rows that lie
    /// `step` rows apart and then the sixteen after them.
    fn stream(
        &self,
        x: &Activations,
        (first_row, cols): (usize, &Range<usize>),
        (sums, finished, bytes): (&mut [Sums], &mut [f32], &mut Vec<u8>),
    ) {
        let blocks = self.weight.cols() / BLOCK;
        let (kernel, len) = (self.kernel.stream[sums.len() - 1], cols.len());
        let mut first = 0;
        while first < len {
            let step = ((len - first) / LANES).max(1);
            for col in first..first + step {
                sums.fill(Sums([0.0; COLS]));
                let source = self.source((cols.start + col, step), 0..blocks, bytes);
                // SAFETY: as many rows as sums, sixteen weight rows; a kernel of this CPU.
                unsafe { kernel(x.rows(first_row, 0), source, blocks, sums.as_mut_ptr().cast()) };
                for (sums, finished) in sums.iter().zip(finished.chunks_exact_mut(len)) {
                    let finished = finished[col..].iter_mut().step_by(step);
                    for (finished, sum) in finished.zip(&sums.0[..LANES]) {
                        *finished = *sum;
                    }
                }
            }
            first += step * LANES;
        }
    }

    /// Sixteen columns that lie `step` apart, from the first of some blocks on. Less than sixteen,
    /// which lie together, are copied beside zeros.
    fn source(
        &self,
        (first, step): (usize, usize),
        blocks: Range<usize>,
        copy: &mut Vec<u8>,
    ) -> Source {
        let (format, row_bytes) = (self.weight.format(), self.weight.row_bytes());
        let bytes_of = |blocks: usize| blocks * BLOCK / format.block_len() * format.block_bytes();
        let (begin, len) = (bytes_of(blocks.start), bytes_of(blocks.len()));
        let rows = self.weight.rows().saturating_sub(first).div_ceil(step).min(LANES);
        if rows == LANES {
            let start = self.bytes[first * row_bytes + begin..].as_ptr();
            return Source { start, row_bytes: step * row_bytes };
        }
        copy.clear();
        copy.resize(LANES * len, 0);
        for (row, to) in copy.chunks_exact_mut(len).take(rows).enumerate() {
            let from = (first + row * step) * row_bytes + begin;
            to.copy_from_slice(&self.bytes[from..from + len]);
        }
        Source { start: copy.as_ptr(), row_bytes: len }
    }
}
