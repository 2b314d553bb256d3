//! Sixteen weight rows side by side: the bytes of a block as 32-bit words, one lane a row.
//!
//! The rows of a weight matrix are the columns of the product. [`Columns::words`] transposes what
//! sixteen of them have at the same place, so that every step after it is the same operation on
//! sixteen lanes: one AVX-512 instruction, or two of AVX2.

use super::kernel::Level;

/// Weight rows that are unpacked together; lanes of an AVX-512 register.
pub(in crate::cpu) const LANES: usize = 16;

/// Sixteen 32-bit lanes in memory: integers or the bits of f32.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::cpu) struct Words(pub(in crate::cpu) [u32; LANES]);

/// Sixteen 32-bit lanes in registers. Having some proves that the CPU has their instructions.
pub(in crate::cpu) trait Lanes: Copy {
    /// Whether `add_products` takes 128 from wide quants.
    const CENTRES_WIDE: bool = false;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn load(words: &Words) -> Self;
    fn store(self, out: &mut Words);
    /// Four words of each of sixteen rows, a lane a row.
    ///
    /// # Safety
    /// 16 bytes can be read at each `start + row * row_bytes`; the CPU has the instructions.
    unsafe fn four_words(start: *const u8, row_bytes: usize) -> [Self; 4];
    /// Sixteen words of each of sixteen rows, a lane a row.
    ///
    /// # Safety
    /// 64 bytes can be read at each `start + row * row_bytes`; the CPU has the instructions.
    #[inline(always)]
    unsafe fn sixteen_words(start: *const u8, row_bytes: usize) -> [Self; 16] {
        // SAFETY: by the caller.
        unsafe {
            let [a, b, c, d] = Self::four_words(start, row_bytes);
            let [e, f, g, h] = Self::four_words(start.add(16), row_bytes);
            let [i, j, k, l] = Self::four_words(start.add(32), row_bytes);
            let [m, n, o, p] = Self::four_words(start.add(48), row_bytes);
            [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
        }
    }

    fn and(self, mask: u32) -> Self;
    fn xor(self, mask: u32) -> Self;
    fn or(self, other: Self) -> Self;
    /// Wraps around.
    fn plus(self, number: u32) -> Self;
    /// Sums of integers; wrap around.
    fn add(self, other: Self) -> Self;
    /// Wraps around.
    fn times(self, number: u32) -> Self;
    fn shift_left(self, bits: usize) -> Self;
    fn shift_right(self, bits: usize) -> Self;
    /// Adds `number` to byte `i` of each lane where bit `4 * four + i` of `bits` is set.
    #[inline(always)]
    fn add_where(self, bits: Self, four: usize, number: u8) -> Self {
        // The product has bit i of the four at bit 8 i, among others.
        let spread = bits.shift_right(4 * four).and(15).times(1 | 1 << 7 | 1 << 14 | 1 << 21);
        self.add(spread.and(0x0101_0101).times(u32::from(number)))
    }
    /// Each byte, which must be below 16, replaced by that entry of the table.
    fn look_up(self, table: &[u8; 16]) -> Self;
    /// The f32 of the f16 in the low half of each lane.
    fn f16_to_f32(self) -> Self;

    /// The same integer, or the bits of the same f32, in every lane.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn splat(number: u32) -> Self;
    /// Adds the products of four unsigned bytes of each lane of `quants` and four signed ones, `x`,
    /// to the integers in `self`. Unless `wide`, all of `quants` are below 64.
    fn add_products(self, quants: Self, x: i32, wide: bool) -> Self;
    /// Each lane as a signed integer times an f32.
    fn times_f32(self, factor: Self) -> Self;
    /// Each lane as a signed integer times an f32, plus `sum`, rounded once.
    fn times_f32_plus(self, factor: Self, sum: Self) -> Self;
    /// Product of f32, plus `sum`, rounded once.
    fn multiply_add(self, factor: Self, sum: Self) -> Self;

    /// Byte `index` of each lane, 0 to 255.
    #[inline(always)]
    fn byte(self, index: usize) -> Self {
        self.shift_right(8 * index).and(0xff)
    }
}

/// Sixteen weight rows, from some byte on, by address.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Source {
    pub(in crate::cpu) start: *const u8,
    /// Bytes from one row to the next.
    pub(in crate::cpu) row_bytes: usize,
}

/// How far ahead of its use a row is fetched, in bytes.
const AHEAD: usize = 256;
/// Bytes of a cache line.
pub(in crate::cpu) const LINE: usize = 64;

/// Bytes that a lane reads one after the other: long enough for the hardware's own prefetching.
const STRETCH: usize = 8 << 10;
/// Least tasks for each thread of a large job, so that threads finish together.
const TASKS: usize = 8;

/// Most strips of a task in a job of some strips.
pub(in crate::cpu) fn strips_of_a_task(strips: usize, threads: usize) -> usize {
    (strips / (TASKS * threads)).max(1)
}

/// How many weight rows a lane reads one after the other, in a job of some strips of sixteen rows.
/// Lanes that read neighbouring rows would read many short stretches, which memory answers late.
pub(in crate::cpu) fn rows_of_a_lane(row_bytes: usize, strips: usize, threads: usize) -> usize {
    STRETCH.div_ceil(row_bytes.max(1)).min(strips_of_a_task(strips, threads))
}

impl Source {
    /// Asks for what will be read of every row after `bytes` from byte `from` on are read.
    #[inline(always)]
    pub(in crate::cpu) fn prefetch(&self, from: usize, bytes: usize) {
        let ahead = from + AHEAD;
        for line in ahead.div_ceil(LINE)..(ahead + bytes).div_ceil(LINE) {
            for row in 0..LANES {
                prefetch(self.start.wrapping_add(row * self.row_bytes + line * LINE));
            }
        }
    }
}

/// The same block of sixteen weight rows.
#[derive(Clone, Copy)]
pub(super) struct Columns<L> {
    source: Source,
    block_bytes: usize,
    level: std::marker::PhantomData<L>,
}

impl<L: Level> Columns<L> {
    /// Block number `block` of each row.
    ///
    /// # Safety
    /// The block's bytes can be read in all rows of the source as long as this lives, and the CPU
    /// has the instructions of `L`.
    #[inline(always)]
    pub(super) unsafe fn new(source: Source, block: usize, block_bytes: usize) -> Self {
        let source = Source { start: source.start.wrapping_add(block * block_bytes), ..source };
        Self { source, block_bytes, level: std::marker::PhantomData }
    }

    /// The four words from byte `offset` of the block on.
    #[inline(always)]
    pub(super) fn four_words(&self, offset: usize) -> [L::Lanes; 4] {
        assert!(offset + 16 <= self.block_bytes, "words of a block");
        // SAFETY: inside the block of every row, by `new` and the assertion.
        unsafe { L::Lanes::four_words(self.source.start.add(offset), self.source.row_bytes) }
    }

    /// The eight words from byte `offset` of the block on.
    #[inline(always)]
    pub(super) fn eight_words(&self, offset: usize) -> [L::Lanes; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.four_words(offset), self.four_words(offset + 16));
        [a, b, c, d, e, f, g, h]
    }

    /// The sixteen words from byte `offset` of the block on, as two halves.
    #[inline(always)]
    pub(super) fn sixteen_words(&self, offset: usize) -> [[L::Lanes; 8]; 2] {
        assert!(offset + 64 <= self.block_bytes, "words of a block");
        // SAFETY: inside the block of every row, by `new` and the assertion.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = unsafe {
            L::Lanes::sixteen_words(self.source.start.add(offset), self.source.row_bytes)
        };
        [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]]
    }

    /// The word at byte `offset` of the block: one of four that are inside the block.
    #[inline(always)]
    pub(super) fn word(&self, offset: usize) -> L::Lanes {
        let from = offset.min(self.block_bytes - 16);
        self.four_words(from)[(offset - from) / 4]
    }
}

/// Asks for a cache line to be brought to L1; the address may be any.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may be given any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
