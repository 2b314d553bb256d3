//! A right-hand matrix packed once and multiplied many times: weights of a step, or of a model.

use super::kernel::{Format, Kernel};
use super::matrix::{Elements, Matrix};
use super::pack::{Layout, Panels, Source, pack};
use crate::Cpu;
use crate::arena::Buffer;
use crate::bf16;
use crate::element::{Element, Precision};
use crate::par::SharedMut;
use crate::simd::Simd;

/// Most units that are summed before a tile goes back to memory: a left panel of this depth takes
/// half of L1.
const DEPTH_MAX_UNITS: usize = 512;
/// Panels that one task packs: neighbouring columns are read together.
const PANELS_OF_A_TASK: usize = 16;

/// A right-hand matrix `[K, N]`, packed for one precision and instruction level.
///
/// Made from a [`Matrix`] by [`Packed::new`] and given to [`super::gemm`] as [`super::Right`]. It
/// can only be used with the precision it was packed for, on a [`Cpu`] of the same level.
#[derive(Debug)]
pub struct Packed {
    precision: Precision,
    places: Places,
    /// Panels at their places; at the portable level the plain rows `[K, N]`.
    units: Buffer<u32>,
}

/// Where panels lie: depth blocks one after another, in each its panels one after another.
#[derive(Clone, Copy, Debug)]
struct Places {
    kernel: Kernel,
    k: usize,
    n: usize,
    depth_block: usize,
}

/// How the depth K is cut into blocks: a function of K and the kernel alone, so that sums have the
/// same order wherever a product is computed.
pub(super) fn depth_block(kernel: &Kernel, k: usize) -> usize {
    let most = DEPTH_MAX_UNITS * kernel.unit();
    let blocks = k.div_ceil(most).max(1);
    k.div_ceil(blocks).next_multiple_of(kernel.unit()).max(kernel.unit())
}

impl Places {
    fn new(kernel: Kernel, (k, n): (usize, usize)) -> Self {
        Self { kernel, k, n, depth_block: depth_block(&kernel, k) }
    }

    fn panels(&self) -> usize {
        self.n.div_ceil(self.kernel.cols)
    }

    /// The first unit of a panel of the depth block that starts at `depth`.
    fn start(&self, depth: usize, panel: usize) -> usize {
        let stride = self.kernel.right_stride(self.depth_block.min(self.k - depth));
        let block = self.panels() * self.kernel.right_stride(self.depth_block);
        depth / self.depth_block * block + panel * stride
    }

    /// Units of all panels.
    fn len(&self) -> usize {
        let last = self.k.saturating_sub(1) / self.depth_block * self.depth_block;
        self.start(last, self.panels())
    }
}

impl Packed {
    /// Packs `b [K, N]` on all threads.
    ///
    /// # Panics
    /// When the matrix reaches beyond its elements.
    #[must_use]
    pub fn new(cpu: &Cpu, precision: Precision, b: &Matrix<'_>) -> Self {
        b.check();
        let kernel = Kernel::new(cpu.simd, precision);
        let places = Places::new(kernel, b.shape());
        let units = if cpu.simd == Simd::Portable {
            widened_rows(cpu, &kernel, b)
        } else {
            packed_panels(cpu, places, b)
        };
        Self { precision, places, units }
    }

    /// The precision this matrix was packed for.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Rows and columns, `[K, N]`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.places.k, self.places.n)
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.units.len() * size_of::<u32>()
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.places.kernel
    }

    pub(super) fn depth_block(&self) -> usize {
        self.places.depth_block
    }

    /// Panels `panel ..` of the depth block that starts at `depth`, `right_stride` apart.
    pub(super) fn panels(&self, depth: usize, panel: usize) -> &[u32] {
        &self.units[self.places.start(depth, panel)..]
    }

    /// The rows `[K, N]` as f32 bits; only at the portable level.
    pub(super) fn rows(&self) -> &[u32] {
        assert!(self.kernel().simd() == Simd::Portable, "there are panels, not rows");
        &self.units
    }
}

fn packed_panels(cpu: &Cpu, places: Places, b: &Matrix<'_>) -> Buffer<u32> {
    let Places { kernel, k, n, depth_block } = places;
    let mut panels = cpu.arena.buffer(places.len());
    let (units, groups) = (SharedMut::new(&mut panels), places.panels().div_ceil(PANELS_OF_A_TASK));
    cpu.pool.run(groups * k.div_ceil(depth_block), |task| {
        let (depth, panel) = (task / groups * depth_block, task % groups * PANELS_OF_A_TASK);
        let (depths, width) = (depth..(depth + depth_block).min(k), kernel.cols);
        let columns = panel * width..((panel + PANELS_OF_A_TASK) * width).min(n);
        let cuts: [usize; PANELS_OF_A_TASK + 1] =
            std::array::from_fn(|panel| (panel * width).min(columns.len()));
        let count = columns.len().div_ceil(width);
        let stride = kernel.right_stride(depths.len());
        // SAFETY: every panel of every depth block has its own place.
        let out = unsafe { units.slice(places.start(depth, panel), count * stride) };
        // All threads read the panels: they go to memory past the caches of this one's core.
        let panels = Panels { cuts: &cuts[..=count], width, stride, stream: true };
        pack(&kernel, Source::right(b, columns, depths), Layout::Panels(panels), out);
    });
    panels
}

fn widened_rows(cpu: &Cpu, kernel: &Kernel, b: &Matrix<'_>) -> Buffer<u32> {
    let (k, n) = b.shape();
    let round = kernel.format() == Format::F32Rounded;
    let (row_step, col_step) = if b.transposed { (1, b.stride) } else { (b.stride, 1) };
    let mut rows = cpu.arena.buffer(k * n);
    cpu.pool.for_each_chunk(&mut rows, n.max(1), |row, out| {
        for (col, out) in out.iter_mut().enumerate() {
            let at = row * row_step + col * col_step;
            let value = match b.elements {
                Elements::F32(slice) => slice[at],
                Elements::Bf16(slice) => slice[at].to_f32(),
            };
            let rounded = <bf16 as Element>::from_f32(value).to_f32();
            *out = if round { rounded } else { value }.to_bits();
        }
    });
    rows
}
