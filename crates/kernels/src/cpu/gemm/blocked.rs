//! Products of many rows: a block of the packed right-hand matrix stays in L2 while the rows of the
//! left one pass by, a panel at a time, each packed just before it is used.

use super::Output;
use super::kernel::{Kernel, RawLeft};
use super::matrix::Matrix;
use super::packed::Packed;
use crate::Cpu;

/// Bytes of the right-hand matrix that stay in the L2 of a core (1 MiB on Zen 4) with room for the
/// left panel and the output.
const RIGHT_BLOCK_BYTES: usize = 512 << 10;
/// Left panels of a task, if there are enough tasks.
const PANELS_OF_A_TASK: usize = 8;

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
}

impl Grid {
    fn new(cpu: &Cpu, kernel: &Kernel, m: usize, n: usize, depth_block: usize) -> Self {
        let right_panels = n.div_ceil(kernel.cols);
        let fits = (RIGHT_BLOCK_BYTES / (kernel.right_len(depth_block) * 4)).max(1);
        let right_groups = right_panels.div_ceil(fits);
        let panels = m.div_ceil(kernel.rows);
        let groups = panels.div_ceil(PANELS_OF_A_TASK);
        // A multiple of the threads, so that they finish together.
        let left_groups = groups.next_multiple_of(cpu.pool.threads()).min(panels);
        let left_panels = panels.next_multiple_of(left_groups);
        let left_panels = if left_panels <= m { left_panels } else { panels };
        Self { left_panels, left_groups, right_panels, right_groups }
    }
}

/// Part `index` of `count` nearly equal parts of `0..len`.
fn part(len: usize, count: usize, index: usize) -> std::ops::Range<usize> {
    len * index / count..len * (index + 1) / count
}

/// `a: [M, K]` times `b: [K, N]`.
pub(super) fn gemm(cpu: &Cpu, a: &Matrix<'_>, b: &Packed, output: &Output<'_>) {
    let kernel = b.kernel();
    let (m, n) = (output.tile.rows, output.tile.cols);
    let grid = Grid::new(cpu, kernel, m, n, b.depth_block());
    cpu.pool.run(grid.left_groups * grid.right_groups, |task| {
        let left = part(grid.left_panels, grid.left_groups, task % grid.left_groups);
        let right = part(grid.right_panels, grid.right_groups, task / grid.left_groups);
        // SAFETY: every task has its own tiles of the output.
        unsafe { one_task(cpu, a, b, output, &grid, left, right) };
    });
}

/// The left panels `left` times the right panels `right`.
///
/// # Safety
/// Nothing else writes these tiles of the output.
unsafe fn one_task(
    cpu: &Cpu,
    a: &Matrix<'_>,
    b: &Packed,
    output: &Output<'_>,
    grid: &Grid,
    left: std::ops::Range<usize>,
    right: std::ops::Range<usize>,
) {
    let (kernel, depth_block) = (b.kernel(), b.depth_block());
    let ((m, k), n) = (a.shape(), output.tile.cols);
    let first_row = part(m, grid.left_panels, left.start).start;
    let partial_cols = right.len() * kernel.cols;
    let partial_len = if output.tile.out_bf16 && k > depth_block {
        left.len() * kernel.rows * partial_cols
    } else {
        0
    };
    let mut partial = cpu.arena.buffer::<f32>(partial_len);
    // Rows that lie across memory are packed together, others one panel at a time.
    let step = if a.transposed { left.len() } else { 1 };
    let mut panels = cpu.arena.buffer::<u32>(step * kernel.left_len(depth_block));
    for depth in (0..k.max(1)).step_by(depth_block) {
        let block = depth..(depth + depth_block).min(k);
        let right_len = kernel.right_len(block.len());
        let right_panels = b.panels(depth, right.start);
        for panel in left.clone() {
            let (rows, at) = (part(m, grid.left_panels, panel), (panel - left.start) % step);
            if at == 0 {
                let cuts: [usize; PANELS_OF_A_TASK + 1] = std::array::from_fn(|index| {
                    part(m, grid.left_panels, panel + index.min(step)).start - rows.start
                });
                let cuts = (rows.start, &cuts[..=step]);
                kernel.pack_left_panels(a, cuts, block.clone(), &mut panels);
            }
            let panel = panels[at * kernel.left_len(block.len())..].as_ptr();
            let left = RawLeft { start: panel.cast(), row_stride: 4, packed: true };
            for (index, right) in right.clone().enumerate() {
                let columns = right * kernel.cols..((right + 1) * kernel.cols).min(n);
                let shape = (rows.len(), columns.len());
                // SAFETY: the tile lies inside the output and is this task's; panels hold the
                // block's depth; `partial`, where it is used, has a place for every tile.
                unsafe {
                    let tile = output.tile.part((rows.start, columns.start), shape);
                    let sums = (rows.start - first_row) * partial_cols + index * kernel.cols;
                    let sums = (partial.as_mut_ptr().wrapping_add(sums), partial_cols);
                    let pass = tile.pass(sums, depth == 0, block.end == k);
                    let right = right_panels.as_ptr().add(index * right_len);
                    kernel.multiply_raw(left, right, block.len(), &pass);
                }
            }
        }
    }
}
