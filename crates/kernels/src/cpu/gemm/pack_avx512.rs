//! Packing with AVX-512: 16 lanes by 16 units are transposed in registers, or neighbouring rows
//! interleaved, with the conversion to bf16 on the way.

use std::arch::x86_64::*;

use super::kernel::{Format, Kernel};
use super::matrix::Elements;
use super::pack::Source;

const GROUP: usize = 16;

/// Packs one panel of lanes that each lie along memory; see [`super::pack::panels`], which has
/// checked the sizes.
pub(super) fn transpose_panel(format: Format, source: Source<'_>, width: usize, out: &mut [u32]) {
    let (start, out) = (source.elements.as_bytes_ptr(), out.as_mut_ptr());
    // SAFETY: `Source` holds every element of its lanes and depth, `out` all units of the panel,
    // and this module is entered only at an AVX-512 level; `Bf16Pairs` only with AVX-512 BF16.
    unsafe {
        match (source.elements, format) {
            (Elements::F32(_), Format::F32) => transpose_f32_to_f32(source, start, width, out),
            (Elements::Bf16(_), Format::F32 | Format::F32Rounded) => {
                transpose_bf16_to_f32(source, start, width, out);
            }
            (Elements::F32(_), Format::F32Rounded) => {
                transpose_f32_to_rounded(source, start, width, out);
            }
            (Elements::F32(_), Format::Bf16Pairs) => {
                transpose_f32_to_bf16(source, start, width, out);
            }
            (Elements::Bf16(_), Format::Bf16Pairs) => {
                transpose_bf16_to_bf16(source, start, width, out);
            }
        }
    }
}

/// Packs panels of lanes that lie side by side in memory; see [`super::pack::panels`], which has
/// checked the sizes.
pub(super) fn interleave_panels(
    kernel: &Kernel,
    source: Source<'_>,
    cuts: &[usize],
    width: usize,
    out: &mut [u32],
) {
    let (start, out) = (source.elements.as_bytes_ptr(), out.as_mut_ptr());
    // SAFETY: as in `transpose_panel`, for all panels.
    unsafe {
        match (source.elements, kernel.format()) {
            (Elements::F32(_), Format::F32) => {
                interleave_f32_to_f32(source, start, cuts, width, out);
            }
            (Elements::Bf16(_), Format::F32 | Format::F32Rounded) => {
                interleave_bf16_to_f32(source, start, cuts, width, out);
            }
            (Elements::F32(_), Format::F32Rounded) => {
                interleave_f32_to_rounded(source, start, cuts, width, out);
            }
            (Elements::F32(_), Format::Bf16Pairs) => {
                interleave_f32_to_bf16(source, start, cuts, width, out);
            }
            (Elements::Bf16(_), Format::Bf16Pairs) => {
                interleave_bf16_to_bf16(source, start, cuts, width, out);
            }
        }
    }
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

/// How a source type becomes units.
trait Units {
    /// Bytes of a source element.
    const ELEMENT: usize;
    /// Depth elements of a unit.
    const UNIT: usize;
    /// Up to 16 units of one lane, from its first `depth` elements at `from`; zeros beyond.
    unsafe fn along_depth(from: *const u8, depth: usize) -> __m512i;
    /// One unit of up to 16 neighbouring lanes: `first` and, in pairs, `second` are their addresses
    /// at the unit's depths, with the lanes of each in a mask.
    unsafe fn across_lanes(first: (*const u8, u16), second: (*const u8, u16)) -> __m512i;
}

struct F32ToF32;
struct F32ToRounded;
struct Bf16ToF32;
struct F32ToBf16;
struct Bf16ToBf16;

#[inline(always)]
fn first(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

#[inline(always)]
fn first_of_32(count: usize) -> u32 {
    if count >= 32 { u32::MAX } else { (1 << count) - 1 }
}

#[inline(always)]
unsafe fn load_f32(from: *const u8, mask: u16) -> __m512 {
    // SAFETY: the mask confines the access to what the caller has.
    unsafe { _mm512_maskz_loadu_ps(mask, from.cast()) }
}

/// 16 bf16 as the low halves of 16 lanes.
#[inline(always)]
unsafe fn load_bf16(from: *const u8, mask: u16) -> __m512i {
    // SAFETY: the mask confines the access to what the caller has.
    unsafe { _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from.cast())) }
}

impl Units for F32ToF32 {
    const ELEMENT: usize = 4;
    const UNIT: usize = 1;
    #[inline(always)]
    unsafe fn along_depth(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: masked to `depth` elements.
        unsafe { _mm512_castps_si512(load_f32(from, first(depth))) }
    }
    #[inline(always)]
    unsafe fn across_lanes(first: (*const u8, u16), _: (*const u8, u16)) -> __m512i {
        // SAFETY: masked to the caller's lanes.
        unsafe { _mm512_castps_si512(load_f32(first.0, first.1)) }
    }
}

impl Units for F32ToRounded {
    const ELEMENT: usize = 4;
    const UNIT: usize = 1;
    #[inline(always)]
    unsafe fn along_depth(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: masked to `depth` elements.
        unsafe {
            let rounded = round_bits(load_f32(from, first(depth)));
            _mm512_and_si512(rounded, _mm512_set1_epi32(0xffff_0000_u32 as i32))
        }
    }
    #[inline(always)]
    unsafe fn across_lanes(first: (*const u8, u16), _: (*const u8, u16)) -> __m512i {
        // SAFETY: masked to the caller's lanes.
        unsafe {
            let rounded = round_bits(load_f32(first.0, first.1));
            _mm512_and_si512(rounded, _mm512_set1_epi32(0xffff_0000_u32 as i32))
        }
    }
}

impl Units for Bf16ToF32 {
    const ELEMENT: usize = 2;
    const UNIT: usize = 1;
    #[inline(always)]
    unsafe fn along_depth(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: masked to `depth` elements.
        unsafe { _mm512_slli_epi32::<16>(load_bf16(from, first(depth))) }
    }
    #[inline(always)]
    unsafe fn across_lanes(first: (*const u8, u16), _: (*const u8, u16)) -> __m512i {
        // SAFETY: masked to the caller's lanes.
        unsafe { _mm512_slli_epi32::<16>(load_bf16(first.0, first.1)) }
    }
}

impl Units for F32ToBf16 {
    const ELEMENT: usize = 4;
    const UNIT: usize = 2;
    #[inline(always)]
    unsafe fn along_depth(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: masked to `depth` elements; same size, any bit pattern is a value.
        unsafe {
            let low = load_f32(from, first(depth));
            let high = load_f32(from.wrapping_add(64), first(depth.saturating_sub(16)));
            std::mem::transmute(_mm512_cvtne2ps_pbh(high, low))
        }
    }
    #[inline(always)]
    unsafe fn across_lanes(first: (*const u8, u16), second: (*const u8, u16)) -> __m512i {
        // SAFETY: masked to the caller's lanes; same size, any bit pattern is a value.
        unsafe {
            let even: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(load_f32(first.0, first.1)));
            let odd: __m256i =
                std::mem::transmute(_mm512_cvtneps_pbh(load_f32(second.0, second.1)));
            pair(_mm512_cvtepu16_epi32(even), _mm512_cvtepu16_epi32(odd))
        }
    }
}

impl Units for Bf16ToBf16 {
    const ELEMENT: usize = 2;
    const UNIT: usize = 2;
    #[inline(always)]
    unsafe fn along_depth(from: *const u8, depth: usize) -> __m512i {
        // SAFETY: masked to `depth` elements.
        unsafe { _mm512_maskz_loadu_epi16(first_of_32(depth), from.cast()) }
    }
    #[inline(always)]
    unsafe fn across_lanes(first: (*const u8, u16), second: (*const u8, u16)) -> __m512i {
        // SAFETY: masked to the caller's lanes.
        unsafe { pair(load_bf16(first.0, first.1), load_bf16(second.0, second.1)) }
    }
}

/// Low halves of `even` and `odd` side by side.
#[inline(always)]
unsafe fn pair(even: __m512i, odd: __m512i) -> __m512i {
    // SAFETY: called only from functions with AVX-512 F.
    unsafe { _mm512_or_si512(even, _mm512_slli_epi32::<16>(odd)) }
}

macro_rules! compiled {
    ($($transpose:ident, $interleave:ident: $units:ty, $features:literal;)*) => {$(
        #[target_feature(enable = $features)]
        unsafe fn $transpose(source: Source<'_>, start: *const u8, width: usize, out: *mut u32) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { transpose::<$units>(source, start, width, out) }
        }
        #[target_feature(enable = $features)]
        unsafe fn $interleave(
            source: Source<'_>,
            start: *const u8,
            cuts: &[usize],
            width: usize,
            out: *mut u32,
        ) {
            // SAFETY: passed on to the caller; the features are those of this function.
            unsafe { interleave::<$units>(source, start, cuts, width, out) }
        }
    )*};
}

compiled! {
    transpose_f32_to_f32, interleave_f32_to_f32:
        F32ToF32, "avx512f,avx512bw,avx512dq,avx512vl";
    transpose_f32_to_rounded, interleave_f32_to_rounded:
        F32ToRounded, "avx512f,avx512bw,avx512dq,avx512vl";
    transpose_bf16_to_f32, interleave_bf16_to_f32:
        Bf16ToF32, "avx512f,avx512bw,avx512dq,avx512vl";
    transpose_f32_to_bf16, interleave_f32_to_bf16:
        F32ToBf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16";
    transpose_bf16_to_bf16, interleave_bf16_to_bf16:
        Bf16ToBf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16";
}

/// Neighbouring lanes lie side by side in memory.
#[inline(always)]
unsafe fn interleave<U: Units>(
    source: Source<'_>,
    start: *const u8,
    cuts: &[usize],
    width: usize,
    out: *mut u32,
) {
    let step = source.stride * U::ELEMENT;
    let units = source.depth.div_ceil(U::UNIT);
    for unit in 0..units {
        let depth = unit * U::UNIT;
        let row = start.wrapping_add(depth * step);
        let odd_end = depth + 1 >= source.depth;
        for (panel, cut) in cuts.windows(2).enumerate() {
            let (from, to) = (cut[0], cut[1]);
            let out = out.wrapping_add((panel * units + unit) * width);
            for group in (0..width).step_by(GROUP) {
                let mask = first((to - from).saturating_sub(group));
                let at = row.wrapping_add((from + group) * U::ELEMENT);
                let second = if odd_end { 0 } else { mask };
                // SAFETY: the masks confine loads to the source; `out` holds `width` lanes a unit.
                unsafe {
                    let lanes = U::across_lanes((at, mask), (at.wrapping_add(step), second));
                    _mm512_storeu_si512(out.add(group).cast(), lanes);
                }
            }
        }
    }
}

/// Consecutive depths of a lane lie side by side in memory: 16 x 16 units at a time.
#[inline(always)]
unsafe fn transpose<U: Units>(source: Source<'_>, start: *const u8, width: usize, out: *mut u32) {
    let step = source.stride * U::ELEMENT;
    let units = source.depth.div_ceil(U::UNIT);
    for block in (0..units).step_by(GROUP) {
        let depth = source.depth - block * U::UNIT;
        for group in (0..width).step_by(GROUP) {
            // SAFETY: loads are confined to existing lanes and depths, stores to existing units.
            unsafe {
                let mut lanes = [_mm512_setzero_si512(); GROUP];
                for (lane, value) in lanes.iter_mut().enumerate() {
                    if group + lane < source.lanes {
                        let offset = (group + lane) * step + block * U::UNIT * U::ELEMENT;
                        *value = U::along_depth(start.add(offset), depth);
                    }
                }
                let columns = transpose_16x16(lanes);
                let out = out.add(block * width + group);
                for (unit, column) in columns.iter().enumerate().take(units - block) {
                    _mm512_storeu_si512(out.add(unit * width).cast(), *column);
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
