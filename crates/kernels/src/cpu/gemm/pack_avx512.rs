//! Packing with AVX-512: 16 lanes by 16 units are transposed in registers, or neighbouring rows
//! interleaved, with the conversion to bf16 on the way.

use std::arch::x86_64::*;

use super::kernel::Format;
use super::matrix::Elements;
use super::pack::{Layout, Panels, Source};

/// Lanes of a vector of units.
const GROUP: usize = 16;
/// How many units ahead of their use rows are fetched when they are interleaved. To L2: the few
/// outstanding lines of L1 would limit the speed.
const UNITS_AHEAD: usize = 16;
/// How many bytes ahead of its use a row is fetched when rows are transposed.
const ROW_AHEAD_BYTES: usize = 128;

/// Packs `source`; see [`super::pack::pack`], which has checked the sizes.
///
/// # Safety
/// As there; the CPU has AVX-512 F, BW, DQ and VL, for `Bf16Pairs` also AVX-512 BF16.
pub(super) unsafe fn pack(format: Format, source: Source<'_>, layout: Layout<'_>, out: *mut u32) {
    let start = source.elements.as_bytes_ptr();
    // SAFETY: `Source` holds every element of its lanes and depth, the rest is the caller's.
    unsafe {
        match (source.elements, format) {
            (Elements::F32(_), Format::F32) => f32_to_f32(source, start, layout, out),
            (Elements::Bf16(_), Format::F32 | Format::F32Rounded) => {
                bf16_to_f32(source, start, layout, out);
            }
            (Elements::F32(_), Format::F32Rounded) => f32_to_rounded(source, start, layout, out),
            (Elements::F32(_), Format::Bf16Pairs) => f32_to_bf16(source, start, layout, out),
            (Elements::Bf16(_), Format::Bf16Pairs) => bf16_to_bf16(source, start, layout, out),
        }
    }
}

macro_rules! compiled {
    ($($name:ident: $units:ty, $features:literal;)*) => {$(
        #[target_feature(enable = $features)]
        unsafe fn $name(source: Source<'_>, start: *const u8, layout: Layout<'_>, out: *mut u32) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { pack_as::<$units>(source, start, layout, out) }
        }
    )*};
}

compiled! {
    f32_to_f32: F32ToF32, "avx512f,avx512bw,avx512dq,avx512vl";
    f32_to_rounded: F32ToRounded, "avx512f,avx512bw,avx512dq,avx512vl";
    bf16_to_f32: Bf16ToF32, "avx512f,avx512bw,avx512dq,avx512vl";
    f32_to_bf16: F32ToBf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16";
    bf16_to_bf16: Bf16ToBf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16";
}

/// Round to nearest even by integer arithmetic; a NaN keeps its sign and becomes quiet.
///
/// # Safety
/// The CPU has AVX-512 F.
#[inline(always)]
pub(super) unsafe fn round_to_bf16(value: __m512) -> __m256i {
    // SAFETY: the caller has AVX-512 F.
    unsafe { _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(round_bits(value))) }
}

/// The bits of `value` rounded to bf16, in the high half of each lane; the low half is not cleared.
#[inline(always)]
unsafe fn round_bits(value: __m512) -> __m512i {
    // SAFETY: called only from functions with AVX-512 F.
    unsafe {
        let bits = _mm512_castps_si512(value);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let rounded = _mm512_add_epi32(bits, half);
        let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
        _mm512_mask_mov_epi32(rounded, nan, quiet)
    }
}

/// How a source type becomes units. `ALL` says that a whole vector of elements can be read;
/// otherwise loads are masked.
trait Units {
    /// Bytes of a source element.
    const ELEMENT: usize;
    /// Depth elements of a unit.
    const UNIT: usize;
    /// Whether bf16 become f32: they are transposed in pairs, which takes half as long, and lines
    /// of memory are then read once.
    const WIDENS: bool = false;
    /// Up to 16 units of one lane, from its first `depth` elements at `from`; zeros beyond.
    unsafe fn along_depth<const ALL: bool>(from: *const u8, depth: usize) -> __m512i;
    /// One unit of up to 16 neighbouring lanes: the addresses of its (one or two) depths, and
    /// which lanes each of them has; zeros in the others.
    unsafe fn across_lanes<const ALL: bool>(from: [*const u8; 2], lanes: [u16; 2]) -> __m512i;
}

struct F32ToF32;
struct F32ToRounded;
struct Bf16ToF32;
struct F32ToBf16;
struct Bf16ToBf16;

/// A mask of the first `count` of 16.
#[inline(always)]
fn first(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

#[inline(always)]
unsafe fn load_f32<const ALL: bool>(from: *const u8, mask: u16) -> __m512 {
    // SAFETY: the caller has a whole vector, or the mask confines the access to what it has.
    unsafe {
        if ALL { _mm512_loadu_ps(from.cast()) } else { _mm512_maskz_loadu_ps(mask, from.cast()) }
    }
}

/// 16 bf16.
#[inline(always)]
unsafe fn load_bf16<const ALL: bool>(from: *const u8, mask: u16) -> __m256i {
    // SAFETY: the caller has a whole vector, or the mask confines the access to what it has.
    unsafe {
        if ALL {
            _mm256_loadu_si256(from.cast())
        } else {
            _mm256_maskz_loadu_epi16(mask, from.cast())
        }
    }
}

/// 16 bf16 widened to f32.
#[inline(always)]
unsafe fn widen(bf16: __m256i) -> __m512i {
    // SAFETY: called only from functions with AVX-512 F.
    unsafe { _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bf16)) }
}

/// f32 rounded to bf16 and widened again.
#[inline(always)]
unsafe fn rounded(value: __m512) -> __m512i {
    // SAFETY: called only from functions with AVX-512 F.
    unsafe { _mm512_and_si512(round_bits(value), _mm512_set1_epi32(0xffff_0000_u32 as i32)) }
}

/// Turns `[first row's 16 lanes, second row's 16 lanes]` of bf16 into 16 pairs.
#[inline(always)]
unsafe fn interleave_halves(rows: __m512i) -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut lane = 0;
        while lane < 16 {
            order[2 * lane] = lane as u16;
            order[2 * lane + 1] = lane as u16 + 16;
            lane += 1;
        }
        order
    };
    // SAFETY: `ORDER` is 64 bytes; called only from functions with AVX-512 BW.
    unsafe { _mm512_permutexvar_epi16(_mm512_loadu_si512(ORDER.as_ptr().cast()), rows) }
}

impl Units for F32ToF32 {
    const ELEMENT: usize = 4;
    const UNIT: usize = 1;
    #[inline(always)]
    unsafe fn along_depth<const ALL: bool>(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: `depth` elements are there.
        unsafe { _mm512_castps_si512(load_f32::<ALL>(from, first(depth))) }
    }
    #[inline(always)]
    unsafe fn across_lanes<const ALL: bool>(from: [*const u8; 2], lanes: [u16; 2]) -> __m512i {
        // SAFETY: the lanes are there.
        unsafe { _mm512_castps_si512(load_f32::<ALL>(from[0], lanes[0])) }
    }
}

impl Units for F32ToRounded {
    const ELEMENT: usize = 4;
    const UNIT: usize = 1;
    #[inline(always)]
    unsafe fn along_depth<const ALL: bool>(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: `depth` elements are there.
        unsafe { rounded(load_f32::<ALL>(from, first(depth))) }
    }
    #[inline(always)]
    unsafe fn across_lanes<const ALL: bool>(from: [*const u8; 2], lanes: [u16; 2]) -> __m512i {
        // SAFETY: the lanes are there.
        unsafe { rounded(load_f32::<ALL>(from[0], lanes[0])) }
    }
}

impl Units for Bf16ToF32 {
    const ELEMENT: usize = 2;
    const UNIT: usize = 1;
    const WIDENS: bool = true;
    #[inline(always)]
    unsafe fn along_depth<const ALL: bool>(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: `depth` elements are there.
        unsafe { widen(load_bf16::<ALL>(from, first(depth))) }
    }
    #[inline(always)]
    unsafe fn across_lanes<const ALL: bool>(from: [*const u8; 2], lanes: [u16; 2]) -> __m512i {
        // SAFETY: the lanes are there.
        unsafe { widen(load_bf16::<ALL>(from[0], lanes[0])) }
    }
}

impl Units for F32ToBf16 {
    const ELEMENT: usize = 4;
    const UNIT: usize = 2;
    #[inline(always)]
    unsafe fn along_depth<const ALL: bool>(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: `depth` elements are there; same size, any bit pattern is a value.
        unsafe {
            let low = load_f32::<ALL>(from, first(depth));
            let high = load_f32::<ALL>(from.wrapping_add(64), first(depth.saturating_sub(16)));
            std::mem::transmute(_mm512_cvtne2ps_pbh(high, low))
        }
    }
    #[inline(always)]
    unsafe fn across_lanes<const ALL: bool>(from: [*const u8; 2], lanes: [u16; 2]) -> __m512i {
        // SAFETY: the lanes are there; same size, any bit pattern is a value.
        unsafe {
            let first = load_f32::<ALL>(from[0], lanes[0]);
            let second = load_f32::<ALL>(from[1], lanes[1]);
            let pairs = _mm512_cvtne2ps_pbh(second, first);
            interleave_halves(std::mem::transmute::<__m512bh, __m512i>(pairs))
        }
    }
}

impl Units for Bf16ToBf16 {
    const ELEMENT: usize = 2;
    const UNIT: usize = 2;
    #[inline(always)]
    unsafe fn along_depth<const ALL: bool>(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: `depth` elements are there.
        unsafe {
            if ALL {
                _mm512_loadu_si512(from.cast())
            } else {
                let mask = if depth >= 32 { u32::MAX } else { (1 << depth) - 1 };
                _mm512_maskz_loadu_epi16(mask, from.cast())
            }
        }
    }
    #[inline(always)]
    unsafe fn across_lanes<const ALL: bool>(from: [*const u8; 2], lanes: [u16; 2]) -> __m512i {
        // SAFETY: the lanes are there.
        unsafe {
            let first = _mm512_castsi256_si512(load_bf16::<ALL>(from[0], lanes[0]));
            let second = load_bf16::<ALL>(from[1], lanes[1]);
            interleave_halves(_mm512_inserti64x4::<1>(first, second))
        }
    }
}

#[inline(always)]
unsafe fn pack_as<U: Units>(
    source: Source<'_>,
    start: *const u8,
    layout: Layout<'_>,
    out: *mut u32,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        match layout {
            Layout::Rows { stride } => rows::<U>(source, start, stride, out),
            Layout::Panels(panels) if source.depth_contiguous => {
                for (panel, cut) in panels.cuts.windows(2).enumerate() {
                    let start = start.wrapping_add(cut[0] * source.stride * U::ELEMENT);
                    let source = Source { lanes: cut[1] - cut[0], ..source };
                    let out = out.wrapping_add(panel * panels.stride);
                    if U::WIDENS {
                        transpose::<Bf16ToBf16, true>(source, start, panels, out);
                    } else {
                        transpose::<U, false>(source, start, panels, out);
                    }
                }
            }
            Layout::Panels(panels) => interleave::<U>(source, start, panels, out),
        }
        // Streamed numbers are in memory before anyone is told that the work is done.
        _mm_sfence();
    }
}

/// Writes a vector; with `stream`, at a cache line, past the caches.
#[inline(always)]
unsafe fn store(to: *mut u32, value: __m512i, stream: bool) {
    // SAFETY: the caller has 16 units at `to`, aligned for `stream`.
    unsafe {
        if stream {
            _mm512_stream_si512(to.cast(), value);
        } else {
            _mm512_storeu_si512(to.cast(), value);
        }
    }
}

/// Lanes that each lie along memory, converted: `[lanes][stride]`.
#[inline(always)]
unsafe fn rows<U: Units>(source: Source<'_>, start: *const u8, stride: usize, out: *mut u32) {
    let units = source.depth.div_ceil(U::UNIT);
    for lane in 0..source.lanes {
        for unit in (0..units).step_by(GROUP) {
            let offset = (lane * source.stride + unit * U::UNIT) * U::ELEMENT;
            let depth = source.depth - unit * U::UNIT;
            // SAFETY: loads are confined to the source, stores to the units of the lane.
            unsafe {
                let (from, to) = (start.add(offset), out.add(lane * stride + unit));
                if depth >= GROUP * U::UNIT {
                    _mm512_storeu_si512(to.cast(), U::along_depth::<true>(from, depth));
                } else {
                    let value = U::along_depth::<false>(from, depth);
                    _mm512_mask_storeu_epi32(to.cast(), first(units - unit), value);
                }
            }
        }
    }
}

/// Neighbouring lanes lie side by side in memory.
#[inline(always)]
unsafe fn interleave<U: Units>(
    source: Source<'_>,
    start: *const u8,
    panels: Panels<'_>,
    out: *mut u32,
) {
    let Panels { cuts, width, stride, stream } = panels;
    let step = source.stride * U::ELEMENT;
    for unit in 0..source.depth.div_ceil(U::UNIT) {
        let depth = unit * U::UNIT;
        let row = start.wrapping_add(depth * step);
        let whole = depth + U::UNIT <= source.depth;
        prefetch_rows::<U>(row.wrapping_add(UNITS_AHEAD * U::UNIT * step), step, source.lanes);
        for (panel, cut) in cuts.windows(2).enumerate() {
            for group in (0..width).step_by(GROUP) {
                let lane = cut[0] + group;
                let from = row.wrapping_add(lane * U::ELEMENT);
                let from = [from, from.wrapping_add(step)];
                // SAFETY: whole vectors are read only where the source has 16 lanes from `lane`,
                // others are masked; `out` holds `width` lanes a unit of every panel.
                unsafe {
                    let value = if whole && lane + GROUP <= source.lanes {
                        U::across_lanes::<true>(from, [u16::MAX; 2])
                    } else {
                        let lanes = first((cut[1] - cut[0]).saturating_sub(group));
                        U::across_lanes::<false>(from, [lanes, if whole { lanes } else { 0 }])
                    };
                    let to = out.add(panel * stride + unit * width + group);
                    store(to, value, stream);
                }
            }
        }
    }
}

/// Fetches the rows of one unit.
#[inline(always)]
fn prefetch_rows<U: Units>(row: *const u8, step: usize, lanes: usize) {
    for offset in (0..lanes * U::ELEMENT).step_by(64) {
        for depth in 0..U::UNIT {
            super::prefetch_l2(row.wrapping_add(depth * step + offset));
        }
    }
}

/// Consecutive depths of a lane lie side by side in memory: 16 x 16 units at a time. With `WIDEN`
/// the units are pairs of bf16, and each is written as two f32.
#[inline(always)]
unsafe fn transpose<U: Units, const WIDEN: bool>(
    source: Source<'_>,
    start: *const u8,
    panels: Panels<'_>,
    out: *mut u32,
) {
    let Panels { width, stream, .. } = panels;
    let step = source.stride * U::ELEMENT;
    let units = source.depth.div_ceil(U::UNIT);
    for block in (0..units).step_by(GROUP) {
        let depth = source.depth - block * U::UNIT;
        let start = start.wrapping_add(block * U::UNIT * U::ELEMENT);
        for group in (0..width).step_by(GROUP) {
            // SAFETY: loads are confined to existing lanes and depths, stores to existing units.
            unsafe {
                let mut lanes = [_mm512_setzero_si512(); GROUP];
                let existing = source.lanes.saturating_sub(group).min(GROUP);
                if depth >= GROUP * U::UNIT {
                    for (lane, value) in lanes.iter_mut().enumerate().take(existing) {
                        let from = start.add((group + lane) * step);
                        super::prefetch_l2(from.wrapping_add(ROW_AHEAD_BYTES));
                        *value = U::along_depth::<true>(from, depth);
                    }
                } else {
                    for (lane, value) in lanes.iter_mut().enumerate().take(existing) {
                        *value = U::along_depth::<false>(start.add((group + lane) * step), depth);
                    }
                }
                let columns = transpose_16x16(lanes);
                for (unit, column) in (block..units).zip(columns) {
                    if WIDEN {
                        let out = out.add(2 * unit * width + group);
                        store(out, _mm512_slli_epi32::<16>(column), stream);
                        if 2 * unit + 1 < source.depth {
                            let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
                            store(out.add(width), _mm512_and_si512(column, high), stream);
                        }
                    } else {
                        store(out.add(unit * width + group), column, stream);
                    }
                }
            }
        }
    }
}

/// Transposes 16 vectors of 16 lanes of 32 bits.
#[inline(always)]
unsafe fn transpose_16x16(rows: [__m512i; 16]) -> [__m512i; 16] {
    // SAFETY: called only from functions with AVX-512 F.
    unsafe {
        let mut pairs = rows;
        for i in (0..16).step_by(2) {
            pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
        }
        // In every 128-bit part p: quads[4 q + j] holds rows 4 q .. 4 q + 4 of column 4 p + j.
        let mut quads = pairs;
        for i in (0..16).step_by(4) {
            quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
            quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
            quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
            quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
        }
        let mut columns = rows;
        for j in 0..4 {
            let [a, b, c, d] = [quads[j], quads[4 + j], quads[8 + j], quads[12 + j]];
            let (ab_even, ab_odd) =
                (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
            let (cd_even, cd_odd) =
                (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
            columns[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
            columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
            columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
            columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
        }
        columns
    }
}
