//! Products of a few rows (decoding): every panel of the right-hand matrix is read exactly once,
//! straight from memory, so the speed is that of the memory.

use super::kernel::{Kernel, RawLeft, TILE_MAX};
use super::matrix::Matrix;
use super::pack::{Layout, Panels, Source, pack_into};
use super::panels::depth_block;
use super::{Output, Right};
use crate::Cpu;
use crate::arena::Buffer;

/// Right panels of a task; few, so that threads finish together.
const PANELS_OF_A_TASK: usize = 4;

/// The few rows of a left operand as rows of units: where they lie, or copied.
pub(super) struct LeftRows {
    raw: RawLeft,
    /// What `raw` points into if the rows were copied.
    _copy: Buffer<u32>,
}

impl LeftRows {
    /// Must not outlive `a`.
    pub(super) fn new(cpu: &Cpu, kernel: &Kernel, a: &Matrix<'_>) -> Self {
        let ((m, k), in_place) = (a.shape(), kernel.reads_rows_of(a));
        let stride = kernel.row_stride(k);
        let mut copy = cpu.arena.buffer::<u32>(if in_place { 0 } else { m * stride });
        let raw = if in_place {
            RawLeft::rows(a, 0, 0)
        } else {
            pack_into(kernel, Source::left(a, 0..m, 0..k), Layout::Rows { stride }, &mut copy);
            RawLeft { start: copy.as_ptr().cast(), row_stride: stride * 4, packed: false }
        };
        Self { raw, _copy: copy }
    }

    pub(super) fn raw(&self) -> RawLeft {
        self.raw
    }
}

/// `a: [M, K]` with M at most the kernel's rows, `b: [K, N]`.
pub(super) fn gemm(cpu: &Cpu, kernel: &Kernel, a: &Matrix<'_>, b: &Right<'_>, output: &Output<'_>) {
    let n = output.tile.cols;
    let left = LeftRows::new(cpu, kernel, a);
    let left = left.raw();
    let panels = n.div_ceil(kernel.cols);
    cpu.pool.run(panels.div_ceil(PANELS_OF_A_TASK), |task| {
        let first = task * PANELS_OF_A_TASK;
        for panel in first..(first + PANELS_OF_A_TASK).min(panels) {
            // SAFETY: `left` holds `m` rows of depth `k`, no other task has this panel's columns.
            unsafe { one_panel(cpu, kernel, left, b, panel, output) };
        }
    });
}

/// All rows times one panel of columns.
///
/// # Safety
/// `left` holds the output's rows; nothing else writes the panel's columns of the output.
unsafe fn one_panel(
    cpu: &Cpu,
    kernel: &Kernel,
    left: RawLeft,
    b: &Right<'_>,
    panel: usize,
    output: &Output<'_>,
) {
    let (k, n) = b.shape();
    let depth_block = depth_block(kernel, k);
    let scratch_len = match b {
        Right::Packed(_) => 0,
        Right::Matrix(_) => kernel.units(depth_block.min(k)) * kernel.cols,
    };
    let mut scratch = cpu.arena.buffer::<u32>(scratch_len);
    let columns = panel * kernel.cols..((panel + 1) * kernel.cols).min(n);
    // SAFETY: the columns lie inside the output.
    let tile = unsafe { output.tile.part((0, columns.start), (output.tile.rows, columns.len())) };
    let mut sums = [0.0_f32; TILE_MAX];
    for depth in (0..k.max(1)).step_by(depth_block) {
        let block = depth..(depth + depth_block).min(k);
        let right = match b {
            Right::Packed(packed) => packed.operand().panels(depth, panel),
            Right::Matrix(matrix) => {
                let source = Source::right(matrix, columns.clone(), block.clone());
                let (cuts, width) = (&[0, columns.len()], kernel.cols);
                let panels = Panels { cuts, width, stride: scratch_len, stream: false };
                pack_into(kernel, source, Layout::Panels(panels), &mut scratch);
                &scratch
            }
        };
        let pass = tile.pass((sums.as_mut_ptr(), kernel.cols), depth == 0, block.end == k);
        let start = left.start.wrapping_add(depth / kernel.unit() * 4);
        // SAFETY: `left` by the caller; `right` is a panel of this block's depth; the tile is this
        // call's alone.
        unsafe {
            kernel.multiply(RawLeft { start, ..left }, right.as_ptr(), block.len(), &pass);
        }
    }
}
