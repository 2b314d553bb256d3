//! Where the panels of a packed right operand lie, and how all threads pack them.

use super::kernel::Kernel;
use super::matrix::Matrix;
use super::pack::{Layout, Panels, Source, pack};
use crate::Cpu;
use crate::arena::Buffer;
use crate::par::SharedMut;

/// Most units that are summed before a tile goes back to memory: a left panel of this depth takes
/// half of L1.
const DEPTH_MAX_UNITS: usize = 512;
/// Panels that are written side by side lie this much further apart than they are long, so that
/// they do not all start in the same set of a cache: four cache lines, in units.
pub(super) const PAD: usize = 64;
/// Panels that one task packs: neighbouring columns are read together.
const PANELS_OF_A_TASK: usize = 16;
/// Units that one task packs of every panel.
const UNITS_OF_A_TASK: usize = 128;

/// How the depth K is cut into blocks: a function of K and the kernel alone, so that sums have the
/// same order wherever a product is computed.
pub(super) fn depth_block(kernel: &Kernel, k: usize) -> usize {
    let blocks = k.div_ceil(DEPTH_MAX_UNITS * kernel.unit()).max(1);
    k.div_ceil(blocks).next_multiple_of(kernel.unit()).max(kernel.unit())
}

/// A right operand `[K, N]` in panels: depth blocks one after another, in each its panels.
#[derive(Debug)]
pub(super) struct Operand {
    places: Places,
    units: Buffer<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Places {
    kernel: Kernel,
    k: usize,
    n: usize,
    /// Panels of a depth block.
    panels: usize,
    /// Depth of all blocks but the last, which may have less.
    depth_block: usize,
}

impl Operand {
    /// Packs `b [K, N]` on all threads.
    pub(super) fn new(cpu: &Cpu, kernel: Kernel, b: &Matrix<'_>) -> Self {
        let (k, n) = b.shape();
        let (panels, depth_block) = (n.div_ceil(kernel.cols), depth_block(&kernel, k));
        let places = Places { kernel, k, n, panels, depth_block };
        let mut units = cpu.arena.buffer(places.len());
        let out = SharedMut::new(&mut units);
        // SAFETY: each task runs once, and the buffer is this job's own.
        cpu.pool.run(places.tasks(), |task| unsafe { places.pack(b, task, &out) });
        Self { places, units }
    }

    /// Units held.
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// Panels `panel ..` of the depth block that starts at `depth`.
    pub(super) fn panels(&self, depth: usize, panel: usize) -> &[u32] {
        &self.units[self.places.start(depth, panel)..]
    }

    /// Units from one panel to the next in the depth block that starts at `depth`.
    pub(super) fn stride(&self, depth: usize) -> usize {
        self.places.stride(depth)
    }
}

impl Places {
    fn stride(&self, depth: usize) -> usize {
        self.kernel.units(self.depth_block.min(self.k - depth)) * self.kernel.cols + PAD
    }

    /// The first unit of a panel of the depth block that starts at `depth`.
    fn start(&self, depth: usize, panel: usize) -> usize {
        let full_block = self.panels * self.stride(0);
        depth / self.depth_block * full_block + panel * self.stride(depth)
    }

    /// Units of all panels.
    fn len(&self) -> usize {
        let last_block = self.k.saturating_sub(1) / self.depth_block * self.depth_block;
        self.start(last_block, self.panels)
    }

    /// Depth that one task packs.
    fn task_depth(&self) -> usize {
        (UNITS_OF_A_TASK * self.kernel.unit()).min(self.depth_block)
    }

    fn tasks_of_a_block(&self) -> usize {
        self.depth_block.div_ceil(self.task_depth()) * self.panels.div_ceil(PANELS_OF_A_TASK)
    }

    fn tasks(&self) -> usize {
        self.k.div_ceil(self.depth_block) * self.tasks_of_a_block()
    }

    /// One task of packing `b` into `out`, which holds [`Places::len`] units.
    ///
    /// # Safety
    /// No task runs twice at a time, and nothing else uses `out`.
    unsafe fn pack(&self, b: &Matrix<'_>, task: usize, out: &SharedMut<'_, u32>) {
        let (block, task) = (task / self.tasks_of_a_block(), task % self.tasks_of_a_block());
        let groups = self.panels.div_ceil(PANELS_OF_A_TASK);
        let (section, first) = (task / groups, task % groups * PANELS_OF_A_TASK);
        let block = block * self.depth_block;
        let end = (block + self.depth_block).min(self.k);
        let depth = block + section * self.task_depth();
        if depth >= end {
            return;
        }
        let depth = depth..(depth + self.task_depth()).min(end);
        let (panels, width) = (PANELS_OF_A_TASK.min(self.panels - first), self.kernel.cols);
        let columns = first * width..((first + panels) * width).min(self.n);
        let cuts: [usize; PANELS_OF_A_TASK + 1] =
            std::array::from_fn(|index| (index * width).min(columns.len()));
        let start = self.start(block, first) + self.kernel.units(depth.start - block) * width;
        // All threads read the panels: they go to memory past the caches of this one's core.
        let panels =
            Panels { cuts: &cuts[..=panels], width, stride: self.stride(block), stream: true };
        let source = Source::right(b, columns, depth);
        // SAFETY: these places lie inside `out` and are this task's alone.
        unsafe { pack(&self.kernel, source, Layout::Panels(panels), out.as_ptr().add(start)) };
    }
}
