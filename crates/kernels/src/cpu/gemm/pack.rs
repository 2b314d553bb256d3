//! Packing: rows or columns of a matrix into panels of 32-bit units, converted on the way.
//!
//! Left and right operands are packed by the same code. A *lane* is a row of the left operand or a
//! column of the right one; *depth* is the summed dimension. In memory either consecutive depths of
//! a lane are neighbours (a row-major left or a transposed right operand; packing transposes) or
//! consecutive lanes are (packing interleaves).

use std::ops::Range;

use super::kernel::{Format, Kernel};
use super::matrix::{Elements, Matrix};
use crate::bf16;
use crate::element::Element;
use crate::simd::Simd;

/// The part of a matrix that becomes one panel: `lanes` lanes of `depth` elements.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The first element of the part and everything after it.
    pub(super) elements: Elements<'a>,
    pub(super) lanes: usize,
    pub(super) depth: usize,
    /// Elements from one lane to the next, or from one depth to the next.
    pub(super) stride: usize,
    /// Whether consecutive depths of a lane are neighbours in memory.
    pub(super) depth_contiguous: bool,
}

impl<'a> Source<'a> {
    /// `rows` of a left operand `a [M, K]` over `depth`.
    pub(super) fn left(a: &Matrix<'a>, rows: Range<usize>, depth: Range<usize>) -> Self {
        Self::part(a, rows, depth, !a.transposed)
    }

    /// `columns` of a right operand `b [K, N]` over `depth`.
    pub(super) fn right(b: &Matrix<'a>, columns: Range<usize>, depth: Range<usize>) -> Self {
        Self::part(b, columns, depth, b.transposed)
    }

    /// Some of the lanes; the depth is not empty.
    fn part_of_lanes(&self, lanes: Range<usize>) -> Self {
        let last = self.depth - 1;
        let (start, end) = match (lanes.is_empty(), self.depth_contiguous) {
            (true, _) => (0, 0),
            (false, true) => {
                (lanes.start * self.stride, (lanes.end - 1) * self.stride + self.depth)
            }
            (false, false) => (lanes.start, last * self.stride + lanes.end),
        };
        let elements = match self.elements {
            Elements::F32(slice) => Elements::F32(&slice[start..end]),
            Elements::Bf16(slice) => Elements::Bf16(&slice[start..end]),
        };
        Self { elements, lanes: lanes.len(), ..*self }
    }

    /// The part whose lanes are rows as stored if `depth_contiguous`, columns otherwise.
    fn part(
        matrix: &Matrix<'a>,
        lanes: Range<usize>,
        depth: Range<usize>,
        depth_contiguous: bool,
    ) -> Self {
        let (rows, cols) = if depth_contiguous { (&lanes, &depth) } else { (&depth, &lanes) };
        assert!(
            rows.end <= matrix.rows && cols.end <= matrix.cols,
            "rows {rows:?}, columns {cols:?} of a [{}, {}] matrix",
            matrix.rows,
            matrix.cols
        );
        let empty = lanes.is_empty() || depth.is_empty();
        let start = if empty { 0 } else { rows.start * matrix.stride + cols.start };
        let end = if empty { 0 } else { (rows.end - 1) * matrix.stride + cols.end };
        let elements = match matrix.elements {
            Elements::F32(slice) => Elements::F32(&slice[start..end]),
            Elements::Bf16(slice) => Elements::Bf16(&slice[start..end]),
        };
        let (lanes, depth) = (lanes.len(), depth.len());
        Self { elements, lanes, depth, stride: matrix.stride, depth_contiguous }
    }
}

/// Packs `source` into one panel `[units][width]`; lanes and depth beyond the source become zeros.
pub(super) fn panel(kernel: &Kernel, source: Source<'_>, width: usize, out: &mut [u32]) {
    panels(kernel, source, &[0, source.lanes], width, out);
}

/// Packs `source` into panels `[units][width]`, one after another; panel `i` holds lanes
/// `cuts[i] .. cuts[i + 1]`. Neighbouring lanes are read together whichever panel they go to.
pub(super) fn panels(
    kernel: &Kernel,
    source: Source<'_>,
    cuts: &[usize],
    width: usize,
    out: &mut [u32],
) {
    let len = kernel.units(source.depth) * width;
    let out = &mut out[..(cuts.len() - 1) * len];
    if source.lanes == 0 || len == 0 {
        out.fill(0);
        return;
    }
    let fits = |cut: &[usize]| cut[0] <= cut[1] && cut[1] - cut[0] <= width;
    assert!(cuts.windows(2).all(fits) && cuts[cuts.len() - 1] <= source.lanes, "{cuts:?}");
    let level = kernel.simd();
    #[cfg(target_arch = "x86_64")]
    if level >= Simd::Avx512 && !source.depth_contiguous {
        return super::pack_avx512::interleave_panels(kernel, source, cuts, width, out);
    }
    for (cut, out) in cuts.windows(2).zip(out.chunks_exact_mut(len)) {
        let source = source.part_of_lanes(cut[0]..cut[1]);
        match level {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 | Simd::Avx512Bf16 => {
                super::pack_avx512::transpose_panel(kernel.format(), source, width, out);
            }
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => panel_avx2(kernel.format(), source, width, out),
            _ => panel_scalar(kernel.format(), source, width, out),
        }
    }
}

/// The reference, in plain Rust.
#[inline(always)]
fn panel_scalar(format: Format, source: Source<'_>, width: usize, out: &mut [u32]) {
    match source.elements {
        Elements::F32(slice) => panel_of(format, slice, source, width, out),
        Elements::Bf16(slice) => panel_of(format, slice, source, width, out),
    }
}

/// The reference compiled for AVX2.
#[cfg(target_arch = "x86_64")]
fn panel_avx2(format: Format, source: Source<'_>, width: usize, out: &mut [u32]) {
    #[target_feature(enable = "avx2,fma")]
    fn compiled(format: Format, source: Source<'_>, width: usize, out: &mut [u32]) {
        panel_scalar(format, source, width, out);
    }
    // SAFETY: entered only at the AVX2 level.
    unsafe { compiled(format, source, width, out) }
}

/// Converts `source` lane by lane into rows of units, `[lanes][units]`.
pub(super) fn rows(kernel: &Kernel, source: Source<'_>, out: &mut [u32]) {
    let units = kernel.units(source.depth);
    for (lane, out) in out.chunks_exact_mut(units.max(1)).enumerate() {
        panel_scalar(kernel.format(), source.part_of_lanes(lane..lane + 1), 1, out);
    }
}

#[inline(always)]
fn panel_of<T: Element>(
    format: Format,
    slice: &[T],
    source: Source<'_>,
    width: usize,
    out: &mut [u32],
) {
    let Source { lanes, depth, stride, depth_contiguous, .. } = source;
    let (lane_step, depth_step) = if depth_contiguous { (stride, 1) } else { (1, stride) };
    let bits = |value: T| u32::from(<bf16 as Element>::from_f32(value.to_f32()).to_bits());
    for (unit, out) in out.chunks_exact_mut(width).enumerate() {
        out[lanes..].fill(0);
        for (lane, out) in out[..lanes].iter_mut().enumerate() {
            let at = |depth: usize| slice[lane * lane_step + depth * depth_step];
            *out = match format {
                Format::F32 => at(unit).to_f32().to_bits(),
                Format::F32Rounded => bits(at(unit)) << 16,
                Format::Bf16Pairs => {
                    let second = 2 * unit + 1;
                    let high = if second < depth { bits(at(second)) } else { 0 };
                    bits(at(2 * unit)) | high << 16
                }
            };
        }
    }
}
