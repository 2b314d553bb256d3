//! Packing: rows or columns of a matrix as 32-bit units, converted on the way.
//!
//! Left and right operands are packed by the same code. A *lane* is a row of the left operand or a
//! column of the right one; *depth* is the summed dimension. In memory either consecutive depths of
//! a lane are neighbours (a row-major left or a transposed right operand; packing panels
//! transposes) or consecutive lanes are (packing interleaves).

use std::ops::Range;

use super::kernel::{Format, Kernel};
use super::matrix::{Elements, Matrix};
use crate::bf16;
use crate::element::Element;
use crate::simd::Simd;

/// A part of a matrix: `lanes` lanes of `depth` elements.
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

/// What a source is packed into.
#[derive(Clone, Copy)]
pub(super) enum Layout<'a> {
    /// Panels of lanes.
    Panels(Panels<'a>),
    /// A row of units a lane, `stride` units from one to the next.
    Rows { stride: usize },
}

/// Panels `[units][width]`. What lies beyond the source, in lanes or depth, becomes zero; a lane
/// that a panel has beyond its own may hold anything.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    /// Panel `i` holds lanes `cuts[i] .. cuts[i + 1]` of the source.
    pub(super) cuts: &'a [usize],
    pub(super) width: usize,
    /// Units from one panel to the next.
    pub(super) stride: usize,
    /// Write to memory past the caches; panels begin at cache lines.
    pub(super) stream: bool,
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

/// Packs `source` in the kernel's format.
pub(super) fn pack_into(kernel: &Kernel, source: Source<'_>, layout: Layout<'_>, out: &mut [u32]) {
    let units = kernel.units(source.depth);
    let end = match layout {
        Layout::Panels(Panels { cuts, width, stride, .. }) => {
            (cuts.len() - 2) * stride + units * width
        }
        Layout::Rows { stride } => source.lanes.saturating_sub(1) * stride + units,
    };
    assert!(end <= out.len(), "{end} units do not fit in {}", out.len());
    // SAFETY: everything that is written lies before `end`.
    unsafe { pack(kernel, source, layout, out.as_mut_ptr()) };
}

/// Packs `source` in the kernel's format.
///
/// # Safety
/// `out` has a place for every unit of the layout that nothing else uses. What lies between panels
/// or rows is not touched.
pub(super) unsafe fn pack(kernel: &Kernel, source: Source<'_>, layout: Layout<'_>, out: *mut u32) {
    if let Layout::Panels(Panels { cuts, width, .. }) = layout {
        let fits = |cut: &[usize]| cut[0] <= cut[1] && cut[1] - cut[0] <= width;
        let last = cuts[cuts.len() - 1];
        assert!(cuts.windows(2).all(fits) && last <= source.lanes, "{cuts:?} do not fit");
    }
    if source.lanes == 0 || source.depth == 0 {
        return;
    }
    // Rows from across memory are only made of the few rows of a skinny product.
    let easy = source.depth_contiguous || matches!(layout, Layout::Panels(_));
    // SAFETY: passed on to the caller; `Cpu` exists only at a level that this machine has.
    unsafe {
        match kernel.simd() {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 | Simd::Avx512Bf16 if easy => {
                super::pack_avx512::pack(kernel.format(), source, layout, out);
            }
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => pack_avx2(kernel.format(), source, layout, out),
            _ => pack_scalar(kernel.format(), source, layout, out),
        }
    }
}

/// The reference compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn pack_avx2(format: Format, source: Source<'_>, layout: Layout<'_>, out: *mut u32) {
    // SAFETY: passed on to the caller.
    unsafe { pack_scalar(format, source, layout, out) }
}

/// The reference, in plain Rust.
#[inline(always)]
unsafe fn pack_scalar(format: Format, source: Source<'_>, layout: Layout<'_>, out: *mut u32) {
    // SAFETY: passed on to the caller.
    unsafe {
        match source.elements {
            Elements::F32(slice) => pack_slice(format, slice, source, layout, out),
            Elements::Bf16(slice) => pack_slice(format, slice, source, layout, out),
        }
    }
}

#[inline(always)]
unsafe fn pack_slice<T: Element>(
    format: Format,
    slice: &[T],
    source: Source<'_>,
    layout: Layout<'_>,
    out: *mut u32,
) {
    let Source { lanes, depth, stride: step, depth_contiguous, .. } = source;
    let (lane_step, depth_step) = if depth_contiguous { (step, 1) } else { (1, step) };
    let bits = |value: T| u32::from(<bf16 as Element>::from_f32(value.to_f32()).to_bits());
    let unit_of = |lane: usize, unit: usize| {
        let at = |depth: usize| slice[lane * lane_step + depth * depth_step];
        match format {
            Format::F32 => at(unit).to_f32().to_bits(),
            Format::F32Rounded => bits(at(unit)) << 16,
            Format::Bf16Pairs => {
                let second = 2 * unit + 1;
                let high = if second < depth { bits(at(second)) } else { 0 };
                bits(at(2 * unit)) | high << 16
            }
        }
    };
    let units = if format == Format::Bf16Pairs { depth.div_ceil(2) } else { depth };
    // SAFETY: the layout's places, which the caller has.
    let write = |place: usize, unit: u32| unsafe { *out.add(place) = unit };
    match layout {
        Layout::Rows { stride } => {
            for lane in 0..lanes {
                (0..units).for_each(|unit| write(lane * stride + unit, unit_of(lane, unit)));
            }
        }
        Layout::Panels(Panels { cuts, width, stride, .. }) => {
            for (panel, cut) in cuts.windows(2).enumerate() {
                for unit in 0..units {
                    let place = panel * stride + unit * width;
                    for lane in 0..width {
                        let inside = cut[0] + lane < cut[1];
                        write(place + lane, if inside { unit_of(cut[0] + lane, unit) } else { 0 });
                    }
                }
            }
        }
    }
}
