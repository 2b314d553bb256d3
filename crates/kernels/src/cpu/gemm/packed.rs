//! A right-hand matrix packed once and multiplied many times: weights of a step, or of a model.

use super::kernel::{Format, Kernel, RIGHT_PANELS};
use super::matrix::{Elements, Matrix};
use crate::Cpu;
use crate::arena::Buffer;
use crate::bf16;
use crate::element::{Element, Precision};
use crate::par::SharedMut;
use crate::simd::Simd;

/// Most depth that is summed before a tile goes back to memory: a right panel of this depth fits
/// in L1 or streams from L2, and a block of some hundred columns fits in L2.
const DEPTH_MAX_BYTES: usize = 2048;

/// A right-hand matrix `[K, N]`, packed for one precision and instruction level.
///
/// Made from a [`Matrix`] by [`Packed::new`] and given to [`super::gemm`] as [`super::Right`]. It
/// can only be used with the precision it was packed for, on a [`Cpu`] of the same level.
#[derive(Debug)]
pub struct Packed {
    kernel: Kernel,
    precision: Precision,
    k: usize,
    n: usize,
    depth_block: usize,
    /// Depth blocks one after another; each holds its panels one after another. At the portable
    /// level the plain rows `[K, N]`.
    units: Buffer<u32>,
}

/// How the depth K is cut into blocks: a function of K and the kernel alone, so that sums have the
/// same order wherever a product is computed.
pub(super) fn depth_block(kernel: &Kernel, k: usize) -> usize {
    let most = DEPTH_MAX_BYTES / 4 * kernel.unit();
    let blocks = k.div_ceil(most).max(1);
    k.div_ceil(blocks).next_multiple_of(kernel.unit()).max(kernel.unit())
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
        let (k, n) = b.shape();
        let depth_block = depth_block(&kernel, k);
        let portable = cpu.simd == Simd::Portable;
        let panels = n.div_ceil(kernel.cols);
        let len = if portable { k * n } else { panels * kernel.right_len(k) };
        let mut packed =
            Self { kernel, precision, k, n, depth_block, units: cpu.arena.buffer(len) };
        if portable {
            packed.fill_rows(cpu, b);
        } else {
            packed.fill_panels(cpu, b);
        }
        packed
    }

    /// The precision this matrix was packed for.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Rows and columns, `[K, N]`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.units.len() * size_of::<u32>()
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    pub(super) fn depth_block(&self) -> usize {
        self.depth_block
    }

    /// Panels `panel ..` of the depth block that starts at `depth`, one after another.
    pub(super) fn panels(&self, depth: usize, panel: usize) -> &[u32] {
        let panels = self.n.div_ceil(self.kernel.cols);
        let block = self.depth_block.min(self.k - depth);
        &self.units[depth / self.kernel.unit() * self.kernel.cols * panels
            + panel * self.kernel.right_len(block)..]
    }

    /// The rows `[K, N]` as f32 bits; only at the portable level.
    pub(super) fn rows(&self) -> &[u32] {
        assert!(self.kernel.simd() == Simd::Portable);
        &self.units
    }

    fn fill_panels(&mut self, cpu: &Cpu, b: &Matrix<'_>) {
        let (kernel, n, k) = (self.kernel, self.n, self.k);
        let (panels, depth_block) = (n.div_ceil(kernel.cols), self.depth_block);
        let groups = panels.div_ceil(RIGHT_PANELS);
        let units = SharedMut::new(&mut self.units);
        cpu.pool.run(groups * k.div_ceil(depth_block), |task| {
            let (depth, panel) = (task / groups * depth_block, task % groups * RIGHT_PANELS);
            let depth_end = (depth + depth_block).min(k);
            let len = kernel.right_len(depth_end - depth);
            let start = depth / kernel.unit() * kernel.cols * panels + panel * len;
            // SAFETY: every panel of every depth block has its own place.
            let out = unsafe { units.slice(start, RIGHT_PANELS.min(panels - panel) * len) };
            let columns = panel * kernel.cols..((panel + RIGHT_PANELS) * kernel.cols).min(n);
            kernel.pack_right_panels(b, columns, depth..depth_end, out);
        });
    }

    fn fill_rows(&mut self, cpu: &Cpu, b: &Matrix<'_>) {
        let round = self.kernel.format() == Format::F32Rounded;
        let (row_step, col_step) = if b.transposed { (1, b.stride) } else { (b.stride, 1) };
        cpu.pool.for_each_chunk(&mut self.units, self.n.max(1), |row, out| {
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
    }
}
