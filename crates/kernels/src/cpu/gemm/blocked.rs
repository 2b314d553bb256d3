//! Products of many rows: they pass by the packed right-hand matrix a panel at a time.

use std::ops::Range;

use super::kernel::{Kernel, RawLeft};
use super::matrix::Matrix;
use super::pack::{Layout, Panels, Source, pack_into};
use super::panels::{Operand, PAD, depth_block};
use super::tile::RawTile;
use super::{Output, scratch};
use crate::Cpu;

/// Bytes of right panels that a task goes through for every left panel. What L2 does not hold
/// streams from L3 fast enough; fewer blocks save copies of left panels.
const RIGHT_BLOCK_BYTES: usize = 2304 << 10;
/// Most left panels of a task: more would not balance, fewer would read the right ones more often.
const PANELS_OF_A_TASK: usize = 8;
/// Rows that start this many bytes apart start in the same set of the L1 cache and evict each
/// other: they are copied.
const ALIAS_BYTES: usize = 4096;

/// `a: [M, K]` times `b: [K, N]`.
pub(super) fn gemm(cpu: &Cpu, kernel: Kernel, a: &Matrix<'_>, b: &Operand, output: &Output<'_>) {
    let ((m, k), n, left) = (a.shape(), output.tile.cols, Left::new(&kernel, a));
    let grid = Grid::new(cpu.pool.threads(), &kernel, (m, n, k));
    cpu.pool.run(grid.tasks(), |index| {
        let (panels, columns) = grid.task(index);
        let task = Task { kernel, k, left, b, output: &output.tile, grid, panels, columns };
        // SAFETY: every task has its own tiles of the output.
        unsafe { task.run() };
    });
}

/// Part `index` of `count` nearly equal parts of `0..len`.
fn part(len: usize, count: usize, index: usize) -> Range<usize> {
    len * index / count..len * (index + 1) / count
}

/// How the output is cut into tasks. Nothing here changes the order of a sum.
#[derive(Clone, Copy)]
struct Grid {
    /// Left panels; their heights differ by at most one row.
    left_panels: usize,
    /// Groups of left panels.
    left_groups: usize,
    /// Right panels.
    right_panels: usize,
    /// Groups of right panels.
    right_groups: usize,
    /// Parts of the left groups, one a thread.
    parts: usize,
}

impl Grid {
    fn new(threads: usize, kernel: &Kernel, (m, n, k): (usize, usize, usize)) -> Self {
        let (panels, right_panels) = (m.div_ceil(kernel.rows), n.div_ceil(kernel.cols));
        let panel_bytes = kernel.units(depth_block(kernel, k)) * kernel.cols * 4;
        let right_groups = right_panels.div_ceil((RIGHT_BLOCK_BYTES / panel_bytes).max(1));
        // A multiple of the threads, so that they finish together.
        let left_groups = panels.div_ceil(PANELS_OF_A_TASK).next_multiple_of(threads).min(panels);
        let left_panels = panels.next_multiple_of(left_groups);
        let left_panels = if left_panels <= m { left_panels } else { panels };
        let parts = if left_groups.is_multiple_of(threads) { threads } else { 1 };
        Self { left_panels, left_groups, right_panels, right_groups, parts }
    }

    fn tasks(&self) -> usize {
        self.left_groups * self.right_groups
    }

    /// The left and right panels of a task. Tasks of the same rows are neighbours, so that the same
    /// thread begins with them, and among those tasks that share right panels.
    fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let groups = self.left_groups / self.parts;
        let of_a_part = groups * self.right_groups;
        let (thread, index) = (index / of_a_part, index % of_a_part);
        let left = part(self.left_panels, self.left_groups, thread * groups + index % groups);
        (left, part(self.right_panels, self.right_groups, index / groups))
    }
}

/// How a task reads its left panels.
#[derive(Clone, Copy)]
enum Left<'a> {
    /// Rows of units, where they lie.
    InPlace(&'a Matrix<'a>),
    /// Other rows, copied to rows of units a panel at a time.
    Rows(&'a Matrix<'a>),
    /// A transpose: packed, all panels of the task together since their rows lie side by side.
    Panels(&'a Matrix<'a>),
}

impl<'a> Left<'a> {
    fn new(kernel: &Kernel, a: &'a Matrix<'a>) -> Self {
        let aliased = (a.stride * a.elements.size()).is_multiple_of(ALIAS_BYTES);
        if a.transposed {
            Left::Panels(a)
        } else if kernel.reads_rows_of(a) && !aliased {
            Left::InPlace(a)
        } else {
            Left::Rows(a)
        }
    }
}

/// Some left panels times some right panels.
struct Task<'a> {
    kernel: Kernel,
    k: usize,
    left: Left<'a>,
    b: &'a Operand,
    output: &'a RawTile,
    grid: Grid,
    panels: Range<usize>,
    columns: Range<usize>,
}

impl Task<'_> {
    fn rows(&self, panel: usize) -> Range<usize> {
        part(self.output.rows, self.grid.left_panels, panel)
    }

    /// The rows of all panels of the task.
    fn all_rows(&self) -> Range<usize> {
        self.rows(self.panels.start).start..self.rows(self.panels.end - 1).end
    }

    /// Units of scratch from one packed left panel of this depth to the next.
    fn stride(&self, depth: usize) -> usize {
        self.kernel.units(depth) * self.kernel.left_lanes + PAD
    }

    /// # Safety
    /// Nothing else writes these tiles of the output.
    unsafe fn run(&self) {
        let (kernel, k, block) = (&self.kernel, self.k, depth_block(&self.kernel, self.k));
        let units = match self.left {
            Left::InPlace(_) => 0,
            Left::Rows(_) => kernel.rows * kernel.row_stride(block.min(k)),
            Left::Panels(_) => self.panels.len() * self.stride(block.min(k)),
        };
        let cut = self.output.out_bf16 && k > block;
        let sums = if cut { self.all_rows().len() * self.columns.len() * kernel.cols } else { 0 };
        scratch::with(units, sums, |units, sums| {
            for start in (0..k.max(1)).step_by(block) {
                let depth = start..(start + block).min(k);
                self.pack_panels(depth.clone(), units);
                for panel in self.panels.clone() {
                    let left = self.left_panel(panel, depth.clone(), units);
                    // SAFETY: passed on to the caller; `left` holds this panel's rows.
                    unsafe { self.multiply(left, panel, depth.clone(), sums) };
                }
            }
        });
    }

    /// Packs all panels, if they have to be.
    fn pack_panels(&self, depth: Range<usize>, units: &mut [u32]) {
        let Left::Panels(a) = self.left else { return };
        let rows = self.all_rows();
        let cuts: [usize; PANELS_OF_A_TASK + 1] = std::array::from_fn(|index| {
            let start = self.rows(self.panels.start + index).start;
            start.min(rows.end) - rows.start
        });
        let (cuts, width) = (&cuts[..=self.panels.len()], self.kernel.left_lanes);
        let panels = Panels { cuts, width, stride: self.stride(depth.len()), stream: false };
        pack_into(&self.kernel, Source::left(a, rows, depth), Layout::Panels(panels), units);
    }

    /// One panel as the micro-kernel reads it, copied if it has to be.
    fn left_panel(&self, panel: usize, depth: Range<usize>, units: &mut [u32]) -> RawLeft {
        let (kernel, rows) = (&self.kernel, self.rows(panel));
        match self.left {
            Left::InPlace(a) => RawLeft::rows(a, rows.start, depth.start),
            Left::Rows(a) => {
                let stride = kernel.row_stride(depth.len());
                pack_into(kernel, Source::left(a, rows, depth), Layout::Rows { stride }, units);
                RawLeft { start: units.as_ptr().cast(), row_stride: stride * 4, packed: false }
            }
            Left::Panels(_) => {
                let at = (panel - self.panels.start) * self.stride(depth.len());
                RawLeft { start: units[at..].as_ptr().cast(), row_stride: 4, packed: true }
            }
        }
    }

    /// What this thread will read of the left matrix after it has multiplied `panel`.
    fn next(&self, panel: usize, depth: &Range<usize>) -> Region {
        let block = depth_block(&self.kernel, self.k);
        let (first, after) = (0..block.min(self.k), depth.end..(depth.end + block).min(self.k));
        let last_block = after.is_empty();
        match self.left {
            Left::Panels(a) => {
                // This panel's share of the next depth block, or of the next task's first one.
                let (rows, m) = (self.all_rows(), self.output.rows);
                let (rows, depth) = if last_block {
                    (rows.end..(rows.end + rows.len()).min(m), first)
                } else {
                    (rows, after)
                };
                let share = part(depth.len(), self.panels.len(), panel - self.panels.start);
                Region::new(a, rows, depth.start + share.start..depth.start + share.end)
            }
            Left::InPlace(a) | Left::Rows(a) => {
                let last_panel = panel + 1 == self.panels.end;
                let (panel, depth) = match (last_panel, last_block) {
                    (false, _) => (panel + 1, depth.clone()),
                    (true, false) => (self.panels.start, after),
                    (true, true) => ((panel + 1) % self.grid.left_panels, first),
                };
                Region::new(a, self.rows(panel), depth)
            }
        }
    }

    /// One left panel times all right panels of the task.
    ///
    /// # Safety
    /// `left` holds the panel's rows of this depth; nothing else writes the panel's tiles.
    unsafe fn multiply(&self, left: RawLeft, panel: usize, depth: Range<usize>, sums: &mut [f32]) {
        let (kernel, n, rows) = (&self.kernel, self.output.cols, self.rows(panel));
        let right_panels = self.b.panels(depth.start, self.columns.start);
        let right_stride = self.b.stride(depth.start);
        let sums_stride = self.columns.len() * kernel.cols;
        let first_sum = (rows.start - self.all_rows().start) * sums_stride;
        let next = self.next(panel, &depth);
        for (index, column) in self.columns.clone().enumerate() {
            next.prefetch(index, self.columns.len());
            let columns = column * kernel.cols..((column + 1) * kernel.cols).min(n);
            let shape = (rows.len(), columns.len());
            let sums = sums.as_mut_ptr().wrapping_add(first_sum + index * kernel.cols);
            // SAFETY: the tile lies inside the output and is this task's; panels hold the block's
            // depth; `sums`, where it is used, has a place for every tile.
            unsafe {
                let tile = self.output.part((rows.start, columns.start), shape);
                let pass = tile.pass((sums, sums_stride), depth.start == 0, depth.end == self.k);
                let right = right_panels.as_ptr().add(index * right_stride);
                kernel.multiply(left, right, depth.len(), &pass);
            }
        }
    }
}

/// A rectangle of the left matrix that will be read soon.
struct Region {
    start: *const u8,
    rows: usize,
    stride: usize,
    row_bytes: usize,
}

impl Region {
    fn new(a: &Matrix<'_>, rows: Range<usize>, depth: Range<usize>) -> Self {
        let (rows, cols) = if a.transposed { (depth, rows) } else { (rows, depth) };
        let size = a.elements.size();
        let start = (rows.start * a.stride + cols.start) * size;
        let start = a.elements.as_bytes_ptr().wrapping_add(start);
        Self { start, rows: rows.len(), stride: a.stride * size, row_bytes: cols.len() * size }
    }

    /// Fetches share `index` of `count` into L2, while the micro-kernel is busy with arithmetic.
    fn prefetch(&self, index: usize, count: usize) {
        for row in part(self.rows, count, index) {
            let row = self.start.wrapping_add(row * self.stride);
            for offset in (0..self.row_bytes).step_by(64) {
                super::prefetch_l2(row.wrapping_add(offset));
            }
        }
    }
}
