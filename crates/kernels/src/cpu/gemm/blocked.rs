//! Products of many rows: a block of the packed right-hand matrix stays in the cache of a core
//! while the rows of the left one pass by, a panel at a time.

use std::ops::Range;

use super::kernel::{Kernel, RawLeft};
use super::matrix::Matrix;
use super::pack::{Layout, Panels, Source, pack};
use super::packed::Packed;
use super::tile::RawTile;
use super::{Output, scratch};
use crate::Cpu;

/// Bytes of the right-hand matrix that a task goes through for every left panel. What L2 does not
/// hold streams from L3 fast enough.
const RIGHT_BLOCK_BYTES: usize = 1 << 20;
/// Most left panels of a task; fewer tasks would not balance, more would not share right panels.
const LEFT_PANELS: usize = 8;
/// Rows that start this many bytes apart start in the same set of the L1 cache and evict each
/// other: they are copied.
const ALIAS_BYTES: usize = 4096;

/// How the output is cut into tasks. Nothing here changes the order of a sum.
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
    fn new(threads: usize, b: &Packed, m: usize, n: usize) -> Self {
        let kernel = b.kernel();
        let right_panels = n.div_ceil(kernel.cols);
        let fits = RIGHT_BLOCK_BYTES / (kernel.right_stride(b.depth_block()) * 4);
        let right_groups = right_panels.div_ceil(fits.max(1));
        let panels = m.div_ceil(kernel.rows);
        // A multiple of the threads, so that they finish together.
        let left_groups = panels.div_ceil(LEFT_PANELS).next_multiple_of(threads).min(panels);
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
        let (thread, index) =
            (index / (groups * self.right_groups), index % (groups * self.right_groups));
        let left = part(self.left_panels, self.left_groups, thread * groups + index % groups);
        (left, part(self.right_panels, self.right_groups, index / groups))
    }
}

/// Part `index` of `count` nearly equal parts of `0..len`.
fn part(len: usize, count: usize, index: usize) -> Range<usize> {
    len * index / count..len * (index + 1) / count
}

/// `a: [M, K]` times `b: [K, N]`.
pub(super) fn gemm(cpu: &Cpu, a: &Matrix<'_>, b: &Packed, output: &Output<'_>) {
    let (m, n) = (output.tile.rows, output.tile.cols);
    let grid = Grid::new(cpu.pool.threads(), b, m, n);
    cpu.pool.run(grid.tasks(), |index| {
        let (left, right) = grid.task(index);
        let task = Task { a, b, output: &output.tile, grid: &grid, left, right };
        // SAFETY: every task has its own tiles of the output.
        unsafe { task.run() };
    });
}

/// The left panels `left` times the right panels `right`.
struct Task<'a> {
    a: &'a Matrix<'a>,
    b: &'a Packed,
    output: &'a RawTile,
    grid: &'a Grid,
    left: Range<usize>,
    right: Range<usize>,
}

/// How left panels reach the micro-kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Read where they lie.
    InPlace,
    /// Copied to rows of units, a panel at a time.
    Rows,
    /// Packed panels, all of a task together since their rows lie side by side.
    Panels,
}

impl Task<'_> {
    fn kernel(&self) -> &Kernel {
        self.b.kernel()
    }

    fn rows(&self, panel: usize) -> Range<usize> {
        part(self.output.rows, self.grid.left_panels, panel)
    }

    /// The rows of all panels of the task.
    fn all_rows(&self) -> Range<usize> {
        self.rows(self.left.start).start..self.rows(self.left.end - 1).end
    }

    fn route(&self) -> Route {
        let stride = self.a.stride * self.a.elements.size();
        if self.a.transposed {
            Route::Panels
        } else if self.kernel().reads_rows_of(self.a) && !stride.is_multiple_of(ALIAS_BYTES) {
            Route::InPlace
        } else {
            Route::Rows
        }
    }

    /// # Safety
    /// Nothing else writes these tiles of the output.
    unsafe fn run(&self) {
        let (kernel, k, route) = (self.kernel(), self.b.shape().0, self.route());
        let depth = self.b.depth_block().min(k);
        let units = match route {
            Route::InPlace => 0,
            Route::Rows => kernel.rows * kernel.row_stride(depth),
            Route::Panels => self.left.len() * kernel.left_stride(depth),
        };
        let cut = self.output.out_bf16 && k > depth;
        let sums = if cut { self.all_rows().len() * self.right.len() * kernel.cols } else { 0 };
        scratch::with(units, sums, |units, sums| {
            for start in (0..k.max(1)).step_by(self.b.depth_block()) {
                let depth = start..(start + self.b.depth_block()).min(k);
                if route == Route::Panels {
                    self.pack_panels(depth.clone(), units);
                }
                for panel in self.left.clone() {
                    let left = self.left_panel(route, panel, depth.clone(), units);
                    // SAFETY: passed on to the caller; `left` holds this panel's rows.
                    unsafe { self.multiply(left, panel, depth.clone(), sums) };
                }
            }
        });
    }

    fn left_panel(
        &self,
        route: Route,
        panel: usize,
        depth: Range<usize>,
        units: &mut [u32],
    ) -> RawLeft {
        let (kernel, rows) = (self.kernel(), self.rows(panel));
        match route {
            Route::InPlace => RawLeft::rows(self.a, rows.start, depth.start),
            Route::Rows => {
                let stride = kernel.row_stride(depth.len());
                pack(kernel, Source::left(self.a, rows, depth), Layout::Rows { stride }, units);
                RawLeft { start: units.as_ptr().cast(), row_stride: stride * 4, packed: false }
            }
            Route::Panels => {
                let at = (panel - self.left.start) * kernel.left_stride(depth.len());
                RawLeft { start: units[at..].as_ptr().cast(), row_stride: 4, packed: true }
            }
        }
    }

    fn pack_panels(&self, depth: Range<usize>, units: &mut [u32]) {
        let (kernel, rows) = (self.kernel(), self.all_rows());
        let cuts: [usize; LEFT_PANELS + 1] = std::array::from_fn(|index| {
            self.rows(self.left.start + index.min(self.left.len())).start - rows.start
        });
        let panels = Panels {
            cuts: &cuts[..=self.left.len()],
            width: kernel.left_lanes,
            stride: kernel.left_stride(depth.len()),
            stream: false,
        };
        pack(kernel, Source::left(self.a, rows, depth), Layout::Panels(panels), units);
    }

    /// What will be read while or after `panel` is multiplied over `depth`.
    fn next(&self, panel: usize, depth: &Range<usize>) -> Region {
        let k = self.b.shape().0;
        let after = depth.end..(depth.end + self.b.depth_block()).min(k);
        if self.a.transposed {
            // Every panel fetches its share of the next depth block.
            let share = part(after.len(), self.left.len(), panel - self.left.start);
            Region::new(self.a, self.all_rows(), after.start + share.start..after.start + share.end)
        } else if panel + 1 < self.left.end {
            Region::new(self.a, self.rows(panel + 1), depth.clone())
        } else {
            Region::new(self.a, self.rows(self.left.start), after)
        }
    }

    /// One left panel times all right panels of the task.
    ///
    /// # Safety
    /// `left` holds the panel's rows of this depth; nothing else writes the panel's tiles.
    unsafe fn multiply(&self, left: RawLeft, panel: usize, depth: Range<usize>, sums: &mut [f32]) {
        let (kernel, (k, n), rows) = (self.kernel(), self.b.shape(), self.rows(panel));
        let right_stride = kernel.right_stride(depth.len());
        let right_panels = self.b.panels(depth.start, self.right.start);
        let sums_stride = self.right.len() * kernel.cols;
        let first_sum = (rows.start - self.all_rows().start) * sums_stride;
        let next = self.next(panel, &depth);
        for (index, right) in self.right.clone().enumerate() {
            next.prefetch(index, self.right.len());
            let columns = right * kernel.cols..((right + 1) * kernel.cols).min(n);
            let shape = (rows.len(), columns.len());
            let sums = sums.as_mut_ptr().wrapping_add(first_sum + index * kernel.cols);
            // SAFETY: the tile lies inside the output and is this task's; panels hold the block's
            // depth; `sums`, where it is used, has a place for every tile.
            unsafe {
                let tile = self.output.part((rows.start, columns.start), shape);
                let pass = tile.pass((sums, sums_stride), depth.start == 0, depth.end == k);
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
